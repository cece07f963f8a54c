"""The design of an experiment: the question, and which settings are compared how often.

Theory of operation. A design is read from a *spec*: plain values, the same whether they come from
Python, from a TOML file or from ``experiment.json``. In its tables a list stands for alternatives,
which are crossed; what is no list is the same for all. So a spec spans *cells*, one for each
combination; the settings in which the cells differ (the *factors*) name them.

Pure: no I/O, no libvirt, no lab. What only the lab can judge (is the memory enough?) is
``possible``'s.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, TypeVar

from migrationlab.errors import PlanError, UsageError
from migrationlab.experiment.spec_values import join, known, plain, slug, table_at, text_at, whole
from migrationlab.plan.guest_spec import GuestSpec
from migrationlab.plan.plan import Plan
from migrationlab.plan.setting import Shape
from migrationlab.plan.settings import settings
from migrationlab.plan.spec import factors, of_factors, options
from migrationlab.plan.uris import require_connection_uri
from migrationlab.plan.wire_spec import WireSpec

Value = int | float | str | bool | None | tuple[str, ...]
Setting = Mapping[str, Value]
Spec = Mapping[str, Any]

MOST_REPEATS = 10_000
MOST_TRIALS = 100_000
#: The word for "left out" in a list of alternatives, since TOML has no null.
DEFAULT = "default"
#: Likewise for a wire without a limit.
UNLIMITED = "unlimited"

_NAMES = (Shape.NAMES, Shape.OPTIONAL_NAMES)

Made = TypeVar("Made", GuestSpec, WireSpec)

KEYS = (
    "question", "name", "repeats", "warm_ups", "seed",
    "plan", "plans", "workload", "wire", "lab", "hosts",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RealHosts:
    """The hosts of an experiment that has no lab; the domain goes to and fro between them.

    Attributes:
        source: The connection URI of the one.
        to: That of the other.
        domain: The domain's name or UUID.
        probe: An address of the guest to ask for echoes meanwhile, None for none.
    """

    source: str
    to: str
    domain: str
    probe: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One combination of settings, of which a design has one or more.

    Attributes:
        name: Its name: the values of its setting.
        setting: What distinguishes it from other cells: a value for each factor.
        plan: How its guest is migrated.
        workload: What its guest does; None on real hosts, whose guest is their own.
        wire: What it goes over; None likewise.
    """

    name: str
    setting: Setting
    plan: Plan
    workload: GuestSpec | None
    wire: WireSpec | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What is compared, and how often.

    Attributes:
        question: What the experiment is to answer.
        name: A short name for it, which a folder can have.
        cells: What is compared.
        repeats: How often each cell is measured.
        warm_ups: How many migrations are made before the first that counts, at each start.
        seed: Of the order within the blocks.
        images: The Debian releases of a lab's two hosts; None on real hosts.
        hosts: The real hosts; None in a lab.
        spec: The plain values that it was read from.
    """

    question: str
    name: str
    cells: tuple[Cell, ...]
    repeats: int
    warm_ups: int
    seed: int
    images: tuple[str, str] | None
    hosts: RealHosts | None
    spec: Spec

    @property
    def factors(self) -> tuple[str, ...]:
        """Return the names of the settings in which the cells differ."""
        return tuple(self.cells[0].setting)

    @property
    def total(self) -> int:
        """Return how many migrations count: each cell as often as there are repeats."""
        return len(self.cells) * self.repeats

    def cell(self, name: str) -> Cell:
        """Return the cell of that name.

        Raises:
            UsageError: There is none.
        """
        for cell in self.cells:
            if cell.name == name:
                return cell
        raise UsageError(
            f"no cell is called {name!r}",
            hint=f"the cells: {'; '.join(cell.name for cell in self.cells)}",
        )


def read(spec: Mapping[str, Any]) -> Design:
    """Read a design from its spec.

    Args:
        spec: ``question``, and what else is not to be as by default: ``name``, ``repeats``,
            ``warm_ups``, ``seed``; ``plan`` (settings by name) or ``plans`` (several of such by
            names of their own); ``workload`` and ``wire`` (a table, or a list of them); ``lab``
            (``images``) or ``hosts`` (``source``, ``to``, ``domain``, ``probe``).

    Raises:
        PlanError: A cell's plan cannot work, or is none.
        UsageError: Something else in it cannot be; the message begins with its path.
    """
    given = plain(spec, "")
    known(given, KEYS, "")
    if isinstance(hosts_given := given.get("hosts"), dict):
        # No probe is as good as none given; TOML has no word for it.
        given["hosts"] = {key: value for key, value in hosts_given.items() if value is not None}
    question = text_at(given.get("question", ""), "question").strip()
    if not question:
        raise UsageError(
            "question: an experiment has one",
            hint='say what it is to answer: question = "Does …?"',
        )
    name = text_at(given.get("name") or slug(question), "name")
    if slug(name) != name:
        raise UsageError(
            f"name: {name!r} cannot name a folder",
            hint=f'use small letters, digits and hyphens: "{slug(name)}"',
        )
    images, hosts = _place(given)
    cells = tuple(_cells(given, real=hosts is not None))
    design = Design(
        question=question,
        name=name,
        cells=cells,
        repeats=whole(given.get("repeats", 10), "repeats", 1, MOST_REPEATS),
        warm_ups=whole(given.get("warm_ups", 1), "warm_ups", 0, 1000),
        seed=whole(given.get("seed", 0), "seed", 0, 2**63 - 1),
        images=images,
        hosts=hosts,
        spec=MappingProxyType(given | {"question": question, "name": name}),
    )
    if design.total > MOST_TRIALS:
        raise UsageError(
            f"{len(cells)} cells, each {design.repeats} times, are {design.total} migrations",
            hint=f"at most {MOST_TRIALS} make an experiment: leave out values, or repeats",
        )
    return design


def shown(value: object) -> str:
    """Return a setting's value as a cell's name says it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "+".join(value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


# --- cells --------------------------------------------------------------------------------------


def _cells(spec: Spec, *, real: bool) -> Iterator[Cell]:
    for key in ("workload", "wire"):
        if real and key in spec:
            raise UsageError(
                f"{key}: what real hosts have is not the kit's to set",
                hint=f"leave {key} out, or leave hosts out and measure in a lab",
            )
    plans = list(_plans(spec))
    workloads = list(_made(GuestSpec, spec.get("workload", {}), "workload"))
    wires = list(_made(WireSpec, spec.get("wire", {}), "wire"))
    combined = [
        (p | w | v, plan, workload, wire)
        for (p, plan), (w, workload), (v, wire) in itertools.product(plans, workloads, wires)
    ]
    settings = [setting for setting, *_ in combined]
    varying = [
        key for key in settings[0] if any(each[key] != settings[0][key] for each in settings)
    ]
    names: set[str] = set()
    for setting, plan, workload, wire in combined:
        own = {key: setting[key] for key in varying}
        name = _name(own)
        if name in names:
            raise UsageError(
                f"the design has the cell {name!r} twice",
                hint="let the alternatives differ, and give repeats for more of the same",
            )
        names.add(name)
        yield Cell(
            name=name,
            setting=MappingProxyType(own),
            plan=plan,
            workload=None if real else workload,
            wire=None if real else wire,
        )


def _name(setting: Setting) -> str:
    # A plan's own name says enough.
    parts = [
        shown(value) if key == "plan" else f"{key}={shown(value)}" for key, value in setting.items()
    ]
    return ", ".join(parts) or "all"


def _plans(spec: Spec) -> Iterator[tuple[dict[str, Value], Plan]]:
    """Give each plan, with what it adds to its cells' setting."""
    if "plan" in spec and "plans" in spec:
        raise UsageError(
            "plan and plans: only one of them can be",
            hint="cross settings in plan, or name whole plans in plans",
        )
    if "plans" in spec:
        named = spec["plans"]
        if not isinstance(named, dict) or not named:
            raise UsageError(
                "plans: there is none", hint="give them names: [plans.post-copy], postcopy = true"
            )
        for name, values in named.items():
            yield {"plan": str(name)}, _plan(table_at(values, f"plans.{name}"), f"plans.{name}")
        return
    for values in _crossed(table_at(spec.get("plan", {}), "plan"), "plan"):
        plan = _plan(_meant(values), "plan")
        # The plan's own value: a setting left out has its default, a list is a tuple.
        setting = {key: getattr(plan, key) for key in values}
        yield {k: str(v) if isinstance(v, str) else v for k, v in setting.items()}, plan


def _plan(values: Mapping[str, object], path: str) -> Plan:
    try:
        plan = Plan.from_dict(values)
        plan.require_valid()
    except PlanError as error:
        hint = error.hint
        if any(about.name in values and about.shape in _NAMES for about in settings()):
            # A list is alternatives, so that a list of names wants one more pair of brackets.
            hint += ' Alternatives of several names each: [["zstd"], ["xbzrle"]].'
        raise PlanError(f"{path}: {error}", hint=hint) from error
    return plan


def _made(kind: type[Made], given: object, path: str) -> Iterator[tuple[dict[str, Value], Made]]:
    """Give each workload, or wire, with what it adds to its cells' setting."""
    tables = given if isinstance(given, list) else [given]
    if not tables:
        raise UsageError(f"{path}: there is none", hint="leave it out for what is usual")
    for number, table in enumerate(tables):
        where = f"{path}[{number}]" if isinstance(given, list) else path
        named = table_at(table, where)
        known(named, [each.factor for each in options(kind)], where)
        for values in _crossed(named, where):
            made = of_factors(kind, _meant(values))
            yield factors(made), made


def _meant(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with the words for "left out" and "no limit" taken at their meaning."""
    return {
        key: None if key == "wire_mbit_s" and value == UNLIMITED else value
        for key, value in values.items()
        if value != DEFAULT
    }


def _crossed(table: Mapping[str, object], path: str) -> Iterator[dict[str, Any]]:
    """Give every combination of a table's alternatives."""
    alternatives = []
    for key, value in table.items():
        if isinstance(value, list) and not value:
            raise UsageError(
                f"{join(path, key)}: a list of no alternatives", hint="give one, or leave it out"
            )
        if isinstance(value, dict):
            raise UsageError(
                f"{join(path, key)}: a value is wanted, no table",
                hint="whole plans have names in plans" if path == "plan" else "",
            )
        alternatives.append(value if isinstance(value, list) else [value])
    for values in itertools.product(*alternatives):
        yield dict(zip(table, values, strict=True))


# --- place --------------------------------------------------------------------------------------


def _place(spec: Spec) -> tuple[tuple[str, str] | None, RealHosts | None]:
    if "lab" in spec and "hosts" in spec:
        raise UsageError(
            "lab and hosts: only one of them can be",
            hint="leave hosts out to measure in a lab, lab to measure real hosts",
        )
    if "hosts" in spec:
        table = table_at(spec["hosts"], "hosts")
        known(table, [field.name for field in fields(RealHosts)], "hosts")
        for key in ("source", "to", "domain"):
            if not text_at(table.get(key, ""), f"hosts.{key}"):
                raise UsageError(
                    f"hosts.{key}: it is missing",
                    hint="give source and to, two connection URIs, and the domain's name",
                )
        for key in ("source", "to"):
            require_connection_uri(f"hosts.{key}", table[key])
        if table["source"] == table["to"]:
            raise UsageError("hosts.to: the same as hosts.source", hint="give two hosts")
        return None, RealHosts(
            **{key: text_at(value, f"hosts.{key}") for key, value in table.items()}
        )
    table = table_at(spec.get("lab", {}), "lab")
    known(table, ["images"], "lab")
    images = table.get("images", "trixie")
    pair = (images, images) if isinstance(images, str) else images
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        raise UsageError("lab.images: a lab has two hosts", hint='give ["bookworm", "trixie"]')
    return (text_at(pair[0], "lab.images"), text_at(pair[1], "lab.images")), None
