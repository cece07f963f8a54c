"""What other tools measured, in our names: guestperf's JSON, domjobinfo, mig_mon's logs."""

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


#: What mig_mon's ``client_rr 127.0.0.1 50 spike.log`` printed (7f5b0cb), shortened, while its echo
#: server was stopped for 450 ms: it overwrites its last line.
MIG_MON_OUTPUT = (
    "Setting socket recv timeout to 50 (ms)\n"
    "1st and 2nd packet latency: 46 (ms)\n"
    "Setting spike throttle to: 92 (ms)\n"
    "Updating spike log initial timestamp\n"
    f"\r{' ' * 55}\r[31567261] max_delay: 51 (ms), cur: 51 (ms)"
    f"\r{' ' * 55}\r[31570082] max_delay: 515 (ms), cur: 55 (ms)"
    f"\r{' ' * 55}\r[31570140] max_delay: 515 (ms), cur: 58 (ms)"
)
#: Its spike log of that time: -1 of 64 bits at first, then the spike.
SPIKE_LOG = "1796078554,18446744073709551615\n1796078556,515\n"
TOO_SHORT = "1st and 2nd packet latency: 50 (ms)\n"


def test_mig_mon_output_has_the_longest_silence(tmp_path: Path) -> None:
    """The longest time between two packets is the network downtime; the client's words are kept."""
    path = tmp_path / "client.txt"
    path.write_bytes(MIG_MON_OUTPUT.encode())
    found = read_result(path)
    assert (found.tool, found.name, found.outcome) == ("mig_mon", "client", None)
    assert found.metrics == {"downtime_network_ms": 515}
    assert found.settings == {"interval_ms": 50, "usual_ms": 46}
    assert found.job.empty


@pytest.mark.parametrize(
    ("log", "longest", "spikes"),
    [(SPIKE_LOG, 515, [(2, 515)]), (SPIKE_LOG.splitlines()[0] + "\n", None, [])],
)
def test_mig_mon_spike_log_has_its_spikes(
    tmp_path: Path, log: str, longest: int | None, spikes: list[tuple[int, int]]
) -> None:
    """The log's first line is its begin; without a spike there is no downtime, and no 0."""
    path = tmp_path / "spike.log"
    path.write_text(log, encoding="utf-8")
    found = read_result(path)
    assert found.metrics == {"downtime_network_ms": longest}
    assert found.settings["spikes"] == spikes


@pytest.mark.parametrize(
    "content",
    [
        "",
        "nothing",
        "1700000000,12\n",
        "1st and 2nd packet latency: 50 (ms)\n",
        "{",
        "[]",
        "{}",
        '{"progress_history": 3}',
    ],
)
def test_foreign_file_is_refused(tmp_path: Path, content: str) -> None:
    """A file of no known tool is refused."""
    path = tmp_path / "foreign"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(StoreError, match="must be a result of guestperf, virsh domjobinfo or"):
        read_result(path)
