"""The exercises of lesson 02: solutions pass, and typical mistakes have their own hints."""

from __future__ import annotations

import pytest

from migrationlab.course.exercises.lesson_02 import OWN
from migrationlab.course.feedback import AnswerState
from migrationlab.course.host_commands import KINDS, RecordedHosts
from migrationlab.course.lesson import Lesson

LESSON = Lesson("02", live=False)
SHARE = 0.956
PAYLOAD = 2**30 * 8 / 20 / 1e6


def test_recorded_hosts_agree_with_the_check() -> None:
    """The recorded hosts differ in exactly the resources that the check calls separate."""
    hosts = RecordedHosts.load()
    first, second = (hosts.ask(name, "namespaces").text.splitlines() for name in hosts.names)
    assert {one.partition(":")[0] for one in set(first) - set(second)} == OWN


@pytest.mark.parametrize(
    "answer", [OWN, sorted(OWN), "net, mnt pid uts ipc", {"net:[1]", "mnt", "PID", "uts", "ipc"}]
)
def test_solution_for_what_separates_hosts_passes(answer: object) -> None:
    """The five kinds are right in any collection."""
    assert LESSON.check("separate", answer).passed


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (set(KINDS) - OWN, "both hosts share"),
        (OWN | {"user"}, "user: in the table"),
        (OWN - {"uts"}, "1 more"),
        ({"disk"}, "no such kind"),
        (5, "not a collection"),
        ({"net": "own"}, "not a collection"),
        (KINDS, "same number"),
    ],
)
def test_mistakes_about_what_separates_hosts_are_named(answer: object, said: str) -> None:
    """Shared, missing and unknown kinds have their own hints."""
    checked = LESSON.check("separate", answer)
    assert checked.state is AnswerState.WRONG
    assert said in checked.text
    assert checked.hint


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("separate", ...),
        ("separate", {...}),
        ("separate", set()),
        ("separate", ""),
        ("rate", ...),
        ("rate", None),
    ],
)
def test_missing_answer_is_reported(exercise: str, answer: object) -> None:
    """A missing answer is reported as missing, and not as a mistake."""
    assert LESSON.check(exercise, answer, *([SHARE] if exercise == "rate" else [])).state is (
        AnswerState.UNFINISHED
    )


@pytest.mark.parametrize("answer", [PAYLOAD / SHARE, f"{PAYLOAD / SHARE:.1f}", 450])
def test_solution_for_the_rate_passes(answer: object) -> None:
    """The payload divided by its share is right, within a percent."""
    assert LESSON.check("rate", answer, SHARE).passed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (PAYLOAD, "headers"),
        (PAYLOAD * SHARE, "wrong way"),
        (1024 * 8 / 20, "Mbit as 2**20 bits"),
        (1024 * 8 / 20 / SHARE, "Mbit as 2**20 bits"),
        (PAYLOAD / SHARE * 1e6, "bits a second"),
        (PAYLOAD / SHARE / 8, "8 bits"),
        (PAYLOAD / 8, "8 bits"),
        (400, "2**30"),
        (PAYLOAD / SHARE * 20, "one second"),
        (1000, "too fast"),
        (30, "too slow"),
        (0, "not a rate"),
        ("fast", "not a rate"),
        (float("inf"), "not a rate"),
    ],
)
def test_mistakes_about_the_rate_are_named(answer: object, words: str) -> None:
    """Bits for bytes, GB for GiB, headers and seconds have their own hints."""
    checked = LESSON.check("rate", answer, SHARE)
    assert checked.state is AnswerState.WRONG
    assert words in f"{checked.text} {checked.hint}"


@pytest.mark.parametrize("share", [None, 95.6, "x"])
def test_rate_without_a_share_names_the_cell(share: object) -> None:
    """If the share is missing, the check names the cell that computes the share."""
    assert "makes share" in LESSON.check("rate", 449, share).hint
