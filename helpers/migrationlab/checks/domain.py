"""Check the requirements of a domain on the destination: a preflight's checks of the guest.

The texts of the findings are in ``domain.toml``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from migrationlab.checks import capabilities
from migrationlab.checks.capabilities import Capabilities, Requirements
from migrationlab.checks.diagnosis import Check, Status, combine, finding
from migrationlab.errors import HostError, MigrationLabError
from migrationlab.hosts import virtqueues
from migrationlab.hosts.host import Host
from migrationlab.hosts.program import ProgramResult
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
#: CPU modes that mean the CPU of the host or of its QEMU: docs/formatdomain.rst, "cpu mode".
UNNAMED_CPUS = ("host-passthrough", "maximum")
_found = partial(finding, "domain")


@dataclass(frozen=True, slots=True)
class HostPair:
    """The two hosts of a migration, their capabilities, and the plan with all URIs."""

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
        """Return the reasons why the plan cannot work between these hosts, None if it can."""
        sides = {"source": self.source.side, "destination": self.destination.side}
        situation = Situation(**sides, domain=domain)
        problems = self.plan.problems(situation=situation)
        bad = [Check("", Status.FAIL, problem.reason, problem.hint) for problem in problems]
        return combine(bad, "") if bad else None


def domain_checks(pair: HostPair, name: str) -> list[Check]:
    """Check whether a domain of the source can migrate."""
    try:
        domain = PlainDomain(name, pair.source, inactive=pair.plan.offline)
        required = capabilities.requirements(pair.source, name)
    except MigrationLabError as error:
        return [_found("domain", "absent", error=error, advice=error.hint)]
    checks = [_validity(pair, domain)]
    for what, check in _CHECKS.items():
        try:
            found = check(pair, required)
        except HostError as error:
            advice = error.hint or f"Check it on {pair.destination.name}."
            found = _found("unknown", "error", error=error, advice=advice)
        checks.append(found.named(what))
    return checks


def _validity(pair: HostPair, domain: PlainDomain) -> Check:
    """Validate the plan for this domain."""
    say = partial(_found, "domain", name=domain.name)
    if problems := pair.plan_problems(domain.facts()):
        return say("invalid", problems=problems.detail, advice=problems.hint)
    return say("busy" if pair.source.is_busy(domain.name) else "ok")


def _machine(pair: HostPair, required: Requirements) -> Check:
    common = pair.common_machine
    known = required.machine in pair.destination_offers.machines
    outcome = "ok" if known else "other" if common else "none"
    return _found("machine type", outcome, machine=required.machine, common=common)


def _cpu(pair: HostPair, required: Requirements) -> Check:
    host = pair.destination
    if not required.cpu:
        return _found("cpu", "default")
    if required.machine not in pair.destination_offers.machines:
        return _found("cpu", "not-tried")
    if lacking := capabilities.missing_features(host, required):
        return _found("cpu", "lacking", host=host.name, lacking=lacking)
    # An emulated CPU depends on QEMU alone; of two real CPUs libvirt compares only the models.
    same_qemu = pair.source.facts.qemu == pair.destination.facts.qemu
    if required.cpu_mode in UNNAMED_CPUS and not (required.virt == "qemu" and same_qemu):
        return _found("cpu", "unnamed", mode=required.cpu_mode)
    return _found("cpu", "ok", host=host.name)


def _virtqueues(pair: HostPair, required: Requirements) -> Check:
    """Compare the lengths of the guest's virtqueues with those of the destination's QEMU."""
    say = partial(_found, "virtqueues", host=pair.destination.name)
    source, to = pair.source, pair.destination
    if not required.virtio:
        return say("none")
    if source.facts.qemu == to.facts.qemu:
        return say("same", version=to.facts.qemu_version)
    if to.facts.qemu[:2] <= virtqueues.TAKES_LONGER:
        return say("any", version=to.facts.qemu_version)
    if required.machine not in pair.destination_offers.machines:
        return say("not-tried")
    asked = (required.machine, required.emulator, required.virtio)
    most = virtqueues.host_queues(to, *asked)
    # Asking the guest's own QEMU taints the domain, so only a lab's guest is asked.
    own = source.image is not None
    lengths = (
        virtqueues.guest_queues(source, required.facts.name or "")
        if own
        else virtqueues.host_queues(source, *asked)
    )
    if most is None or lengths is None:
        return say("unknown")
    if found := virtqueues.longer(required.virtio, lengths, most):
        return say("longer" if own else "longer-if-booted-there", found=found, source=source.name)
    return say("ok")


def _storage(pair: HostPair, required: Requirements) -> Check:
    disks = [disk for disk in required.facts.disks or () if disk.source]
    return combine((_disk(pair, disk) for disk in disks), "the domain has no disk")


def _disk(pair: HostPair, disk: DiskFacts) -> Check:
    assert disk.source is not None
    say = partial(_found, "storage", disk=disk.target, path=disk.source)
    copied = pair.plan.copy_storage is not None and not disk.readonly
    if copied and (not pair.plan.copy_disks or disk.target in pair.plan.copy_disks):
        same = disk.shared or (disk.kind == "file" and _are_shared(_file_systems(pair, disk)))
        return say("onto-itself" if same else "copied")
    if disk.shared:
        return say("network", kind=disk.kind)
    systems = _file_systems(pair, disk)
    if not systems:
        return say("no-shell")
    if systems[1].status != 0:
        return say("absent", host=pair.destination.name)
    if disk.readonly:
        return say("read-only")
    if disk.kind == "block":
        return say("device")
    return say("shared" if _are_shared(systems) else "not-shared", system=systems[0].text)


def _file_systems(pair: HostPair, disk: DiskFacts) -> list[ProgramResult]:
    """Ask both hosts for the file system of a disk; return nothing if a host cannot answer."""
    argv = ("stat", "--file-system", "--format=%T", "--", disk.source or "")
    shells = [host.shell for host in (pair.source, pair.destination) if host.shell is not None]
    return [shell.run(*argv) for shell in shells] if len(shells) == 2 else []


def _are_shared(systems: list[ProgramResult]) -> bool:
    return bool(systems) and {system.text for system in systems} <= SHARED_FILE_SYSTEMS


def _networks(pair: HostPair, required: Requirements) -> Check:
    host = pair.destination
    say = partial(_found, "networks", host=host.name)
    up = capabilities.networks(host) if required.networks else frozenset()
    missing = [f"network {name}" for name in required.networks if name not in up]
    unknown: list[str] = []
    for bridge in required.bridges:
        if host.shell is None:
            unknown.append(bridge)
        elif host.shell.run("test", "-e", f"/sys/class/net/{bridge}").status != 0:
            missing.append(bridge)
    if missing:
        return say("missing", missing=", ".join(missing))
    if unknown:
        return say("unknown", bridges=", ".join(unknown))
    used = ", ".join([*required.networks, *required.bridges])
    return say("ok" if used else "none", used=used)


def _devices(_pair: HostPair, required: Requirements) -> Check:
    outcome = "held" if required.devices else "none"
    return _found("devices", outcome, devices=", ".join(required.devices))


def _memory(pair: HostPair, required: Requirements) -> Check:
    host, needed = pair.destination, required.facts.memory_mib
    if needed is None:
        return _found("memory", "unknown", name=required.facts.name or "the domain")
    free = capabilities.free_memory_mib(host)
    outcome = "ok" if free >= needed else "short"
    return _found("memory", outcome, host=host.name, free=free, needed=needed)


_CHECKS: dict[str, Callable[[HostPair, Requirements], Check]] = {
    "machine type": _machine,
    "cpu": _cpu,
    "virtqueues": _virtqueues,
    "storage": _storage,
    "networks": _networks,
    "devices": _devices,
    "memory": _memory,
}
