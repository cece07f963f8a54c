"""Run and read an experiment: a question, a grid of settings, repeats.

::

    experiment = mig.Experiment(
        question="Does post-copy shorten the downtime of a busy guest?",
        plans={
            "pre-copy": mig.Plan(),
            "post-copy": mig.Plan(postcopy=True, postcopy_after_iteration=1),
        },
        workloads={"dirty_mib_s": [10, 40]},
        repeats=10,
    )
    experiment.run()
    experiment.summary()
    experiment.compare({"plan": "pre-copy", "dirty_mib_s": 40},
                       {"plan": "post-copy", "dirty_mib_s": 40}, "downtime_network_ms")

The files on disk show which runs are left: :meth:`Experiment.run` continues an experiment after a
stop or a crash. Only :meth:`Experiment.run` needs libvirt.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from migrationlab.errors import UsageError
from migrationlab.experiment import battery as batteries
from migrationlab.experiment.cells import shown
from migrationlab.experiment.design import Design, read, read_file
from migrationlab.experiment.feasibility import require_possible, require_room
from migrationlab.experiment.folder import (
    ExperimentManifest,
    is_experiment,
    locked,
    read_manifest,
    write_manifest,
)
from migrationlab.experiment.inventory import Pair, read_inventory
from migrationlab.experiment.results import Results
from migrationlab.experiment.schedule import schedule
from migrationlab.plan.plan import Plan
from migrationlab.plan.programs import require_trusted
from migrationlab.runs.run import Runs, new_run_id
from migrationlab.steps import Listener, ignore

if TYPE_CHECKING:
    from migrationlab.lab.lab import Lab

Table = Mapping[str, Any]


class Experiment(Results):
    """A question, the cells that answer it, and their runs.

    In ``grid``, ``workloads`` and ``wires`` a list stands for alternatives, which are crossed; any
    other value applies to all. Every combination is a *cell*. A block has each cell once, in random
    order, and there are as many blocks as repeats.

    Only :meth:`run` writes files. If ``directory`` has this experiment already, the experiment is
    continued, with more repeats if more are given.

    Args:
        question: The question that the experiment answers.
        plans: Whole plans to compare, by name or as a list; not with ``grid``.
        grid: Settings of the plan to compare, by name.
        workloads: The guest's workload: ``memory_mib``, ``working_set_mib``, ``dirty_mib_s``,
            ``pattern``, ``disk`` and the other arguments of :meth:`Lab.boot`; or a list of such
            tables.
        guests: Whole workloads, each with a name; not with ``workloads``.
        wires: The wire: ``wire_mbit_s`` (None for no limit), ``delay_ms``, ``loss_percent``; or a
            list of such tables.
        repeats: The number of runs of each cell. The interval of a median needs at least six.
        warm_ups: The number of migrations before those that count, at each start; they are stored.
        seed: The seed of the random order.
        name: A short name; by default the first words of the question.
        images: The Debian release of the lab's hosts, or one release for each host.
        hosts: Real hosts instead of a lab: ``source`` and ``to`` (connection URIs), ``domain``,
            and optionally ``probe`` (an address of the guest, for echo requests).
        layout: "full" (the default), "one-at-a-time" (each cell changes one factor of the first
            cell), or "fractional" (a balanced part of the grid).
        fraction: How many times smaller a fractional layout is; by default 2.
        stop: When it may stop before all repeats: ``looks``, the numbers of blocks after which the
            comparisons of ``metric`` are tested. All looks share the error of 5 %.
        allocate: How the time is spent: ``time_s`` seconds, of which ``pilot`` whole blocks come
            first, and the rest goes to the cells whose ``metric`` varies most in them.
        directory: The experiment's folder; by default a folder of its name in ``experiments``.

    Raises:
        PlanError: The plan of a cell is not valid.
        GuestError: The guest of a cell is not possible.
        UsageError: Another value is not valid, or ``directory`` has another experiment.
        StoreError: ``directory`` cannot be read.
    """

    def __init__(
        self,
        question: str,
        *,
        plans: Mapping[str, Plan] | Sequence[Plan] | None = None,
        grid: Table | None = None,
        workloads: Table | Sequence[Table] | None = None,
        guests: Mapping[str, Table] | None = None,
        wires: Table | Sequence[Table] | None = None,
        repeats: int = 10,
        warm_ups: int = 1,
        seed: int = 0,
        name: str | None = None,
        images: str | tuple[str, str] | None = None,
        hosts: Table | None = None,
        layout: str | None = None,
        fraction: int | None = None,
        stop: Table | None = None,
        allocate: Table | None = None,
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
            "guests": guests,
            "wire": wires,
            "lab": None if images is None else {"images": images},
            "hosts": hosts,
            "layout": layout,
            "fraction": fraction,
            "stop": stop,
            "allocate": allocate,
        }
        design = read({key: value for key, value in given.items() if value is not None})
        folder = Path(directory or Path("experiments") / design.name)
        super().__init__(_manifest(design, folder), folder)

    @classmethod
    def load(
        cls, path: str | Path, *, directory: str | Path | None = None, strict: bool = True
    ) -> Self:
        """Return the experiment of a folder, or of a TOML file.

        Args:
            path: The folder of an experiment, or a TOML file that describes one.
            directory: The folder for the experiment of a TOML file; by default the file's path
                without ``.toml``.
            strict: Whether a run that cannot be read is an error, raised when the runs are first
                used. With False the other runs are read, and ``runs.unreadable`` says why.

        Raises:
            PlanError: A plan in the file is not valid.
            UsageError: The file is not valid, or the folder has another experiment.
            StoreError: The folder has no experiment, or cannot be read.
        """
        given = Path(path)
        if given.is_dir() and directory is not None and Path(directory) != given:
            raise UsageError(
                f"directory must be left out for the folder of an experiment (got {directory})",
                hint="Leave out directory (-o): the runs are written to the experiment's folder.",
            )
        made = cls.__new__(cls)
        if given.suffix == ".toml" and not given.is_dir():
            folder = Path(directory or given.with_suffix(""))
            Results.__init__(made, _manifest(read_file(given), folder), folder, strict=strict)
        else:
            Results.__init__(made, read_manifest(given), given, strict=strict)
        return made

    @classmethod
    def battery(
        cls,
        name: str,
        *,
        repeats: int | None = None,
        budget_s: float | None = None,
        small: bool = False,
        metric: str = "total_ms",
        directory: str | Path | None = None,
    ) -> Self:
        """Return the experiment of a battery, a standard comparison: see ``migrationlab battery``.

        Args:
            name: The battery's name.
            repeats: The number of runs of each cell; by default 10, or what the budget pays.
            budget_s: The seconds for all runs; then as many repeats are planned as they pay, more
                of them where ``metric`` varies more.
            small: Whether to take its smaller guest, for a machine without KVM.
            metric: The metric whose variance decides.
            directory: Its folder; by default a folder of its name in ``experiments``.

        Raises:
            UsageError: There is no such battery, the budget does not pay one block, or
                ``directory`` has another experiment.
        """
        made = cls.__new__(cls)
        chosen = batteries.find(name, small=small)
        design = batteries.design(chosen, repeats=repeats, budget_s=budget_s, metric=metric)
        folder = Path(directory or Path("experiments") / name)
        if is_experiment(folder) and repeats is None:
            # What was planned stays planned: the rest of it is continued.
            found = read_manifest(folder).design
            spec = {**chosen.spec, "repeats": max(found.repeats, design.repeats)}
            if found.allocation is not None:
                kept = {key: found.spec[key] for key in ("repeats", "allocate")}
                spec = {**chosen.spec, **kept}
            design = read(spec)
        Results.__init__(made, _manifest(design, folder), folder)
        return made

    def run(
        self,
        *,
        lab: Lab | None = None,
        on_step: Listener = ignore,
        stop: threading.Event | None = None,
        allow_programs: bool = False,
        budget_s: float | None = None,
        pairs: str | Path | Sequence[Pair] | None = None,
        client: Any = None,
        scheduler: str | None = None,
    ) -> Runs:
        """Make the remaining runs; each run is written to disk as soon as it is over.

        Args:
            lab: The lab to use, with hosts of the design's images; by default a new lab, which
                ends with the experiment.
            on_step: Receives the progress, and an estimate of the time left.
            stop: Setting it cancels the running migration, and no other begins. Call
                this method again to continue.
            allow_programs: Whether to run the programs that the design or the pairs name, as
                ``?command=PATH`` in a connection URI does: see ``design.programs``.
            budget_s: The seconds that it may take: no block begins that would end later. Call this
                method again to continue.
            pairs: Pairs of hosts that share the blocks, or an inventory (a TOML file) of them. A
                pair makes whole blocks, and no migration is repeated silently: see ``campaign``.
            client: A ``distributed.Client`` whose workers stand beside the pairs; by default
                workers are started on this machine.
            scheduler: The address of a scheduler of Dask, instead of ``client``.

        Raises:
            KeyboardInterrupt: Ctrl-C, which does the same as ``stop``.
            UsageError: Another process runs it, ``lab`` does not fit the design, or the design
                or a pair names programs.
            StoreError: The disk has too little room, or a file could not be written.
            LabError: The lab did not come up, or failed.
            HostError: A host cannot be reached, or refused before a migration began.
        """
        # Running an experiment needs libvirt; reading one does not.
        from migrationlab.experiment.runner import run_experiment  # noqa: PLC0415

        found = read_inventory(pairs) if isinstance(pairs, str | Path) else tuple(pairs or ())
        if not allow_programs:
            require_trusted([*self.design.programs, *(name for p in found for name in p.programs)])
        if pairs is not None and self.design.allocation is not None:
            raise UsageError(
                "pairs need equal repeats (got a design with `allocate`)",
                hint="Give repeats instead of a budget: a pair makes whole blocks.",
            )
        with locked(self.directory):
            if is_experiment(self.directory):
                # Another process may have begun the experiment meanwhile, or added repeats.
                stored = read_manifest(self.directory)
                self.manifest = _merged(stored, self.manifest, self.directory)
            require_room(self.design, self.directory, runs=len(self.left))
            write_manifest(self.directory, self.manifest)
            if self.left and pairs is not None:
                from migrationlab.experiment.campaign import run_on_pairs  # noqa: PLC0415

                run_on_pairs(
                    self,
                    found,
                    client=client,
                    scheduler=scheduler,
                    on_step=on_step,
                    stop=stop or threading.Event(),
                )
            elif self.left:
                run_experiment(
                    self,
                    lab=lab,
                    on_step=on_step,
                    stop=stop or threading.Event(),
                    budget_s=budget_s,
                )
        return self.runs


def _manifest(design: Design, folder: Path) -> ExperimentManifest:
    """Return the manifest of a design: the one in the folder, or else a new one."""
    require_possible(design)
    names = [cell.name for cell in design.cells]
    blocks = design.repeats if design.allocation is None else design.allocation.pilot
    wanted = ExperimentManifest(
        id=new_run_id(),
        created=datetime.now(UTC).isoformat(),
        migrationlab_version=version("migrationlab"),
        design=design,
        planned=schedule(names, blocks, design.seed),
    )
    if not is_experiment(folder):
        return wanted
    found = read_manifest(folder)
    merged = _merged(found, wanted, folder)
    if design.repeats < found.design.repeats:
        raise UsageError(
            f"repeats must be at least {found.design.repeats}, as in {folder} "
            f"(got {design.repeats})",
            hint="Raise repeats, or choose another directory: an experiment keeps its runs.",
        )
    # With equal repeats the design may still be spelled in another way, or have other warm-ups.
    return replace(merged, design=design)


def _named(plans: Mapping[str, Plan] | Sequence[Plan]) -> dict[str, dict[str, object]]:
    """Return plans by their names, in the form of a design."""
    if not isinstance(plans, Mapping):
        labels = [
            ", ".join(f"{key}={shown(value)}" for key, value in plan.changed().items())
            for plan in plans
        ]
        if len(set(labels)) < len(labels):
            raise UsageError(
                "plans must differ (got the same plan twice)",
                hint="Give plans that differ. To measure a plan more often, raise repeats.",
            )
        plans = dict(zip((label or "defaults" for label in labels), plans, strict=True))
    return {str(name): plan.changed() for name, plan in plans.items()}


def _merged(
    found: ExperimentManifest, wanted: ExperimentManifest, folder: Path
) -> ExperimentManifest:
    """Return the found manifest, with the wanted one's repeats if those are more."""
    changed = [
        what
        for what in ("question", "cells", "seed", "images", "hosts", "stopping", "allocation")
        if getattr(found.design, what) != getattr(wanted.design, what)
    ]
    if changed:
        raise UsageError(
            f"{folder} must hold the same experiment ({', '.join(changed)} differ)",
            hint="Choose another directory. In an existing experiment only repeats can be raised.",
        )
    if wanted.design.repeats <= found.design.repeats:
        return found
    if found.design.allocation is not None:
        raise UsageError(
            f"repeats must stay {found.design.repeats}, as in {folder} "
            f"(got {wanted.design.repeats}): its runs are allocated",
            hint="Choose another directory.",
        )
    # What was planned stays planned, even if this version would make another order of the seed.
    added = wanted.planned[len(found.planned) :]
    return replace(found, design=wanted.design, planned=found.planned + added)
