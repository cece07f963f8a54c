"""Check a plan against the known facts about the hosts and the domain.

Each generator yields only certain problems. An unknown fact breaks no rule. The texts and the
sources of the rules are in ``host_rules.toml``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from migrationlab.plan.abi import abi_problems
from migrationlab.plan.facts import DiskFacts, DomainFacts, Side, Situation
from migrationlab.plan.problem import Problem
from migrationlab.plan.settings import Settings, Shape, settings
from migrationlab.plan.wording import nearest, quote

Version = tuple[int, ...]

SAFE_TCG_QEMU = (9, 0)
MULTIFD_POSTCOPY_QEMU = (10, 1)
#: The first QEMU that refuses the two together; an older one accepts them.
MULTIFD_POSTCOPY_REFUSED = (8, 1)
#: What only the source's QEMU must know: party in qemuMigrationParamsFlagMap and -TPMap.
SOURCE_ONLY = frozenset({"zerocopy", "switchover_bandwidth_mib_s", "auto_converge"})

_TEXTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
#: libvirt accepts a plan that breaks one of these rules.
ACCEPTED = frozenset(rule for rule, text in _TEXTS.items() if text.get("accepted"))


def situation_problems(plan: Settings, situation: Situation) -> Iterator[Problem]:
    """Yield the problems of a plan between these hosts, for this domain."""
    source, destination, domain = situation.source, situation.destination, situation.domain
    if source.uuid is not None and source.uuid == destination.uuid:
        yield _problem("same-host-uuid", uuid=source.uuid)
    for side, which in ((source, "source"), (destination, "destination")):
        yield from _version_problems(plan, side, which)
    yield from _right_problems(plan, source, destination)
    if domain is not None:
        yield from _state_problems(plan, domain, source)
        yield from _copy_problems(plan, domain.disks or ())
        yield from _sharing_problems(plan, domain.disks or ())
        if domain.xml is not None and plan.destination_xml is not None:
            yield from abi_problems(plan.destination_xml, domain.xml)


def settings_beyond(source: Side, destination: Side) -> tuple[str, ...]:
    """Return the settings that need a newer libvirt or QEMU than these hosts have."""
    found = []
    for about in settings():
        for side, which in ((source, "source"), (destination, "destination")):
            has = {"libvirt": side.libvirt, "QEMU": side.qemu}
            if which == "destination" and about.name in SOURCE_ONLY:
                has["QEMU"] = None
            needs = (("libvirt", about.since), ("QEMU", about.qemu))
            if any(since and _older(has[program], since) for program, since in needs):
                found.append(about.name)
        if about.name == "parallel" and any(
            _older(side.qemu, _text(MULTIFD_POSTCOPY_QEMU)) for side in (source, destination)
        ):
            found.append("postcopy with parallel")
    return tuple(dict.fromkeys(found))


def _older(has: Version | None, since: str) -> bool:
    return has is not None and has < _numbers(since)


def _problem(rule: str, **values: object) -> Problem:
    field, reason, hint = (
        _TEXTS[rule][part].format_map(values) for part in ("field", "reason", "hint")
    )
    return Problem(field, reason, hint, rule=rule)


def _version_problems(plan: Settings, side: Side, which: str) -> Iterator[Problem]:
    where = side.name or f"the {which}"
    for field, what, program, needs in _needed_versions(plan):
        has = getattr(side, program.lower())
        if program == "QEMU" and which == "destination" and field in SOURCE_ONLY:
            continue
        if has is not None and has < needs:
            wanted = f"{program} {_text(needs)} or newer"
            values = {"field": field, "what": what, "wanted": wanted}
            yield _problem("too-old", **values, got=_text(has), where=where)
    if plan.postcopy and plan.parallel and side.qemu:
        if side.qemu < MULTIFD_POSTCOPY_REFUSED:
            yield _problem("postcopy-parallel-unchecked", got=_text(side.qemu), where=where)
        elif side.qemu < MULTIFD_POSTCOPY_QEMU:
            yield _problem("postcopy-parallel", got=_text(side.qemu), where=where)


def _needed_versions(plan: Settings) -> Iterator[tuple[str, str, str, Version]]:
    """Yield each setting in force, its name in a message, and the version that it needs."""
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


def _right_problems(plan: Settings, source: Side, destination: Side) -> Iterator[Problem]:
    libvirt, where = destination.libvirt, destination.name or "the destination"
    if plan.postcopy_resume and libvirt is not None and (11, 2) <= libvirt < (11, 4):
        yield _problem("postcopy-resume-crash", got=_text(libvirt), where=where)
    if plan.postcopy and destination.userfaultfd is False:
        yield _problem("userfaultfd-refused", where=where)
    if plan.zerocopy and source.locks_memory is False:
        yield _problem("memory-lock-refused", where=source.name or "the source")


def _state_problems(plan: Settings, domain: DomainFacts, source: Side) -> Iterator[Problem]:
    if domain.active is False and not plan.offline:
        yield _problem("domain-not-running")
    # After a break in post-copy it is paused at the source, and can be resumed.
    if plan.postcopy and domain.paused and not plan.postcopy_resume:
        yield _problem("postcopy-paused-guest")
    if plan.offline and domain.persistent is False:
        yield _problem("domain-not-persistent")
    if (plan.migration_uri or "").startswith("rdma:") and domain.hard_limit is False:
        yield _problem("rdma-hard-limit", got=plan.migration_uri)
    old = source.qemu is not None and source.qemu < SAFE_TCG_QEMU
    if domain.accelerator == "tcg" and old and not (plan.allow_unsafe_tcg or plan.offline):
        yield _problem("tcg-unsafe", got=_text(source.qemu), where=source.name or "the source")


def _copy_problems(plan: Settings, disks: tuple[DiskFacts, ...]) -> Iterator[Problem]:
    """Yield the disks of the plan that cannot be copied."""
    if plan.copy_storage is None:
        return
    known = {disk.target: disk for disk in disks}
    names = f"one of its disks: {', '.join(known)}"
    for field in ("copy_disks", "detect_zeroes_disks", "target_zero_disks"):
        for target in getattr(plan, field):
            if target not in known:
                fix = f"Use {nearest(target, known) or names}" if known else "Leave it out"
                yield _problem("disk-unknown", field=field, got=quote(target), fix=fix)
    for target in plan.copy_disks:
        disk = known.get(target)
        if disk is not None and (disk.readonly or disk.source is None):
            what = "read-only" if disk.readonly else "empty"
            yield _problem("copy-disk-unfit", target=target, what=what)


def _sharing_problems(plan: Settings, disks: tuple[DiskFacts, ...]) -> Iterator[Problem]:
    """Yield the disks that the destination would not have."""
    if plan.unsafe or plan.offline:
        return
    for disk in disks:
        if disk.source is None or disk.readonly or disk.shared is not False:
            continue
        named = plan.copy_disks
        copied = disk.target in named if named else not disk.shareable
        if plan.copy_storage is None or not copied:
            yield _problem("disk-not-shared", target=disk.target, image=disk.source)


def _numbers(version: str) -> Version:
    # (9, 4) is less than (9, 4, 0), as Python compares: so no more than two parts here.
    return tuple(int(part) for part in version.split(".")[:2])


def _text(version: Version | None) -> str:
    return ".".join(map(str, version or ()))
