"""A plan out of texts, as a command line and a form have them; what is no value is a problem.

The one place where text becomes a setting's value. A text that cannot is listed beside the
plan's own problems, so that whoever typed it hears of everything at once.

Pure; imports of the kit only ``plan``, ``settings``, ``uris`` and ``errors``.
"""

from __future__ import annotations

from collections.abc import Mapping

from migrationlab.errors import PlanError
from migrationlab.plan.plan import Plan
from migrationlab.plan.settings import Setting, Shape, settings
from migrationlab.plan.uris import Mode, Problem, quote

#: The word for a list of methods that is left to libvirt.
DEFAULT = "default"
_YES, _NO = frozenset({"yes", "true", "on", "1"}), frozenset({"no", "false", "off", "0"})


def plan_of_texts(texts: Mapping[str, str | bool | None]) -> tuple[Plan, tuple[Problem, ...]]:
    """Return the plan that texts make, and what is wrong with those that are no value.

    Args:
        texts: By the names of settings; None is for what is left out. Numbers are taken as
            people write them, lists with commas between, switches as True and False or in words.

    Raises:
        PlanError: A name is no setting's.
    """
    values: dict[str, object] = {}
    problems: list[Problem] = []
    for name, text in texts.items():
        if text is None:
            continue
        about = settings()[name] if name in _KNOWN else None
        try:
            values[name] = text if about is None or isinstance(text, bool) else _value(about, text)
        except PlanError as error:
            problems.append(Problem(name, str(error), error.hint, rule="value-text"))
    return Plan.from_dict(values), tuple(problems)


_KNOWN = frozenset(about.name for about in settings())


def _value(about: Setting, text: str) -> object:
    try:
        if about.shape is Shape.MODE:
            return Mode(text)
        if about.shape is Shape.WHOLE:
            return int(text)
        if about.shape in (Shape.SECONDS, Shape.DEADLINE):
            return float(text)
    except ValueError:
        wanted = "a whole number" if about.shape is Shape.WHOLE else "a number"
        of = f" of {about.unit}" if about.unit else ""
        raise PlanError(f"{quote(text)} is not {wanted}{of}", hint=f"Give {wanted}{of}.") from None
    if about.shape is Shape.SWITCH:
        word = text.strip().lower()
        if word not in _YES | _NO:
            raise PlanError(f"{quote(text)} is neither yes nor no", hint="Give yes or no.")
        return word in _YES
    if about.shape in (Shape.NAMES, Shape.OPTIONAL_NAMES):
        if text.strip() == DEFAULT:
            return ()
        words = tuple(word.strip() for word in text.split(","))
        if not all(words):
            raise PlanError(
                f"{quote(text)} has an empty name in it", hint="Give names with commas between."
            )
        return words
    return text
