"""The verb ``faults``: what it prints and refuses; live in tests/lab."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from migrationlab.cli import main
from migrationlab.experiment import fault_matrix
from migrationlab.experiment.fault_folder import FaultRow, append_row, prepare_folder
from unit.experiment.test_fault_matrix import ROW

CELLS = ("--kinds", "kill-qemu", "--phases", "perform", "--modes", "normal", "--copies", "pre-copy")
WELL = {"verdict": "well", "running_on": 1, "intact": True, "side": "destination"}


def call(folder: Path, *words: str) -> Result:
    """Run the verb; what is not an exit is a bug."""
    result = CliRunner().invoke(main, ["faults", "-o", str(folder), *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of a matrix whose two runs are over, so that none is made."""
    prepare_folder(tmp_path)
    append_row(tmp_path, ROW)
    append_row(tmp_path, msgspec.structs.replace(ROW, **WELL))
    monkeypatch.setattr(fault_matrix, "trial", None)
    return tmp_path


def test_dry_run_lists_cells_and_reasons(tmp_path: Path) -> None:
    """It makes no folder, and says why some cells cannot be made."""
    folder = tmp_path / "new"
    done = call(folder, "--dry-run", "--kinds", "cut-control", "--phases", "perform")
    assert done.exit_code == 0
    assert "1 cells, 0 runs, 1 left" in done.stdout
    assert "cells cannot be made: in normal mode the two daemons have no connection" in done.stdout
    assert not folder.exists()
    record = json.loads(call(folder, *CELLS, "--dry-run", "--format", "json").stdout)
    assert [cell["side"] for cell in record["cells"]] == ["source", "destination"]
    assert record["left"] == 2
    assert record["estimate_s"] > 0


def test_matrix_that_is_done_is_shown(recorded: Path) -> None:
    """No run is made again, and the exit status is 0 if each guest ended well."""
    done = call(recorded, *CELLS)
    assert done.exit_code == 0, done.output
    assert "2 of 2 ended well" in done.stdout
    record = json.loads(call(recorded, *CELLS, "--format", "json").stdout)
    assert [row["ends_well"] for row in record["rows"]] == [True, True]


def test_row_that_did_not_end_well_is_an_error(recorded: Path) -> None:
    """The text names it."""
    row: FaultRow = msgspec.structs.replace(ROW, repeat=2, verdict="refused", why="Unsure.")
    append_row(recorded, row)
    done = call(recorded, *CELLS)
    assert done.exit_code == 1
    assert "not well: kill-qemu perform 20261130-140909-76cb63: Unsure." in done.stdout


def test_unknown_fault_is_refused(tmp_path: Path) -> None:
    """The call is wrong, and nothing is made."""
    done = call(tmp_path / "new", "--kinds", "unplug")
    assert done.exit_code == 2
    assert "kinds must be of kill-qemu" in done.stderr
    assert not (tmp_path / "new").exists()
