"""Check whether a migration between two hosts can work, before anything moves.

Theory of operation. Both libvirtds are asked, and small programs run on the hosts if the connection
URI shows a way (ssh). Names, ports and logins must be tried on the *source*, because this machine
can see the destination differently. A question without an answer is a warning. Only a try gives a
good finding. Nothing is changed on any host. ``domain`` has the checks of the
guest, ``preflight.toml`` the texts of the findings.
"""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial

from migrationlab.capture import clocks
from migrationlab.checks import capabilities, releases
from migrationlab.checks.diagnosis import Check, Diagnosis, Messages, Status, finding
from migrationlab.checks.domain import HostPair, domain_checks
from migrationlab.errors import MigrationLabError
from migrationlab.explain.explanation import explain
from migrationlab.hosts.host import Host
from migrationlab.hosts.program import NOT_RUN
from migrationlab.hosts.shell import SSH_TRANSPORTS
from migrationlab.plan.plan import Plan
from migrationlab.plan.settings import AUTO
from migrationlab.plan.uri_parser import is_address, name_problem, read_migration_uri, read_uri
from migrationlab.plan.uris import Mode
from migrationlab.runs.numbers import lasting

MESSAGES = Messages(
    ok="A migration can work.",
    warned="A migration can work, as far as is known. Check: {}.",
    failed="Migration blocked. Fix: {}.",
)
#: QEMU's ports for migration data: libvirt's qemu.conf, migration_port_min and _max.
FIRST_PORT, LAST_PORT = 49152, 49215
CONNECT_TIMEOUT_S = 3
#: A larger offset makes the logs of both hosts contradict each other; certificates may be invalid.
CLOCK_TOLERANCE_MS = 1000
#: The kernel's setting of how often TCP tries again; RFC 1122 (4.2.3.5) wants 100 s, which is 8.
RETRIES, MOST_RETRIES = "net.ipv4.tcp_retries2", 8
#: bash opens a connection for such a file name: see its manual, under REDIRECTION. The name and the
#: port are arguments: another machine chose the name, and it must not become text of a command.
CONNECT = ("bash", "-c", ': <"/dev/tcp/$1/$2"', "bash")
_found = partial(finding, "preflight")


def preflight(
    source: Host | str,
    destination: Host | str,
    *,
    domain: str | None = None,
    plan: Plan | None = None,
) -> Diagnosis:
    """Check whether a migration between two hosts can work.

    Args:
        source: The host that a guest would leave, or its connection URI.
        destination: The host that it would go to, or its connection URI.
        domain: A domain of the source, which is then checked too.
        plan: The plan of the migration; by default only normal mode is set.

    Returns:
        Every finding, in the order in which to fix them.
    """
    # Logins take nearly all of the time, so all checks with a login run in parallel.
    with ExitStack() as opened, ThreadPoolExecutor() as pool:
        sides = (("source", source), ("destination", destination))
        tasks = [pool.submit(_connection, name, host, opened) for name, host in sides]
        (here, first), (there, second) = (task.result() for task in tasks)
        checks = [first, second]
        if here is not None and there is not None:
            checks += _examine(here, there, domain, plan or Plan(), pool)
    return Diagnosis(tuple(checks), MESSAGES)


def _connection(name: str, given: Host | str, opened: ExitStack) -> tuple[Host | None, Check]:
    try:
        host = given
        if not isinstance(host, Host):
            host = opened.enter_context(closing(Host(host)))
        facts = host.facts
    except MigrationLabError as error:
        return None, _found("host", "unreachable", error=error, advice=error.hint).named(name)
    versions = {"libvirt": facts.libvirt_version, "qemu": facts.qemu_version}
    return host, _found("host", "ok", name=host.name, **versions).named(name)


def _examine(
    source: Host, destination: Host, domain: str | None, plan: Plan, pool: ThreadPoolExecutor
) -> list[Check]:
    offers = [capabilities.capabilities(host) for host in (source, destination)]
    pair = HostPair(source, destination, destination.with_uris(plan), *offers)
    tasks = {name: pool.submit(check, pair) for name, check in _CHECKS.items()}
    guest = pool.submit(domain_checks, pair, domain) if domain is not None else None
    found = {name: task.result() for name, task in tasks.items()}
    if found["name"].status is Status.FAIL:
        found["ports"] = _found("ports", "no-name")
    checks = [check.named(name) for name, check in found.items()]
    # With a domain, the plan is validated together with it.
    if guest is not None:
        return checks + guest.result()
    problems = pair.plan_problems()
    return [*checks, problems.named("plan")] if problems else checks


