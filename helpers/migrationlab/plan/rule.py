"""Define a rule between settings, and its terms.

A *term* is a text such as ``compression=zlib|zstd``: settings with ``or`` or ``and`` between them.
A setting alone must be given. A setting with words after ``=`` must have one of these words as its
value, in its list of names, or as its scheme (``migration_uri=unix:``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, Self

from migrationlab.plan.problem import Problem
from migrationlab.plan.uris import AUTO, Mode
from migrationlab.plan.wording import in_words


class PlanLike(Protocol):
    """A plan: terms read its settings by their names."""

    @property
    def mode(self) -> Mode:
        """The mode."""

    @property
    def offline(self) -> bool:
        """Whether only the definition moves."""


#: The beginnings of the sources of rules that libvirt itself does not have.
_NOT_LIBVIRT = ("tools/virsh", "migrationlab")
#: A longer value, such as XML, is not repeated in a message.
LONGEST_VALUE = 60
#: Examples of settings, for rules that leave the value open.
_EXAMPLES = {
    "copy_storage": "copy_storage='full'",
    "disks_uri": "disks_uri='unix:///PATH'",
    "downtime_steps": "downtime_steps=10",
    "tls_destination": "tls_destination='NAME'",
}


class Part(NamedTuple):
    """One setting of a term, and the words for its value: one must match, empty for any."""

    field: str
    words: tuple[str, ...]

    @property
    def any_value(self) -> bool:
        """Return whether any value will do, if the setting is given or on."""
        return self.words in ((), ("True",))

    @property
    def code(self) -> str:
        """Return how to write it in a plan."""
        if not self.words:
            return _EXAMPLES.get(self.field, self.field)
        return in_words([f"{self.field}={_literal(self.field, word)}" for word in self.words])

    def holds(self, plan: PlanLike) -> bool:
        """Return whether it is true of a plan."""
        value = getattr(plan, self.field)
        if not self.words:
            return _is_given(self.field, value)
        if isinstance(value, bool) or value is None:
            return str(value) in self.words
        if isinstance(value, tuple):
            return not {*value}.isdisjoint(self.words)
        schemes = tuple(word for word in self.words if word.endswith(":"))
        return str(value) in self.words or str(value).startswith(schemes)

    def shown(self, plan: PlanLike) -> str:
        """Return it with the value that a plan has."""
        value = getattr(plan, self.field)
        text = ascii(value.value if isinstance(value, Mode) else value)
        return self.field if len(text) > LONGEST_VALUE else f"{self.field}={text}"


def _literal(field: str, word: str) -> str:
    if word in ("True", "False"):
        return word
    if field == "compression":
        return f"('{word}',)"
    return {"unix:": "'unix:///PATH'", "rdma:": "'rdma://HOST'"}.get(word, f"'{word}'")


def _is_given(field: str, value: object) -> bool:
    if field == "disks_port":
        return bool(value)  # libvirt takes 0 for none
    if field == "migration_uri" and value == AUTO:
        return False
    # An empty list of methods is a choice, an empty list of disks is none; a level may be 0.
    return value is not None and value is not False and (value != () or field == "compression")


@dataclass(frozen=True, slots=True)
class Term:
    """A condition on a plan, in the notation of this module's docstring."""

    parts: tuple[Part, ...]
    joined: str

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the term that a text means."""
        joined = "and" if " and " in text else "or"
        parts = (part.partition("=")[::2] for part in text.split(f" {joined} "))
        found = (Part(field, tuple(filter(None, words.split("|")))) for field, words in parts)
        return cls(tuple(found), joined)

    @property
    def code(self) -> str:
        """Return how to write it in a plan."""
        return in_words([part.code for part in self.parts], self.joined)

    @property
    def value(self) -> str:
        """Return its words; empty if any value will do."""
        words = [
            word.rstrip(":") for part in self.parts if not part.any_value for word in part.words
        ]
        return in_words(words)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of its parts in the reference text."""
        return tuple(part.field if part.any_value else part.code for part in self.parts)

    def holds(self, plan: PlanLike) -> bool:
        """Return whether it is true of a plan."""
        check = all if self.joined == "and" else any
        return check(part.holds(plan) for part in self.parts)

    def shown(self, plan: PlanLike) -> str:
        """Return its parts that are true of a plan, with their values."""
        return in_words([part.shown(plan) for part in self.parts if part.holds(plan)], "and")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that a plan can break.

    Attributes:
        name: Its name.
        subject: The term whose setting has the problem.
        other: The term that the subject needs or excludes; None for a rule about one value.
        needed: Whether the other is needed, rather than excluded.
        why: Why a plan that breaks it cannot work.
        source: Where libvirt or QEMU has it.
        fix: The fix; empty if it follows from the terms.
        when: The term that must hold for the rule to count.
        performed: Whether only libvirt's Perform phase checks it.
        wrong: Whether a value breaks it; None if the rule is about two terms.
        reference: Its sentence in the reference text; empty if it follows from the terms.
        instead: The settings of the nearest plan that keeps it; empty if it follows from the terms.
        refused_since: The first libvirt that has it, as (10, 0); None if every libvirt has it.
    """

    name: str
    subject: Term
    other: Term | None
    needed: bool
    why: str
    source: str
    fix: str = ""
    when: Term | None = None
    performed: bool = False
    wrong: Callable[[Any], bool] | None = None
    reference: str = ""
    instead: Mapping[str, Any] = field(default_factory=dict)
    refused_since: tuple[int, ...] | None = None

    @property
    def accepted(self) -> bool:
        """Return whether libvirt accepts a plan that breaks it."""
        return self.source.startswith(_NOT_LIBVIRT)

    @property
    def fields(self) -> tuple[str, ...]:
        """Return every setting that it is about."""
        terms = (self.subject, self.other, self.when)
        return tuple(part.field for term in terms if term for part in term.parts)

    def broken(self, plan: PlanLike) -> bool:
        """Return whether a plan breaks it."""
        # An offline migration starts no QEMU, and has no Perform phase, but in peer2peer all phases
        # are inside it. Another rule says that it sends nothing.
        unchecked = self.source.startswith("QEMU ") or (self.performed and plan.mode is Mode.NORMAL)
        if plan.offline and unchecked:
            return False
        if not self.subject.holds(plan) or (self.when and not self.when.holds(plan)):
            return False
        if self.wrong is not None:
            return self.wrong(getattr(plan, self.subject.parts[0].field))
        return self.other is not None and self.other.holds(plan) is not self.needed

    def problem(self, plan: PlanLike) -> Problem:
        """Return the problem of a plan that breaks it."""
        first = self.subject.parts[0]
        field = next((part.field for part in self.subject.parts if part.holds(plan)), first.field)
        if self.other is None:
            got = f"(got {getattr(plan, field)!r})"
            return Problem(field, f"{field} {self.why} {got}", self.fix, rule=self.name)
        subject = self.subject.shown(plan)
        when = f" with {self.when.shown(plan)}" if self.when else ""
        if self.needed:
            reason = f"{subject} needs {self.other.code}{when}: {self.why}"
            fix = f"Set {self.other.code}, or leave out {subject}."
        else:
            other = self.other.shown(plan)
            reason = f"{subject} cannot be combined with {other}{when}: {self.why}"
            fix = f"Leave out {subject}, or leave out {other}."
        return Problem(field, reason, self.fix or fix, rule=self.name)
