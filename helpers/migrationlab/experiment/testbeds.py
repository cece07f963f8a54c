"""Provide the place where an experiment runs: a lab, or two real hosts.

A testbed prepares everything for one migration, and returns the guest and the hosts. It receives
each run, so that a damaged guest is not used again.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from migrationlab.errors import GuestError, PlanError, UsageError
from migrationlab.experiment.cells import Cell
from migrationlab.experiment.design import Design, RealHosts
from migrationlab.hosts.host import Host
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.lab.network import no_netem
from migrationlab.migrate.guest import GuestLike
from migrationlab.plan.guest_spec import GuestSpec
from migrationlab.plan.validation import Situation
from migrationlab.plan.virsh import virsh_line
from migrationlab.runs.run import Outcome, Run
from migrationlab.steps import Listener, ignore


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationArgs:
    """The arguments of :func:`migrationlab.start`; a guest given by name needs its source."""

    guest: GuestLike | str
    to: Host
    source: Host | None = None
    probe: str | None = None


class Testbed(Protocol):
    """A place for the migrations of an experiment."""

    def ready(self, cell: Cell, *, backwards: bool) -> MigrationArgs:
        """Prepare a migration of a cell."""

    def over(self, run: Run) -> None:
        """Receive the run of the migration."""


@contextmanager
def open_testbed(design: Design, lab: Lab | None, on_step: Listener) -> Iterator[Testbed]:
    """Open the testbed of a design, in ``lab`` or else a new lab; close it afterwards."""
    with contextlib.ExitStack() as stack:
        if design.hosts is not None:
            if lab is not None:
                raise UsageError(
                    "lab must be left out for a design with real hosts",
                    hint="Leave out lab, or take hosts out of the design.",
                )
            uris = (design.hosts.source, design.hosts.to)
            pair = [stack.enter_context(contextlib.closing(Host(uri))) for uri in uris]
            _validate_plans(design, *pair)
            yield HostsTestbed(design.hosts, *pair)
            return
        assert design.images is not None
        own = lab is None
        if lab is None:
            lab = stack.enter_context(Lab(images=design.images, on_step=on_step))
            lab.on_step = ignore  # a guest's boot is a part of its run
        elif lab.images != design.images:
            raise UsageError(
                f"lab must have hosts of {' and '.join(design.images)} "
                f"(got {' and '.join(lab.images)})",
                hint="Give another lab, or none: then a lab is made.",
            )
        _validate_plans(design, *lab.hosts)
        wires = [cell.wire for cell in design.cells if cell.wire is not None]
        if any(wire.impaired for wire in wires) and not lab.wire.can_impair():
            raise no_netem()
        testbed = LabTestbed(lab)
        if not own:
            stack.callback(testbed.close)
        yield testbed


def _validate_plans(design: Design, first: Host, second: Host) -> None:
    """Refuse plans that do not work with these hosts, in either direction."""
    sides = [host.side for host in (first, second)]
    for cell in design.cells:
        for source, to in (sides, sides[::-1]):
            try:
                cell.plan.require_valid(situation=Situation(source=source, destination=to))
            except PlanError as error:
                raise PlanError(f"cell {cell.name!r}: {error}", hint=error.hint) from error


class LabTestbed:
    """A lab with one guest at a time."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._guest: Guest | None = None
        self._shape: GuestSpec | None = None
        self._wire_before = lab.wire.settings

    def ready(self, cell: Cell, *, backwards: bool) -> MigrationArgs:
        """Set the wire, and make sure that a guest of the cell runs at the source."""
        assert cell.workload is not None
        assert cell.wire is not None
        source = self._lab.hosts[int(backwards)]
        # A cell's wire is as the source sees it.
        wire = cell.wire.reversed() if backwards else cell.wire
        self._lab.wire.set(**dataclasses.asdict(wire))
        if self._lab.wire.seen_from(source.name) not in self._lab.wire_checks:
            # Measured once for each setting, so that every run has the real rate of its wire.
            self._lab.measure_wire(source)
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
                incompressible=cell.workload.incompressible,
                content=cell.workload.content,
            )
        return MigrationArgs(guest=guest, to=self._lab.other(source))

    def _usable(self, workload: GuestSpec, source: Host) -> Guest | None:
        """Return the guest of the previous run, if the guest fits this run too."""
        if self._guest is None or self._shape != _shape(workload):
            return None
        return self._guest if self._guest.host is source and not self._guest.paused else None

    def over(self, run: Run) -> None:
        """Drop a guest that did not arrive with intact memory."""
        whole = run.guest_check is not None and run.guest_check["intact"]
        if run.outcome is not Outcome.COMPLETED or not whole:
            self._drop()

    def close(self) -> None:
        """End the guest, and set the wire back."""
        self._drop()
        self._lab.wire.set(**dataclasses.asdict(self._wire_before))

    def _drop(self) -> None:
        if self._guest is not None:
            guest, self._guest = self._guest, None
            guest.clear()


def _shape(workload: GuestSpec) -> GuestSpec:
    """Return the settings of a workload that cannot be changed while the guest runs."""
    return dataclasses.replace(
        workload,
        dirty_mib_s=0, pattern="sequential", disk_mib_s=0, incompressible=0, content="zeros",
    )  # fmt: skip


class HostsTestbed:
    """Two real hosts, between which a domain moves back and forth."""

    def __init__(self, hosts: RealHosts, first: Host, second: Host) -> None:
        self._hosts = hosts
        self._pair = (first, second)

    def ready(self, cell: Cell, *, backwards: bool) -> MigrationArgs:
        """Find the domain; its host decides the direction, also after a failed migration."""
        for source, to in (self._pair, self._pair[::-1]):
            with contextlib.suppress(GuestError):
                source.domain(self._hosts.domain)
                return MigrationArgs(
                    guest=self._hosts.domain, to=to, source=source, probe=self._hosts.probe
                )
        raise GuestError(
            f"domain must run on one of the two hosts (got {self._hosts.domain!r})",
            hint="Start it on one of them: "
            f"{virsh_line(self._hosts.source, 'start', self._hosts.domain)}. "
            "Then run the experiment again to continue.",
        )

    def over(self, run: Run) -> None:
        """Do nothing: the domain does not belong to migrationlab."""
