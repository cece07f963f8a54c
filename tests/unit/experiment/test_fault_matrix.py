"""The fault matrix: its cells, its rows on disk, and who noticed a fault; live in tests/lab."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from migrationlab.errors import HostError, StoreError, UsageError
from migrationlab.experiment import fault_folder, fault_matrix, load_fault_matrix
from migrationlab.experiment.fault_cells import KINDS, PHASES, FaultCell, cells
from migrationlab.experiment.fault_folder import (
    ROWS,
    FaultRow,
    append_row,
    estimate_s,
    left,
    prepare_folder,
    read_rows,
)
from migrationlab.experiment.fault_trial import DEADLINE, NOBODY, noticed
from migrationlab.lab.phase_effects import EFFECTS
from migrationlab.lab.phase_faults import KINDS as KINDS_OF_LAB
from migrationlab.lab.phase_watch import PHASES as PHASES_OF_LAB
from migrationlab.runs.store import load_run
from paths import RECORDINGS

ROW = FaultRow(
    kind="kill-qemu",
    side="source",
    phase="perform",
    mode="normal",
    copy="pre-copy",
    repeat=1,
    run_id="20261130-140909-76cb63",
    libvirt="11.3.0",
    qemu="10.0.13",
    fired=True,
    outcome="failed",
    said="operation failed",
    explained="destination-qemu-died",
    noticed_s=0.26,
    noticed_by="destination daemon",
    source="absent",
    destination="absent",
    first_verdict="lost",
    first_why="Neither host has it.",
    recovered_by="lost",
    commands=(),
    trouble=(),
    recover_s=0.0,
    verdict="lost",
    why="Neither host has it.",
    found_at="",
    running_on=0,
    intact=None,
)


def test_every_fault_and_phase_of_the_lab_has_cells() -> None:
    """Each cell is there once, with a plan that is valid or the reason why there is no run."""
    assert tuple(KINDS_OF_LAB) == KINDS
    assert tuple(PHASES_OF_LAB) == PHASES
    every = cells()
    assert len({cell.key for cell in every}) == len(every)
    assert {cell.kind for cell in every if not cell.impossible} == set(EFFECTS)
    assert {cell.phase for cell in every if not cell.impossible} == set(PHASES)
    for cell in every:
        if not cell.impossible:
            assert not cell.plan().problems(source="host-a", destination="host-b")


def test_cell_that_cannot_be_made_says_why() -> None:
    """A fault whose victim does not exist in that phase, and a mode that has no such part."""
    reasons = {cell.key[:4]: cell.impossible for cell in cells(copies=["pre-copy"])}
    assert "no QEMU yet" in reasons["kill-qemu", "destination", "prepare", "normal"]
    assert reasons["kill-qemu", "destination", "perform", "normal"] == ""
    assert "no connection" in reasons["cut-control", "", "perform", "normal"]
    assert reasons["cut-control", "", "perform", "peer2peer"] == ""
    assert "time of day" in reasons["step-clock", "source", "perform", "normal"]


def test_unknown_fault_and_phase_are_refused() -> None:
    """The error lists what there is."""
    with pytest.raises(UsageError, match="kinds must be of kill-qemu"):
        cells(kinds=["unplug"])
    with pytest.raises(UsageError, match="phases must be of begin"):
        cells(phases=["middle"])


def test_rows_show_which_runs_are_left(tmp_path: Path) -> None:
    """A second call makes only the others, and whole repeats come first."""
    wanted = cells(["kill-qemu"], ["perform"], copies=["pre-copy"])
    assert [(cell.side, number) for cell, number in left(wanted, [ROW], 1)] == [
        ("source", 1),
        ("destination", 1),
        ("destination", 1),
    ]
    assert [number for _, number in left(wanted, [ROW], 2)] == [1, 1, 1, 2, 2, 2, 2]
    assert left(wanted, [ROW], 1)[0][0].mode == "peer2peer"
    assert estimate_s(left(wanted, [ROW], 1)) > 0


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    """A half line, as a power cut leaves it, is left out; the next row is whole."""
    prepare_folder(tmp_path)
    append_row(tmp_path, ROW)
    with (tmp_path / ROWS).open("a") as file:
        file.write('{"kind": "kill-q')
    other = msgspec.structs.replace(ROW, repeat=2, verdict="well", running_on=1, intact=True)
    append_row(tmp_path, other)
    assert read_rows(tmp_path) == [ROW, other]
    frame = load_fault_matrix(tmp_path)
    assert list(frame["repeat"]) == [1, 2]
    assert list(frame["ends_well"]) == [True, True]
    assert frame["intact"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("verdict", "running_on", "intact", "well"),
    [
        ("well", 1, True, True),
        ("well", 1, False, False),
        ("well", 2, True, False),
        ("well", 0, None, False),
        ("lost", 0, None, True),
        ("lost", 1, True, False),
        ("refused", 1, True, False),
    ],
)
def test_row_ends_well_only_if_the_guest_is_whole_or_really_lost(
    verdict: str, running_on: int, intact: bool | None, well: bool
) -> None:
    """A guest that runs twice, or was called lost and runs, is no good end."""
    row = msgspec.structs.replace(ROW, verdict=verdict, running_on=running_on, intact=intact)
    assert row.ends_well is well


def test_damaged_folder_is_refused(tmp_path: Path) -> None:
    """The error names the line; a folder of something else is no matrix."""
    with pytest.raises(StoreError, match="must hold a fault matrix"):
        load_fault_matrix(tmp_path)
    prepare_folder(tmp_path)
    assert load_fault_matrix(tmp_path).empty
    (tmp_path / ROWS).write_text('{"kind": 3}\n')
    with pytest.raises(StoreError, match="line 1 of"):
        read_rows(tmp_path)
    (tmp_path / fault_folder.MANIFEST).write_text('{"format": "other"}')
    with pytest.raises(StoreError, match="must be a fault matrix"):
        load_fault_matrix(tmp_path)


def test_matrix_of_other_runs_is_not_continued(tmp_path: Path) -> None:
    """Runs with another deadline would not compare."""
    prepare_folder(tmp_path)
    prepare_folder(tmp_path)
    path = tmp_path / fault_folder.MANIFEST
    path.write_text(path.read_text().replace('"deadline_s": 8', '"deadline_s": 9'))
    with pytest.raises(UsageError, match=r"deadline_s of .* must be 8 \(got 9\)"):
        prepare_folder(tmp_path)


def test_matrix_of_an_older_version_is_continued(tmp_path: Path) -> None:
    """A field of the guest that this version did not have was as it is by default."""
    prepare_folder(tmp_path)
    path = tmp_path / fault_folder.MANIFEST
    content = json.loads(path.read_text())
    del content["guest"]["pattern"]
    path.write_text(json.dumps(content))
    prepare_folder(tmp_path)


@pytest.mark.parametrize(
    ("recording", "by"),
    [
        ("completed-normal", NOBODY),
        ("timed-out", DEADLINE),
        ("unresolved", DEADLINE),
        ("lost-destination", "QEMU"),
        ("guest-lost", "migrationlab, after the call"),
    ],
)
def test_row_says_who_noticed_the_fault(recording: str, by: str) -> None:
    """It is who ended the call, and the time is from the fault to that end."""
    run = load_run(RECORDINGS / "outcomes" / recording)
    after_s, found = noticed(run, run.returned_ns - 2 * 10**9)
    assert found == by
    assert after_s == (None if by == NOBODY else 2.0)
    assert noticed(run, None) == (None, NOBODY)
    assert noticed(run, run.returned_ns + 1) == (None, NOBODY)


class StuckLab:
    """A lab whose guests cannot be ended, as when a QEMU is stuck."""

    made = 0

    def __init__(self, images: str, on_step: object) -> None:
        type(self).made += 1
        self.host_a = SimpleNamespace(image=images)

    def boot(self, **_: object) -> SimpleNamespace:
        """Boot one."""

        def clear() -> None:
            raise HostError("the guest cannot be ended")

        return SimpleNamespace(clear=clear)

    def close(self) -> None:
        """End all of it."""


def test_guest_that_cannot_be_ended_loses_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is written first, and the next run gets a new lab."""

    def trial(_lab: object, _guest: object, cell: FaultCell, repeat: int) -> tuple[None, FaultRow]:
        what = {"side": cell.side, "mode": str(cell.mode), "repeat": repeat}
        return None, msgspec.structs.replace(ROW, verdict="refused", why="Unsure.", **what)

    monkeypatch.setattr(fault_matrix, "Lab", StuckLab)
    monkeypatch.setattr(fault_matrix, "trial", trial)
    rows = fault_matrix.record_fault_matrix(
        tmp_path, kinds=["kill-qemu"], phases=["perform"], copies=["pre-copy"], keep_runs=False
    )
    assert [(row.side, row.mode) for row in rows] == [
        ("source", "normal"),
        ("source", "peer2peer"),
        ("destination", "normal"),
        ("destination", "peer2peer"),
    ]
    assert StuckLab.made == len(rows)
