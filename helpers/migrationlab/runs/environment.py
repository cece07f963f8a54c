"""Decide which runs may be pooled: compare their environments and their settings.

Theory of operation. As pyperf does with its checked metadata (``_CHECKED_METADATA`` in its
``pyperf/_metadata.py``), some facts of a run are *checked*: the machine that recorded, both
hosts, the hypervisors, the accelerator, the machine type, migrationlab's code. These are the run's
*environment*. Runs that differ in it answer different questions, so :func:`require_same` refuses to
pool them until the caller allows the difference. An experiment varies the run's *settings* (plan,
guest, wire) on purpose: :func:`differences` compares them, too, if asked. Facts that
differ in every run (load, time, a guest's name) are neither.

Hosts are identified by their names, not by their role, so that a guest may go there and back. The
domain's hash is compared among guests of the same settings only: a grid over memory sizes moves
several kinds of domain on purpose.

An unknown fact of an environment counts as a value.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from migrationlab.errors import UsageError
from migrationlab.runs.record import RunRecord

if TYPE_CHECKING:
    import pandas as pd

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
DOMAIN = "guest.xml_sha256"
#: Facts of the plan, the guest and the wire that are no settings: the guest's destination, its
#: name, facts of the environment, and measurements.
_NO_SETTINGS = {
    "plan": frozenset({"mode", "migration_uri", "connection_uri"}),
    "guest": frozenset({"name", "uuid", "number", "accelerator", "machine", "xml_sha256"}),
    "wire": frozenset({"measured_mbit_s"}),
}
ID_DIGITS = 8
_SHOWN_RUNS = 3


def environment(run: RunRecord) -> dict[str, Any]:
    """Return the checked facts of a run by their names, such as ``host-a.qemu_version``.

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


def settings(run: RunRecord) -> dict[str, Any]:
    """Return the settings of a run, besides the mode, by names such as ``guest.memory_mib``.

    An unknown fact is left out, and so is a setting of the plan that has its default.
    """
    groups = {"guest": run.guest, "wire": run.wire or {}, "plan": run.plan.changed()}
    return {
        f"{group}.{name}": value
        for group, facts in groups.items()
        for name, value in facts.items()
        if value is not None and name not in _NO_SETTINGS[group]
    }


def environment_id(run: RunRecord) -> str:
    """Return a short name of a run's environment, the same on every machine.

    The name ignores unknown facts, so that it stays when a later version records more.
    """
    known = {name: value for name, value in environment(run).items() if value is not None}
    text = json.dumps(known, sort_keys=True, separators=(",", ":"))
    # The first letter prevents that a CSV reader takes it for a number.
    return "e" + hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]


def environments(runs: Iterable[RunRecord]) -> pd.DataFrame:
    """Return the environments of runs, a row each, the most frequent first.

    Returns:
        ``environment_id``, ``runs`` (their number), and a column for each checked fact.
    """
    import pandas as pd  # noqa: PLC0415 (takes half a second or more to import; most uses of runs need none)

    facts: dict[str, dict[str, Any]] = {}
    counts: Counter[str] = Counter()
    for run in runs:
        counts[name := environment_id(run)] += 1
        facts.setdefault(name, environment(run))
    rows = [
        {"environment_id": name, "runs": count, **facts[name]}
        for name, count in counts.most_common()
    ]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    # dtype object: pandas would turn a column of integers and None into floats.
    return pd.DataFrame(rows, columns=columns or ["environment_id", "runs"], dtype=object)


def differences(
    runs: Iterable[RunRecord], *, with_settings: bool = False
) -> dict[str, dict[Any, list[str]]]:
    """Return the facts in which runs differ. Runs without differences may be pooled.

    Args:
        runs: The runs.
        with_settings: Whether to compare the settings, too.

    Returns:
        For each such fact its values, and for each value the ids of the runs that have it. The
        domain's hash (``guest.xml_sha256``) is compared among guests of the same settings.
    """
    given = list(runs)
    by_fact: dict[str, dict[Any, list[str]]] = {}
    for run in given:
        facts = environment(run) | (settings(run) if with_settings else {})
        for name, value in facts.items():
            by_fact.setdefault(name, {}).setdefault(_simple(value), []).append(run.run_id)
    # A fact that only some of the runs have (of a host, of a plan) differs, too.
    found = {
        name: values
        for name, values in by_fact.items()
        if len(values) > 1 or sum(map(len, values.values())) < len(given)
    }
    if domains := _domains(given):
        found[DOMAIN] = domains
    return found


def require_same(runs: Sequence[RunRecord], *, allow: Iterable[str] = ()) -> None:
    """Refuse to pool runs whose environments differ.

    Args:
        runs: The runs.
        allow: Facts that may differ, by their names or by the part before or after the dot:
            ``machine.kernel``, ``machine``, ``kernel``.

    Raises:
        UsageError: The runs differ in other facts; the message lists them with values and runs.
    """
    allowed = frozenset([allow] if isinstance(allow, str) else allow)
    differing = {
        name: values
        for name, values in differences(runs).items()
        # The last dot separates: a host's name can have dots.
        if allowed.isdisjoint({name, *name.rpartition(".")[::2]})
    }
    if not differing:
        return
    found = "; ".join(f"{name}: {_described(values)}" for name, values in differing.items())
    raise UsageError(
        f"the runs' environments differ, so their figures are not pooled: {found}",
        hint="Take runs of one environment (Runs.environments() shows them), or, where the "
        f"difference does not matter, allow it: allow={sorted(differing)!r}",
    )


def _domains(runs: Sequence[RunRecord]) -> dict[Any, list[str]]:
    """Return the runs by their domains' hashes, if guests of the same settings differ in them."""
    by_setting: dict[str, dict[Any, list[str]]] = {}
    for run in runs:
        guest = {name: value for name, value in settings(run).items() if name.startswith("guest.")}
        # Another version of libvirt can write the same domain differently.
        writer = run.source.get("libvirt_version")
        key = json.dumps([guest, run.accelerator, writer], sort_keys=True, default=dict)
        digest = _simple(run.guest.get("xml_sha256"))
        by_setting.setdefault(key, {}).setdefault(digest, []).append(run.run_id)
    differing: dict[Any, list[str]] = {}
    for values in by_setting.values():
        if len(values) > 1:
            for value, ids in values.items():
                differing.setdefault(value, []).extend(ids)
    return differing


def _simple(value: Any) -> Any:
    """Return a value that can be compared and shown; an edited file can have others."""
    if isinstance(value, str | int | float | None):
        return value
    return json.dumps(value, sort_keys=True, default=dict)


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
