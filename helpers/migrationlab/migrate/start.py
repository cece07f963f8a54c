"""Start migrations: validate the plan, open every connection, and only then begin.

Bad input never starts a migration: a plan that is known not to work is refused. The time after
the start belongs to ``migration``.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import libvirt

from migrationlab.capture.environment import MachineSampler
from migrationlab.capture.job_stats import DEFAULT_INTERVAL_S
from migrationlab.capture.ping import EchoProbe
from migrationlab.capture.recorder import Recorder, Service
from migrationlab.errors import GuestError, MigrationLabError, PlanError, UsageError
from migrationlab.hosts.connection import close_connection, library_version, refusals
from migrationlab.hosts.host import Host
from migrationlab.migrate.guest import GuestLike, PlainDomain
from migrationlab.migrate.libvirt_call import migration_call
from migrationlab.migrate.migration import Migration
from migrationlab.migrate.policies import first_downtime_ms
from migrationlab.migrate.qemu_parameters import QemuParameters, require_lab
from migrationlab.migrate.record import MigrationRecord
from migrationlab.plan.plan import Plan
from migrationlab.plan.policies.policy import PolicyGuest
from migrationlab.plan.uris import Mode
from migrationlab.plan.validation import Situation
from migrationlab.plan.virsh import virsh_line
from migrationlab.runs.run import Run
from migrationlab.steps import Listener, ignore

P = ParamSpec("P")
T = TypeVar("T")
#: A sample costs the source's libvirtd one or two milliseconds.
MIN_INTERVAL_S, MAX_INTERVAL_S = 0.005, 60


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
    """Start a migration and return it at once.

    Args:
        guest: A guest of the lab, or the name or UUID of a domain on ``source``.
        to: The host to migrate to.
        plan: How to migrate; by default a normal migration. URIs that it leaves out are filled in.
        source: The host of a guest that is given by name.
        validate: Whether to refuse a plan that cannot work. Give False to get libvirt's own
            answer to such a plan.
        interval_s: The time between two samples of the job, in seconds.
        probe: An address of the guest. It is asked for echoes (ping) from here every 5 ms, which
            measures the network downtime of a guest without beats. A guest of the lab is
            asked every 20 ms in any case.
        capture: Whether to record everything. False records only libvirt's own figures (its events
            and the completed job's statistics), to measure the cost of recording; then
            ``progress()`` reports no bytes.
        on_step: Receives the progress.

    Raises:
        UsageError: An argument has the wrong type or range, nobody answers at ``probe``, or the
            plan has parameters of QEMU for a guest that is in no lab.
        PlanError: The plan cannot work, or not with these hosts. Nothing was started.
        GuestError: There is no such guest, or it is not running.
        HostError: A host could not be reached, or refused before the migration began.
    """
    _require_type("to", to, Host, "lab.host_b")
    if plan is not None:
        _require_type("plan", plan, Plan, 'Plan(mode="peer2peer")')
    numeric = isinstance(interval_s, int | float)
    if not (numeric and MIN_INTERVAL_S <= interval_s <= MAX_INTERVAL_S):
        raise UsageError(
            f"interval_s must be {MIN_INTERVAL_S} to {MAX_INTERVAL_S} (got {interval_s!r})",
            hint=f"Leave it out: the default is {DEFAULT_INTERVAL_S}",
        )
    plan = to.with_uris(plan or Plan())
    guest = _guest(guest, source, offline=plan.offline)
    source = guest.host
    require_lab(guest, to, plan)
    if validate:
        _validate(guest, source, to, plan)
    record = _prepare(guest, source, to, plan, interval_s=interval_s, probe=probe, capture=capture)
    return Migration(record, on_step)


def _with_arguments_of(
    model: Callable[P, object],
) -> Callable[[Callable[..., T]], Callable[P, T]]:
    """Give a function the arguments of another one, for readers and type checkers."""

    def decorate(function: Callable[..., T]) -> Callable[P, T]:
        result = inspect.signature(function).return_annotation
        signature = inspect.signature(model).replace(return_annotation=result)
        function.__signature__ = signature  # type: ignore[attr-defined]
        return function

    return decorate


@_with_arguments_of(start)
def migrate(*args: Any, **options: Any) -> Run:
    """Migrate a guest and return the run, with any outcome.

    Arguments and errors are those of :func:`start`. Ctrl-C cancels the migration (in post-copy that
    is not possible: it completes), waits until the guest is safe, and raises KeyboardInterrupt.
    """
    migration = start(*args, **options)
    try:
        return migration.wait()
    except KeyboardInterrupt:
        with contextlib.suppress(UsageError):  # in post-copy it can only complete
            migration.cancel()
        migration.wait()
        raise


def _require_type(name: str, value: object, kind: type, example: str) -> None:
    if not isinstance(value, kind):
        wanted = f"a {kind.__name__}"
        raise UsageError(
            f"{name} must be {wanted} (got {value!r})", hint=f"Give {wanted}, such as {example}"
        )


def _guest(guest: GuestLike | str, source: Host | None, *, offline: bool) -> GuestLike:
    if not isinstance(guest, str):
        if not callable(getattr(guest, "facts", None)):
            raise UsageError(
                f"guest must be a guest of the lab or a name (got {guest!r})",
                hint='Give lab.guest("guest-1"), or a name such as "web1" with source=Host(…)',
            )
        return guest
    if source is None:
        raise UsageError(
            f"source must be a Host when guest is a name (got no source for {guest!r})",
            hint='Give source=Host("qemu+ssh://root@node1/system"), or a guest of the lab',
        )
    _require_type("source", source, Host, "lab.host_a")
    return PlainDomain(guest, source, inactive=offline)


def _validate(guest: GuestLike, source: Host, to: Host, plan: Plan) -> None:
    if source is to:
        raise PlanError(
            f"the destination must be another host (guest {guest.name!r} is on {to.name} already)",
            hint="Give the other host, for example to=lab.host_b.",
        )
    situation = Situation(source=source.side, destination=to.side, domain=guest.facts())
    plan.require_valid(source=source.peer_name, destination=to.peer_name, situation=situation)
    # A post-copy migration that was paused is a job that waits to be resumed.
    if not plan.postcopy_resume and source.is_busy(guest.name):
        raise GuestError(
            f"guest {guest.name!r} must not have a job under way (it has one on {source.name})",
            hint="Wait for that migration, or cancel it: "
            f"`{virsh_line(source.uri, 'domjobabort', guest.name)}`",
        )


def _prepare(
    guest: GuestLike,
    source: Host,
    to: Host,
    plan: Plan,
    *,
    interval_s: float,
    probe: str | None,
    capture: bool,
) -> MigrationRecord:
    """Do each step that can fail before the migration starts; undo all steps if one fails."""
    with contextlib.ExitStack() as on_failure:
        # By ssh this takes longest, so the rest is prepared meanwhile.
        connecting = _connect(to, plan.connection_uri) if plan.mode is Mode.NORMAL else None
        if connecting is not None:
            on_failure.callback(connecting.add_done_callback, _disconnect)
        echo = None
        if capture and (probe or not plan.offline):
            echo = EchoProbe(probe) if probe else guest.echo_probe()
        if echo is not None:
            on_failure.callback(echo.stop)
            if not probe:
                echo.begin()
        writes = guest.write_probe() if capture and not plan.offline else None
        if writes is not None:
            on_failure.callback(writes.stop)
            writes.begin()
        warnings: list[str] = []
        service = _clients(guest, plan, warnings) if capture else None
        if service is not None:
            on_failure.callback(service.close)
        connections: list[libvirt.virConnect] = []
        for _ in range(2):
            connections.append(source.new_connection())
            on_failure.callback(close_connection, connections[-1])
        with refusals():
            domain, control = (each.lookupByName(guest.name) for each in connections)
            uuid: str = domain.UUIDString()
            limits = _Limits(domain, control, plan)
            own = QemuParameters(guest, control, to, plan)
            parameters = own.call_parameters()
            policy_guest = None if plan.policy is None else _policy_guest(guest, domain, plan)
        # The first question about a host's QEMU can take a second: not while it migrates.
        _ = source.facts, to.facts
        wire, machine = guest.wire(), MachineSampler(library_version())
        if echo is not None and probe:
            echo.start()
        recorder = Recorder(
            source,
            to,
            uuid=uuid,
            names={"source": guest.name, "destination": plan.destination_name or guest.name},
            beats=guest.beat_source,
            echo=echo,
            writes=writes,
            service=service,
            interval_s=interval_s,
            tunnelled=plan.tunnelled,
            capture=capture,
            # The plan's policies and the deadline of post-copy depend on samples.
            sample=plan.abort_when_diverging_s is not None
            or plan.policy is not None
            or (plan.postcopy and plan.deadline_s is not None),
        )
        on_failure.callback(recorder.close)
        destination: str | libvirt.virConnect = plan.connection_uri
        if connecting is not None:
            destination = connecting.result()
            connections.append(destination)
        migrate_it = migration_call(domain, destination, parameters, plan.flag_bits())

        def call() -> None:
            limits.set()
            migrate_it()

        def undo() -> None:
            limits.restore()
            own.restore()

        own.set()
        record = MigrationRecord(
            guest=guest,
            name=guest.name,
            about=guest.record(),
            uuid=uuid,
            source=source,
            destination=to,
            plan=plan,
            recorder=recorder,
            machine=machine,
            wire=wire,
            call=call,
            control=control,
            connections=tuple(connections),
            undo=undo,
            downtime_limit_ms=limits.downtime_ms,
            policy_guest=policy_guest,
            counts_faults=own.counts_faults,
            warnings=[*warnings, *own.warnings],
        )
        on_failure.pop_all()
        return record


def _policy_guest(guest: GuestLike, domain: libvirt.virDomain, plan: Plan) -> PolicyGuest:
    """Return what a named policy knows of the guest, from its host."""
    facts = guest.facts()
    disks = () if plan.copy_storage is None else facts.disks or ()
    copied = [
        disk.target
        for disk in disks
        if (disk.target in plan.copy_disks if plan.copy_disks else not disk.readonly)
    ]
    return PolicyGuest(
        memory_bytes=domain.maxMemory() * 1024,
        copied_disks_bytes=tuple(domain.blockInfo(target)[0] for target in copied),
        paused=bool(facts.paused),
        parallel=plan.parallel,
        vfio="<hostdev" in (facts.xml or ""),
    )


def _clients(guest: GuestLike, plan: Plan, warnings: list[str]) -> Service | None:
    """Return the clients of the guest's service; warn if they fail, and migrate without them."""
    if plan.offline:
        return None
    try:
        return guest.service_load()
    except MigrationLabError as error:
        warnings.append(f"nothing is known of the guest's service: {error}")
        return None


