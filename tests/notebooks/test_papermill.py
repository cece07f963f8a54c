"""The blank experiment as a program: papermill gives it a design, and a report comes out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
BLANK = ROOT / "notebooks" / "80_experiment.ipynb"
RECORDED = ROOT / "data" / "experiments" / "compression"
TIMEOUT_S = 140
PARAMETERS = {"design", "directory", "report", "repeats", "metric"}


def papermill(made: Path, environment: dict[str, str], **parameters: str) -> None:
    """Run the blank notebook with parameters, in a process of its own."""
    words = [word for name, value in parameters.items() for word in ("-p", name, value)]
    ran = subprocess.run(
        [
            sys.executable, "-m", "papermill", str(BLANK), str(made), *words,
            "--kernel", "python3", "--cwd", str(made.parent), "--no-progress-bar",
            "--execution-timeout", str(TIMEOUT_S),
        ],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


def printed(made: Path) -> str:
    """Return all that the cells of a notebook printed."""
    cells = nbformat.read(made, as_version=4).cells
    outputs = (output for cell in cells for output in cell.get("outputs", []))
    return "".join(output.get("text", "") for output in outputs)


def test_template_has_one_cell_of_parameters() -> None:
    """The template has exactly one tagged cell, with the parameters that its text names."""
    cells = nbformat.read(BLANK, as_version=4).cells
    (cell,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    names: dict[str, object] = {}
    exec(cell.source, names)
    assert names.keys() - {"__builtins__"} == PARAMETERS


@pytest.mark.timeout(200)
def test_recorded_experiment_gets_a_report_without_libvirt(tmp_path: Path) -> None:
    """A folder of runs gives a notebook with parameters and tables, and a report."""
    made, report = tmp_path / "made.ipynb", tmp_path / "mine.html"
    without = {"PYTHONPATH": str(Path(__file__).parent / "without_libvirt")}
    papermill(made, without, design=str(RECORDED), report=str(report), metric="transferred_bytes")
    page = report.read_text(encoding="utf-8")
    assert "Does compressing the memory with zstd shorten a migration?" in page
    assert page.count("<img ") + page.count("<svg ") >= 1
    said = printed(made)
    assert "0 migrations are left" in said
    assert "mine.html True" in said
    assert "transferred_bytes: " in said


@pytest.mark.thorough
@pytest.mark.lab
@pytest.mark.timeout(200)
def test_design_gives_runs_and_a_report(tmp_path: Path) -> None:
    """A TOML design gives runs in the given folder, and a report."""
    design, kept = tmp_path / "question.toml", tmp_path / "kept"
    design.write_text(
        'question = "Does it run?"\nrepeats = 1\nwarm_ups = 0\n'
        '[plan]\nmode = ["normal", "peer2peer"]\n'
        "[workload]\nmemory_mib = 128\nworking_set_mib = 8\ndirty_mib_s = 5\n"
    )
    report = tmp_path / "mine.html"
    papermill(
        tmp_path / "made.ipynb", {}, design=str(design), directory=str(kept), report=str(report)
    )
    assert len(list((kept / "runs").iterdir())) == 2
    assert "Does it run?" in report.read_text(encoding="utf-8")
