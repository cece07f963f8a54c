"""What other tools measured, in our names: guestperf's JSON, a series of domjobinfo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from migrationlab.errors import StoreError
from migrationlab.runs.importers import read_result
from paths import RECORDINGS

REPORTS = RECORDINGS / "job_reports"


def progress(number: int, status: str = "active") -> dict[str, Any]:
    """Return a record of guestperf's ``Progress.serialize`` (QEMU's progress.py)."""
    return {
        "status": status, "now": 1000.0 + number, "duration": 1000 * number, "downtime": 42,
        "downtime_expected": 300, "setup_time": 3, "throttle_pcent": 20,
        "dirty_limit_throttle_time_per_round": 0, "dirty_limit_ring_full_time": 0,
        "ram": {
            "transferred_bytes": 10**8 * number, "remaining_bytes": 10**9 - 10**8 * number,
            "total_bytes": 10**9, "duplicate_pages": 5, "skipped_pages": 0, "normal_pages": 9,
            "normal_bytes": 9 * 4096, "dirty_rate_pps": 100, "transfer_rate_mbs": 800.0,
            "iterations": number,
        },
    }  # fmt: skip


def guestperf_file(tmp_path: Path, *, status: str = "completed", success: bool = True) -> Path:
    """Write a result as guestperf's ``Report.serialize`` does (QEMU's report.py)."""
    content = {
        "hardware": {"cpus": 1, "mem": 1},
        "scenario": {"name": "pause-iters-5", "downtime": 500, "pause": True, "pause_iters": 5},
        "progress_history": [progress(1), progress(2), progress(3, status)],
        "guest_timings": {"records": []},
        "result": {"success": success},
    }
    path = tmp_path / "result.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_guestperf_has_our_names_and_units(tmp_path: Path) -> None:
    """The last record has the totals; 800 megabits a second are 100,000,000 bytes."""
    found = read_result(guestperf_file(tmp_path))
    assert (found.tool, found.name, found.outcome) == ("guestperf", "pause-iters-5", "completed")
    assert found.metrics == {
        "total_ms": 3000, "downtime_reported_ms": 42, "transferred_bytes": 300_000_000,
        "iterations": 3,
    }  # fmt: skip
    assert list(found.job["memory_bps"]) == [100_000_000] * 3
    assert list(found.job["time_ns"]) == [0, 10**9, 2 * 10**9]
    assert found.settings["downtime"] == 500


def test_guestperf_failure_stays_one(tmp_path: Path) -> None:
    """A guest that stayed paused is no success, and a cancelled run has no downtime."""
    assert read_result(guestperf_file(tmp_path, success=False)).outcome == "failed"
    cancelled = read_result(guestperf_file(tmp_path, status="cancelled"))
    assert cancelled.outcome == "cancelled"
    assert cancelled.metrics["downtime_reported_ms"] is None


def test_series_of_domjobinfo_is_one_job(tmp_path: Path) -> None:
    """Recorded reports, one after the other, are samples; the completed one has the totals."""
    names = ("first-iteration", "diverging", "completed")
    texts = [(REPORTS / f"{name}.domjobinfo.txt").read_text("utf-8") for name in names]
    path = tmp_path / "series.txt"
    path.write_text("\n".join(texts), encoding="utf-8")
    found = read_result(path)
    assert found.outcome == "completed"
    assert found.metrics["downtime_reported_ms"] == 431
    assert list(found.job["iteration"]) == [1, 7]
    assert list(found.job["time_elapsed_ms"]) == [1962, 20276]


@pytest.mark.parametrize("content", ["", "nothing", "{", "[]", "{}", '{"progress_history": 3}'])
def test_foreign_file_is_refused(tmp_path: Path, content: str) -> None:
    """A file of no known tool is refused."""
    path = tmp_path / "foreign"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(StoreError, match="must be a result of guestperf or of virsh domjobinfo"):
        read_result(path)
