"""The figure of a fault matrix: a word for each cell, and halves where the modes differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from migrationlab import plots
from migrationlab.errors import UsageError
from migrationlab.experiment import load_fault_matrix
from migrationlab.experiment.fault_folder import append_row, prepare_folder
from unit.experiment.test_fault_matrix import ROW

WELL: dict[str, Any] = {"verdict": "well", "running_on": 1, "intact": True, "found_at": "source"}


def drawn(folder: Path, *rows: dict[str, Any]) -> plots.Picture:
    """Draw rows that differ from a usual one."""
    prepare_folder(folder)
    for row in rows:
        append_row(folder, msgspec.structs.replace(ROW, **row))
    return plots.fault_matrix(load_fault_matrix(folder))


def words(picture: plots.Picture) -> list[str]:
    """Return the words in the cells."""
    return [text.get_text() for text in picture.figure.axes[0].texts]


def test_cell_has_a_half_for_each_mode_that_ends_otherwise(tmp_path: Path) -> None:
    """One word where both modes end alike, two where not, and a mark for who recovered."""
    ended = WELL | {"recovered_by": "recover, during the fault"}
    picture = drawn(
        tmp_path,
        {"mode": "normal"},
        {"mode": "peer2peer"},
        {"mode": "normal", "phase": "finish"},
        {"mode": "peer2peer", "phase": "finish"} | ended,
    )
    assert words(picture) == ["lost", "lost", "source ‡"]
    assert picture.title == "4 faults in mid-migration: 1 guests run, 3 lost their memory"
    assert "kill-qemu, source: perform: lost, finish: lost or source" in picture.alt
    assert picture.render("png")


def test_runs_of_a_cell_that_differ_are_two_words(tmp_path: Path) -> None:
    """The most frequent place is first, and its most frequent way has the mark."""
    here = WELL | {"recovered_by": "recover, during the fault"}
    picture = drawn(tmp_path, here, {"repeat": 2}, here | {"repeat": 3})
    assert words(picture) == ["source/lost ‡", "–"]


def test_cell_without_a_run_has_a_dash(tmp_path: Path) -> None:
    """Nothing is drawn for what was not tried."""
    picture = drawn(tmp_path, {}, WELL | {"phase": "begin", "kind": "cut-wire", "side": ""})
    assert words(picture) == ["–", "lost", "–", "source", "–", "–"]


def test_guest_that_is_not_recovered_is_in_the_title(tmp_path: Path) -> None:
    """It is neither lost nor well."""
    picture = drawn(tmp_path, {"verdict": "refused", "running_on": 2, "found_at": ""})
    assert words(picture) == ["unsure ?", "–"]
    assert picture.title.endswith("1 unresolved")


def test_matrix_without_rows_is_refused(tmp_path: Path) -> None:
    """The hint says how to record some."""
    with pytest.raises(UsageError, match="rows must hold at least one run"):
        drawn(tmp_path)
