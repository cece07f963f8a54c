"""What a domain needs of the destination, and whether that has it.

The half of ``preflight`` that looks at one guest. Imports no libvirt and no lab.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from migrationlab.checks import capabilities
from migrationlab.checks.capabilities import Capabilities, Wants
from migrationlab.checks.diagnosis import Check, Status
from migrationlab.errors import HostError, MigrationLabError
from migrationlab.hosts.host import Host
from migrationlab.hosts.program import ProgramResult
from migrationlab.hosts.shell import Shell
from migrationlab.migrate.guest import PlainDomain
from migrationlab.plan.plan import Plan
from migrationlab.plan.settings import AUTO
from migrationlab.plan.uris import host_of
from migrationlab.plan.validation import DiskFacts, Side, Situation

#: What `stat -f` calls the file systems that libvirt takes for shared: virFileIsSharedFSType in
#: src/util/virfile.c, by the names of coreutils' src/stat.c.
SHARED_FILE_SYSTEMS = frozenset(
    {"acfs", "afs", "ceph", "cifs", "gfs/gfs2", "gpfs", "nfs", "ocfs2", "smb", "smb2"}
)
#: CPU modes that mean whatever the host, or its QEMU, has: docs/formatdomain.rst, "cpu mode".
UNNAMED_CPUS = ("host-passthrough", "maximum")


@dataclass(frozen=True, slots=True)
class Pair:
    """The two hosts, and how the guest is to migrate.

    Attributes:
        source: The host that the guest would leave.
        destination: The host that it would go to.
        plan: How it would, its URIs filled in.
        offered_by_source: What the source's libvirtd says of its machine.
        offered_by_destination: Likewise.
    """

    source: Host
    destination: Host
    plan: Plan
    offered_by_source: Capabilities
    offered_by_destination: Capabilities

    @property
    def target(self) -> str:
        """Return the name by which the source would dial the destination for the data."""
        if self.plan.migration_uri == AUTO:
            return self.destination.facts.hostname
        named = host_of(self.plan.migration_uri) if self.plan.migration_uri else None
        return named or self.destination.peer_name

    def sides(self) -> tuple[Side, Side]:
        """Return what a plan's judgement needs to know of the two hosts."""
        source, destination = (
            Side(name=host.peer_name, libvirt=host.facts.libvirt, qemu=host.facts.qemu)
            for host in (self.source, self.destination)
        )
        return source, destination


def domain_checks(pair: Pair, name: str) -> list[Check]:
    """Find out whether a domain can go.

    Args:
        pair: The two hosts.
        name: The domain, on the source.
    """
    try:
        domain = PlainDomain(name, pair.source, inactive=pair.plan.offline)
        want = capabilities.wants(pair.source, name)
    except MigrationLabError as error:
        return [Check("domain", Status.FAIL, str(error), error.hint)]
    checks = [_judged(pair, domain)]
    for what, check in _CHECKS.items():
        try:
            checks.append(check(pair, want))
        except HostError as error:
            hint = error.hint or f"Ask {pair.destination.name} itself."
            checks.append(Check(what, Status.WARN, f"not known: {error}", hint))
    return checks


def _judged(pair: Pair, domain: PlainDomain) -> Check:
    """Judge the plan by all that is known."""
    source, destination = pair.sides()
    situation = Situation(source=source, destination=destination, domain=domain.facts())
    problems = pair.plan.problems(situation=situation)
    if problems:
        return Check(
            "domain",
            Status.FAIL,
            f"{domain.name}: " + "; ".join(problem.reason for problem in problems),
            " ".join(dict.fromkeys(problem.hint for problem in problems)),
        )
    if pair.source.is_busy(domain.name):
        detail = f"{domain.name} has a job under way"
        return Check("domain", Status.FAIL, detail, "Wait for it, or cancel it.")
    return Check("domain", Status.OK, f"{domain.name}: nothing speaks against this plan")


def _machine(pair: Pair, want: Wants) -> Check:
    there = pair.offered_by_destination
    if want.machine in there.machines:
        return Check("machine type", Status.OK, f"the destination has {want.machine} too")
    common = capabilities.newest(
        pair.offered_by_source.machines & there.machines, capabilities.FAMILIES
    )
    return Check(
        "machine type",
        Status.FAIL,
        f"the destination has no {want.machine}",
        f"It cannot change while the guest runs: shut it down and start it as {common}, or bring "
        "the destination's QEMU up to date."
        if common
        else "Bring the destination's QEMU up to date.",
    )


def _cpu(pair: Pair, want: Wants) -> Check:
    host, there = pair.destination, pair.offered_by_destination
    if not want.cpu:
        return Check("cpu", Status.OK, "the domain names none: QEMU's plain one, which all have")
    if want.machine not in there.machines:
        return Check("cpu", Status.WARN, "not tried", "Mend the machine type first.")
    lacking = capabilities.missing_features(host, want)
    if lacking:
        return Check(
            "cpu",
            Status.FAIL,
            f"{host.name} cannot give the guest the CPU that it has: {lacking}",
            "Start the guest with a named CPU model that both hosts have: `virsh "
            "hypervisor-cpu-baseline` finds one.",
        )
    if want.cpu_mode in UNNAMED_CPUS and not _same_cpus(pair, want):
        detail = f"{want.cpu_mode}: libvirt does not compare what it means on each host"
        hint = "It goes well between identical machines; else use host-model or a named model."
        return Check("cpu", Status.WARN, detail, hint)
    return Check("cpu", Status.OK, f"{host.name} can give the guest the CPU that it has")


def _same_cpus(pair: Pair, want: Wants) -> bool:
    """Return whether a CPU without a name surely means the same on both hosts."""
    same_qemu = pair.source.facts.qemu == pair.destination.facts.qemu
    # Emulated, it is QEMU's own alone; of two real ones libvirt knows no more than the model.
    return want.virt == "qemu" and same_qemu


