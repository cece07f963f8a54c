"""The rules between a plan and what is known of the hosts and the domain.

Each generator yields the problems that it can be sure of; what is not known is not judged.

Sources: libvirt's ``src/qemu/qemu_migration.c`` (qemuMigrationSrcIsSafe, qemuMigrationAnyCopyDisk,
qemuMigrationSrcBeginPhaseValidateDiskTargetList, qemuMigrationDstStartNBDServer,
qemuMigrationSrcPerformNative), NEWS (first versions; postcopy_resume's crash, mended in 11.4);
QEMU's ``migration/options.c`` (migrate_caps_check), commits 03bfc2188f06 (TCG, 9.0) and
e27418861288 (multifd with post-copy, 10.1).

A disk's cache is no rule: QEMU drops it at the destination since 4.0, and libvirt's check has
since been passed over (QEMU_CAPS_MIGRATION_FILE_DROP_CACHE).

Imports of the kit only ``settings``, ``uris`` and its own private rooms; no libvirt.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from migrationlab.plan.abi import abi_problems
from migrationlab.plan.facts import DiskFacts, DomainFacts, Side, Situation
from migrationlab.plan.settings import Setting, Settings, settings
from migrationlab.plan.uris import Problem, nearest, quote

#: TCG on an older QEMU loses writes of a guest that is migrated: QEMU's commit 03bfc2188f06,
#: "physmem: Fix migration dirty bitmap coherency with TCG memory access", in 9.0.
SAFE_TCG_QEMU = (9, 0)
MULTIFD_POSTCOPY_QEMU = (10, 1)
#: What only the source's QEMU must know: party in qemuMigrationParamsFlagMap and -TPMap.
SOURCE_ONLY = frozenset({"zerocopy", "switchover_bandwidth_mib_s", "auto_converge"})

#: Rules of these names are the kit's own: libvirt takes such a plan.
OWN = frozenset({"tcg-unsafe", "postcopy-resume-crash", "domain-not-persistent"})


def situation_problems(plan: Settings, situation: Situation) -> Iterator[Problem]:
    """What is wrong with a plan between these hosts, for this domain."""
    source, destination, domain = situation.source, situation.destination, situation.domain
    yield from _same_host(source, destination)
    yield from _version_problems(plan, source, destination)
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
            f"both libvirtds give {source.uuid} as the host's UUID, and hold themselves for the "
            "same host",
            "Set another host_uuid in one host's libvirtd.conf.",
            rule="same-host-uuid",
        )


def _version_problems(plan: Settings, source: Side, destination: Side) -> Iterator[Problem]:
    for about, libvirt, qemu in _dated():
        if getattr(plan, about.name) == about.default:
            continue
        for side, which in ((source, "source"), (destination, "destination")):
            if libvirt and side.libvirt is not None and side.libvirt < libvirt:
                yield _too_old(about.name, "libvirt", side.libvirt, libvirt, side.name or which)
            if which == "destination" and about.name in SOURCE_ONLY:
                continue
            if qemu and side.qemu is not None and side.qemu < qemu:
                yield _too_old(about.name, "QEMU", side.qemu, qemu, side.name or which)
    for side, which in ((source, "source"), (destination, "destination")):
        where = side.name or which
        if side.libvirt is not None:
            methods = {"zlib", "zstd"} & set(plan.compression or ())
            if methods and side.libvirt < (9, 4):
                yield _too_old("compression", "libvirt", side.libvirt, (9, 4), where)
            unix = (plan.migration_uri or "").startswith("unix:")
            if unix and side.libvirt < (6, 8):
                yield _too_old("migration_uri", "libvirt", side.libvirt, (6, 8), where)
        if (
            plan.postcopy
            and plan.parallel
            and side.qemu is not None
            and side.qemu < MULTIFD_POSTCOPY_QEMU
        ):
            yield Problem(
                "postcopy",
                f"QEMU {_text(side.qemu)} of {where} has no post-copy with parallel connections",
                "Leave parallel out, or use QEMU 10.1 or newer on both hosts.",
                rule="postcopy-parallel",
            )
    there = destination.libvirt
    if plan.postcopy_resume and there is not None and (11, 2) <= there < (11, 4):
        yield Problem(
            "postcopy_resume",
            f"libvirt {_text(there)} of {destination.name or 'the destination'} crashes when a "
            "post-copy migration is resumed",
            "Use libvirt 11.4 or newer there.",
            rule="postcopy-resume-crash",
        )


def _right_problems(plan: Settings, source: Side, destination: Side) -> Iterator[Problem]:
    if plan.postcopy and destination.userfaultfd is False:
        yield Problem(
            "postcopy",
            f"QEMU of {destination.name or 'the destination'} may not use userfaultfd, by which "
            "it fetches pages on demand",
            "There, set the sysctl vm.unprivileged_userfaultfd=1, or give access to "
            "/dev/userfaultfd.",
            rule="userfaultfd-refused",
        )
    if plan.zerocopy and source.locks_memory is False:
        yield Problem(
            "zerocopy",
            f"libvirtd of {source.name or 'the source'} may not let QEMU lock memory",
            "Run it with the capability CAP_SYS_RESOURCE, or leave zerocopy out.",
            rule="memory-lock-refused",
        )


def _state_problems(plan: Settings, domain: DomainFacts) -> Iterator[Problem]:
    if domain.active is False and not plan.offline:
        yield Problem(
            "domain",
            "the domain does not run, so there is no memory to migrate",
            "Start it, or give offline=True and persistent=True.",
            rule="domain-not-running",
        )
    # Broken off in post-copy, it is paused at the source, and can be resumed.
    if plan.postcopy and domain.paused and not plan.postcopy_resume:
        yield Problem(
            "postcopy",
            "the guest is paused, so it must arrive paused, and in post-copy it goes on there",
            "Resume the guest before, or leave postcopy out.",
            rule="postcopy-paused-guest",
        )
    if plan.offline and domain.persistent is False:
        yield Problem(
            "offline",
            "the domain is transient: it has no definition beside what runs",
            "Migrate it live, with persistent=True, or define it first.",
            rule="domain-not-persistent",
        )
    rdma = (plan.migration_uri or "").startswith("rdma:")
    if rdma and domain.hard_limit is False:
        yield Problem(
            "migration_uri",
            "RDMA locks memory, and the domain's XML sets no limit to that",
            "Give the domain a memtune/hard_limit of its memory and some more.",
            rule="rdma-hard-limit",
        )


def _tcg_problems(plan: Settings, domain: DomainFacts, source: Side) -> Iterator[Problem]:
    old = source.qemu is not None and source.qemu < SAFE_TCG_QEMU
    if domain.accelerator == "tcg" and old and not (plan.allow_unsafe_tcg or plan.offline):
        yield Problem(
            "allow_unsafe_tcg",
            f"QEMU {_text(source.qemu or ())} on {source.name or 'the source'} can corrupt the "
            "memory of a TCG guest while it migrates",
            "Use QEMU 9.0 or newer (the trixie image), or KVM; to see it happen, "
            "Plan(allow_unsafe_tcg=True).",
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
                    f"the disk {target} is {what}, and such a disk is not copied",
                    "Leave it out.",
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
            f"the disk {disk.target} ({disk.source}) is not shared between the hosts",
            "Keep it on shared storage, or copy it with copy_storage='full'; unsafe=True is for "
            "who knows that both hosts see the same image.",
            rule="disk-not-shared",
        )


def _no_disk(field: str, target: str, known: dict[str, DiskFacts]) -> Problem:
    near = nearest(target, known)
    there = f"Its disks are {', '.join(known)}." if known else "It has no disks."
    return Problem(
        field,
        f"the domain has no disk {quote(target)}",
        f"Did you mean {near}?" if near else there,
        rule="disk-unknown",
    )


def _too_old(
    field: str, what: str, has: tuple[int, ...], needs: tuple[int, ...], where: str
) -> Problem:
    return Problem(
        field,
        f"{what} {_text(has)} of {where} does not know {field}, which came with {_text(needs)}",
        f"Leave it out, or use {what} {_text(needs)} or newer there.",
        rule="too-old",
    )


@cache
def _dated() -> tuple[tuple[Setting, tuple[int, ...] | None, tuple[int, ...] | None], ...]:
    """Each setting with the versions that must know it, as numbers."""
    # compression is older than its parameter, and mode is never left out.
    return tuple(
        (about, _numbers(about.since), _numbers(about.qemu))
        for about in settings()
        if about.name != "mode" and (about.since or about.qemu)
    )


def _numbers(version: str | None) -> tuple[int, ...] | None:
    # (9, 4) is less than (9, 4, 0), as Python compares: so no more than two parts here.
    return tuple(int(part) for part in version.split(".")[:2]) if version else None


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
