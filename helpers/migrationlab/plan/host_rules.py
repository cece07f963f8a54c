"""The rules between a plan and what is known of the hosts and the domain.

Each generator yields the problems that it can be sure of; what is not known breaks no rule.

Sources: libvirt's ``src/qemu/qemu_migration.c`` (qemuMigrationSrcIsSafe, qemuMigrationAnyCopyDisk,
qemuMigrationSrcBeginPhaseValidateDiskTargetList, qemuMigrationDstStartNBDServer,
qemuMigrationSrcPerformNative), NEWS (first versions; the crash of postcopy_resume, fixed in 11.4);
QEMU's ``migration/options.c`` (migrate_caps_check), commits 03bfc2188f06 (TCG, 9.0) and
e27418861288 (multifd with post-copy, 10.1).

A disk's cache is no rule: QEMU drops it at the destination since 4.0, and libvirt has since then
skipped its check (QEMU_CAPS_MIGRATION_FILE_DROP_CACHE).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from migrationlab.plan.abi import abi_problems
from migrationlab.plan.facts import DiskFacts, DomainFacts, Side, Situation
from migrationlab.plan.problem import Problem
from migrationlab.plan.settings import Settings, Shape, settings
from migrationlab.plan.wording import nearest, quote

Version = tuple[int, ...]

#: TCG on an older QEMU loses writes of a guest that is migrated: QEMU's commit 03bfc2188f06,
#: "physmem: Fix migration dirty bitmap coherency with TCG memory access", in 9.0.
SAFE_TCG_QEMU = (9, 0)
MULTIFD_POSTCOPY_QEMU = (10, 1)
#: What only the source's QEMU must know: party in qemuMigrationParamsFlagMap and -TPMap.
SOURCE_ONLY = frozenset({"zerocopy", "switchover_bandwidth_mib_s", "auto_converge"})

#: libvirt accepts a plan that breaks one of these rules.
ACCEPTED = frozenset({"tcg-unsafe", "postcopy-resume-crash", "domain-not-persistent"})


def situation_problems(plan: Settings, situation: Situation) -> Iterator[Problem]:
    """Yield what is wrong with a plan between these hosts, for this domain."""
    source, destination, domain = situation.source, situation.destination, situation.domain
    yield from _same_host(source, destination)
    for side, which in ((source, "source"), (destination, "destination")):
        yield from _version_problems(plan, side, which)
    yield from _crash_problems(plan, destination)
    yield from _right_problems(plan, source, destination)
    if domain is not None:
        yield from _state_problems(plan, domain)
        yield from _tcg_problems(plan, domain, source)
        yield from _disk_problems(plan, domain.disks or ())
        if domain.xml is not None and plan.destination_xml is not None:
            yield from abi_problems(plan.destination_xml, domain.xml)


def _same_host(source: Side, destination: Side) -> Iterator[Problem]:
    if source.uuid is not None and source.uuid == destination.uuid:
        yield Problem(
            "destination",
            "destination must have another host UUID than the source, or libvirt takes the two for "
            f"one host (got {source.uuid} for both)",
            'Set host_uuid = "…" with the output of `uuidgen` in /etc/libvirt/libvirtd.conf of one '
            "host, and restart its libvirtd.",
            rule="same-host-uuid",
        )


def _version_problems(plan: Settings, side: Side, which: str) -> Iterator[Problem]:
    where = side.name or f"the {which}"
    for field, what, program, needs in _needed_versions(plan):
        has = getattr(side, program.lower())
        if program == "QEMU" and which == "destination" and field in SOURCE_ONLY:
            continue
        if has is not None and has < needs:
            wanted = f"{program} {_text(needs)} or newer"
            yield Problem(
                field,
                f"{what} needs {wanted} (got {_text(has)} on {where})",
                f"Leave it out, or use {wanted} on {where}.",
                rule="too-old",
            )
    old = side.qemu is not None and side.qemu < MULTIFD_POSTCOPY_QEMU
    if plan.postcopy and plan.parallel and old:
        yield Problem(
            "postcopy",
            "postcopy=True needs QEMU 10.1 or newer with parallel=True "
            f"(got QEMU {_text(side.qemu)} on {where})",
            "Leave out parallel=True, or use QEMU 10.1 or newer on both hosts.",
            rule="postcopy-parallel",
        )


def _needed_versions(plan: Settings) -> Iterator[tuple[str, str, str, Version]]:
    """Yield each setting in force, how to name it, and the version of a program that it needs."""
    for about in settings():
        value = getattr(plan, about.name)
        # A mode is always given, and every libvirt has both.
        if value == about.default or about.shape is Shape.MODE:
            continue
        for program, since in (("libvirt", about.since), ("QEMU", about.qemu)):
            if since:
                yield about.name, about.name, program, _numbers(since)
        for word, since in about.since_value.items():
            if word in value if isinstance(value, tuple) else value.startswith(f"{word}:"):
                yield about.name, f"{about.name} with {word}", "libvirt", _numbers(since)


def _crash_problems(plan: Settings, destination: Side) -> Iterator[Problem]:
    libvirt = destination.libvirt
    if plan.postcopy_resume and libvirt is not None and (11, 2) <= libvirt < (11, 4):
        yield Problem(
            "postcopy_resume",
            "postcopy_resume=True needs a libvirt that it does not crash: older than 11.2, or 11.4 "
            f"or newer (got {_text(libvirt)} on {destination.name or 'the destination'})",
            "Use libvirt 11.4 or newer on the destination.",
            rule="postcopy-resume-crash",
        )


def _right_problems(plan: Settings, source: Side, destination: Side) -> Iterator[Problem]:
    if plan.postcopy and destination.userfaultfd is False:
        yield Problem(
            "postcopy",
            "postcopy=True needs userfaultfd, with which QEMU fetches pages on demand, and QEMU of "
            f"{destination.name or 'the destination'} has no right to use it",
            "Run `sysctl vm.unprivileged_userfaultfd=1` there, or give QEMU access to "
            "/dev/userfaultfd.",
            rule="userfaultfd-refused",
        )
    if plan.zerocopy and source.locks_memory is False:
        yield Problem(
            "zerocopy",
            "zerocopy=True needs locked memory, and libvirtd of "
            f"{source.name or 'the source'} has no right to let QEMU lock it",
            "Run that libvirtd with CAP_SYS_RESOURCE, or leave out zerocopy=True.",
            rule="memory-lock-refused",
        )


def _state_problems(plan: Settings, domain: DomainFacts) -> Iterator[Problem]:
    if domain.active is False and not plan.offline:
        yield Problem(
            "domain",
            "domain must be running, or there is no memory to migrate",
            "Start it, or set offline=True and persistent=True.",
            rule="domain-not-running",
        )
    # After a break in post-copy it is paused at the source, and can be resumed.
    if plan.postcopy and domain.paused and not plan.postcopy_resume:
        yield Problem(
            "postcopy",
            "postcopy=True needs a running guest: a paused one must arrive paused, and in "
            "post-copy it continues there",
            "Resume the guest first (virsh resume), or leave out postcopy=True.",
            rule="postcopy-paused-guest",
        )
    if plan.offline and domain.persistent is False:
        yield Problem(
            "offline",
            "offline=True needs a persistent domain, and this one is transient: it has no "
            "definition to move",
            "Define the domain first (virsh define), or leave out offline=True.",
            rule="domain-not-persistent",
        )
    if (plan.migration_uri or "").startswith("rdma:") and domain.hard_limit is False:
        yield Problem(
            "migration_uri",
            "migration_uri with rdma needs a domain with a memory hard_limit, because RDMA locks "
            f"memory (got {plan.migration_uri})",
            "Add <memtune><hard_limit>…</hard_limit></memtune> to the domain's XML: its memory "
            "and some more.",
            rule="rdma-hard-limit",
        )


def _tcg_problems(plan: Settings, domain: DomainFacts, source: Side) -> Iterator[Problem]:
    old = source.qemu is not None and source.qemu < SAFE_TCG_QEMU
    if domain.accelerator == "tcg" and old and not (plan.allow_unsafe_tcg or plan.offline):
        yield Problem(
            "allow_unsafe_tcg",
            "allow_unsafe_tcg must be True to migrate a TCG guest from a QEMU before 9.0, which "
            f"can corrupt its memory (got QEMU {_text(source.qemu)} on "
            f"{source.name or 'the source'})",
            "Use QEMU 9.0 or newer (the trixie image) or KVM. To see the corruption, set "
            "allow_unsafe_tcg=True.",
            rule="tcg-unsafe",
        )


def _disk_problems(plan: Settings, disks: tuple[DiskFacts, ...]) -> Iterator[Problem]:
    known = {disk.target: disk for disk in disks}
    copied = plan.copy_storage is not None
    if copied:
        for field in ("copy_disks", "detect_zeroes_disks"):
            for target in getattr(plan, field):
                if target not in known:
                    yield _no_disk(field, target, known)
        for target in plan.copy_disks:
            disk = known.get(target)
            if disk is not None and (disk.readonly or disk.source is None):
                what = "read-only" if disk.readonly else "empty"
                yield Problem(
                    "copy_disks",
                    f"copy_disks must name writable disks with an image (got {target}, which is "
                    f"{what})",
                    f"Leave {target} out of copy_disks.",
                    rule="copy-disk-unfit",
                )
    if plan.unsafe or plan.offline:
        return
    for disk in disks:
        if disk.source is None or disk.readonly or disk.shared is not False:
            continue
        named = plan.copy_disks
        if copied and (disk.target in named if named else not disk.shareable):
            continue
        yield Problem(
            "copy_storage",
            f"copy_storage must cover the disk {disk.target} ({disk.source}), which the hosts do "
            "not share",
            "Set copy_storage='full', or keep the disk on shared storage. Set unsafe=True only if "
            "both hosts see the same image.",
            rule="disk-not-shared",
        )


def _no_disk(field: str, target: str, known: Mapping[str, DiskFacts]) -> Problem:
    near = nearest(target, known)
    names = f"Use one of its disks: {', '.join(known)}." if known else "Leave it out."
    return Problem(
        field,
        f"{field} must name disks of the domain (got {quote(target)})",
        f"Use {near}." if near else names,
        rule="disk-unknown",
    )


def _numbers(version: str) -> Version:
    # (9, 4) is less than (9, 4, 0), as Python compares: so no more than two parts here.
    return tuple(int(part) for part in version.split(".")[:2])


def _text(version: Version | None) -> str:
    return ".".join(map(str, version or ()))
