"""Starts migrations: judges the plan, makes every connection, and only then begins.

So bad input never starts a migration: what can be known to fail is told before anything moves.
What follows is ``migration``'s. Never imports ``lab``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import libvirt

from migrationlab.capture.environment import environment
from migrationlab.capture.job import DEFAULT_INTERVAL_S
from migrationlab.capture.recorder import Recorder
from migrationlab.errors import GuestError, PlanError, UsageError
from migrationlab.hosts import Host, library_version, refusals
from migrationlab.migration import Migration, Prepared
from migrationlab.plan import Plan
from migrationlab.runs import Run
from migrationlab.steps import Listener, ignore
from migrationlab.subjects import PlainDomain, Subject
from migrationlab.uris import Mode

#: TCG on an older QEMU loses writes of a guest that is migrated: QEMU's commit 03bfc2188f06,
#: "physmem: Fix migration dirty bitmap coherency with TCG memory access", in 9.0.
SAFE_TCG_QEMU = (9, 0)
#: A sample costs the source's libvirtd a millisecond or two.
SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = 0.005, 60


def start(
    guest: Subject | str,
    *,
    to: Host,
    plan: Plan | None = None,
    source: Host | None = None,
    judge: bool = True,
    interval_s: float = DEFAULT_INTERVAL_S,
    on_step: Listener = ignore,
) -> Migration:
    """Start a migration, and return it at once.

    Args:
        guest: A guest of the lab, or the name of a domain on ``source``.
        to: The host to migrate to.
        plan: How; by default a normal migration. URIs that it leaves out are filled in.
        source: The host that a domain given by name runs on.
        judge: Whether to refuse a plan that cannot work. Give False to hear libvirt's own
            answer to such a plan.
        interval_s: The time from one sample of the job to the next.
        on_step: Hears how it goes.

    Raises:
        PlanError: The plan cannot work, or not with these hosts. Nothing was started.
        GuestError: There is no such guest, or it isn't running.
        HostError: A host could not be reached, or refused before the migration began.
    """
    if not isinstance(to, Host):
        raise UsageError(f"{to!r} is no host", hint="give a Host, such as lab.host_b")
    if plan is not None and not isinstance(plan, Plan):
        raise UsageError(f"{plan!r} is no plan", hint='give a Plan, such as Plan(mode="peer2peer")')
    if not SHORTEST_INTERVAL_S <= interval_s <= LONGEST_INTERVAL_S:
        raise UsageError(
            f"samples cannot be {interval_s} s apart",
            hint=f"give {SHORTEST_INTERVAL_S} to {LONGEST_INTERVAL_S} s",
        )
    subject = _subject(guest, source)
    plan = _filled(plan or Plan(), to)
    host = subject.host
    if judge:
        _judge(subject, host, to, plan)
    return Migration(subject, to, plan, _prepare(subject, host, to, plan, interval_s), on_step)


def migrate(
    guest: Subject | str,
    *,
    to: Host,
    plan: Plan | None = None,
    source: Host | None = None,
    judge: bool = True,
    interval_s: float = DEFAULT_INTERVAL_S,
    on_step: Listener = ignore,
) -> Run:
    """Migrate a guest, and return the run, whatever its outcome.

    Takes and raises what :func:`start` does. Ctrl-C cancels the migration, waits until the
    guest is safe, and then goes on as KeyboardInterrupt.
    """
    migration = start(
        guest, to=to, plan=plan, source=source, judge=judge, interval_s=interval_s, on_step=on_step
    )
    try:
        return migration.wait()
    except KeyboardInterrupt:
        migration.cancel()
        migration.wait()
        raise


def _subject(guest: Subject | str, source: Host | None) -> Subject:
    if not isinstance(guest, str):
        return guest
    if source is None:
        raise UsageError(
            f"where does {guest!r} run?", hint="give source=Host(…), or a guest of the lab"
        )
    return PlainDomain(guest, source)


def _filled(plan: Plan, to: Host) -> Plan:
    """Return the plan with its URIs: the destination's own where it leaves them out."""
    if plan.connection_uri is None:
        plan = replace(plan, connection_uri=to.peer_uri)
    return plan.filled(destination=to.peer_name)


def _judge(subject: Subject, source: Host, to: Host, plan: Plan) -> None:
    if source is to:
        raise PlanError(
            f"the guest {subject.name!r} is on {to.name} already",
            hint="migrate it to the other host",
        )
    plan.require_valid(source=source.peer_name, destination=to.peer_name)
    if source.is_busy(subject.name):
        raise GuestError(
            f"the guest {subject.name!r} has a job under way on {source.name} already",
            hint="wait for that migration, or cancel it",
        )
    unsafe = subject.accelerator == "tcg" and source.facts.qemu < SAFE_TCG_QEMU
    if unsafe and not plan.allow_unsafe_tcg:
        raise PlanError(
            f"QEMU {source.facts.qemu_version} on {source.name} can corrupt the memory of a TCG "
            "guest while it migrates",
            hint="use QEMU 9.0 or newer (the trixie image), or KVM; to see it happen, "
            "Plan(allow_unsafe_tcg=True)",
        )


def _prepare(
    subject: Subject,
    source: Host,
    to: Host,
    plan: Plan,
    interval_s: float,
) -> Prepared:
    connections: list[libvirt.virConnect] = []
    try:
        acting, control = source.new_connection(), source.new_connection()
        connections += [acting, control]
        with refusals():
            domain = acting.lookupByName(subject.name)
            uuid: str = domain.UUIDString()
            limit_before_ms: int = domain.migrateGetMaxDowntime()
            control_domain = control.lookupByName(subject.name)
        flags = 0
        for name in plan.flags():
            flags |= getattr(libvirt, f"VIR_MIGRATE_{name}")
        parameters = plan.parameters()
        if plan.mode is Mode.PEER2PEER:
            migrate_it = partial(domain.migrateToURI3, plan.connection_uri, parameters, flags)
        else:
            connections.append(to.new_connection(plan.connection_uri))
            migrate_it = partial(domain.migrate3, connections[-1], parameters, flags)

        def call() -> None:
            # The limit is the guest's, not the call's, so it is set at the last moment.
            if plan.max_downtime_ms is not None:
                domain.migrateSetMaxDowntime(plan.max_downtime_ms)
            migrate_it()

        def undo() -> None:
            if plan.max_downtime_ms is not None:
                control_domain.migrateSetMaxDowntime(limit_before_ms)

        # The first question about a host's QEMU can take a second: not while it migrates.
        _ = source.facts, to.facts
        wire, surroundings = subject.wire(), environment(library_version())
        recorder = Recorder(
            source,
            to,
            domain=subject.name,
            uuid=uuid,
            beats=subject.beat_source,
            interval_s=interval_s,
        )
    except BaseException:
        for connection in connections:
            connection.close()
        raise
    return Prepared(
        source=source,
        recorder=recorder,
        call=call,
        control=control_domain,
        connections=tuple(connections),
        uuid=uuid,
        max_downtime_ms=plan.max_downtime_ms or limit_before_ms,
        wire=wire,
        environment=surroundings,
        undo=undo,
    )
