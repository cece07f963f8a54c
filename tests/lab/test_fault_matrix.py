"""The fault matrix for real: a row says what its fault did, and no run is made twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrationlab.experiment.fault_matrix import record_fault_matrix
from migrationlab.plan.uris import Mode
from migrationlab.runs.store import load_runs

pytestmark = pytest.mark.lab


def test_each_guest_runs_on_one_host_or_is_lost(tmp_path: Path) -> None:
    """If the source's QEMU dies the memory is lost; if the destination's dies the guest stays."""
    what = {"kinds": ["kill-qemu"], "phases": ["perform"], "modes": [Mode.NORMAL]}
    rows = record_fault_matrix(tmp_path, copies=["pre-copy"], **what)  # type: ignore[arg-type]
    at_source, at_destination = rows
    assert all(row.fired and row.ends_well for row in rows)
    assert [row.outcome for row in rows] == ["failed", "failed"]
    assert (at_source.verdict, at_source.running_on) == ("lost", 0)
    assert (at_destination.verdict, at_destination.found_at) == ("well", "source")
    assert at_destination.intact
    assert at_destination.noticed_s is not None
    assert [run.run_id for run in load_runs(tmp_path / "runs")] == [row.run_id for row in rows]
    again = record_fault_matrix(tmp_path, copies=["pre-copy"], **what)  # type: ignore[arg-type]
    assert again == rows
