"""Read the cells of a design: the combinations of its plans, workloads and wires.

In the tables of a spec a list stands for alternatives, which are crossed. A value that is not a
list applies to all. The settings in which the cells differ are the *factors*: they name the cells.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from migrationlab.errors import PlanError, UsageError
from migrationlab.experiment.layout import FULL, MAX_FRACTION, chosen, require_layout
from migrationlab.experiment.spec import (
    DEFAULT,
    UNLIMITED,
    integer_at,
    join,
    require_known,
    table_at,
)
from migrationlab.plan.guest_spec import GuestSpec
from migrationlab.plan.plan import Plan
from migrationlab.plan.setting import Shape
from migrationlab.plan.settings import settings
from migrationlab.plan.spec import factors, of_factors, options
from migrationlab.plan.wire_spec import WireSpec

Value = int | float | str | bool | None | tuple[str, ...]
Setting = Mapping[str, Value]
Spec = Mapping[str, Any]

_NAMES = (Shape.NAMES, Shape.OPTIONAL_NAMES)
#: The settings whose value is a table itself.
_TABLES = frozenset(about.name for about in settings() if about.shape is Shape.OPTIONS)

Made = TypeVar("Made", GuestSpec, WireSpec)


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of settings; a design has one or more.

    The setting has a value for each factor, and distinguishes the cell from other cells. The name
    is made of these values. Real hosts have a guest and a wire already, so there ``workload`` and
    ``wire`` are None.
    """

    name: str
    setting: Setting
    plan: Plan
    workload: GuestSpec | None
    wire: WireSpec | None


def shown(value: object) -> str:
    """Return a setting's value in the form for the name of a cell."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "+".join(map(str, value)) or "none"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={shown(item)}" for key, item in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def cells_of(spec: Spec, *, real: bool) -> Iterator[Cell]:
    """Yield the cells of a spec; ``real`` says that it names real hosts.

    Raises:
        PlanError: The plan of a cell is not valid.
        UsageError: Another value is not valid; the message begins with its path.
    """
    for key in ("workload", "guests", "wire"):
        if real and key in spec:
            raise UsageError(
                f"{key} must be left out where hosts is given",
                hint=f"Leave out {key}, or leave out hosts and measure in a lab.",
            )
    plans = list(_plans(spec))
    workloads = list(_workloads(spec))
    wires = list(_made(WireSpec, spec.get("wire", {}), "wire"))
    combined = [
        (p | w | v, plan, workload, wire)
        for (p, plan), (w, workload), (v, wire) in itertools.product(plans, workloads, wires)
    ]
    combined = _laid_out(spec, combined)
    settings = [setting for setting, *_ in combined]
    varying = _varying(settings)
    names: set[str] = set()
    for setting, plan, workload, wire in combined:
        own = {key: setting[key] for key in varying}
        name = _name(own)
        if name in names:
            raise UsageError(
                f"cells must differ (got {name!r} twice)",
                hint="Give alternatives that differ. To measure a cell more often, raise repeats.",
            )
        names.add(name)
        guest, cable = (None, None) if real else (workload, wire)
        yield Cell(name, MappingProxyType(own), plan, guest, cable)


def _varying(settings: Sequence[Mapping[str, Value]]) -> list[str]:
    """Return the settings in which cells differ."""
    first = settings[0]
    return [key for key in first if any(each[key] != first[key] for each in settings)]


def _laid_out(spec: Spec, combined: list[Any]) -> list[Any]:
    """Return the cells of the design's layout, out of all combinations."""
    layout = require_layout(spec.get("layout", FULL))
    fraction = integer_at(spec.get("fraction", 2), "fraction", 2, MAX_FRACTION)
    settings = [setting for setting, *_ in combined]
    varying = _varying(settings)
    own = [{key: setting[key] for key in varying} for setting in settings]
    return [combined[index] for index in chosen(layout, fraction, own)]


def cell_count(spec: Spec) -> int:
    """Return the number of cells that a spec spans, without building one."""
    return (
        _alternatives(spec, "plan", "plans")
        * _alternatives(spec, "workload", "guests")
        * _combinations(spec.get("wire", {}))
    )


def _alternatives(spec: Spec, crossed: str, named: str) -> int:
    """Return the number of named tables; without such, that of the combinations of a table."""
    whole = spec.get(named)
    return len(whole) if isinstance(whole, dict) else _combinations(spec.get(crossed, {}))


def _combinations(given: object) -> int:
    """Return the number of combinations of the alternatives of a table, or of several tables."""
    tables = given if isinstance(given, list) else [given]
    return sum(
        math.prod(len(value) for value in table.values() if isinstance(value, list))
        for table in tables
        if isinstance(table, dict)
    )


