"""Which of some runs were made alike, so that their figures can be put together.

Runs of an experiment say which setting each of them measured. Of other runs the guest, the wire,
the plan and what they were made on tell: those that differ in any of it answer different questions.
Pure: works from runs that are there. Imports no libvirt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from migrationlab.experiment.design import shown
from migrationlab.plan.plan import Plan
from migrationlab.runs import environment
from migrationlab.runs.numbers import setting
from migrationlab.runs.run import Run

#: What differs from run to run by itself, and so makes no difference between environments.
_EVER_CHANGING = frozenset({"load_1min", "cpu_busy_percent", "measured_mbit_s", "number"})
_NAMES = frozenset({"name", "uuid"})
#: The hash of a domain changes with all its settings, which are told by themselves, and with the
#: version of libvirt that wrote it, as when a guest comes back from another release.
_DOMAIN = "guest xml_sha256"
_PLAN = "plan "
#: Of the plan, what says where to and not how.
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
    """Runs that were made alike, by what tells them from the others.

    Attributes:
        of: For each run's name the name of its group.
        differing: What tells the groups apart, besides the mode.
    """

    of: Mapping[str, str]
    differing: tuple[str, ...]


def group(runs: Iterable[Run]) -> Groups:
    """Put runs together that were made alike, so that no others are pooled.

    Domains whose hashes differ set runs apart only where nothing else explains it, as
    :func:`migrationlab.runs.environment.differences` has it.
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
    """Give for each run's name that of its setting: its experiment's cell, else its group."""
    given = list(runs)
    groups = group(run for run in given if run.experiment is None).of
    return {
        run.run_id: groups[run.run_id] if run.experiment is None else str(run.experiment["cell"])
        for run in given
    }


def facts_of(run: Run) -> dict[str, object]:
    """Give what one run was made on, by the words of a report."""
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
            if key not in _EVER_CHANGING and key not in _NAMES:
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
    """Say a fact as one of a group's name; settings of the plan that are left out are not said."""
    value = found.get(name)
    return setting(name.removeprefix(_PLAN), "not known" if value is None else shown(value))


def _value(found: Mapping[str, object], name: str) -> str:
    value = found.get(name)
    return "not known" if value is None else str(value)