class _Limits:
    """The limits of a domain that a migration changes: its maximum downtime and its bandwidth.

    ``domain`` is on the connection of the call, ``control`` on the other one.
    """

    def __init__(self, domain: libvirt.virDomain, control: libvirt.virDomain, plan: Plan) -> None:
        self._domain, self._control = domain, control
        self._first_ms = first_downtime_ms(plan)
        self._changes_downtime = self._first_ms is not None or plan.policy is not None
        # A domain that does not run, for an offline migration, has no limits.
        active = domain.isActive()
        self.downtime_ms: int | None = domain.migrateGetMaxDowntime() if active else None
        self._bandwidth: int | None = domain.migrateGetMaxSpeed() if active else None

    def set(self) -> None:
        """Set the first maximum downtime. It is a property of the domain, so it is set last."""
        if self._first_ms is not None:
            self._domain.migrateSetMaxDowntime(self._first_ms)

    def restore(self) -> None:
        """Restore both limits, unless libvirt itself has restored them."""
        if self._changes_downtime and self.downtime_ms is not None:
            self._control.migrateSetMaxDowntime(self.downtime_ms)
        before = self._bandwidth
        if before is not None and before != self._control.migrateGetMaxSpeed():
            self._control.migrateSetMaxSpeed(before)


def _connect(to: Host, uri: str | None) -> Future[libvirt.virConnect]:
    """Begin to open a connection, in its own thread."""
    pool = ThreadPoolExecutor(1, "migration-connect")
    try:
        return pool.submit(to.new_connection, uri)
    finally:
        pool.shutdown(wait=False)


def _disconnect(connecting: Future[libvirt.virConnect]) -> None:
    """Close a connection that is not needed."""
    if connecting.exception() is None:
        close_connection(connecting.result())
