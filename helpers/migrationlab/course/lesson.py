"""Represent a lesson: whether it can use a lab here, and its recorded runs.

This module answers "live or recorded?" and finds ``data/``. It starts no lab, and loads libvirt
only to see whether it is installed.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path

from migrationlab.checks.diagnosis import Status
from migrationlab.course.answers import NotAccepted
from migrationlab.course.feedback import Feedback
from migrationlab.course.questions import Question, load_questions
from migrationlab.errors import StoreError, UsageError
from migrationlab.experiment.experiment import Experiment
from migrationlab.runs.release_matrix import ReleaseMatrix, load_matrix
from migrationlab.runs.run import Run, Runs
from migrationlab.runs.store import load_runs

#: Set to 0, lessons use recorded runs on every machine.
SWITCH = "MIGRATIONLAB_LIVE"
_GET_DATA = (
    "Run the notebook in a checkout of the project: the recorded runs are in its folder data."
)


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson of the course.

    Attributes:
        number: The lesson's number, in two digits.
        live: Whether its live cells run here.
        why: The reason why they do not run; empty if they run.
    """

    number: str
    live: bool
    why: str = ""

    def __repr__(self) -> str:
        return f"Lesson({self.number!r}, {'live' if self.live else 'recorded'})"

    def recorded(self, name: str) -> Run:
        """Return the only run in a folder of ``data/lessons``."""
        runs = self.recorded_runs(name)
        if len(runs) != 1:
            raise StoreError(
                f"{name} must hold one run (got {len(runs)})", hint="Use recorded_runs()."
            )
        return next(iter(runs))

    def recorded_runs(self, name: str) -> Runs:
        """Return the runs in a folder of ``data/lessons``, oldest first."""
        return load_runs(find_data("lessons", name))

    def runs(self) -> Runs:
        """Return six runs of the demo: three in each mode, over a wire of 1 Gbit/s."""
        return load_runs(find_data("runs"))

    def experiment(self, name: str) -> Experiment:
        """Return a recorded experiment.

        Args:
            name: A folder of ``data/experiments``: "modes", "convergence" or "fixes".

        Raises:
            StoreError: There is no such folder, or it cannot be read.
        """
        return Experiment.load(find_data("experiments", name))

    def matrix(self) -> ReleaseMatrix:
        """Return the recorded matrix of releases."""
        return load_matrix(find_data("matrix") / "matrix.jsonl")

    def check(self, exercise: str, *answers: object) -> Feedback:
        """Check an answer to an exercise of this lesson; some checks need runs too."""
        module = f"migrationlab.course.exercises.lesson_{self.number}"
        checks = importlib.import_module(module).CHECKS
        if exercise not in checks:
            raise UsageError(
                f"exercise must be one of lesson {self.number} (got {exercise!r})",
                hint=f"Use one of {', '.join(checks)}.",
            )
        try:
            feedback: Feedback = checks[exercise](*answers)
        except NotAccepted as refusal:
            return refusal.feedback
        return feedback

    def questions(self) -> tuple[Question, ...]:
        """Return the quick questions of this lesson."""
        return load_questions(self.number)

    def check_question(self, number: int, answer: object) -> Feedback:
        """Check an answer to a quick question of this lesson.

        Args:
            number: The question's number, from 1.
            answer: The letter of an option, or its text.
        """
        questions = dict(enumerate(self.questions(), 1))
        if number not in questions:
            raise UsageError(
                f"number must be a question of lesson {self.number} (got {number!r})",
                hint=f"Use one of {', '.join(map(str, questions))}.",
            )
        try:
            return questions[number].check(answer)
        except NotAccepted as refusal:
            return refusal.feedback


def start(number: str, *, live: bool | None = None) -> Lesson:
    """Begin a lesson: find out whether a lab can run here, and print it in one line.

    Args:
        number: The lesson's number, in two digits.
        live: Whether to use a lab; by default if a lab can run, unless the environment
            variable ``MIGRATIONLAB_LIVE`` is 0.
    """
    why = "" if live else "this notebook needs no lab." if live is False else _why_not()
    lesson = Lesson(number, live=not why, why=why)
    if lesson.live:
        print("Live: a lab can run on this machine, and you measure your own runs.")
    else:
        skipped = "" if live is False else " Live cells are skipped."
        print(f"On recorded runs: {why}{skipped}")
    return lesson


def _why_not() -> str:
    """Return the reason why no lab can run on this machine; empty if a lab can run."""
    if os.environ.get(SWITCH) == "0":
        return f"{SWITCH} is 0."
    try:
        importlib.import_module("libvirt")
    except ImportError:
        return "the Python package libvirt is not installed. A lab needs it."
    from migrationlab.checks.doctor import doctor  # noqa: PLC0415 - it can be loaded only on Linux

    failed = [check for check in doctor().checks if check.status is Status.FAIL]
    if not failed:
        return ""
    return f"{failed[0].name}: {failed[0].detail}. The doctor of lesson 00 says how to fix it."


def find_data(*names: str) -> Path:
    """Find a folder of data/: in migrationlab's own checkout, else above the current folder."""
    for root in (Path(__file__).parents[3], Path.cwd(), *Path.cwd().parents):
        folder = root.joinpath("data", *names)
        if folder.is_dir():
            return folder
    raise StoreError(
        f"reading data failed: {'/'.join(['data', *names])} does not exist", hint=_GET_DATA
    )
