"""What a rule between settings is made of: terms, and the combinators that join them.

A *term* says that settings are given, or that one of them has a certain value. :func:`needs` and
:func:`excludes` join two terms to a rule; :func:`must` is for what binds one setting alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from migrationlab.plan.problem import Problem
from migrationlab.plan.wording import in_words

if TYPE_CHECKING:
    from migrationlab.plan.settings import Settings


#: The sources of rules that libvirt itself does not have.
VIRSH, MIGRATIONLAB = "tools/virsh-domain.c: cmdMigrate", "migrationlab's own"
#: A longer value, such as XML, is not repeated in a message.
LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True)
class Term:
    """What a rule asks of a plan.

    Attributes:
        fields: The settings that it is about.
        code: How to write it in a plan.
        holds: Whether it is true of a plan.
        value: The value that it is about, as xbzrle; empty if any value will do.
    """

    fields: tuple[str, ...]
    code: str
    holds: Callable[[Settings], bool]
    value: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Return what the reference text calls it: a value as code, or the settings."""
        return (self.code,) if self.value else self.fields

    def given(self, plan: Settings) -> tuple[str, ...]:
        """Return those of its fields that a plan has."""
        return tuple(name for name in self.fields if _is_given(plan, name))

    def shown(self, plan: Settings) -> str:
        """Return it as a plan has it: the settings that are given, with their values."""
        return in_words(tuple(_shown(plan, name) for name in self.given(plan)), "and") or self.code


def _shown(plan: Settings, name: str) -> str:
    value = ascii(getattr(plan, name))
    return name if len(value) > LONGEST_VALUE else f"{name}={value}"


def _is_given(plan: Settings, name: str) -> bool:
    value = getattr(plan, name)
    if name == "disks_port":
        return bool(value)  # libvirt takes 0 for none
    # An empty list of methods is a choice, an empty list of disks is none.
    return value is not None and value is not False and (value != () or name == "compression")


def on(switch: str) -> Term:
    """Return the term that a switch is on."""
    return Term((switch,), f"{switch}=True", lambda plan: bool(getattr(plan, switch)))


def given(*fields: str, code: str = "") -> Term:
    """Return the term that any of some settings is given."""
    return Term(
        fields,
        code or in_words(fields),
        lambda plan: any(_is_given(plan, name) for name in fields),
    )


def all_given(*fields: str) -> Term:
    """Return the term that all of some settings are given."""
    return Term(
        fields,
        in_words(fields, "and"),
        lambda plan: all(_is_given(plan, name) for name in fields),
    )


def method(*names: str) -> Term:
    """Return the term that memory is compressed by one of some methods."""
    return Term(
        ("compression",),
        in_words(tuple(f"compression=('{name}',)" for name in names), "or"),
        lambda plan: bool({*names} & {*(plan.compression or ())}),
        value=in_words(names),
    )


def scheme(field: str, name: str) -> Term:
    """Return the term that a URI has a scheme."""
    place = "/PATH" if name == "unix" else "HOST"
    return Term(
        (field,),
        f"{field}='{name}://{place}'",
        lambda plan: (getattr(plan, field) or "").startswith(f"{name}:"),
        value=name,
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that a plan can break.

    Attributes:
        name: Its name, which stays the same.
        subject: The term whose setting has the problem.
        other: What the subject needs or excludes; None if the rule is about the subject alone.
        why: Why a plan that breaks it cannot work.
        source: Where libvirt or QEMU has it.
        needed: Whether the other is needed, rather than excluded.
        fix: What to do about it; empty if it follows from the terms.
        when: The term that must hold for the rule to count.
        reference: What the reference text says; empty if it follows from the terms.
    """

    name: str
    subject: Term
    other: Term | None
    why: str
    source: str
    needed: bool
    fix: str = ""
    when: Term | None = None
    reference: str = ""

    @property
    def accepted(self) -> bool:
        """Return whether libvirt accepts a plan that breaks it."""
        return self.source in (VIRSH, MIGRATIONLAB)

    @property
    def fields(self) -> tuple[str, ...]:
        """Return every setting that it is about."""
        terms = (self.subject, self.other, self.when)
        return tuple(name for term in terms if term for name in term.fields)

    def broken(self, plan: Settings) -> bool:
        """Return whether a plan breaks it."""
        # An offline migration starts no QEMU; that it sends nothing is another rule.
        if plan.offline and self.source.startswith("QEMU "):
            return False
        counts = self.subject.holds(plan) and (self.when is None or self.when.holds(plan))
        return counts and (self.other is None or self.other.holds(plan) is not self.needed)

    def problem(self, plan: Settings) -> Problem:
        """Return what is wrong with a plan that breaks it."""
        field = (*self.subject.given(plan), *self.subject.fields)[0]
        if self.other is None:
            value = getattr(plan, field)
            return Problem(field, f"{field} {self.why} (got {value!r})", self.fix, rule=self.name)
        subject, other = self.subject.shown(plan), self.other.shown(plan)
        when = f" with {self.when.shown(plan)}" if self.when and self.when.code else ""
        if self.needed:
            reason = f"{subject} needs {self.other.code}{when}: {self.why}"
            fix = f"Set {self.other.code}, or leave out {subject}."
        else:
            reason = f"{subject} cannot be combined with {other}{when}: {self.why}"
            fix = f"Leave out {subject}, or leave out {other}."
        return Problem(field, reason, self.fix or fix, rule=self.name)


#: Make a rule that one term needs the other, or excludes it.
needs, excludes = partial(Rule, needed=True), partial(Rule, needed=False)


def must(
    name: str,
    field: str,
    wrong: Callable[[Any], bool],
    why: str,
    source: str,
    *,
    fix: str,
    reference: str,
    when: Term | None = None,
) -> Rule:
    """Return a rule about the value of one setting, if it is given."""

    def broken(plan: Settings) -> bool:
        return _is_given(plan, field) and wrong(getattr(plan, field))

    subject = Term((field,), field, broken)
    return Rule(
        name, subject, None, why, source, needed=False, fix=fix, when=when, reference=reference
    )
