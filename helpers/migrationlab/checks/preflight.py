"""Find out whether a migration between two hosts can work, before anything moves.

Theory of operation. Both libvirtds are asked, and small programs run on the hosts if the connection
URI shows a way (ssh): what counts for names, ports and logins is how the *source* sees the
destination, which this machine cannot know itself. What cannot be found out is a warning; nothing
is called good that was not tried. Nothing is changed on any host. ``domain`` has the checks of the
guest.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

from migrationlab.capture import clocks
from migrationlab.checks import capabilities
from migrationlab.checks.diagnosis import Check, Diagnosis, Messages, Status, fail, ok, warn
from migrationlab.checks.domain import HostPair, domain_checks
from migrationlab.errors import MigrationLabError
from migrationlab.explain.explanation import explain
from migrationlab.hosts.host import Host
from migrationlab.hosts.program import NOT_RUN
from migrationlab.hosts.shell import SSH_TRANSPORTS
from migrationlab.plan.plan import Plan
from migrationlab.plan.settings import AUTO
from migrationlab.plan.uri_parser import read_migration_uri, read_uri
from migrationlab.plan.uris import Mode

MESSAGES = Messages(
    ok="A migration can work.",
    warned="A migration can work, as far as is known. Check: {}.",
    failed="Migration blocked. Fix: {}.",
)
#: QEMU's ports for migration data: libvirt's qemu.conf, migration_port_min and _max.
FIRST_PORT, LAST_PORT = 49152, 49215
CONNECT_TIMEOUT_S = 3
#: Beyond this the logs of the two hosts contradict each other, and certificates may be invalid.
CLOCK_TOLERANCE_MS = 1000


def preflight(
    source: Host | str,
    destination: Host | str,
    *,
    domain: str | None = None,
    plan: Plan | None = None,
) -> Diagnosis:
    """Find out whether a migration between two hosts can work.

    Args:
        source: The host that a guest would leave, or its connection URI.
        destination: The host that it would go to, or its connection URI.
        domain: A domain of the source, to check that one too.
        plan: How it would migrate; by default in normal mode, with nothing else set.

    Returns:
        Every finding, in the order in which to fix them.
    """
    # Logins take nearly all of the time, so all checks that need one run in parallel.
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
        return None, fail(str(error), error.hint).named(name)
    detail = f"{host.name}: libvirt {facts.libvirt_version}, QEMU {facts.qemu_version}"
    return host, ok(detail).named(name)


def _examine(
    source: Host, destination: Host, domain: str | None, plan: Plan, pool: ThreadPoolExecutor
) -> list[Check]:
    offers = [capabilities.capabilities(host) for host in (source, destination)]
    pair = HostPair(source, destination, destination.with_uris(plan), *offers)
    tasks = {name: pool.submit(check, pair) for name, check in _CHECKS.items()}
    guest = pool.submit(domain_checks, pair, domain) if domain is not None else None
    found = {name: task.result() for name, task in tasks.items()}
    if found["name"].status is Status.FAIL:
        found["ports"] = warn("not tried: the name leads nowhere", "Fix name first.")
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
        return ok("both connections may do more than read")
    # In peer2peer the source's libvirtd connects to the destination itself, as root.
    harmless = denied == ["destination"] and pair.plan.mode is Mode.PEER2PEER
    return (warn if harmless else fail)(
        f"the connection to the {' and the '.join(denied)} can only read",
        "Connect as root or as a member of the group libvirt, and not by a socket whose name "
        "ends in -ro.",
    )


def _identity(pair: HostPair) -> Check:
    source, destination = pair.source_offers.uuid, pair.destination_offers.uuid
    if not source or not destination:
        return warn(
            "not known: a host does not report its UUID",
            "Make sure that they are two: libvirt refuses to migrate a guest to its own host.",
        )
    if source != destination:
        return ok("two hosts, by libvirt's host UUID")
    return fail(
        f"both hosts have the UUID {source}: libvirt takes them for one",
        "If they are two, set host_uuid on one of them in /etc/libvirt/libvirtd.conf (`uuidgen` "
        "makes one), and restart its libvirtd.",
    )


def _versions(pair: HostPair) -> Check:
    here, there = pair.source.facts, pair.destination.facts
    older = [
        f"{what} {new} to {old}"
        for what, new, old, is_older in (
            ("libvirt", here.libvirt_version, there.libvirt_version, there.libvirt < here.libvirt),
            ("QEMU", here.qemu_version, there.qemu_version, there.qemu < here.qemu),
        )
        if is_older
    ]
    if not older:
        return ok("the destination's are the same or newer")
    return warn(
        f"the destination is older: from {' and from '.join(older)}",
        "Update the destination, or migrate only guests whose machine type, CPU and devices it "
        "has too. Only the other direction is supported.",
    )


def _machines(pair: HostPair) -> Check:
    source, destination = pair.source_offers, pair.destination_offers
    if source.arch != destination.arch:
        return fail(
            f"the source is {source.arch}, the destination {destination.arch}",
            "Choose hosts of the same architecture.",
        )
    newest = set(filter(None, map(source.newest, capabilities.FAMILIES)))
    lost = sorted(newest - destination.machines)
    common = pair.common_machine
    if common is None:
        return fail(
            "the two hosts have no versioned machine type in common",
            "Update the older QEMU to a release that shares one with the newer.",
        )
    if not lost:
        return ok(f"the destination has {common} and older")
    return warn(
        f"only the source has {', '.join(lost)}; {common} is the newest that both have",
        f"Give guests that have to migrate machine='{common}' or an older one: a new guest gets "
        "the newest of its host.",
    )


def _no_shell(host: Host, command: str) -> Check:
    transport = read_uri(host.uri).scheme
    detail = f"not known: {transport} shows no way to run a program on {host.name}"
    return warn(detail, f"Check on {host.name}: {command}. Or give a qemu+ssh URI.")


def _addresses(host: Host, name: str) -> frozenset[str] | None:
    """Return the addresses of a name on a host; none if it is unknown there, None if not known."""
    assert host.shell is not None
    answer = host.shell.run("getent", "ahosts", name)
    if answer.status == 2:  # getent(1): one or more supplied keys could not be found
        return frozenset()
    if answer.status != 0:
        return None
    return frozenset(line.split()[0] for line in answer.text.splitlines())


def _loopback(addresses: frozenset[str]) -> list[str]:
    # A link-local address may come with its interface: fe80::1%eth0.
    return sorted(a for a in addresses if ipaddress.ip_address(a.partition("%")[0]).is_loopback)


def _name(pair: HostPair) -> Check:
    """Find out what the destination's name means on the source."""
    target, source = pair.target, pair.source
    by_hand = f"`getent ahosts {target}`"
    if source.shell is None:
        return _no_shell(source, by_hand)
    found = _addresses(source, target)
    if found is None:
        return warn(f"{source.name} could not be asked", f"Check on {source.name}: {by_hand}.")
    fix = (
        f"Fix DNS or /etc/hosts of {source.name}, or give a migration URI with the "
        "destination's address: tcp://ADDRESS."
    )
    if not found:
        return fail(f"{source.name} cannot resolve {target}", fix)
    own = found & (_addresses(source, source.facts.hostname) or frozenset())
    if itself := _loopback(found) or sorted(own and found):
        return fail(f"{source.name} takes {target} for itself: {', '.join(itself)}", fix)
    return ok(f"for {source.name}, {target} is {', '.join(sorted(found))}")