def _rights(pair: HostPair) -> Check:
    hosts = {"source": pair.source, "destination": pair.destination}
    denied = [side for side, host in hosts.items() if not capabilities.can_write(host)]
    if not denied:
        return _found("rights", "ok")
    # In peer2peer the source's libvirtd connects to the destination itself, as root.
    harmless = denied == ["destination"] and pair.plan.mode is Mode.PEER2PEER
    status = Status.WARN if harmless else Status.FAIL
    return _found("rights", "denied", status, sides=" and the ".join(denied))


def _identity(pair: HostPair) -> Check:
    source, destination = pair.source_offers.uuid, pair.destination_offers.uuid
    if not source or not destination:
        return _found("identity", "unknown")
    return _found("identity", "same" if source == destination else "ok", uuid=source)


def _versions(pair: HostPair) -> Check:
    here, there = pair.source.facts, pair.destination.facts
    older = []
    if there.libvirt < here.libvirt:
        older.append(f"libvirt {here.libvirt_version} to {there.libvirt_version}")
    if there.qemu < here.qemu:
        older.append(f"QEMU {here.qemu_version} to {there.qemu_version}")
    more = {
        "lacking": releases.lacking(pair.source.side, pair.destination.side),
        "known": releases.known(here, there),
    }
    return _found("versions", "older" if older else "ok", older=" and from ".join(older), **more)


def _machines(pair: HostPair) -> Check:
    source, destination = pair.source_offers, pair.destination_offers
    if source.arch != destination.arch:
        arches = {"source": source.arch, "destination": destination.arch}
        return _found("machine types", "arch", **arches)
    newest = {capabilities.newest(source.machines, [family]) for family in capabilities.FAMILIES}
    lost = sorted(filter(None, newest - destination.machines))
    common = pair.common_machine
    outcome = "none" if common is None else "newer" if lost else "ok"
    return _found("machine types", outcome, common=common, lost=", ".join(lost))


def _no_shell(host: Host, command: str) -> Check:
    transport = read_uri(host.uri).scheme
    return _found("shell", "none", transport=transport, host=host.name, command=command)


def _addresses(host: Host, name: str) -> frozenset[str] | None:
    """Return the addresses of a name on a host; empty for an unknown name, None without answer."""
    assert host.shell is not None
    if name_problem(name, "name"):
        return frozenset()
    answer = host.shell.run("getent", "ahosts", name)
    if answer.status == 2:  # getent(1): one or more supplied keys could not be found
        return frozenset()
    if answer.status != 0:
        return None
    words = (line.split() for line in answer.text.splitlines())
    return frozenset(word[0] for word in words if word and is_address(word[0]))


def _loopback(addresses: frozenset[str]) -> list[str]:
    # A link-local address may come with its interface: fe80::1%eth0.
    return sorted(a for a in addresses if ipaddress.ip_address(a.partition("%")[0]).is_loopback)


def _name(pair: HostPair) -> Check:
    """Check the meaning of the destination's name on the source."""
    target, source = pair.target, pair.source
    command = f"`getent ahosts {shlex.quote(target)}`"
    if source.shell is None:
        return _no_shell(source, command)
    say = partial(_found, "name", source=source.name, target=target)
    found = _addresses(source, target)
    if found is None:
        return say("unknown", command=command)
    if not found:
        return say("unresolved")
    own = found & (_addresses(source, source.facts.hostname) or frozenset())
    itself = _loopback(found) or sorted(own)
    return say("itself" if itself else "ok", addresses=", ".join(itself or sorted(found)))


def _own_name(pair: HostPair) -> Check:
    """Check whether the destination's own name leads the source to the destination.

    libvirt gives the source this name, not an address, and refuses only one that begins with
    "localhost" (qemuMigrationDstPrepareDirect in ``src/qemu/qemu_migration.c``).
    """
    source, host, name = pair.source, pair.destination, pair.destination.facts.hostname
    bad = Status.FAIL if pair.plan.migration_uri == AUTO else Status.WARN
    say = partial(_found, "own name", source=source.name, host=host.name, name=name, auto=AUTO)
    if name.startswith("localhost"):
        return say("localhost", bad)
    if source.shell is None:
        return _no_shell(source, f"`getent ahosts {name}`")
    here = _addresses(source, name)
    if here is None:
        return say("unknown")
    if not here or _loopback(here):
        return say("not-found", bad)
    return say("ok")


