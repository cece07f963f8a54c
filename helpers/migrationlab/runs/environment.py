"""Decide which runs may be pooled: find the environment of each, and where two differ.

Theory of operation. As pyperf does with its checked metadata (``_CHECKED_METADATA`` in its
``pyperf/_metadata.py``), some facts of a run are *checked*: the machine that recorded, both
hosts, the hypervisors, the accelerator, the machine type, migrationlab's code. Runs that differ in
these answer different questions, so :func:`require_same` refuses to pool them until the caller
allows the difference. What an experiment varies (plan, workload, wire) is no environment. What
differs in every run (load, time, a guest's name) is none either.

Hosts are identified by their names, not by their role, so that a guest may go there and back. The
domain's hash is compared among guests of the same settings only: a grid over memory sizes moves
several kinds of domain on purpose.

An unknown fact counts as a value of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import pandas as pd

from migrationlab.errors import UsageError

Facts = Mapping[str, Any]

#: Of the machine that recorded.
MACHINE = (
    *("kernel", "system", "cpu_model", "cpus", "memory_mib"),
    *("python", "libvirt_client", "rootless", "code"),
)
#: Of each host.
HOST = (
    *("hostname", "libvirt_version", "qemu_version", "image"),
    *("kernel", "cpu_model", "cpus", "memory_mib"),
)
#: Facts of a guest that are no settings.
_NAMES = frozenset({"name", "uuid", "number", "machine", "xml_sha256"})
DOMAIN = "guest.xml_sha256"
ID_DIGITS = 8
_SHOWN_RUNS = 3


class Identified(Protocol):
    """What a run says of its environment; see ``runs.Run``."""

    @property
    def run_id(self) -> str:
        """Return its name."""

    @property
    def migrationlab_version(self) -> str:
        """Return the version of migrationlab."""

    @property
    def accelerator(self) -> str:
        """Return what ran the guest."""

    @property
    def environment(self) -> Facts:
        """Return what is known of the machine that recorded."""

    @property
    def source(self) -> Facts:
        """Return what is known of the source host."""

    @property
    def destination(self) -> Facts:
        """Return what is known of the destination host."""

    @property
    def guest(self) -> Facts:
        """Return what is known of the guest."""


def environment(run: Identified) -> dict[str, Any]:
    """Return the checked facts of a run by their names, such as ``host-a.qemu_version``.

    Args:
        run: The run.

    Returns:
        The same names in the same order for runs between the same hosts; None: not known.
    """
    hosts = sorted((run.source, run.destination), key=lambda host: str(host["name"]))
    facts = {
        **{f"machine.{name}": run.environment.get(name) for name in MACHINE},
        "migrationlab_version": run.migrationlab_version,
        "accelerator": run.accelerator,
        "guest.machine": run.guest.get("machine"),
        **{f"{host['name']}.{name}": host.get(name) for host in hosts for name in HOST},
    }
    return {name: _simple(value) for name, value in facts.items()}


def environment_id(run: Identified) -> str:
    """Return a short name of a run's environment, the same on every machine.

    It ignores unknown facts, so that it stays when a later version records more.
    """
    known = {name: value for name, value in environment(run).items() if value is not None}
    text = json.dumps(known, sort_keys=True, separators=(",", ":"))
    # The first letter prevents that a CSV reader takes it for a number.
    return "e" + hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]


def environments(runs: Iterable[Identified]) -> pd.DataFrame:
    """Return the environments of runs, a row each, the most frequent first.

    Returns:
        ``environment_id``, ``runs`` (how many), and a column for each checked fact.
    """
    counts: Counter[str] = Counter()
    facts: dict[str, dict[str, Any]] = {}
    for run in runs:
        name = environment_id(run)
        counts[name] += 1
        facts.setdefault(name, environment(run))
    rows = [
        {"environment_id": name, "runs": count, **facts[name]}
        for name, count in counts.most_common()
    ]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    # dtype object: pandas would turn a column of integers and None into floats.
    return pd.DataFrame(rows, columns=columns or ["environment_id", "runs"], dtype=object)


def differences(runs: Iterable[Identified]) -> dict[str, dict[Any, list[str]]]:
    """Return the checked facts in which runs differ.

    Args:
        runs: The runs.

    Returns:
        For each such fact its values, and for each value the ids of the runs that have it. The
        domain's hash (``guest.xml_sha256``) is compared among guests of the same settings.
    """
    given = list(runs)
    by_fact: dict[str, dict[Any, list[str]]] = {}
    for run in given:
        for name, value in environment(run).items():
            by_fact.setdefault(name, {}).setdefault(value, []).append(run.run_id)
    # A fact of a host that only some of the runs used differs, too.
    found = {
        name: values
        for name, values in by_fact.items()
        if len(values) > 1 or sum(map(len, values.values())) < len(given)
    }
    if domains := _domains(given):
        found[DOMAIN] = domains
    return found


def require_same(runs: Sequence[Identified], *, allow: Iterable[str] = ()) -> None:
    """Refuse to pool runs whose environments differ.

    Args:
        runs: The runs.
        allow: Facts that may differ, by their names or by the part before or after the dot:
            ``machine.kernel``, ``machine``, ``kernel``.

    Raises:
        UsageError: They differ elsewhere; it names every fact, its values and their runs.
    """
    allowed = frozenset([allow] if isinstance(allow, str) else allow)
    differing = {
        name: values
        for name, values in differences(runs).items()
        if allowed.isdisjoint({name, *_parts(name)})
    }
    if not differing:
        return
    found = "; ".join(f"{name}: {_described(values)}" for name, values in differing.items())
    raise UsageError(
        f"the runs' environments differ, so their figures are not pooled: {found}",
        hint="Take runs of one environment (Runs.environments() shows them), or, where the "
        f"difference does not matter, allow it: allow={sorted(differing)!r}",
    )


def _domains(runs: Sequence[Identified]) -> dict[Any, list[str]]:
    """Return the runs by their domains' hashes, of guests that have the same settings."""
    equivalent: dict[str, dict[Any, list[str]]] = {}
    for run in runs:
        setting = {key: value for key, value in run.guest.items() if key not in _NAMES}
        # Another version of libvirt can write the same domain differently.
        writer = run.source.get("libvirt_version")
        key = json.dumps([setting, writer], sort_keys=True, default=dict)
        found = equivalent.setdefault(key, {})
        found.setdefault(_simple(run.guest.get("xml_sha256")), []).append(run.run_id)
    differing: dict[Any, list[str]] = {}
    for values in equivalent.values():
        if len(values) > 1:
            for value, ids in values.items():
                differing.setdefault(value, []).extend(ids)
    return differing


def _simple(value: Any) -> Any:
    """Return a value that can be compared and shown; an edited file can have others."""
    if isinstance(value, str | int | float | None):
        return value
    return json.dumps(value, sort_keys=True, default=dict)


def _parts(name: str) -> tuple[str, str]:
    # The last dot: a host's name can have dots.
    place, _, fact = name.rpartition(".")
    return place, fact


def _described(values: Mapping[Any, Sequence[str]]) -> str:
    return ", ".join(
        f"{'not known' if value is None else _short(value)} ({_some(ids)})"
        for value, ids in values.items()
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:12]}…"


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:_SHOWN_RUNS])
    return shown if len(ids) <= _SHOWN_RUNS else f"{shown} and {len(ids) - _SHOWN_RUNS} more"
