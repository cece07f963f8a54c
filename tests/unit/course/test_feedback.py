"""How a check reads an answer, and how it reports its result."""

from __future__ import annotations

import pytest

from migrationlab.course.answers import NotAccepted, need_places, number_of
from migrationlab.course.feedback import right, unfinished, wrong


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        (300, 300),
        (0.5, 0.5),
        (" 300 ", 300),
        ("1.5", 1.5),
        ("1,5", 1.5),
        ("1,836", 1836),
        ("1,234,567.5", 1234567.5),
        ("-1e3", -1000),
        ("0,25", 0.25),
        ("0,345", 0.345),
    ],
)
def test_number_is_read_in_usual_notations(answer: object, number: float) -> None:
    """A decimal comma is read as one, and commas between groups of digits are not."""
    assert number_of(answer) == number


@pytest.mark.parametrize("answer", ["", "300 ms", "1,5,2", (1, 500), True, None, "nan", "inf", ...])
def test_value_that_is_no_number_is_none(answer: object) -> None:
    """Words, pairs (1,500 without quotes), truth values and infinities are no numbers."""
    assert number_of(answer) is None


def test_complete_answer_is_returned_unchanged() -> None:
    """A complete answer is returned with all of its keys."""
    whole = {"A": "client", "B": False, "C": 0, "note": ...}
    assert need_places(whole, ("A", "B", "C")) is whole


@pytest.mark.parametrize("answer", [..., None, {}, {"A": ...}, {"A": "", "B": None}])
def test_empty_answer_lists_all_places(answer: object) -> None:
    """The dots, None and a dictionary of dots are the same: each place is named."""
    with pytest.raises(NotAccepted) as caught:
        need_places(answer, ("A", "B"), "a place for ")
    assert caught.value.feedback == unfinished("Fill in a place for A, B.")


def test_partial_answer_lists_the_missing_places() -> None:
    """Places that have an answer are not named."""
    with pytest.raises(NotAccepted) as caught:
        need_places({"A": 1, "B": ...}, ("A", "B"))
    assert caught.value.feedback == unfinished("Fill in B.")


@pytest.mark.parametrize("answer", [["A", "B"], 5, "A and B", True])
def test_answer_of_several_places_must_be_a_dictionary(answer: object) -> None:
    """For another type the error states the type and what to write."""
    with pytest.raises(NotAccepted) as caught:
        need_places(answer, ("A", "B"))
    assert caught.value.feedback == wrong(
        f"This is a {type(answer).__name__}, not a dictionary.",
        "Keep the braces, and fill in A, B.",
    )


def test_result_can_be_read_without_colours() -> None:
    """Mark and word state the result; text keeps the page's colour, and is escaped."""
    for checked, mark, word in (
        (right("5 < 6"), "✓", "Right"),
        (wrong("5 < 6", "Count again."), "✗", "Wrong"),
        (unfinished("Put < there."), "…", "Unfinished"),
    ):
        assert repr(checked).startswith(mark)
        html = checked._repr_html_()
        assert f"{mark}</span> {word}.</b>" in html
        assert "&lt;" in html
        assert 'role="status"' in html