def _ports(pair: HostPair) -> Check:
    """Connect from the source to the destination's migration ports. Nothing listens there yet."""
    source, target, uri = pair.source, pair.target, pair.plan.migration_uri
    if uri is None or uri.startswith("unix:"):
        reason = "a Unix socket" if uri else "tunnelled" if pair.plan.tunnelled else "offline"
        return _found("ports", "not-needed", reason=reason)
    command = f"`nc -zv {shlex.quote(target)} {FIRST_PORT}` reports refused if the way is open"
    if source.shell is None:
        return _no_shell(source, command)
    say = partial(_found, "ports", source=source.name, target=target)
    if name_problem(target, "target"):
        return say("no-name")
    named = read_migration_uri(uri).port_number
    ports = (named,) if named else (FIRST_PORT, LAST_PORT)
    closed: list[str] = []
    refused: list[int] = []
    for port in ports:
        place = (target, str(port))
        answer = source.shell.run("timeout", str(CONNECT_TIMEOUT_S), *CONNECT, *place)
        if answer.status in (NOT_RUN, 126):
            return say("not-tried", reason=answer.text, command=command)
        if answer.text.endswith("Connection refused"):
            refused.append(port)
        elif answer.status != 0:
            reason = answer.text.rpartition(": ")[2] or f"no answer in {CONNECT_TIMEOUT_S} s"
            closed.append(f"{port} ({reason})")
    if closed:
        return say("closed", closed=", ".join(closed), first=FIRST_PORT, last=LAST_PORT)
    which = " and ".join(map(str, refused or ports))
    if not refused:
        return say("ok", ports=which)
    return say("refused", ports=which, port=refused[0], destination=pair.destination.name)


def _peer2peer(pair: HostPair) -> Check:
    """Connect from the source to the destination's libvirtd."""
    source = pair.source
    needed = pair.plan.mode is Mode.PEER2PEER
    uri = (pair.plan.connection_uri if needed else None) or pair.destination.peer_uri
    parts = read_uri(uri)
    opened = uri
    if parts.transport in SSH_TRANSPORTS:
        # Nobody is there to type a password.
        opened = parts.with_options({**parts.options, "no_tty": "1"})
    command = f"as root: `virsh --connect {shlex.quote(uri)} hostname`"
    if source.shell is None:
        return _no_shell(source, command)
    say = partial(_found, "peer2peer", source=source.name, uri=uri, command=command)
    answer = source.shell.run("virsh", "--quiet", "--connect", opened, "hostname", timeout_s=30)
    if answer.status == NOT_RUN:
        return say("not-tried", reason=answer.text)
    if answer.status != 0:
        reason = answer.text.removeprefix("error: ")
        found = explain(reason)
        advice = (found.known and found.fix) or (
            f"Let root of {source.name} log in to the destination without a password."
        )
        return say("refused" if needed else "refused-unneeded", reason=reason, advice=advice)
    user = source.shell.run("id", "-u").text
    return say("ok" if user == "0" else "not-as-root", user=user)


def _clocks(pair: HostPair) -> Check:
    found = [(host.name, clocks.measure(host)) for host in (pair.source, pair.destination)]
    unknown = [name for name, offset in found if offset is None]
    if unknown:
        return _found("clocks", "unknown", hosts=", ".join(unknown))
    here, there = (offset for _, offset in found if offset is not None)
    apart, error = abs(here.offset_ms - there.offset_ms), here.error_ms + there.error_ms
    outcome = "ok" if apart - error <= CLOCK_TOLERANCE_MS else "apart"
    return _found("clocks", outcome, apart=apart, error=error)


def _tcp(pair: HostPair) -> Check:
    """Ask both hosts when a TCP connection over a cut wire ends."""
    retries: dict[str, int] = {}
    for host in (pair.source, pair.destination):
        if host.shell is None:
            return _no_shell(host, f"`sysctl {RETRIES}`")
        answer = host.shell.run("cat", f"/proc/sys/{RETRIES.replace('.', '/')}")
        if answer.status != 0 or not answer.text.strip().isdecimal():
            return _found("TCP", "unknown", host=host.name, setting=RETRIES)
        retries[host.name] = int(answer.text)
    most = max(retries.values())
    values = ", ".join(f"{number} on {name}" for name, number in retries.items())
    outcome = "ok" if most <= MOST_RETRIES else "patient"
    return _found("TCP", outcome, setting=RETRIES, values=values, after=lasting(gives_up_s(most)))


def gives_up_s(retries: int) -> float:
    """Return how long a TCP connection over a cut wire lasts at least, in seconds.

    The time between two tries doubles from 0.2 s up to 120 s (Linux' Documentation/networking/
    ip-sysctl.rst, tcp_retries2; include/net/tcp.h, TCP_RTO_MIN and TCP_RTO_MAX).
    """
    return float(sum(min(0.2 * 2.0**number, 120.0) for number in range(min(retries, 255) + 1)))


#: In the order in which to fix them.
_CHECKS: dict[str, Callable[[HostPair], Check]] = {
    "rights": _rights,
    "identity": _identity,
    "versions": _versions,
    "machine types": _machines,
    "name": _name,
    "own name": _own_name,
    "ports": _ports,
    "peer2peer": _peer2peer,
    "clocks": _clocks,
    "TCP": _tcp,
}
