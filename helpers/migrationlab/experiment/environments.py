"""Where an experiment takes place: a lab, set up anew for each trial, or two real hosts.

A stage gets everything ready for one migration and says what is to be migrated where to. It is
told of each run, so that a guest which came to harm is not used again.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from migrationlab.errors import GuestError, LabError, PlanError, UsageError
from migrationlab.experiment.design import Cell, Design, RealHosts
from migrationlab.hosts.host import Host
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.guest import GuestLike
from migrationlab.plan.guest_spec import GuestSpec
from migrationlab.plan.validation import Situation
from migrationlab.runs.run import Outcome, Run
from migrationlab.steps import Listener, ignore


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationArgs:
    """What is to be migrated where to: the arguments of :func:`migrationlab.start`.

    Attributes:
        guest: The guest, or a domain's name.
        to: The host that it goes to.
        source: The host that a domain given by name is on.
        probe: An address of the guest to ask for echoes.
    """

    guest: GuestLike | str
    to: Host
    source: Host | None = None
    probe: str | None = None


class Stage(Protocol):
    """A place for migrations."""

    def ready(self, cell: Cell, *, backwards: bool) -> MigrationArgs:
        """Get everything ready for a migration of a cell."""

    def over(self, run: Run) -> None:
        """Hear how the migration ended."""


@contextmanager
def stage_of(design: Design, lab: Lab | None, on_step: Listener) -> Iterator[Stage]:
    """Give the stage of a design, and clear it away afterwards.

    Args:
        design: What is measured.
        lab: The lab to use; None for one that is made, and ends, here.
        on_step: Hears how that comes up.

    Raises:
        PlanError: A cell's plan cannot work with these hosts.
        UsageError: ``lab`` is not as designed.
        HostError: A real host cannot be reached.
        LabError: The lab did not come up, or its wire cannot do what a cell wants.
    """
    with contextlib.ExitStack() as stack:
        if design.hosts is not None:
            if lab is not None:
                raise UsageError(
                    "the design has real hosts, and a lab is given",
                    hint="leave out lab, or hosts",
                )
            there = design.hosts
            source, to = (
                stack.enter_context(contextlib.closing(Host(uri)))
                for uri in (there.source, there.to)
            )
            _judge(design, source, to)
            yield HostsEnvironment(there, source, to)
            return
        assert design.images is not None
        own = lab is None
        if lab is None:
            lab = stack.enter_context(Lab(images=design.images, on_step=on_step))
            lab.on_step = ignore  # a guest's boot is a part of its trial
        elif lab.images != design.images:
            raise UsageError(
                f"the design wants hosts of {' and '.join(design.images)}, and the lab has "
                f"{' and '.join(lab.images)}",
                hint="give another lab, or none, so that one is made",
            )
        _judge(design, *lab.hosts)
        wires = [cell.wire for cell in design.cells if cell.wire is not None]
        if any(w.delay_ms or w.loss_percent for w in wires) and not lab.wire.can_impair():
            raise LabError(
                "this machine's kernel has no netem, so the wire cannot delay or lose anything",
                hint="load it with `sudo modprobe sch_netem`, or leave delay and loss at 0",
            )
        stage = LabEnvironment(lab)
        if not own:
            stack.callback(stage.close)
        yield stage


def _judge(design: Design, first: Host, second: Host) -> None:
    """Refuse plans that these hosts cannot do, in either direction, before the first migration."""
    sides = [host.side for host in (first, second)]
    for cell in design.cells:
        for source, to in (sides, sides[::-1]):
            try:
                cell.plan.require_valid(situation=Situation(source=source, destination=to))
            except PlanError as error:
                raise PlanError(f"cell {cell.name!r}: {error}", hint=error.hint) from error


class LabEnvironment:
    """A lab, with one guest at a time.

    Args:
        lab: The lab.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._guest: Guest | None = None
        self._shape: GuestSpec | None = None
        self._wire_before = lab.wire.settings

    def ready(self, cell: Cell, *, backwards: bool) -> MigrationArgs:
        """Set the wire, and see that a guest of the cell runs where it is to leave from."""
        assert cell.workload is not None
        assert cell.wire is not None
        self._lab.wire.set(**dataclasses.asdict(cell.wire))
        if self._lab.wire.settings not in self._lab.wire_checks:
            # Once each, so that every run tells what its wire really carries.
            self._lab.measure_wire()
        source = self._lab.hosts[int(backwards)]
        guest = self._usable(cell.workload, source)
        if guest is None:
            self._drop()
            guest = self._guest = self._lab.boot(**dataclasses.asdict(cell.workload), on=source)
            self._shape = _shape(cell.workload)
        else:
            guest.set_workload(
                cell.workload.dirty_mib_s,
                cell.workload.pattern,
                disk_mib_s=cell.workload.disk_mib_s if cell.workload.disk else None,
            )
        return MigrationArgs(guest=guest, to=self._lab.other(source))

    def _usable(self, workload: GuestSpec, source: Host) -> Guest | None:
        """Return the guest of the trial before, where it will do."""
        if self._guest is None or self._shape != _shape(workload):
            return None
        return self._guest if self._guest.host is source and not self._guest.paused else None

    def over(self, run: Run) -> None:
        """Give up a guest that did not arrive whole: it may have lost more than its way."""
        whole = run.guest_check is not None and run.guest_check["intact"]
        if run.outcome is not Outcome.COMPLETED or not whole:
            self._drop()

    def close(self) -> None:
        """End the guest, and leave the wire as it was."""
        self._drop()
        self._lab.wire.set(**dataclasses.asdict(self._wire_before))

    def _drop(self) -> None:
        if self._guest is not None:
            guest, self._guest = self._guest, None
            guest.clear()


def _shape(workload: GuestSpec) -> GuestSpec:
    """Return what of a workload cannot be changed while the guest runs."""
    return dataclasses.replace(workload, dirty_mib_s=0, pattern="sequential", disk_mib_s=0)


class HostsEnvironment:
    """Two real hosts, between which a domain goes to and fro.

    Args:
        hosts: What the design says of them.
        first: The one.
        second: The other.
    """

    def __init__(self, hosts: RealHosts, first: Host, second: Host) -> None:
        self._hosts = hosts
        self._pair = (first, second)

    def ready(self, cell: Cell, *, backwards: bool) -> MigrationArgs:
        """Find the domain, which decides the direction: it stays where a failure left it."""
        for source, to in (self._pair, self._pair[::-1]):
            with contextlib.suppress(GuestError):
                source.domain(self._hosts.domain)
                return MigrationArgs(
                    guest=self._hosts.domain, to=to, source=source, probe=self._hosts.probe
                )
        raise GuestError(
            f"neither host runs a domain {self._hosts.domain!r}",
            hint="start it on one of them; the experiment goes on from there",
        )

    def over(self, run: Run) -> None:
        """Do nothing: the domain is not the kit's."""
