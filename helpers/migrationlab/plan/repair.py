"""Change a plan that cannot work into the nearest one that can.

Each problem has one repair: the URI that validation suggests, the setting that a rule needs, or the
setting left out that a rule excludes (``instead`` in ``rules.toml`` where another change keeps more
of the purpose). The result is validated again, until no problem is left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from migrationlab.errors import PlanError
from migrationlab.plan.plan import Plan
from migrationlab.plan.problem import Problem
from migrationlab.plan.rule import Part, Rule
from migrationlab.plan.rules import RULES
from migrationlab.plan.settings import AUTO, Shape, settings
from migrationlab.plan.uris import MigrationUri, validate_migration_uri
from migrationlab.plan.validation import ACCEPTED_BY_LIBVIRT
from migrationlab.plan.wording import nearest

#: Each repair ends at least one problem; two repairs of one setting can follow each other.
MOST_REPAIRS = 20
_RULES = {rule.name: rule for rule in RULES}
#: Settings that a rule needs, whose value only the user knows.
_UNKNOWN_VALUES = frozenset({"disks_uri", "tls_destination", "downtime_step_s", "max_downtime_ms"})
_DEFAULTS = {about.name: about.default for about in settings()}


def repaired(
    plan: Plan,
    *,
    source: str | None = None,
    destination: str | None = None,
    source_uri: str | None = None,
) -> Plan | None:
    """Return the nearest plan that can work; None if no repair is known.

    The arguments are those of ``Plan.problems``. A plan that can work is returned as it is.
    """
    for _ in range(MOST_REPAIRS):
        problems = plan.problems(source=source, destination=destination, source_uri=source_uri)
        if not problems:
            return plan
        # What libvirt refuses comes first: its repair often ends the rest.
        problems = tuple(sorted(problems, key=lambda each: each.rule in ACCEPTED_BY_LIBVIRT))
        changes = _moved(plan, problems) or _changes(plan, problems[0])
        if not changes or all(getattr(plan, name) == value for name, value in changes.items()):
            return None
        with contextlib.suppress(PlanError):  # a value of a wrong type is another problem
            plan = replace(plan, **changes)
    return None


def _moved(plan: Plan, problems: tuple[Problem, ...]) -> dict[str, Any]:
    """Return the URIs that validation suggests; a migration URI in the wrong place is moved."""
    changes: dict[str, Any] = {
        each.field: each.suggestion
        for each in problems
        if each.suggestion and each.field in _DEFAULTS
    }
    given = plan.connection_uri
    if (
        "connection_uri" in changes
        and given is not None
        and plan.migration_uri in (None, AUTO)
        and not plan.tunnelled
        and not validate_migration_uri(given, plan.mode)
    ):
        changes["migration_uri"] = str(MigrationUri.parse(given))
    return changes


def _changes(plan: Plan, problem: Problem) -> Mapping[str, Any]:
    """Return the settings that end a problem; empty if that is not known."""
    if (rule := _RULES.get(problem.rule)) is not None:
        return _by_rule(plan, rule)
    name = problem.field
    if name not in _DEFAULTS or name == "connection_uri":
        return {}
    repair: dict[str, Callable[[], Any]] = {
        "value-range": lambda: _within(plan, name),
        "value-range-own": lambda: _within(plan, name),
        "value-unknown": lambda: _known_words(plan, name),
        "uri": lambda: _left_out(name),
        "text-own": lambda: _left_out(name),
    }
    return {name: repair[problem.rule]()} if problem.rule in repair else {}


def _by_rule(plan: Plan, rule: Rule) -> Mapping[str, Any]:
    if rule.instead:
        return rule.instead
    broken = [part.field for part in rule.subject.parts if part.holds(plan)]
    if rule.other is not None and len(rule.other.parts) > len(rule.subject.parts):
        # Many settings that one excludes: they tune what it leaves out.
        tuning = [part.field for part in rule.other.parts if part.holds(plan)]
        broken = broken if rule.needed else tuning
    if rule.other is None or not rule.needed:
        return {name: _left_out(name) for name in broken}
    needed = rule.other.parts if rule.other.joined == "and" else rule.other.parts[:1]
    if _UNKNOWN_VALUES & {part.field for part in needed}:
        return {name: _left_out(name) for name in broken}
    return {part.field: _value(part) for part in needed}


def _left_out(name: str) -> object:
    # Without a migration URI libvirt chooses: nothing is filled in for a plan that is repaired.
    return AUTO if name == "migration_uri" else _DEFAULTS[name]


def _value(part: Part) -> object:
    """Return the value that makes a part of a term true."""
    word = part.words[0] if part.words else ""
    if word in ("True", "False"):
        return word == "True"
    if settings()[part.field].shape in (Shape.NAMES, Shape.OPTIONAL_NAMES):
        return (word,)
    return word or settings()[part.field].choices[0]


def _within(plan: Plan, name: str) -> object:
    """Return the nearest value in the range of a setting; its default if there is none."""
    about, value = settings()[name], getattr(plan, name)
    if about.low is None or about.high is None or about.shape is not Shape.WHOLE:
        return about.default
    return min(max(value, about.low), about.high)


def _known_words(plan: Plan, name: str) -> object:
    """Return a setting's value with each unknown word replaced by a known one, or left out."""
    about, value = settings()[name], getattr(plan, name)
    if isinstance(value, str):
        return nearest(value, about.choices) or about.default
    found = (word if word in about.choices else nearest(word, about.choices) for word in value)
    return tuple(dict.fromkeys(word for word in found if word))
