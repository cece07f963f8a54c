"""Read and check the quick questions of a lesson.

Owns the files ``questions/lesson_NN.toml``: two or three questions each, with one right option.
A reason belongs to every option, and a learner reads it after choosing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from migrationlab.course.answers import NotAccepted, is_unfinished
from migrationlab.course.feedback import AnswerState, Feedback, unfinished, wrong
from migrationlab.errors import StoreError, UsageError

FOLDER = Path(__file__).with_suffix("")
LETTERS = "abcd"
#: One line without markup: it is shown beside a button, on a page and in a terminal.
Line = Annotated[str, Meta(pattern=r"\A[^\s`]([^`\n]*[^\s`])?\Z")]


class Option(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An option of a question.

    Attributes:
        text: The option.
        why: The reason why it is right or wrong.
        right: Whether it is the right one.
    """

    text: Line
    why: Line
    right: bool = False

    @property
    def feedback(self) -> Feedback:
        """Return the feedback on choosing this option."""
        return Feedback(AnswerState.RIGHT if self.right else AnswerState.WRONG, self.why)


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question with one right option.

    Attributes:
        text: The question.
        option: The options, as in the file.
    """

    text: Line
    option: Annotated[tuple[Option, ...], Meta(min_length=3, max_length=len(LETTERS))]

    def __post_init__(self) -> None:
        """Refuse options that are equal, and any number of right ones but one."""
        if len(self.options) != len(self.option):
            raise ValueError(f"options must differ (got {self.text!r})")
        if (number := sum(option.right for option in self.option)) != 1:
            raise ValueError(f"right must be set once (got {number} times in {self.text!r})")

    @property
    def options(self) -> dict[str, Option]:
        """Return the options by their letters.

        They are in the order of the alphabet, so that their place does not show the right one.
        """
        by_text = {option.text.casefold(): option for option in self.option}
        return dict(zip(LETTERS, (by_text[text] for text in sorted(by_text)), strict=False))

    def check(self, answer: object) -> Feedback:
        """Return the feedback on an answer: a letter, or the option's text."""
        options = self.options
        if is_unfinished(answer):
            raise NotAccepted(unfinished(f"Give one of {', '.join(options)}."))
        given = str(answer).strip().casefold()
        for letter, option in options.items():
            if given in {letter, option.text.casefold()}:
                return option.feedback
        raise NotAccepted(wrong(f"{answer!r} is no option.", f"Give one of {', '.join(options)}."))

    def __str__(self) -> str:
        return "\n".join([self.text, *(f"  {x}) {o.text}" for x, o in self.options.items())])


class _File(msgspec.Struct, forbid_unknown_fields=True):
    question: Annotated[tuple[Question, ...], Meta(min_length=2, max_length=3)]


def load_questions(lesson: str, folder: Path = FOLDER) -> tuple[Question, ...]:
    """Return the quick questions of a lesson.

    Raises:
        UsageError: The lesson has none.
        StoreError: Its file is damaged.
    """
    path = folder / f"lesson_{lesson}.toml"
    try:
        return msgspec.toml.decode(path.read_bytes(), type=_File).question
    except FileNotFoundError:
        names = sorted(file.stem.removeprefix("lesson_") for file in folder.glob("*.toml"))
        raise UsageError(
            f"lesson must be one with quick questions (got {lesson!r})",
            hint=f"Use one of {', '.join(names)}.",
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(
            f"reading {path.name} failed: {error}", hint="Get the file from the project again."
        ) from error
