"""Check whether the destination has what a domain requires: a preflight's checks of the guest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from migrationlab.checks import capabilities
from migrationlab.checks.capabilities import Capabilities, Requirements
from migrationlab.checks.diagnosis import Check, combine, fail, ok, warn
from migrationlab.errors import HostError, MigrationLabError
from migrationlab.hosts.host import Host
from migrationlab.hosts.program import ProgramResult
from migrationlab.hosts.shell import Shell
from migrationlab.migrate.guest import PlainDomain
from migrationlab.plan.plan import Plan
from migrationlab.plan.settings import AUTO
from migrationlab.plan.uris import host_of
from migrationlab.plan.validation import DiskFacts, DomainFacts, Situation

#: The file systems that libvirt takes for shared (virFileIsSharedFSType in src/util/virfile.c), as
#: `stat -f` names them (coreutils' src/stat.c).
SHARED_FILE_SYSTEMS = frozenset(
    {"acfs", "afs", "ceph", "cifs", "gfs/gfs2", "gpfs", "nfs", "ocfs2", "smb", "smb2"}
)
#: CPU modes that mean whatever the host, or its QEMU, has: docs/formatdomain.rst, "cpu mode".
UNNAMED_CPUS = ("host-passthrough", "maximum")


@dataclass(frozen=True, slots=True)
class HostPair:
    """The two hosts of a migration, and its plan.

    Attributes:
        source: The host that the guest would leave.
        destination: The host that it would go to.
        plan: How it would migrate, with its URIs filled in.
        source_offers: What the source offers.
        destination_offers: What the destination offers.
    """

    source: Host
    destination: Host
    plan: Plan
    source_offers: Capabilities
    destination_offers: Capabilities

    @property
    def target(self) -> str:
        """Return the name by which the source would connect to the destination for the data."""
        if self.plan.migration_uri == AUTO:
            return self.destination.facts.hostname
        named = host_of(self.plan.migration_uri) if self.plan.migration_uri else None
        return named or self.destination.peer_name

    @property
    def common_machine(self) -> str | None:
        """Return the newest machine type that both hosts have."""
        both = self.source_offers.machines & self.destination_offers.machines
        return capabilities.newest(both, capabilities.FAMILIES)

    def plan_problems(self, domain: DomainFacts | None = None) -> Check | None:
        """Return why the plan cannot work between these hosts, None if it can."""
        sides = {"source": self.source.side, "destination": self.destination.side}
        situation = Situation(**sides, domain=domain)
        problems = self.plan.problems(situation=situation)
        found = combine((fail(problem.reason, problem.hint) for problem in problems), "")
        return found if problems else None


def domain_checks(pair: HostPair, name: str) -> list[Check]:
    """Find out whether a domain can migrate.

    Args:
        pair: The two hosts.
        name: The domain, on the source.
    """
    try:
        domain = PlainDomain(name, pair.source, inactive=pair.plan.offline)
        required = capabilities.requirements(pair.source, name)
    except MigrationLabError as error:
        return [fail(str(error), error.hint).named("domain")]
    checks = [_validity(pair, domain).named("domain")]
    for what, check in _CHECKS.items():
        try:
            found = check(pair, required)
        except HostError as error:
            hint = error.hint or f"Check it on {pair.destination.name}."
            found = warn(f"not known: {error}", hint)
        checks.append(found.named(what))
    return checks


def _validity(pair: HostPair, domain: PlainDomain) -> Check:
    """Validate the plan for this domain."""
    problems = pair.plan_problems(domain.facts())
    if problems:
        return fail(f"{domain.name}: {problems.detail}", problems.hint)
    if pair.source.is_busy(domain.name):
        return fail(f"{domain.name} has a job under way", "Wait for it, or cancel it.")
    return ok(f"{domain.name}: the plan is valid for it")


def _machine(pair: HostPair, required: Requirements) -> Check:
    if required.machine in pair.destination_offers.machines:
        return ok(f"the destination has {required.machine} too")
    hint = "Update the destination's QEMU."
    if common := pair.common_machine:
        hint = (
            f"Shut the guest down and start it with machine='{common}', or update the "
            "destination's QEMU."
        )
    return fail(f"the destination has no {required.machine}", hint)


def _cpu(pair: HostPair, required: Requirements) -> Check:
    host = pair.destination
    if not required.cpu:
        return ok("the domain names none: it has QEMU's default CPU, which every host has")
    if required.machine not in pair.destination_offers.machines:
        return warn("not tried", "Fix the machine type first.")
    lacking = capabilities.missing_features(host, required)
    if lacking:
        return fail(
            f"{host.name} cannot give the guest its CPU: {lacking}",
            "Start the guest with a named CPU model that both hosts have: `virsh "
            "hypervisor-cpu-baseline` finds one.",
        )
    # An emulated CPU depends on QEMU alone; of two real CPUs libvirt compares only the models.
    same_qemu = pair.source.facts.qemu == pair.destination.facts.qemu
    if required.cpu_mode in UNNAMED_CPUS and not (required.virt == "qemu" and same_qemu):
        return warn(
            f"{required.cpu_mode}: libvirt does not compare what it means on each host",
            "Use host-model or a named model, unless the two machines are identical.",
        )
    return ok(f"{host.name} can give the guest its CPU")


def _storage(pair: HostPair, required: Requirements) -> Check:
    disks = [disk for disk in required.facts.disks or () if disk.source]
    return combine((_disk(pair, disk) for disk in disks), "the domain has no disk")


def _disk(pair: HostPair, disk: DiskFacts) -> Check:
    assert disk.source is not None
    target, path = disk.target, disk.source
    copied = pair.plan.copy_storage is not None and not disk.readonly
    if copied and (not pair.plan.copy_disks or target in pair.plan.copy_disks):
        return _copy(pair, disk)
    if disk.shared:
        return ok(f"{target} is on the network ({disk.kind})")
    here, there = pair.source.shell, pair.destination.shell
    if here is None or there is None:
        detail = f"{target} ({path}): not known whether both hosts have it"
        return warn(detail, "Give qemu+ssh URIs to check it.")
    kinds = [_file_system(shell, path) for shell in (here, there)]
    if kinds[1].status != 0:
        return fail(
            f"{target}: {pair.destination.name} has no {path}",
            "Put it on storage that both hosts have, or copy it: copy_storage='full' (libvirt "
            "makes the image at the destination if its pool is known; otherwise make one of the "
            "same size there).",
        )
    if disk.readonly:
        return ok(f"{target} is read only, and both hosts have {path}")
    if disk.kind == "block":
        return warn(
            f"{target}: both hosts have a device {path}; whether it is the same is not known",
            "Compare on both hosts: `lsblk --output +WWN,SERIAL`.",
        )
    if {kind.text for kind in kinds} <= SHARED_FILE_SYSTEMS:
        return ok(f"both hosts have {path} of {target} ({kinds[0].text})")
    return fail(
        f"{target}: {path} is on {kinds[0].text}, which is not shared storage",
        "Put it on shared storage, or copy it (copy_storage='full'), or give unsafe=True if both "
        "hosts certainly have the same file.",
    )


def _file_system(shell: Shell, path: str) -> ProgramResult:
    return shell.run("stat", "--file-system", "--format=%T", "--", path)


def _copy(pair: HostPair, disk: DiskFacts) -> Check:
    """Check that a disk is not copied onto itself."""
    assert disk.source is not None
    here, there = pair.source.shell, pair.destination.shell
    shared = bool(disk.shared)
    if disk.kind == "file" and here is not None and there is not None:
        kinds = {_file_system(shell, disk.source).text for shell in (here, there)}
        shared = kinds <= SHARED_FILE_SYSTEMS
    if not shared:
        return ok(f"{disk.target} is copied")
    return fail(
        f"{disk.target} ({disk.source}) is on storage that both hosts have: it would be copied "
        "onto itself",
        "Leave copy_storage out, or name the other disks in copy_disks.",
    )


def _networks(pair: HostPair, required: Requirements) -> Check:
    host = pair.destination
    up = capabilities.networks(host) if required.networks else frozenset()
    missing = [f"network {name}" for name in required.networks if name not in up]
    unknown: list[str] = []
    for bridge in required.bridges:
        if host.shell is None:
            unknown.append(bridge)
        elif host.shell.run("test", "-e", f"/sys/class/net/{bridge}").status != 0:
            missing.append(bridge)
    if missing:
        return fail(
            f"{host.name} lacks {', '.join(missing)}, which the guest's network cards use",
            "Make them there under the same names, or name others in destination_xml.",
        )
    if unknown:
        detail = f"not known whether {host.name} has {', '.join(unknown)}"
        return warn(detail, f"Check on {host.name}: `ip link`.")
    used = ", ".join([*required.networks, *required.bridges])
    return ok(f"{host.name} has {used}" if used else "the guest has no network card")


def _devices(pair: HostPair, required: Requirements) -> Check:
    if not required.devices:
        return ok("the guest holds no device of the host")
    return fail(
        f"the guest holds devices of the host: {', '.join(required.devices)}",
        "Detach them before the migration, and attach others after it.",
    )


def _memory(pair: HostPair, required: Requirements) -> Check:
    host, needed = pair.destination, required.facts.memory_mib
    if needed is None:
        name = required.facts.name or "the domain"
        return warn("the domain's memory is not known", f"Check it: `virsh dominfo {name}`.")
    free = capabilities.free_memory_mib(host)
    detail = f"{host.name} has {free} MiB free, the guest has {needed} MiB"
    if free >= needed:
        return ok(detail)
    # libvirt does not count the kernel's cache as free.
    return warn(detail, f"Check `free -m` on {host.name}: its kernel's cache may give memory back.")


_CHECKS: dict[str, Callable[[HostPair, Requirements], Check]] = {
    "machine type": _machine,
    "cpu": _cpu,
    "storage": _storage,
    "networks": _networks,
    "devices": _devices,
    "memory": _memory,
}
