"""Find the command that repeats some runs: the demo, an experiment, or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrationlab.errors import PlanError, UsageError
from migrationlab.experiment.cells import shown
from migrationlab.experiment.design import read
from migrationlab.experiment.spec import to_toml
from migrationlab.plan.guest_spec import GuestSpec
from migrationlab.plan.plan import Plan
from migrationlab.plan.spec import factors, of_record
from migrationlab.plan.uris import Mode
from migrationlab.plan.wire_spec import WireSpec
from migrationlab.runs.run import Run

#: The default image of the demo.
_DEMO_IMAGE = "trixie"
#: Settings that a lab fills in.
_PLACES = ("migration_uri", "connection_uri")
_NAME = "again"


@dataclass(frozen=True, slots=True)
class Repeat:
    """A command that repeats some runs.

    Attributes:
        command: The command line; empty if no single command repeats them.
        toml: The content of the file that the command needs; empty if it needs none.
        name: The name of that file without ``.toml``, and of its folder.
    """

    command: str = ""
    toml: str = ""
    name: str = _NAME


def repeat(runs: Sequence[Run]) -> Repeat:
    """Return the command that repeats some runs.

    The demo repeats runs with default settings in both modes. An experiment repeats other runs of
    one guest of a lab over one wire. No single command repeats runs of several guests or wires, or
    runs between real hosts, whose guests migrationlab cannot make.
    """
    guests = {_plain(_workload(run)) for run in runs}
    wires = {_plain(_wire(run)) for run in runs}
    pairs = {tuple(sorted((_image(run.source), _image(run.destination)))) for run in runs}
    if None in guests or None in wires or len(guests) > 1 or len(wires) > 1 or len(pairs) > 1:
        return Repeat()
    ((first, second),) = pairs
    if not first or not second:
        return Repeat()
    workload, wire = _workload(runs[0]), _wire(runs[0])
    assert workload is not None
    assert wire is not None
    plans = [_plan(run) for run in runs]
    counted = Counter(_plain(plan) for plan in plans)
    both_modes = {_plain(_plan_of(mode)) for mode in Mode}
    usual = _given(GuestSpec(accelerator=workload["accelerator"])), _wire_factors(WireSpec())
    if first == second and set(counted) == both_modes and (workload, wire) == usual:
        image = "" if first == _DEMO_IMAGE else f" --image {first}"
        again = max(counted.values())
        return Repeat(f"migrationlab demo --repeats {again}{image} --output DIRECTORY")
    spec = {
        "question": "How do these settings compare?",
        "name": _NAME,
        "repeats": max(counted.values()),
        "plans": {_named(plan): plan for plan in plans},
        "workload": workload,
        "wire": wire,
        "lab": {"images": [first, second]},
    }
    try:
        read(spec)
    except (PlanError, UsageError):  # a plan that was tried although it cannot work
        return Repeat()
    return Repeat(f"migrationlab experiment {_NAME}.toml", to_toml(spec))


def _workload(run: Run) -> dict[str, Any] | None:
    """Return the settings of a lab's guest; None for unknown settings or a guest outside a lab."""
    if run.wire is None or "working_set_mib" not in run.guest:
        return None
    # The machine type is left out: a lab takes the newest one that its hosts have.
    left_out: dict[str, Any] = {"machine": None, "accelerator": run.accelerator}
    return _given(of_record(GuestSpec, {**run.guest, **left_out}))


def _given(guest: GuestSpec) -> dict[str, Any]:
    return {name: value for name, value in factors(guest).items() if value is not None}


def _wire(run: Run) -> dict[str, Any] | None:
    if run.wire is None:
        return None
    return _wire_factors(of_record(WireSpec, run.wire))


def _wire_factors(wire: WireSpec) -> dict[str, Any]:
    both = ("wire_back_mbit_s",) if wire.back_mbit_s is None else ()
    return {name: value for name, value in factors(wire).items() if name not in both}


def _image(host: Mapping[str, Any]) -> str:
    return str(host.get("image") or "")


def _plan(run: Run) -> dict[str, Any]:
    return {name: value for name, value in run.plan.changed().items() if name not in _PLACES}


def _plan_of(mode: Mode) -> dict[str, Any]:
    return Plan(mode=mode).changed()


def _named(plan: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={shown(value)}" for key, value in plan.items()) or "defaults"


def _plain(values: Mapping[str, Any] | None) -> str | None:
    return None if values is None else repr(sorted(values.items()))
