"""What a check makes of an answer before it looks at it, and how it says what it found."""

from __future__ import annotations

import pytest

from migrationlab.course.checked import number_of, right, unfinished, wrong


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
    ],
)
def test_a_number_is_read_as_people_and_the_kit_write_it(answer: object, number: float) -> None:
    """A decimal comma is one, and commas between groups of digits are none."""
    assert number_of(answer) == number


@pytest.mark.parametrize("answer", ["", "300 ms", "1,5,2", (1, 500), True, None, "nan", "inf", ...])
def test_what_is_no_number_is_none(answer: object) -> None:
    """Words, pairs (1,500 without quotes), truth values and infinities are no numbers."""
    assert number_of(answer) is None


def test_what_is_found_can_be_read_without_colours() -> None:
    """Mark and word say the state; text keeps the page's colour, and is escaped."""
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
