"""Experiments: a question, a grid of settings, repeats; run, stopped, resumed, and read.

::

    experiment = mig.Experiment(
        question="Does post-copy shorten the downtime of a busy guest?",
        plans={"pre-copy": mig.Plan(), "post-copy": mig.Plan(postcopy=True)},
        workloads={"dirty_mib_s": [10, 40]},
        repeats=10,
    )
    experiment.run()
    experiment.summary()
    experiment.compare({"plan": "pre-copy", "dirty_mib_s": 40},
                       {"plan": "post-copy", "dirty_mib_s": 40}, "downtime_network_ms")

What is on disk decides: an experiment that was stopped, or crashed, goes on with :meth:`run`.
Reading one needs no libvirt, which is imported when it is run.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from migrationlab.errors import UsageError
from migrationlab.experiment import folder as files
from migrationlab.experiment.design import Design, read, shown
from migrationlab.experiment.feasibility import require_possible, require_room
from migrationlab.experiment.results import Results
from migrationlab.experiment.schedule import schedule
from migrationlab.experiment.toml import read_toml
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Runs, new_run_id
from migrationlab.steps import Listener, ignore

if TYPE_CHECKING:
    from migrationlab.lab.lab import Lab

Table = Mapping[str, Any]


class Experiment(Results):
    """A question, what is compared to answer it, and the runs that there are.

    In ``grid``, ``workloads`` and ``wires`` a list stands for alternatives, which are crossed, and
    anything else is the same for all. Every combination is a *cell*; a block has each cell once, in
    random order, and there are as many blocks as repeats.

    Nothing is written until :meth:`run`. Where ``directory`` has this experiment already, it is
    taken up, with more repeats if more are given.

    Args:
        question: What it is to answer.
        plans: Whole plans to compare, by name or in a row; not with ``grid``.
        grid: Settings of the plan to compare, by name.
        workloads: What the guest does: ``memory_mib``, ``working_set_mib``, ``dirty_mib_s``,
            ``pattern``, and ``disk`` with its like, as :meth:`Lab.boot` has them; or several such.
        wires: What it goes over: ``wire_mbit_s`` (None for no limit), ``delay_ms``,
            ``loss_percent``; or several such.
        repeats: How often each cell is measured. Six is the least for an interval of a median.
        warm_ups: How many migrations are made first whenever it is started; kept, and not counted.
        seed: Of the order.
        name: A short name; by default the question's first words.
        images: The Debian release of the lab's hosts, or of each.
        hosts: Real hosts instead of a lab: ``source`` and ``to`` (connection URIs), ``domain``,
            and maybe ``probe`` (an address of the guest, to ask for echoes).
        directory: Its folder; by default one of its name in ``experiments``.

    Raises:
        PlanError: A cell's plan cannot work.
        GuestError: A cell's guest cannot be.
        UsageError: Anything else in the design cannot be, or ``directory`` has another experiment.
        StoreError: What ``directory`` has cannot be read.
    """

    def __init__(
        self,
        question: str,
        *,
        plans: Mapping[str, Plan] | Sequence[Plan] | None = None,
        grid: Table | None = None,
        workloads: Table | Sequence[Table] | None = None,
        wires: Table | Sequence[Table] | None = None,
        repeats: int = 10,
        warm_ups: int = 1,
        seed: int = 0,
        name: str | None = None,
        images: str | tuple[str, str] | None = None,
        hosts: Table | None = None,
        directory: str | Path | None = None,
    ) -> None:
        given = {
            "question": question,
            "name": name,
            "repeats": repeats,
            "warm_ups": warm_ups,
            "seed": seed,
            "plan": grid,
            "plans": None if plans is None else _named(plans),
            "workload": workloads,
            "wire": wires,
            "lab": None if images is None else {"images": images},
            "hosts": hosts,
        }
        design = read({key: value for key, value in given.items() if value is not None})
        folder = Path(directory or Path("experiments") / design.name)
        super().__init__(_head(design, folder), folder)

    @classmethod
    def load(
        cls, path: str | Path, *, directory: str | Path | None = None, strict: bool = True
    ) -> Self:
        """Return the experiment of a folder, or of a TOML file.

        Args:
            path: The folder of an experiment, or a TOML file that describes one.
            directory: The folder for a file's experiment; by default the file's path without its
                ``.toml``.
            strict: Whether a run that cannot be read is an error, told when the runs are first
                asked for. Give False to have the others, and in ``runs.unreadable`` why not these.

        Raises:
            PlanError: A plan in the file cannot work.
            UsageError: The file is none, or the folder has another experiment.
            StoreError: The folder has no experiment, or it cannot be read.
        """
        given = Path(path)
        if given.is_dir() and directory is not None and Path(directory) != given:
            raise UsageError(
                f"{given} is an experiment's folder, and so its own place", hint="leave out -o"
            )
        made = cls.__new__(cls)
        if given.suffix == ".toml" and not given.is_dir():
            folder = Path(directory or given.with_suffix(""))
            Results.__init__(made, _head(read_toml(given), folder), folder, strict=strict)
        else:
            Results.__init__(made, files.read_head(given), given, strict=strict)
        return made

    def run(
        self,
        *,
        lab: Lab | None = None,
        on_step: Listener = ignore,
        stop: threading.Event | None = None,
    ) -> Runs:
        """Make the trials that are left; each run is on disk as soon as it is over.

        Args:
            lab: A lab to do it in, with hosts of the design's images; by default one of its own,
                that ends with it.
            on_step: Hears how it goes, and about how long it still takes.
            stop: Once it is set, the migration under way is cancelled, and what is left stays so;
                call this again to go on.

        Returns:
            All runs of the experiment.

        Raises:
            KeyboardInterrupt: Ctrl-C: as ``stop``.
            UsageError: Another process runs it, or ``lab`` is not as designed.
            StoreError: The disk has too little room, or refused.
            LabError: The lab did not come up, or broke.
            HostError: A host cannot be reached, or refused before a migration began.
        """
        from migrationlab.experiment.runner import conduct  # noqa: PLC0415 (libvirt: to run only)

        with files.held(self.directory):
            if files.is_experiment(self.directory):
                # Another process may have begun it meanwhile, or given it more repeats.
                self.head = _taken_up(files.read_head(self.directory), self.head, self.directory)
            require_room(self.design, self.directory, trials=len(self.left))
            files.write_head(self.directory, self.head)
            if self.left:
                conduct(self, lab=lab, on_step=on_step, stop=stop or threading.Event())
        return self.runs


def _head(design: Design, folder: Path) -> files.Head:
    """Return the experiment of a design: the one in the folder, or else a new one."""
    require_possible(design)
    names = [cell.name for cell in design.cells]
    head = files.Head(
        id=new_run_id(),
        created=datetime.now(UTC).isoformat(),
        migrationlab_version=version("migrationlab"),
        design=design,
        trials=schedule(names, design.repeats, design.seed),
    )
    if files.is_experiment(folder):
        return _continued(files.read_head(folder), head, folder)
    return head


def _named(plans: Mapping[str, Plan] | Sequence[Plan]) -> dict[str, dict[str, object]]:
    """Return plans by their names, as a design has them."""
    if not isinstance(plans, Mapping):
        labels = [
            ", ".join(f"{key}={shown(value)}" for key, value in plan.changed().items())
            for plan in plans
        ]
        if len(set(labels)) < len(labels):
            raise UsageError("plans: the same plan twice", hint="give repeats for more of the same")
        plans = dict(zip((label or "defaults" for label in labels), plans, strict=True))
    return {str(name): plan.changed() for name, plan in plans.items()}


def _taken_up(found: files.Head, known: files.Head, folder: Path) -> files.Head:
    """Return the experiment that was found, with more repeats where more are known of.

    Raises:
        UsageError: It is another one.
    """
    if known.design.repeats > found.design.repeats:
        return _continued(found, known, folder)
    _require_alike(found.design, known.design, folder)
    return found


def _require_alike(found: Design, wanted: Design, folder: Path) -> None:
    changed = [
        what
        for what in ("question", "cells", "seed", "images", "hosts")
        if getattr(found, what) != getattr(wanted, what)
    ]
    if changed:
        raise UsageError(
            f"{folder} has an experiment already, with other {', '.join(changed)}",
            hint="choose another directory; of the one that is there only repeats can be raised",
        )


def _continued(found: files.Head, wanted: files.Head, folder: Path) -> files.Head:
    """Return the experiment that was found, as it is wanted now: only repeats may have grown.

    Raises:
        UsageError: It is another one.
    """
    _require_alike(found.design, wanted.design, folder)
    if wanted.design.repeats < found.design.repeats:
        raise UsageError(
            f"{folder} has an experiment of {found.design.repeats} repeats, and "
            f"{wanted.design.repeats} are asked for",
            hint="repeats can be raised, not lowered: what was measured counts",
        )
    return files.Head(
        id=found.id,
        created=found.created,
        migrationlab_version=found.migrationlab_version,
        design=wanted.design,
        # What was laid down stays, whatever this version would make of the seed.
        trials=found.trials + wanted.trials[len(found.trials) :],
    )