def _own_name(pair: HostPair) -> Check:
    """Find out whether the name that the destination would give itself leads to it."""
    host, name = pair.destination, pair.destination.facts.hostname
    bad = fail if pair.plan.migration_uri == AUTO else warn
    hint = (
        f"Fix /etc/hosts of {host.name}, or set migration_host in its /etc/libvirt/qemu.conf. "
        f"This counts only if the destination chooses the migration URI ({AUTO})."
    )
    if pair.source.shell is None or host.shell is None:
        return _no_shell(host if host.shell is None else pair.source, f"`getent ahosts {name}`")
    there, here = _addresses(host, name), _addresses(pair.source, name)
    if there is None or here is None:
        return warn("not known: a host could not be asked", hint)
    if loopback := _loopback(there):
        return bad(f"{host.name} takes its own name {name} for {', '.join(loopback)}", hint)
    if not here or _loopback(here):
        return bad(f"{pair.source.name} does not find the destination by its hostname {name}", hint)
    return ok(f"{pair.source.name} finds the destination by its hostname {name}")


def _ports(pair: HostPair) -> Check:
    """Connect from the source to the destination's migration ports, where nothing listens yet."""
    source, target = pair.source, pair.target
    uri = pair.plan.migration_uri
    if uri is None or uri.startswith("unix:"):
        what = "a Unix socket" if uri else "tunnelled" if pair.plan.tunnelled else "offline"
        return ok(f"not needed: {what}")
    by_hand = f"`nc -zv {target} {FIRST_PORT}` reports refused if the way is open"
    if source.shell is None:
        return _no_shell(source, by_hand)
    named = read_migration_uri(uri).port_number
    ports = (named,) if named else (FIRST_PORT, LAST_PORT)
    closed: list[str] = []
    refused: list[str] = []
    for port in ports:
        # bash opens a connection for such a file name: see its manual, under REDIRECTION.
        connect = f": </dev/tcp/{target}/{port}"
        answer = source.shell.run("timeout", str(CONNECT_TIMEOUT_S), "bash", "-c", connect)
        if answer.status in (NOT_RUN, 126):
            return warn(f"not tried: {answer.text}", f"Check on {source.name}: {by_hand}.")
        if answer.text.endswith("Connection refused"):
            refused.append(str(port))
        elif answer.status != 0:
            reason = answer.text.rpartition(": ")[2] or f"no answer in {CONNECT_TIMEOUT_S} s"
            closed.append(f"{port} ({reason})")
    if closed:
        return fail(
            f"{source.name} cannot connect to {target}: {', '.join(closed)}",
            f"Open the ports {FIRST_PORT} to {LAST_PORT} (tcp) of the destination for the source, "
            "or give a migration URI with an open port.",
        )
    if not refused:
        which = " and ".join(map(str, ports))
        return ok(f"{source.name} can connect to {target} at port {which}")
    # firewalld and ufw answer by ICMP or not at all, but others reset connections.
    return warn(
        f"{target} refuses {source.name} at port {' and '.join(refused)}: nothing listens there "
        "yet, or a firewall resets connections, which looks the same",
        f"To be sure, run `nc -l {refused[0]}` on {pair.destination.name} and check again.",
    )


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
    by_hand = f"as root: `virsh --connect {uri} hostname`"
    if source.shell is None:
        return _no_shell(source, by_hand)
    answer = source.shell.run("virsh", "--quiet", "--connect", opened, "hostname", timeout_s=30)
    if answer.status == NOT_RUN:
        return warn(f"not tried: {answer.text}", f"Check on {source.name}, {by_hand}.")
    if answer.status != 0:
        reason = answer.text.removeprefix("error: ")
        found = explain(reason)
        hint = found.fix if found.known else ""
        hint = hint or f"Let root of {source.name} log in to the destination without a password."
        if not needed:
            hint += " Only peer2peer needs it: in normal mode this machine connects."
        bad = fail if needed else warn
        return bad(f"{source.name} cannot connect to {uri}: {reason}", hint)
    user = source.shell.run("id", "-u").text
    if user != "0":
        detail = f"tried as user {user}; the libvirtd of {source.name} connects as root"
        return warn(detail, f"Check on {source.name}, {by_hand}.")
    return ok(f"{source.name} connects to {uri}")


def _clocks(pair: HostPair) -> Check:
    found = [(host.name, clocks.measure(host)) for host in (pair.source, pair.destination)]
    unknown = [name for name, offset in found if offset is None]
    if unknown:
        return warn(
            f"not known: {', '.join(unknown)} could not be asked for the time",
            "Give qemu+ssh URIs to have clocks measured: without, there is no event downtime.",
        )
    offsets = [offset for _, offset in found if offset is not None]
    apart = abs(offsets[0].offset_ms - offsets[1].offset_ms)
    error = offsets[0].error_ms + offsets[1].error_ms
    detail = f"{apart:.1f} ± {error:.1f} ms apart"
    if apart - error <= CLOCK_TOLERANCE_MS:
        return ok(f"{detail}; times are corrected by that")
    return warn(detail, "Set both clocks by NTP: install chrony, or enable systemd-timesyncd.")


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
}
