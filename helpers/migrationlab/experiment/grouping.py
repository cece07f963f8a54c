"""Group runs that may be pooled: runs of the same setting and environment.

A run of an experiment names its cell. Other runs are grouped by their guest, wire, plan, hosts and
machine: runs that differ in any of these answer different questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from migrationlab.experiment.design import shown
from migrationlab.plan.plan import Plan
from migrationlab.runs import environment
from migrationlab.runs.numbers import setting
from migrationlab.runs.run import Run

#: Facts that change from run to run by themselves, and so do not separate runs.
_CHANGING = frozenset({"load_1min", "cpu_busy_percent", "measured_mbit_s", "number"})
_NAMES = frozenset({"name", "uuid"})
#: The hash of a domain changes with each of its settings, which are compared themselves, and with
#: the version of libvirt that wrote it, for example when a guest comes back from another release.
_DOMAIN = "guest xml_sha256"
_PLAN = "plan "
#: Settings of the plan that say where to migrate, not how.
_PLACES = frozenset({"migration_uri", "connection_uri"})
_HOST = {
    "libvirt_version": "libvirt",
    "qemu_version": "QEMU",
    "image": "image",
    "kernel": "kernel",
    "cpu_model": "CPU",
    "cpus": "CPUs",
    "memory_mib": "memory MiB",
}


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of runs that may be pooled.

    Attributes:
        of: The name of its group for each run's id.
        differing: The facts in which the groups differ, besides the mode.
    """

    of: Mapping[str, str]
    differing: tuple[str, ...]


def group(runs: Iterable[Run]) -> Groups:
    """Group runs that may be pooled.

    Domain hashes separate runs only where no other difference explains them: see
    :func:`migrationlab.runs.environment.differences`.
    """
    given = list(runs)
    about = {run.run_id: (run, facts_of(run) | _of_plan(run.plan)) for run in given}
    names = dict.fromkeys(name for _, found in about.values() for name in found)
    if environment.DOMAIN not in environment.differences(given):
        names.pop(_DOMAIN, None)
    differing = tuple(
        name for name in names if len({_value(found, name) for _, found in about.values()}) > 1
    )
    return Groups(
        {
            key: ", ".join(
                [
                    str(run.plan.mode),
                    *(
                        _said(found, name)
                        for name in differing
                        if name in found or not name.startswith(_PLAN)
                    ),
                ]
            )
            for key, (run, found) in about.items()
        },
        differing,
    )


def settings_of(runs: Iterable[Run]) -> Mapping[str, str]:
    """Return the setting of each run, by its id: its experiment's cell, or else its group."""
    given = list(runs)
    groups = group(run for run in given if run.experiment is None).of
    return {
        run.run_id: groups[run.run_id] if run.experiment is None else str(run.experiment["cell"])
        for run in given
    }


def facts_of(run: Run) -> dict[str, object]:
    """Return the hosts, guest, wire and machine of a run, in the words of a report."""
    hosts: list[Mapping[str, object]] = sorted(
        (run.source, run.destination), key=lambda host: str(host["name"])
    )
    found: dict[str, object] = {
        f"host {host['name']}": ", ".join(f"{label} {value}" for label, value in _of_host(host))
        for host in hosts
    }
    found["accelerator"] = run.accelerator
    for title, facts in (("guest", run.guest), ("wire", run.wire or {}), ("", run.environment)):
        for key, value in facts.items():
            if key not in _CHANGING and key not in _NAMES:
                found[f"{title} {key}".strip()] = value
    found["migrationlab"] = run.migrationlab_version
    return found


def _of_host(host: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, label in _HOST.items():
        if host.get(key) is not None:
            yield label, host[key]


def _of_plan(plan: Plan) -> dict[str, object]:
    return {
        f"{_PLAN}{name}": value
        for name, value in plan.changed().items()
        if name not in _PLACES and name != "mode"
    }


def _said(found: Mapping[str, object], name: str) -> str:
    """Return a fact as a part of a group's name."""
    value = found.get(name)
    return setting(name.removeprefix(_PLAN), "not known" if value is None else shown(value))


def _value(found: Mapping[str, object], name: str) -> str:
    value = found.get(name)
    return "not known" if value is None else str(value)
