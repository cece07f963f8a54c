"""Read an inventory: the pairs of hosts that share the runs of an experiment.

An inventory is a TOML file. A pair is two real hosts, or a lab::

    [[pairs]]
    name = "rack-1"
    source = "qemu+ssh://root@node1/system"
    to = "qemu+ssh://root@node2/system"
    domain = "web1"

    [[pairs]]
    name = "lab-1"
    images = ["trixie", "trixie"]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrationlab.errors import PlanError, UsageError
from migrationlab.experiment.design import Design, read
from migrationlab.experiment.spec import read_toml, require_known, slug, table_at
from migrationlab.plan.uri_parser import read_uri

_KEYS = ("name", "source", "to", "domain", "probe", "images")
_EXAMPLE = 'Write [[pairs]], name = "lab-1" and images = "trixie".'


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair of hosts.

    Attributes:
        name: Its name, which its runs have too.
        place: The part of a design's spec that names its hosts: ``hosts`` or ``lab``.
    """

    name: str
    place: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Pair({self.name!r}, {'lab' if 'lab' in self.place else 'hosts'})"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the connection URIs of real hosts; none in a lab."""
        found = self.place.get("hosts", {})
        return tuple(found[key] for key in ("source", "to") if key in found)

    @property
    def programs(self) -> tuple[str, ...]:
        """Return the programs that its URIs name: "NAME runs PROGRAM"."""
        return tuple(
            f"{self.name} runs {program}"
            for uri in self.hosts
            for program in read_uri(uri).programs
        )

    def design(self, spec: Mapping[str, Any]) -> Design:
        """Return an experiment's design for this pair."""
        own = {key: spec[key] for key in spec if key not in ("hosts", "lab")}
        return read({**own, **self.place})


def read_inventory(path: str | Path) -> tuple[Pair, ...]:
    """Read an inventory from a TOML file; the message of an error begins with its path."""
    try:
        return pairs_of(read_toml(Path(path)))
    except (PlanError, UsageError) as error:
        raise type(error)(f"{path}: {error}", hint=error.hint) from error


def pairs_of(given: Mapping[str, Any]) -> tuple[Pair, ...]:
    """Return the pairs of an inventory's plain values.

    Raises:
        UsageError: There is no pair, a name or a host is given twice, or a value is wrong.
    """
    require_known(given, ("pairs",), "")
    rows = given.get("pairs")
    if not isinstance(rows, list) or not rows:
        raise UsageError("pairs must be a list of tables (got none)", hint=_EXAMPLE)
    pairs = tuple(_pair(table_at(row, f"pairs[{i}]"), f"pairs[{i}]") for i, row in enumerate(rows))
    _require_once("name", (pair.name for pair in pairs))
    _require_once("host", (host for pair in pairs for host in pair.hosts))
    return pairs


def labs(count: int, images: str = "trixie") -> tuple[Pair, ...]:
    """Return so many pairs that are labs on the workers' machines."""
    return tuple(Pair(f"lab-{n}", {"lab": {"images": images}}) for n in range(1, count + 1))


def _pair(table: dict[str, Any], path: str) -> Pair:
    require_known(table, _KEYS, path)
    name = table.get("name")
    if not isinstance(name, str) or slug(name) != name:
        raise UsageError(
            f"{path}.name must be small letters, digits and hyphens (got {name!r})", hint=_EXAMPLE
        )
    hosts = {key: table[key] for key in ("source", "to", "domain", "probe") if key in table}
    if hosts and "images" in table:
        raise UsageError(
            f"{path} must be a lab or real hosts (got both)",
            hint="Leave out images, or leave out source, to and domain.",
        )
    place = {"hosts": hosts} if hosts else {"lab": {"images": table.get("images", "trixie")}}
    try:
        read({"question": "Is this pair right?", **place})
    except UsageError as error:
        raise UsageError(f"{path}: {error}", hint=error.hint) from error
    return Pair(name, place)


def _require_once(what: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise UsageError(
                f"each {what} must be in one pair only (got {value!r} twice)",
                hint="Give each pair other hosts: two migrations at once would disturb each other.",
            )
        seen.add(value)
