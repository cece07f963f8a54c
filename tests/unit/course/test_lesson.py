"""How a lesson starts: live or recorded, with its records and its checks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from migrationlab import course
from migrationlab.checks.diagnosis import Check, Diagnosis, Status
from migrationlab.course import lesson as module
from migrationlab.course.answers import is_unfinished
from migrationlab.course.feedback import AnswerState, right, unfinished, wrong
from migrationlab.errors import StoreError, UsageError
from paths import ROOT

#: What is not there on Windows, and what is there only where a lab can be.
LINUX_ONLY = ("libvirt", "libvirt_qemu", "fcntl", "termios")


@pytest.mark.parametrize("status", Status)
def test_lesson_is_live_if_the_doctor_finds_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: Status
) -> None:
    """A failed check prevents a live lesson and is named; a warning does not."""
    monkeypatch.delenv(module.SWITCH, raising=False)
    found = Diagnosis((Check("namespaces", status, "none can be made", "ask"),))
    monkeypatch.setitem(
        sys.modules, "migrationlab.checks.doctor", SimpleNamespace(doctor=lambda: found)
    )
    lesson = course.start("04")
    assert lesson.live == (status is not Status.FAIL)
    said = capsys.readouterr().out
    assert said.startswith("Live:" if lesson.live else "On recorded runs: namespaces: none can")


@pytest.mark.parametrize(("live", "switch", "is_live"), [(False, "1", False), (None, "0", False)])
def test_live_lessons_can_be_switched_off(
    monkeypatch: pytest.MonkeyPatch, live: bool | None, switch: str, is_live: bool
) -> None:
    """An argument or an environment variable for all lessons switches them off."""
    monkeypatch.setenv(module.SWITCH, switch)
    lesson = course.start("04", live=live)
    assert lesson.live is is_live
    assert lesson.why
    assert repr(lesson) == "Lesson('04', recorded)"


def test_recorded_lesson_needs_neither_libvirt_nor_linux() -> None:
    """Recorded runs and experiments are drawn without any module that only Linux has."""
    script = f"""
import sys
for name in {LINUX_ONLY!r}:
    sys.modules[name] = None
import migrationlab as mig
from migrationlab import course
from migrationlab.widgets import Prediction, draw
lesson = course.start("04")
assert not lesson.live
run = next(iter(lesson.runs()))
print(mig.plots.timeline(run))
print(lesson.experiment("modes"))
print(mig.Experiment("Which?", grid={{"mode": ["normal", "peer2peer"]}}, directory="unused"))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("On recorded runs: the Python package libvirt is not installed")
    assert "Picture(" in done.stdout


def test_missing_recording_is_reported() -> None:
    """A name without runs, or with many instead of one, is an error with a hint."""
    lesson = course.Lesson("04", live=False)
    with pytest.raises(StoreError, match="data/lessons/nowhere does not exist") as caught:
        lesson.recorded("nowhere")
    assert "checkout" in caught.value.hint


def test_data_is_found_from_a_folder_of_the_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An installed package finds the data in a folder above the notebook."""
    monkeypatch.setattr(module, "__file__", str(tmp_path / "site" / "a" / "b" / "c.py"))
    (tmp_path / "project/data/runs").mkdir(parents=True)
    below = tmp_path / "project/notebooks"
    below.mkdir()
    monkeypatch.chdir(below)
    assert module.find_data("runs") == tmp_path / "project/data/runs"


def test_checks_are_found_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lesson's checks get the learner's answer; an unknown check is reported."""
    checks = {"sum": lambda a, b: right("so it is") if a + b == 3 else wrong("no", "count")}
    monkeypatch.setitem(
        sys.modules,
        "migrationlab.course.exercises.lesson_77",
        SimpleNamespace(CHECKS=checks),
    )
    lesson = course.Lesson("77", live=False)
    assert lesson.check("sum", 1, 2).passed
    assert not lesson.check("sum", 1, 1).passed
    with pytest.raises(UsageError, match="got 'product'") as caught:
        lesson.check("product", 1)
    assert "sum" in caught.value.hint


def test_result_of_a_check_is_accessible_text() -> None:
    """State and hint are words, in text and in HTML, and are escaped."""
    said = wrong("3 < 4", "count <again>")
    assert repr(said) == "✗ 3 < 4\n  → count <again>"
    assert "3 &lt; 4" in said._repr_html_()
    assert "count &lt;again&gt;" in said._repr_html_()
    assert "Wrong." in said._repr_html_()
    assert repr(right("yes")) == "✓ yes"
    assert unfinished("write it").state is AnswerState.UNFINISHED
    assert not unfinished("write it").passed


@pytest.mark.parametrize(
    ("answer", "expected"), [(..., True), (None, True), ("  ", True), (0, False), ("x", False)]
)
def test_placeholder_is_no_answer(answer: object, expected: bool) -> None:
    """The placeholder of a lesson is no answer; a zero is an answer."""
    assert is_unfinished(answer) is expected


def test_command_line_names_the_missing_package() -> None:
    """Commands that migrate name the package to install; commands that read files work."""
    program = [str(Path(sys.executable).with_name("migrationlab"))]
    root = ROOT
    environment = os.environ | {"PYTHONPATH": str(root / "tests/notebooks/without_libvirt")}
    asked = ["migrate", "web1", "--from", "qemu:///system", "--to", "qemu+ssh://b/system"]
    done = subprocess.run(
        [*program, *asked], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    (first, *_) = done.stderr.splitlines()
    assert first == "migrationlab: the Python package libvirt is not installed"
    assert "migrationlab[live]" in done.stderr
    read = subprocess.run(
        [*program, "runs", str(root / "data/runs")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert read.returncode == 0, read.stderr
    assert read.stdout.count("completed") == 6
