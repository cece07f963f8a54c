"""Hold a reason why a plan cannot work, and raise the error that lists such reasons."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from migrationlab.errors import PlanError


@dataclass(frozen=True, slots=True)
class Problem:
    """A reason why a plan cannot work.

    Attributes:
        field: The plan's field, or ``source``, ``destination``, ``domain``.
        reason: A sentence with the field and its requirement, without a full stop.
        hint: The fix.
        suggestion: A URI that would work; None if no such URI can be derived.
        rule: The name of the broken rule. Names of rules never change.
    """

    field: str
    reason: str
    hint: str
    suggestion: str | None = None
    rule: str = ""


def require_none(problems: Collection[Problem]) -> None:
    """Raise PlanError if there are problems; its message lists them, its hint their fixes."""
    if problems:
        raise PlanError(
            "\n".join(problem.reason for problem in problems),
            hint="\n".join(dict.fromkeys(problem.hint for problem in problems)),
        )
