"""Read the design of an experiment: the question, the compared settings, and the repeats.

Theory of operation. A design is read from a *spec*: plain values that are the same in Python, in a
TOML file and in ``experiment.json``. In the tables of a spec a list stands for alternatives, which
are crossed. A value that is not a list applies to all. So a spec spans *cells*, one for each
combination. The settings in which the cells differ are the *factors*, and they name the cells.

``feasibility`` checks the limits of the lab (is the memory enough?).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from migrationlab.errors import PlanError, UsageError
from migrationlab.experiment.allocation import Allocation, read_allocation
from migrationlab.experiment.layout import FULL, MAX_FRACTION, chosen, require_layout
from migrationlab.experiment.spec import (
    DEFAULT,
    UNLIMITED,
    integer_at,
    join,
    plain,
    read_toml,
    require_known,
    slug,
    table_at,
    text_at,
)
from migrationlab.experiment.stopping import Stopping, read_stopping
from migrationlab.plan.guest_spec import GuestSpec
from migrationlab.plan.plan import Plan
from migrationlab.plan.programs import programs_of_plan
from migrationlab.plan.setting import Shape
from migrationlab.plan.settings import settings
from migrationlab.plan.spec import factors, of_factors, options
from migrationlab.plan.uri_parser import read_uri
from migrationlab.plan.uris import require_connection_uri
from migrationlab.plan.wire_spec import WireSpec

Value = int | float | str | bool | None | tuple[str, ...]
Setting = Mapping[str, Value]
Spec = Mapping[str, Any]

MAX_REPEATS = 10_000
MAX_RUNS = 100_000

_NAMES = (Shape.NAMES, Shape.OPTIONAL_NAMES)
#: The settings whose value is a table itself.
_TABLES = frozenset(about.name for about in settings() if about.shape is Shape.OPTIONS)

Made = TypeVar("Made", GuestSpec, WireSpec)

KEYS = (
    "question", "name", "repeats", "warm_ups", "seed",
    "plan", "plans", "workload", "guests", "wire", "lab", "hosts", "layout", "fraction", "stop",
    "allocate",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RealHosts:
    """The two hosts of an experiment without a lab; the domain moves back and forth between them.

    ``source`` and ``to`` are connection URIs, ``domain`` is a name or UUID, and ``probe`` is an
    address of the guest for echo requests.
    """

    source: str
    to: str
    domain: str
    probe: str | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """The cells of an experiment, and the number of their repeats.

    Attributes:
        name: A short name, which can also name a folder.
        repeats: The number of runs of each cell that count.
        warm_ups: The number of migrations before the first one that counts, at each start.
        seed: The seed of the random order within the blocks.
        images: The Debian releases of a lab's two hosts; None on real hosts.
        hosts: The real hosts; None in a lab.
        stopping: When it may stop before all repeats; None for never.
        allocation: How its time is spent after a pilot; None for equal repeats. ``repeats`` is then
            what the time was estimated to pay.
        spec: The plain values from which the design was read.
    """

    question: str
    name: str
    cells: tuple[Cell, ...]
    repeats: int
    warm_ups: int
    seed: int
    images: tuple[str, str] | None
    hosts: RealHosts | None
    stopping: Stopping | None
    allocation: Allocation | None
    spec: Spec

    @property
    def factors(self) -> tuple[str, ...]:
        """Return the names of the settings in which the cells differ."""
        return tuple(self.cells[0].setting)

    @property
    def total(self) -> int:
        """Return the number of runs that count: the cells times the repeats."""
        return len(self.cells) * self.repeats

    @property
    def programs(self) -> tuple[str, ...]:
        """Return the programs that the design names, each with its key: "KEY runs PROGRAM"."""
        found = (
            []
            if self.hosts is None
            else [
                (f"hosts.{key}", program)
                for key in ("source", "to")
                for program in read_uri(getattr(self.hosts, key)).programs
            ]
        )
        for cell in self.cells:
            found += [(f"plan.{key}", program) for key, program in programs_of_plan(cell.plan)]
        return tuple(dict.fromkeys(f"{key} runs {program}" for key, program in found))

    def cell(self, name: str) -> Cell:
        """Return the cell with this name."""
        for cell in self.cells:
            if cell.name == name:
                return cell
        raise UsageError(
            f"cell must be a cell of the design (got {name!r})",
            hint=f"Use one of: {'; '.join(cell.name for cell in self.cells)}.",
        )


def read(spec: Mapping[str, Any]) -> Design:
    """Read a design from its spec.

    Args:
        spec: ``question``, and optional keys that replace their defaults: ``name``, ``repeats``,
            ``warm_ups``, ``seed``; ``plan`` (settings by name) or ``plans`` (several plans, each
            with a name); ``layout`` and ``fraction`` (see ``layout``), ``stop`` (``metric`` and
            ``looks``: see ``stopping``), ``allocate`` (``metric``, ``pilot`` and
            ``time_s``: see ``allocation``); ``workload`` and ``wire`` (a table, or a list of
            tables), or instead of ``workload`` ``guests`` (several workloads, each with a name);
            ``lab`` (``images``) or ``hosts`` (``source``, ``to``, ``domain``, ``probe``).

    Raises:
        PlanError: The plan of a cell is not valid.
        UsageError: Another value is not valid; the message begins with its path.
    """
    given = plain(spec, "")
    require_known(given, KEYS, "")
    if isinstance(hosts_given := given.get("hosts"), dict):
        # A probe of None is the same as no probe, and TOML has no word for None.
        given["hosts"] = {key: value for key, value in hosts_given.items() if value is not None}
    question = text_at(given.get("question", ""), "question").strip()
    if not question:
        raise UsageError(
            "question must not be empty",
            hint='Write what the experiment answers: question = "Does …?"',
        )
    name = text_at(given.get("name") or slug(question), "name")
    if slug(name) != name:
        raise UsageError(
            f"name must be small letters, digits and hyphens (got {name!r})",
            hint=f'Write name = "{slug(name)}".',
        )
    repeats = integer_at(given.get("repeats", 10), "repeats", 1, MAX_REPEATS)
    _require_few(_count(given), repeats)
    images, hosts = _place(given)
    cells = tuple(_cells(given, real=hosts is not None))
    return Design(
        question=question,
        name=name,
        cells=cells,
        repeats=repeats,
        warm_ups=integer_at(given.get("warm_ups", 1), "warm_ups", 0, 1000),
        seed=integer_at(given.get("seed", 0), "seed", 0, 2**63 - 1),
        images=images,
        hosts=hosts,
        stopping=_stopping(given, repeats),
        allocation=_allocation(given, repeats),
        spec=MappingProxyType(given | {"question": question, "name": name}),
    )


def _stopping(given: Spec, repeats: int) -> Stopping | None:
    if "stop" not in given:
        return None
    return read_stopping(table_at(given["stop"], "stop"), repeats)


def _allocation(given: Spec, repeats: int) -> Allocation | None:
    if "allocate" not in given:
        return None
    if "stop" in given:
        raise UsageError(
            "stop and allocate must not be given together",
            hint="Leave out one: a look needs whole blocks, and an allocation makes others.",
        )
    return read_allocation(table_at(given["allocate"], "allocate"), repeats)


def read_file(path: Path) -> Design:
    """Read a design from a TOML file.

    The message of an error begins with the file's path and the path of the key.
    """
    try:
        return read(read_toml(path))
    except (PlanError, UsageError) as error:
        raise type(error)(f"{path}: {error}", hint=error.hint) from error


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


# --- cells --------------------------------------------------------------------------------------


def _cells(spec: Spec, *, real: bool) -> Iterator[Cell]:
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


def _count(spec: Spec) -> int:
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


def _require_few(cells: int, repeats: int) -> None:
    if cells * repeats > MAX_RUNS:
        raise UsageError(
            f"the experiment must have at most {MAX_RUNS} runs "
            f"(got {cells * repeats}: {cells} cells, {repeats} times each)",
            hint="Leave out values, or lower repeats.",
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


# --- place --------------------------------------------------------------------------------------


def _place(spec: Spec) -> tuple[tuple[str, str] | None, RealHosts | None]:
    if "lab" in spec and "hosts" in spec:
        raise UsageError(
            "lab and hosts must not be given together",
            hint="Leave out hosts to measure in a lab, or lab to measure real hosts.",
        )
    if "hosts" in spec:
        return None, _real_hosts(table_at(spec["hosts"], "hosts"))
    table = table_at(spec.get("lab", {}), "lab")
    require_known(table, ["images"], "lab")
    images = table.get("images", "trixie")
    pair = (images, images) if isinstance(images, str) else images
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        raise UsageError(
            f"lab.images must be a release, or two of them (got {images!r})",
            hint='Write images = ["bookworm", "trixie"].',
        )
    return (text_at(pair[0], "lab.images"), text_at(pair[1], "lab.images")), None


def _real_hosts(table: dict[str, Any]) -> RealHosts:
    require_known(table, [field.name for field in fields(RealHosts)], "hosts")
    for key in ("source", "to", "domain"):
        if not text_at(table.get(key, ""), f"hosts.{key}"):
            raise UsageError(
                f"hosts.{key} must not be empty",
                hint="Give source and to, two connection URIs (qemu+ssh://root@node1/system), "
                "and domain, a name.",
            )
    for key in ("source", "to"):
        require_connection_uri(f"hosts.{key}", table[key])
    if table["source"] == table["to"]:
        raise UsageError(
            f"hosts.to must be another host than hosts.source (got {table['to']!r})",
            hint="Give the connection URIs of two hosts.",
        )
    return RealHosts(**{key: text_at(value, f"hosts.{key}") for key, value in table.items()})
