"""Answers in other words and other types mean the same."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from migrationlab.course.answers import number_of, one_of, words_of, yes_or_no
from migrationlab.course.lesson import Lesson

NUMBERS = [
    30.5, "30.5", " 30,5 ", np.float64(30.5), np.float32(30.5), np.array([30.5]), np.array(30.5),
    pd.Series([30.5]), Fraction(61, 2),
]  # fmt: skip
WORKERS = [
    "destination libvirtd", "Destination's libvirtd", "libvirtd of the destination",
    "the target's libvirtd", "the libvirtd on the destination host", "dest libvirt daemon",
    "the destination’s libvirt daemon", "virtqemud at the destination", "host-b's libvirtd",
    "libvirtd@host-b", ["destination", "libvirtd"], "destination_libvirtd",
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_number_may_have_any_type(number: object) -> None:
    """A text, a number of NumPy and a column of one value are numbers."""
    assert number_of(number) == 30.5


@pytest.mark.parametrize("answer", [True, "many", "30 or 31", [1], np.array([1, 2]), float("nan")])
def test_what_is_no_number_has_none(answer: object) -> None:
    """A truth, words and several values are no number."""
    assert number_of(answer) is None


@pytest.mark.parametrize("by", WORKERS, ids=str)
def test_worker_may_be_named_in_other_words(by: object) -> None:
    """The order, the possessive and common synonyms do not matter."""
    words = words_of(by, {"host-b": "destination"})
    assert set(words) == {"destination", "libvirtd"}


def test_lesson_accepts_each_name_of_the_worker() -> None:
    """The check of lesson 03 reads the worker in these words, and the phase as such."""
    lesson = Lesson("03", live=False)
    run = lesson.runs()[4]
    length = run.timeline().phases.set_index("phase")["duration_ms"]["Prepare"]
    sides = {"host-b": str(run.destination["name"])}
    for by in WORKERS:
        named = [by] if isinstance(by, str) else by
        worker = " ".join(word.replace("host-b", sides["host-b"]) for word in named)
        answer = {"phase": "the Prepare phase", "by": worker, "ms": np.float64(length)}
        assert lesson.check("phase", answer, run).passed, worker


def test_place_is_the_only_one_that_is_named() -> None:
    """Two places are no choice."""
    places = ("source", "destination", "plan")
    assert one_of(places, "the target host") == "destination"
    assert one_of(places, "the destination's QEMU") == "destination"
    assert one_of(places, "source or destination") is None
    assert one_of(places, "nowhere") is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(True, True), (np.False_, False), ("Yes", True), (0, False), (2, None), ("perhaps", None)],
)
def test_truth_may_be_written_in_other_ways(answer: object, expected: bool | None) -> None:
    """NumPy's bools, words, 0 and 1 are truths."""
    assert yes_or_no(answer) is expected


@pytest.mark.parametrize(
    ("lesson", "exercise", "answer", "more"),
    [
        ("02", "separate", pd.Series(["network", "mount", "pid", "uts", "ipc"]), ()),
        ("05", "seconds", np.array([30.72]), ()),
        ("06", "ends", pd.Series({"web": 1, "database": 0, "counter": 1, "night": 0}), ()),
        (
            "07",
            "turn",
            {"A": "the laptop", "B": "node1", "C": "destination's QEMU", "D": "the plan"},
            (),
        ),
        ("08", "claim", "too_few", ("modes",)),
        ("08", "claim", "Too few runs.", ("modes",)),
    ],
)
def test_right_answers_in_other_forms_pass(
    lesson: str, exercise: str, answer: object, more: tuple[str, ...]
) -> None:
    """Collections, columns and other words are right where they mean the same."""
    begun = Lesson(lesson, live=False)
    assert begun.check(exercise, answer, *map(begun.experiment, more)).passed