def _storage(pair: Pair, want: Wants) -> Check:
    found = [_disk(pair, disk) for disk in want.facts.disks or () if disk.source]
    bad = [check for check in found if check.status is not Status.OK]
    if not bad:
        detail = "; ".join(check.detail for check in found) or "the domain has no disk"
        return Check("storage", Status.OK, detail)
    worst = Status.FAIL if any(check.status is Status.FAIL for check in bad) else Status.WARN
    return Check(
        "storage",
        worst,
        "; ".join(check.detail for check in bad),
        " ".join(dict.fromkeys(check.hint for check in bad)),
    )


def _disk(pair: Pair, disk: DiskFacts) -> Check:
    assert disk.source is not None
    target, path = disk.target, disk.source
    copied = pair.plan.copy_storage is not None and not disk.readonly
    if copied and (not pair.plan.copy_disks or target in pair.plan.copy_disks):
        return _copy(pair, disk)
    if disk.shared:
        return Check(target, Status.OK, f"{target} is on the network ({disk.kind})")
    here, there = pair.source.shell, pair.destination.shell
    if here is None or there is None:
        detail = f"{target} ({path}): not known whether both hosts have it"
        return Check(target, Status.WARN, detail, "Give qemu+ssh URIs to have it looked at.")
    kinds = [_file_system(shell, path) for shell in (here, there)]
    if kinds[1].status != 0:
        return Check(
            target,
            Status.FAIL,
            f"{target}: {pair.destination.name} has no {path}",
            "Keep it on storage that both hosts have, or copy it: copy_storage='full' "
            "(libvirt makes the image at the destination where its pool is known; else make one "
            "of the same size there).",
        )
    if disk.readonly:
        return Check(target, Status.OK, f"{target} is read only, and both hosts have {path}")
    if disk.kind == "block":
        detail = f"{target}: both hosts have a device {path}; whether it is the same is not known"
        return Check(target, Status.WARN, detail, "Compare what `lsblk --output +WWN,SERIAL` says.")
    if {kind.text for kind in kinds} <= SHARED_FILE_SYSTEMS:
        return Check(target, Status.OK, f"both hosts have {path} of {target} ({kinds[0].text})")
    return Check(
        target,
        Status.FAIL,
        f"{target}: {path} is on {kinds[0].text}, which is not shared storage",
        "Keep it on shared storage, copy it (copy_storage='full'), or, where both hosts surely "
        "have the same file, say unsafe=True.",
    )


def _file_system(shell: Shell, path: str) -> ProgramResult:
    return shell.run("stat", "--file-system", "--format=%T", "--", path)


def _copy(pair: Pair, disk: DiskFacts) -> Check:
    """Look at a disk that is to be copied, which must not be onto itself."""
    assert disk.source is not None
    here, there = pair.source.shell, pair.destination.shell
    shared = bool(disk.shared)
    if disk.kind == "file" and here is not None and there is not None:
        kinds = {_file_system(shell, disk.source).text for shell in (here, there)}
        shared = kinds <= SHARED_FILE_SYSTEMS
    if not shared:
        return Check(disk.target, Status.OK, f"{disk.target} is copied")
    return Check(
        disk.target,
        Status.FAIL,
        f"{disk.target} ({disk.source}) is on storage that both hosts have, so that it would be "
        "copied onto itself",
        "Leave copy_storage out, or name the other disks in copy_disks.",
    )


def _networks(pair: Pair, want: Wants) -> Check:
    host = pair.destination
    missing = [
        f"network {name}" for name in want.networks if name not in capabilities.networks(host)
    ]
    unknown: list[str] = []
    for bridge in want.bridges:
        if host.shell is None:
            unknown.append(bridge)
        elif host.shell.run("test", "-e", f"/sys/class/net/{bridge}").status != 0:
            missing.append(bridge)
    if missing:
        return Check(
            "networks",
            Status.FAIL,
            f"{host.name} lacks {', '.join(missing)}, which the guest's network cards use",
            "Make them there under the same names, or name others in destination_xml.",
        )
    if unknown:
        detail = f"not known whether {host.name} has {', '.join(unknown)}"
        return Check("networks", Status.WARN, detail, "Look there: `ip link`.")
    used = ", ".join([*want.networks, *want.bridges])
    detail = f"{host.name} has {used}" if used else "the guest has no network card"
    return Check("networks", Status.OK, detail)


def _devices(pair: Pair, want: Wants) -> Check:
    if not want.devices:
        return Check("devices", Status.OK, "the guest holds no device of the host")
    return Check(
        "devices",
        Status.FAIL,
        f"the guest holds devices of the host: {', '.join(want.devices)}",
        "Detach them before the migration, and attach others after it.",
    )


def _memory(pair: Pair, want: Wants) -> Check:
    free, wanted = capabilities.free_memory_mib(pair.destination), want.facts.memory_mib
    if wanted is None:
        return Check("memory", Status.WARN, "the domain does not say its memory", "Look there.")
    detail = f"{pair.destination.name} has {free} MiB free, the guest has {wanted} MiB"
    if free >= wanted:
        return Check("memory", Status.OK, detail)
    # What the kernel keeps in its cache, it gives back; libvirt does not count that.
    hint = "More may be given back by the kernel's cache: look at `free -m` there."
    return Check("memory", Status.WARN, detail, hint)


_CHECKS: dict[str, Callable[[Pair, Wants], Check]] = {
    "machine type": _machine,
    "cpu": _cpu,
    "storage": _storage,
    "networks": _networks,
    "devices": _devices,
    "memory": _memory,
}