def _name(setting: Setting) -> str:
    # The name of a plan needs no key before it.
    parts = [
        shown(value) if key == "plan" else f"{key}={shown(value)}" for key, value in setting.items()
    ]
    return ", ".join(parts) or "all"


def _plans(spec: Spec) -> Iterator[tuple[dict[str, Value], Plan]]:
    """Yield each plan, with its part of the setting of its cells."""
    if "plan" in spec and "plans" in spec:
        raise UsageError(
            "plan and plans must not be given together",
            hint="Cross settings in plan, or name whole plans in plans.",
        )
    if "plans" in spec:
        for name, values in _named(spec, "plans", "[plans.parallel], and below it parallel = true"):
            yield {"plan": name}, _plan(values, f"plans.{name}")
        return
    for values in _crossed(table_at(spec.get("plan", {}), "plan"), "plan"):
        plan = _plan(_replace_words(values), "plan")
        # The plan's own value: a setting that is left out has its default, a list is a tuple.
        setting = {key: getattr(plan, key) for key in values}
        yield {key: _setting(value) for key, value in setting.items()}, plan


def _workloads(spec: Spec) -> Iterator[tuple[dict[str, Value], GuestSpec]]:
    """Yield each guest's workload, with its part of the setting of its cells."""
    if "workload" in spec and "guests" in spec:
        raise UsageError(
            "workload and guests must not be given together",
            hint="Cross settings in workload, or name whole workloads in guests.",
        )
    if "guests" not in spec:
        yield from _made(GuestSpec, spec.get("workload", {}), "workload")
        return
    for name, values in _named(spec, "guests", "[guests.busy], and below it dirty_mib_s = 40"):
        for key, value in values.items():
            if isinstance(value, list):
                raise UsageError(
                    f"guests.{name}.{key} must be one value (got {value!r})",
                    hint="Name a guest for each value, or cross the values in workload.",
                )
        ((_, workload),) = _made(GuestSpec, values, f"guests.{name}")
        yield {"guest": name}, workload


def _named(spec: Spec, key: str, example: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the tables of a table of named ones."""
    named = spec[key]
    if not isinstance(named, dict) or not named:
        raise UsageError(
            f"{key} must be a table of named {key} (got {named!r})", hint=f"Give names: {example}."
        )
    for name, values in named.items():
        yield str(name), table_at(values, f"{key}.{name}")


def _setting(value: Any) -> Value:
    """Return a plan's value as that of a factor: plain, and never a table."""
    if isinstance(value, Mapping):
        return shown(value)
    return str(value) if isinstance(value, str) else value


def _plan(values: Mapping[str, object], path: str) -> Plan:
    try:
        plan = Plan.from_dict(values)
        plan.require_valid()
    except PlanError as error:
        hint = error.hint
        if any(about.name in values and about.shape in _NAMES for about in settings()):
            # A list is alternatives, so a list of names needs one more pair of brackets.
            hint += ' Write alternatives of several names each as [["zstd"], ["xbzrle"]].'
        raise PlanError(f"{path}: {error}", hint=hint) from error
    return plan


def _made(kind: type[Made], given: object, path: str) -> Iterator[tuple[dict[str, Value], Made]]:
    """Yield each workload, or wire, with its part of the setting of its cells."""
    tables = given if isinstance(given, list) else [given]
    if not tables:
        raise UsageError(
            f"{path} must have at least one table (got [])", hint="Leave it out for the defaults."
        )
    for number, table in enumerate(tables):
        where = f"{path}[{number}]" if isinstance(given, list) else path
        named = table_at(table, where)
        require_known(named, [each.factor for each in options(kind)], where)
        for values in _crossed(named, where):
            made = of_factors(kind, _replace_words(values))
            yield factors(made), made


def _replace_words(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace "unlimited" by None, and leave out "default" values."""
    return {
        key: None if key == "wire_mbit_s" and value == UNLIMITED else value
        for key, value in values.items()
        if value != DEFAULT
    }


def _crossed(table: Mapping[str, object], path: str) -> Iterator[dict[str, Any]]:
    """Yield every combination of a table's alternatives."""
    alternatives = []
    for key, value in table.items():
        if isinstance(value, list) and not value:
            raise UsageError(
                f"{join(path, key)} must have at least one alternative (got [])",
                hint="Give an alternative, or leave the key out.",
            )
        if isinstance(value, dict) and key not in _TABLES:
            raise UsageError(
                f"{join(path, key)} must be a value or a list of values (got a table)",
                hint="Name whole plans in plans." if path == "plan" else "Give a value.",
            )
        alternatives.append(value if isinstance(value, list) else [value])
    for values in itertools.product(*alternatives):
        yield dict(zip(table, values, strict=True))
