"""Read the rules between the settings of one plan: a setting can need or exclude another.

``rules.toml`` has the rules, each with its reason and its source. Each rule gives the test of a
plan, the problem with its reason and fix, and its part of the reference text (:func:`constraints`).
"""

from __future__ import annotations

import operator
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from migrationlab.plan.rule import Rule, Term
from migrationlab.plan.wording import in_words

#: The checks of values, by their names in ``rules.toml``.
_WRONG: dict[str, Callable[[Any], bool]] = {
    "repeated": lambda methods: len({*methods}) < len(methods),
    "zlib-and-zstd": lambda methods: {"zlib", "zstd"} <= {*methods},
    "empty": operator.not_,
    "no-power-of-two": lambda size: size.bit_count() != 1,
}


def _read() -> Iterator[Rule]:
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    for row in table["rules"]:
        yield _rule(**row | {"source": table["sources"].get(row["source"], row["source"])})


def _rule(
    *, setting: str, why: str, needs: str = "", excludes: str = "", when: str = "", **more: Any
) -> Rule:
    other, wrong = needs or excludes, more.pop("wrong", None)
    instead = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in more.pop("instead", {}).items()
    }
    since = more.pop("refused_since", None)
    # Of several settings, the first one is enough for the name.
    names = [text.partition(" or ")[0] for text in (setting, other)]
    name = f" {'needs' if needs else 'excludes'} ".join(names) + (f" if {when}" if when else "")
    return Rule(
        name=f"{setting} {why}" if wrong else name,
        subject=Term.read(setting),
        other=Term.read(other) if other else None,
        needed=bool(needs),
        why=why,
        when=Term.read(when) if when else None,
        wrong=_WRONG[wrong] if wrong else None,
        instead=instead,
        refused_since=tuple(map(int, since.split("."))) if since else None,
        **more,
    )


RULES = tuple(_read())


def constraints(name: str) -> str:
    """Return the needs and exclusions of a setting, in the words of the reference."""
    return " ".join(_sentences(name))


def _sentences(name: str) -> Iterator[str]:
    needed: dict[str, list[str]] = {}
    excluded: dict[str, list[str]] = {}
    for rule in RULES:
        if rule.reference and name in rule.fields[:1]:
            yield rule.reference
        if rule.other is None:
            continue
        when = f" if {in_words(rule.when.names)}" if rule.when else ""
        pairs = [(rule.subject, rule.other), (rule.other, rule.subject)][: 1 if rule.needed else 2]
        for term, other in pairs:
            if name in (part.field for part in term.parts):
                found = needed if rule.needed else excluded
                found.setdefault(term.value, []).extend(f"{each}{when}" for each in other.names)
    # What is true of any value stands before what is true of one.
    for value in sorted({*needed, *excluded}):
        words = [f"needs {in_words(needed[value], 'and')}"] if value in needed else []
        if value in excluded:
            words.append(f"not with {in_words(excluded[value])}")
        if value:
            yield f"{value}: {'; '.join(words)}."
        else:
            yield from (f"{each[0].upper()}{each[1:]}." for each in words)
