"""Group runs that may be pooled: runs of the same setting and environment.

A run of an experiment names its cell. Other runs are grouped by their mode and by the facts in
which they differ: see :func:`migrationlab.runs.environment.differences`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from migrationlab.experiment.cells import shown
from migrationlab.runs import environment
from migrationlab.runs.numbers import setting
from migrationlab.runs.run import Run


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of runs that may be pooled.

    Attributes:
        of: The name of the group for each run's id.
        differing: The facts in which the groups differ, besides the mode.
    """

    of: Mapping[str, str]
    differing: tuple[str, ...]


def group(runs: Iterable[Run]) -> Groups:
    """Group runs that may be pooled."""
    given = list(runs)
    differing = tuple(environment.differences(given, with_settings=True))
    return Groups({run.run_id: _name(run, differing) for run in given}, differing)


def _name(run: Run, differing: Iterable[str]) -> str:
    """Return the name of a run's group: the run's mode, and its values of the differing facts."""
    facts: dict[str, object] = environment.environment(run) | environment.settings(run)
    facts[environment.DOMAIN] = run.guest.get("xml_sha256")
    words = [
        setting(
            # A host's name can have dots: the last one separates the fact.
            name.removeprefix("plan.") if name.startswith("plan.") else _spaced(name),
            "not known" if facts.get(name) is None else shown(facts[name]),
        )
        for name in differing
        # A setting that a plan does not change has its default.
        if name in facts or not name.startswith("plan.")
    ]
    return ", ".join([str(run.plan.mode), *words])


def _spaced(name: str) -> str:
    place, _, fact = name.rpartition(".")
    return f"{place} {fact}".strip()


def settings_of(runs: Iterable[Run]) -> Mapping[str, str]:
    """Return each run's setting by the run's id: its experiment's cell, or else its group."""
    given = list(runs)
    groups = group(run for run in given if run.experiment is None).of
    return {
        run.run_id: groups[run.run_id] if run.experiment is None else str(run.experiment["cell"])
        for run in given
    }
