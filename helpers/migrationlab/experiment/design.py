"""Read the design of an experiment: the question, the compared settings, and the repeats.

Theory of operation. A design is read from a *spec*: plain values that are the same in Python, in a
TOML file and in ``experiment.json``. Its plans, workloads and wires span *cells*, one for each
combination: see ``cells``.

``feasibility`` checks the limits of the lab (is the memory enough?).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from migrationlab.errors import PlanError, UsageError
from migrationlab.experiment.allocation import Allocation, read_allocation
from migrationlab.experiment.cells import Cell, Spec, cell_count, cells_of
from migrationlab.experiment.spec import (
    integer_at,
    plain,
    read_toml,
    require_known,
    slug,
    table_at,
    text_at,
)
from migrationlab.experiment.stopping import Stopping, read_stopping
from migrationlab.plan.programs import programs_of_plan
from migrationlab.plan.uri_parser import read_uri
from migrationlab.plan.uris import require_connection_uri

MAX_REPEATS = 10_000
MAX_RUNS = 100_000

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
    _require_few(cell_count(given), repeats)
    images, hosts = _place(given)
    cells = tuple(cells_of(given, real=hosts is not None))
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


def _require_few(cells: int, repeats: int) -> None:
    if cells * repeats > MAX_RUNS:
        raise UsageError(
            f"the experiment must have at most {MAX_RUNS} runs "
            f"(got {cells * repeats}: {cells} cells, {repeats} times each)",
            hint="Leave out values, or lower repeats.",
        )


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
