"""Print text from outside without control characters, which a terminal would obey."""

from __future__ import annotations

import re

import click

#: Control characters but tab and newline, lone surrogates, and what turns the direction of text.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
#: The longest message on standard error, in letters.
LONGEST_MESSAGE = 2000


def printable(text: str) -> str:
    """Return a text with each control character written as an escape of Python."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def message(text: str) -> str:
    """Return a printable text of at most :data:`LONGEST_MESSAGE` letters.

    An error repeats the value that it refuses, and a stored value can have a million letters.
    """
    if len(text) > LONGEST_MESSAGE:
        half = LONGEST_MESSAGE // 2
        text = f"{text[:half]} … ({len(text) - 2 * half} letters left out) … {text[-half:]}"
    return printable(text)


def echo(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Print a text without control characters, and an error of limited length."""
    click.echo((message if err else printable)(str(text)), err=err, nl=nl)
