"""Set QEMU's own parameters for one migration of a guest of a lab.

The source's QEMU gets its parameters from its monitor, before libvirt starts the migration. The
destination's QEMU, which announces the guest to the LAN, gets them as arguments: libvirt lets
nobody ask its monitor while it waits for a guest (qemu_migration.c, qemuMigrationJobStart: an
incoming migration allows no other job).
"""

from __future__ import annotations

import libvirt

from migrationlab.errors import UsageError
from migrationlab.hosts.host import Host
from migrationlab.hosts.monitor import ask_monitor, with_globals
from migrationlab.migrate import postcopy_faults
from migrationlab.migrate.guest import GuestLike
from migrationlab.plan.plan import Plan, Value
from migrationlab.plan.problem import require_none
from migrationlab.plan.qemu_parameters import (
    GLOBAL,
    globals_of,
    parameter_problems,
    parameters_at,
)

#: libvirt's XML for another host, with its passwords.
_SENT_XML = libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE


def require_lab(guest: GuestLike, to: Host, plan: Plan) -> None:
    """Raise an error if a plan has parameters of QEMU that the guest or the QEMU cannot have.

    Raises:
        UsageError: The guest, or the destination, is not one of a lab.
        PlanError: QEMU has no such parameter, or not with that value.
    """
    if not plan.qemu_parameters:
        return
    hosts = guest.lab_hosts
    if to.uri not in {host.uri for host in hosts}:
        what = f"destination {to.name}" if hosts else f"guest {guest.name!r}"
        raise UsageError(
            f"qemu_parameters must be left out for what is not in a lab (got the {what})",
            hint="Leave out qemu_parameters, or try them in a lab: "
            "mig.migrate(lab.guest('guest-1'), to=lab.host_b, plan=plan)",
        )
    require_none(tuple(parameter_problems(plan, plan.qemu_parameters)))


class QemuParameters:
    """The parameters of QEMU that one migration changes.

    Args:
        guest: The guest.
        domain: The guest at the source, on a connection that is not busy with the migration.
        to: The destination.
        plan: The plan.

    Attributes:
        counts_faults: Whether the destination's QEMU counts how long the guest waits for pages.
    """

    def __init__(self, guest: GuestLike, domain: libvirt.virDomain, to: Host, plan: Plan) -> None:
        self._domain = domain
        self._plan = plan
        self._given = dict(plan.qemu_parameters or {})
        self._in_lab = bool(guest.lab_hosts)
        self.counts_faults = self._in_lab and postcopy_faults.counted(to, plan)
        self._before: dict[str, object] = {}

    def set(self) -> None:
        """Set those of the source's QEMU; HostError if it refuses."""
        if values := parameters_at(self._given, "source"):
            now = ask_monitor(self._domain, "query-migrate-parameters")
            ask_monitor(self._domain, "migrate-set-parameters", **values)
            self._before = {name: now[name] for name in values}

    def restore(self) -> None:
        """Restore the values that the source's QEMU had before; HostError if it refuses."""
        if self._before:
            ask_monitor(self._domain, "migrate-set-parameters", **self._before)

    def call_parameters(self) -> dict[str, Value]:
        """Return the plan's parameters for libvirt, with the arguments of the destination's QEMU.

        A guest keeps such arguments when it migrates. So those of an earlier plan are left out.
        """
        values = self._plan.parameters()
        if not self._in_lab or self._plan.offline or self._plan.postcopy_resume:
            return values
        usual = self._plan.destination_xml
        if usual is None:
            usual = self._domain.XMLDesc(_SENT_XML)
        arguments = globals_of(self._given)
        if self.counts_faults:
            arguments += postcopy_faults.ARGUMENTS
        changed = with_globals(usual, GLOBAL, arguments)
        return values if changed == usual else values | {"destination_xml": changed}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the warning for readers of the run."""
        if not self._given:
            return ()
        values = ", ".join(f"{name}={value}" for name, value in self._given.items())
        return (f"QEMU had parameters that libvirt does not offer: {values}",)
