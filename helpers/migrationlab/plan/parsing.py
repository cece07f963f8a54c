"""Read a plan from the texts of a command line or a form.

Only this module turns a text into a setting's value. An invalid text is one more problem of the
plan, so the user sees all problems at once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping

from migrationlab.errors import PlanError
from migrationlab.plan.plan import Plan
from migrationlab.plan.problem import Problem
from migrationlab.plan.settings import Setting, Shape, settings
from migrationlab.plan.uris import Mode
from migrationlab.plan.wording import quote

#: The word for a list of methods that is left to libvirt.
DEFAULT = "default"
_SWITCH = {"yes": True, "true": True, "on": True, "1": True}
_SWITCH |= {"no": False, "false": False, "off": False, "0": False}


def plan_of_texts(texts: Mapping[str, str | bool | None]) -> tuple[Plan, tuple[Problem, ...]]:
    """Return the plan of some texts, and the problems of the invalid ones.

    Args:
        texts: By the names of settings; None for a setting that is left out. Numbers are taken as
            people write them, lists with commas between, switches as True and False or in words.

    Raises:
        PlanError: A name is not that of a setting.
    """
    values: dict[str, object] = {}
    problems: list[Problem] = []
    for name, text in texts.items():
        if text is None:
            continue
        try:
            known = name in _KNOWN and isinstance(text, str)
            values[name] = _value(settings()[name], str(text)) if known else text
        except PlanError as error:
            problems.append(Problem(name, str(error), error.hint, rule="value-text"))
    return Plan.from_dict(values), tuple(problems)


_KNOWN = frozenset(about.name for about in settings())


def _value(about: Setting, text: str) -> object:
    if about.shape is Shape.MODE:
        return Mode(text)
    unit = f" of {about.unit}" if about.unit else ""
    kinds: dict[Shape, tuple[Callable[[str], object], str]] = {
        Shape.WHOLE: (int, f"a whole number{unit}"),
        Shape.SECONDS: (float, f"a number{unit}"),
        Shape.DEADLINE: (float, f"a number{unit}"),
        Shape.SWITCH: (lambda text: _SWITCH[text.strip().lower()], "yes or no"),
        Shape.NAMES: (_names, "names with commas between them"),
        Shape.OPTIONAL_NAMES: (_names, "names with commas between them"),
        Shape.OPTIONS: (_options, "NAME=VALUE with commas between them, as in TOML"),
    }
    read, wanted = kinds.get(about.shape, (str, "a text"))
    try:
        return read(text)
    except (KeyError, ValueError):
        hint = f"Give {wanted}{f', such as {about.low}' if about.low else ''}."
        raise PlanError(f"{about.name} must be {wanted} (got {quote(text)})", hint=hint) from None


def _options(text: str) -> dict[str, object]:
    # An inline table of TOML, in one line: what stands after it is no option.
    if "\n" in text:
        raise ValueError(text)
    options: dict[str, object] = tomllib.loads(f"options = {{{text}}}")["options"]
    return options


def _names(text: str) -> tuple[str, ...]:
    if text.strip() == DEFAULT:
        return ()
    words = tuple(word.strip() for word in text.split(","))
    if not all(words):
        raise ValueError(text)
    return words
