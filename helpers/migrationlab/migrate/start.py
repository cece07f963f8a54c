"""Starts migrations: validates the plan, makes every connection, and only then begins.

So bad input never starts a migration: what can be known to fail is told before anything moves.
What follows is ``migration``'s. Never imports ``lab``.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import libvirt

from migrationlab.capture.environment import MachineSampler
from migrationlab.capture.job_stats import DEFAULT_INTERVAL_S
from migrationlab.capture.ping import EchoProbe
from migrationlab.capture.recorder import Recorder
from migrationlab.errors import GuestError, PlanError, UsageError
from migrationlab.hosts.host import Host, library_version, refusals
from migrationlab.migrate.guest import GuestLike, PlainDomain
from migrationlab.migrate.libvirt_call import migration_call
from migrationlab.migrate.migration import Migration, Prepared
from migrationlab.migrate.policies import downtime_steps
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode
from migrationlab.plan.validation import Side, Situation
from migrationlab.runs.run import Run
from migrationlab.steps import Listener, ignore

#: A sample costs the source's libvirtd a millisecond or two.
SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = 0.005, 60


def start(
    guest: GuestLike | str,
    *,
    to: Host,
    plan: Plan | None = None,
    source: Host | None = None,
    validate: bool = True,
    interval_s: float = DEFAULT_INTERVAL_S,
    probe: str | None = None,
    capture: bool = True,
    on_step: Listener = ignore,
) -> Migration:
    """Start a migration, and return it at once.

    Args:
        guest: A guest of the lab, or the name or UUID of a domain on ``source``.
        to: The host to migrate to.
        plan: How; by default a normal migration. URIs that it leaves out are filled in.
        source: The host that a domain given by name runs on.
        validate: Whether to refuse a plan that cannot work. Give False to get libvirt's own
            answer to such a plan.
        interval_s: The time from one sample of the job to the next.
        capture: Whether to record everything that can be. False records libvirt's own figures only
            (its events and the completed job's statistics), as for a measurement of what recording
            costs; ``progress()`` then tells of no bytes.
        probe: An address of the guest, to ask it for echoes (ping) from here every 5 ms, so that
            the network downtime of a guest that sends no beats is known. A guest of the lab is
            asked by itself, every 20 ms.
        on_step: Hears how it goes.

    Raises:
        UsageError: Nobody answers at ``probe``.
        PlanError: The plan cannot work, or not with these hosts. Nothing was started.
        GuestError: There is no such guest, or it isn't running.
        HostError: A host could not be reached, or refused before the migration began.
    """
    if not isinstance(to, Host):
        raise UsageError(f"{to!r} is no host", hint="give a Host, such as lab.host_b")
    if plan is not None and not isinstance(plan, Plan):
        raise UsageError(f"{plan!r} is no plan", hint='give a Plan, such as Plan(mode="peer2peer")')
    numeric = isinstance(interval_s, int | float)
    if not (numeric and SHORTEST_INTERVAL_S <= interval_s <= LONGEST_INTERVAL_S):
        raise UsageError(
            f"samples cannot be {interval_s} s apart",
            hint=f"give {SHORTEST_INTERVAL_S} to {LONGEST_INTERVAL_S} s",
        )
    plan = _filled(plan or Plan(), to)
    subject = _subject(guest, source, offline=plan.offline)
    host = subject.host
    if validate:
        _validate(subject, host, to, plan)
    prepared = _prepare(
        subject, host, to, plan, interval_s=interval_s, probe=probe, capture=capture
    )
    return Migration(subject, to, plan, prepared, on_step)


def migrate(
    guest: GuestLike | str,
    *,
    to: Host,
    plan: Plan | None = None,
    source: Host | None = None,
    validate: bool = True,
    interval_s: float = DEFAULT_INTERVAL_S,
    probe: str | None = None,
    capture: bool = True,
    on_step: Listener = ignore,
) -> Run:
    """Migrate a guest, and return the run, whatever its outcome.

    Takes and raises what :func:`start` does. Ctrl-C cancels the migration (in post-copy that
    is not possible: it completes), waits until the guest is safe, and then goes on as
    KeyboardInterrupt.
    """
    migration = start(
        guest,
        to=to,
        plan=plan,
        source=source,
        validate=validate,
        interval_s=interval_s,
        probe=probe,
        capture=capture,
        on_step=on_step,
    )
    try:
        return migration.wait()
    except KeyboardInterrupt:
        with contextlib.suppress(UsageError):  # in post-copy it can only complete
            migration.cancel()
        migration.wait()
        raise


def _subject(guest: GuestLike | str, source: Host | None, *, offline: bool) -> GuestLike:
    if not isinstance(guest, str):
        if not callable(getattr(guest, "facts", None)):
            raise UsageError(f"{guest!r} is no guest", hint="give a guest of the lab, or a name")
        return guest
    if not isinstance(source, Host):
        raise UsageError(
            f"where does {guest!r} run?", hint="give source=Host(…), or a guest of the lab"
        )
    return PlainDomain(guest, source, inactive=offline)


def _filled(plan: Plan, to: Host) -> Plan:
    """Return the plan with its URIs: the destination's own where it leaves them out."""
    if plan.connection_uri is None:
        plan = replace(plan, connection_uri=to.peer_uri)
    return plan.filled(destination=to.peer_name)


def _validate(subject: GuestLike, source: Host, to: Host, plan: Plan) -> None:
    if source is to:
        raise PlanError(
            f"the guest {subject.name!r} is on {to.name} already",
            hint="migrate it to the other host",
        )
    situation = Situation(source=_side(source), destination=_side(to), domain=subject.facts())
    plan.require_valid(source=source.peer_name, destination=to.peer_name, situation=situation)
    # A post-copy migration that was broken off is a job that waits to be resumed.
    if not plan.postcopy_resume and source.is_busy(subject.name):
        raise GuestError(
            f"the guest {subject.name!r} has a job under way on {source.name} already",
            hint="wait for that migration, or cancel it",
        )


def _side(host: Host) -> Side:
    return Side(name=host.name, libvirt=host.facts.libvirt, qemu=host.facts.qemu)


def _prepare(
    subject: GuestLike,
    source: Host,
    to: Host,
    plan: Plan,
    *,
    interval_s: float,
    probe: str | None,
    capture: bool,
) -> Prepared:
    with contextlib.ExitStack() as on_failure:
        # By ssh this takes longer than all the rest, which is made ready meanwhile.
        dialled = _dial(to, plan.connection_uri) if plan.mode is Mode.NORMAL else None
        if dialled is not None:
            on_failure.callback(dialled.add_done_callback, _hang_up)
        echo = _echo(subject, plan, probe) if capture else None
        if echo is not None:
            on_failure.callback(echo.stop)
            if not probe:
                echo.begin()
        connections: list[libvirt.virConnect] = []
        for _ in range(2):
            connections.append(source.new_connection())
            on_failure.callback(connections[-1].close)
        with refusals():
            domain, control_domain = (one.lookupByName(subject.name) for one in connections)
            uuid: str = domain.UUIDString()
            # One that does not run, for an offline migration, has no limits.
            limit_before_ms: int | None = None
            speed_before: int | None = None
            if domain.isActive():
                limit_before_ms = domain.migrateGetMaxDowntime()
                speed_before = domain.migrateGetMaxSpeed()
        # The first question about a host's QEMU can take a second: not while it migrates.
        _ = source.facts, to.facts
        wire, machine = subject.wire(), MachineSampler(library_version())
        if echo is not None and probe:
            echo.start()
        recorder = Recorder(
            source,
            to,
            uuid=uuid,
            names={"source": subject.name, "destination": plan.destination_name or subject.name},
            beats=subject.beat_source,
            echo=echo,
            interval_s=interval_s,
            tunnelled=plan.tunnelled,
            capture=capture,
            sample=plan.abort_when_diverging_s is not None,
        )
        on_failure.callback(recorder.close)
        there: str | libvirt.virConnect = plan.connection_uri
        if dialled is not None:
            there = dialled.result()
            connections.append(there)
        migrate_it = migration_call(domain, there, plan.parameters(), plan.flag_bits())
        first_limit = next(iter(downtime_steps(plan)), None)

        def call() -> None:
            # The limit is the guest's, not the call's, so it is set at the last moment.
            if first_limit:
                domain.migrateSetMaxDowntime(first_limit[1])
            migrate_it()

        def undo() -> None:
            if first_limit and limit_before_ms is not None:
                control_domain.migrateSetMaxDowntime(limit_before_ms)
            # Where libvirt has not put it back by itself.
            if speed_before is not None and control_domain.migrateGetMaxSpeed() != speed_before:
                control_domain.migrateSetMaxSpeed(speed_before)

        on_failure.pop_all()
        return Prepared(
            source=source,
            recorder=recorder,
            call=call,
            control=control_domain,
            connections=tuple(connections),
            uuid=uuid,
            limit_before_ms=limit_before_ms,
            wire=wire,
            machine=machine,
            undo=undo,
        )


def _echo(subject: GuestLike, plan: Plan, probe: str | None) -> EchoProbe | None:
    if probe:
        return EchoProbe(probe)
    return None if plan.offline else subject.echo_probe()


def _dial(to: Host, uri: str | None) -> Future[libvirt.virConnect]:
    """Begin to open a connection, in a thread of its own."""
    pool = ThreadPoolExecutor(1, "migration-dial")
    try:
        return pool.submit(to.new_connection, uri)
    finally:
        pool.shutdown(wait=False)


def _hang_up(dialled: Future[libvirt.virConnect]) -> None:
    """Close a connection that was opened for nothing."""
    if dialled.exception() is None:
        dialled.result().close()
