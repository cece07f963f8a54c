"""Whether a migration between two hosts can work: found out before anything moves.

Asks both libvirtds, and runs small programs on the hosts where the connection URI shows a way
(ssh): what matters of names, ports and logins is how the *source* sees the destination, which
this machine cannot know by itself. What cannot be found out is said so, as a warning; nothing is
called good that was not tried. What a domain needs of the destination is ``_preflightdomain``'s.

Changes nothing on any host. Imports no libvirt and no lab.
"""

from __future__ import annotations

import ipaddress
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode, urlsplit

from migrationlab.capture import clocks
from migrationlab.checks import capabilities
from migrationlab.checks.diagnosis import Check, Diagnosis, Messages, Status
from migrationlab.checks.domain import Pair, domain_checks
from migrationlab.errors import MigrationLabError
from migrationlab.explain.explanation import explain
from migrationlab.hosts.host import Host
from migrationlab.hosts.program import NOT_RUN
from migrationlab.hosts.shell import SSH_TRANSPORTS
from migrationlab.plan.plan import Plan
from migrationlab.plan.settings import AUTO
from migrationlab.plan.uris import Mode
from migrationlab.plan.validation import Situation

MESSAGES = Messages(
    ok="A migration can work.",
    warned="A migration can work as far as could be found out; look at {}.",
    failed="A migration cannot work yet: mend {}.",
)
#: QEMU's ports for migration data: libvirt's qemu.conf, migration_port_min and _max.
FIRST_PORT, LAST_PORT = 49152, 49215
CONNECT_TIMEOUT_S = 3
#: Beyond this the logs of the two hosts contradict each other, and certificates may.
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
        destination: The host that it would go to, likewise.
        domain: A domain of the source, to find out whether that one can go.
        plan: How it would migrate; by default in normal mode, with nothing else set.

    Returns:
        Every finding, in the order in which to mend them.
    """
    # Nearly all of the time is spent on logins, so what needs one goes on at once.
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
        return None, Check(name, Status.FAIL, str(error), error.hint)
    detail = f"{host.name}: libvirt {facts.libvirt_version}, QEMU {facts.qemu_version}"
    return host, Check(name, Status.OK, detail)


def _examine(
    source: Host, destination: Host, domain: str | None, plan: Plan, pool: ThreadPoolExecutor
) -> list[Check]:
    if plan.connection_uri is None:
        plan = replace(plan, connection_uri=destination.peer_uri)
    plan = plan.filled(destination=destination.peer_name)
    pair = Pair(
        source,
        destination,
        plan,
        capabilities.capabilities(source),
        capabilities.capabilities(destination),
    )
    way = pool.submit(_way, pair)
    own_name, peer2peer = pool.submit(_own_name, pair), pool.submit(_peer2peer, pair)
    times = pool.submit(_clocks, pair)
    guest = pool.submit(domain_checks, pair, domain) if domain is not None else None
    checks = [_rights(pair), _identity(pair), _versions(pair), _machines(pair)]
    name, ports = way.result()
    checks += [name, own_name.result(), ports, peer2peer.result(), times.result()]
    # With a domain, the plan is judged together with it.
    return checks + (guest.result() if guest is not None else _plan(pair))


def _plan(pair: Pair) -> list[Check]:
    source, destination = pair.sides()
    situation = Situation(source=source, destination=destination)
    problems = pair.plan.problems(situation=situation)
    if not problems:
        return []
    reasons = "; ".join(problem.reason for problem in problems)
    hint = " ".join(dict.fromkeys(problem.hint for problem in problems))
    return [Check("plan", Status.FAIL, reasons, hint)]


def _way(pair: Pair) -> tuple[Check, Check]:
    """Look at the name, and then at the ports behind it."""
    name = _name(pair)
    if name.status is not Status.FAIL:
        return name, _ports(pair)
    detail = "not tried: the name leads nowhere"
    return name, Check("ports", Status.WARN, detail, "Mend name first.")


def _rights(pair: Pair) -> Check:
    hosts = {"source": pair.source, "destination": pair.destination}
    denied = [side for side, host in hosts.items() if not capabilities.may_act(host)]
    if not denied:
        return Check("rights", Status.OK, "both connections may do more than read")
    # In peer2peer the source's libvirtd dials the destination itself, as root.
    harmless = denied == ["destination"] and pair.plan.mode is Mode.PEER2PEER
    return Check(
        "rights",
        Status.WARN if harmless else Status.FAIL,
        f"the connection to the {' and the '.join(denied)} can only read",
        "Connect as root, or as a member of the group libvirt, and not by a socket whose name "
        "ends in -ro.",
    )


def _identity(pair: Pair) -> Check:
    ours, theirs = pair.offered_by_source.uuid, pair.offered_by_destination.uuid
    if not ours or not theirs:
        hint = "They must be two: libvirt refuses to migrate a guest to its own host."
        return Check("identity", Status.WARN, "not known: a host does not tell its UUID", hint)
    if ours != theirs:
        return Check("identity", Status.OK, "two hosts, by libvirt's host UUID")
    return Check(
        "identity",
        Status.FAIL,
        f"both hosts have the UUID {ours}: libvirt takes them for one",
        "If they are two, give one of them a host_uuid of its own in /etc/libvirt/libvirtd.conf "
        "(`uuidgen` makes one) and restart its libvirtd.",
    )


def _versions(pair: Pair) -> Check:
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
        return Check("versions", Status.OK, "the destination's are the same or newer")
    return Check(
        "versions",
        Status.WARN,
        f"the destination is older: from {' and from '.join(older)}",
        "It takes guests whose machine type, CPU and devices it has too, and refuses others; the "
        "other direction is the supported one.",
    )


def _machines(pair: Pair) -> Check:
    ours, theirs = pair.offered_by_source, pair.offered_by_destination
    if ours.arch != theirs.arch:
        detail = f"the source is {ours.arch}, the destination {theirs.arch}"
        hint = "A guest migrates between hosts of one architecture."
        return Check("machine types", Status.FAIL, detail, hint)
    common = capabilities.newest(ours.machines & theirs.machines, capabilities.FAMILIES)
    lost = sorted(set(filter(None, map(ours.newest, capabilities.FAMILIES))) - theirs.machines)
    if common is None:
        detail = "the two hosts have no versioned machine type in common"
        hint = "Bring the older QEMU up to a release that shares one with the newer."
        return Check("machine types", Status.FAIL, detail, hint)
    if not lost:
        return Check("machine types", Status.OK, f"the destination has {common} and older")
    return Check(
        "machine types",
        Status.WARN,
        f"only the source has {', '.join(lost)}; {common} is the newest that both have",
        f"Give guests that are to move machine='{common}', or an older one; a new guest gets the "
        "newest of its host.",
    )


def _unreachable(name: str, host: Host, by_hand: str) -> Check:
    transport = urlsplit(host.uri).scheme
    detail = f"not known: {transport} shows no way to run a program on {host.name}"
    return Check(name, Status.WARN, detail, f"Look there: {by_hand}; or give a qemu+ssh URI.")


def _addresses(host: Host, name: str) -> frozenset[str] | None:
    """Return what a host takes a name for; nothing where it knows none, None if it can't say."""
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


def _name(pair: Pair) -> Check:
    """Find out what the source takes the destination's name for."""
    target, source = pair.target, pair.source
    if source.shell is None:
        return _unreachable("name", source, f"`getent ahosts {target}`")
    found = _addresses(source, target)
    if found is None:
        hint = f"Look there: `getent ahosts {target}`."
        return Check("name", Status.WARN, f"{source.name} could not be asked", hint)
    mend = (
        f"Mend DNS or /etc/hosts of {source.name}, or give a migration URI with the "
        "destination's address: tcp://ADDRESS."
    )
    if not found:
        detail = f"{source.name} cannot resolve {target}"
        return Check("name", Status.FAIL, detail, mend)
    if loopback := _loopback(found):
        detail = f"{source.name} takes {target} for itself: {', '.join(loopback)}"
        return Check("name", Status.FAIL, detail, mend)
    if found & (_addresses(source, source.facts.hostname) or frozenset()):
        detail = f"{source.name} takes {target} for itself: {', '.join(sorted(found))}"
        return Check("name", Status.FAIL, detail, mend)
    detail = f"for {source.name}, {target} is {', '.join(sorted(found))}"
    return Check("name", Status.OK, detail)


def _own_name(pair: Pair) -> Check:
    """Find out whether the name that the destination would give itself leads there."""
    host, name = pair.destination, pair.destination.facts.hostname
    severity = Status.FAIL if pair.plan.migration_uri == AUTO else Status.WARN
    hint = (
        f"Matters only where the migration URI is left to the destination ({AUTO}): mend "
        f"/etc/hosts, or set migration_host in /etc/libvirt/qemu.conf of {host.name}."
    )
    if pair.source.shell is None or host.shell is None:
        unknown = host if host.shell is None else pair.source
        return _unreachable("own name", unknown, f"`getent ahosts {name}`")
    there, here = _addresses(host, name), _addresses(pair.source, name)
    if there is None or here is None:
        return Check("own name", Status.WARN, "not known: a host could not be asked", hint)
    if _loopback(there):
        detail = f"{host.name} takes its own name {name} for {', '.join(_loopback(there))}"
        return Check("own name", severity, detail, hint)
    if not here or _loopback(here):
        detail = f"{pair.source.name} does not find {name}, as the destination calls itself"
        return Check("own name", severity, detail, hint)
    return Check("own name", Status.OK, f"the destination calls itself {name}, and is found by it")


def _ports(pair: Pair) -> Check:
    """Dial the destination's migration ports from the source, where nobody listens yet."""
    source, target = pair.source, pair.target
    uri = pair.plan.migration_uri
    if uri is None or uri.startswith("unix:"):
        what = "a Unix socket" if uri else "tunnelled" if pair.plan.tunnelled else "offline"
        return Check("ports", Status.OK, f"not needed: {what}")
    by_hand = f"`nc -zv {target} {FIRST_PORT}` says refused where the way is open"
    if source.shell is None:
        return _unreachable("ports", source, by_hand)
    named = urlsplit(uri).port
    ports = (named,) if named else (FIRST_PORT, LAST_PORT)
    closed: list[str] = []
    refused: list[str] = []
    for port in ports:
        # What bash makes of such a file name is in its manual, under REDIRECTION.
        dial = f": </dev/tcp/{target}/{port}"
        answer = source.shell.run("timeout", str(CONNECT_TIMEOUT_S), "bash", "-c", dial)
        if answer.status in (NOT_RUN, 126):
            return Check("ports", Status.WARN, f"not tried: {answer.text}", f"Look: {by_hand}.")
        if answer.text.endswith("Connection refused"):
            refused.append(str(port))
        elif answer.status != 0:
            said = answer.text.rpartition(": ")[2] or f"no answer in {CONNECT_TIMEOUT_S} s"
            closed.append(f"{port} ({said})")
    if closed:
        return Check(
            "ports",
            Status.FAIL,
            f"{source.name} does not get through to {target}: {', '.join(closed)}",
            f"Open the ports {FIRST_PORT} to {LAST_PORT} (tcp) of the destination for the source, "
            "or give a migration URI with a port that is open.",
        )
    if not refused:
        which = " and ".join(map(str, ports))
        return Check("ports", Status.OK, f"{source.name} reaches {target} at port {which}")
    # firewalld and ufw answer by ICMP or not at all, but others reset connections.
    return Check(
        "ports",
        Status.WARN,
        f"{target} refuses {source.name} at port {' and '.join(refused)}: nobody listens there "
        "yet, or a firewall resets connections, which looks the same",
        f"To be sure, let something listen there (`nc -l {refused[0]}`) and look again.",
    )


def _peer2peer(pair: Pair) -> Check:
    """Dial the destination's libvirtd from the source."""
    source = pair.source
    wanted = pair.plan.mode is Mode.PEER2PEER
    uri = pair.plan.connection_uri if wanted else None
    dialled = uri = uri or pair.destination.peer_uri
    parts = urlsplit(uri)
    if parts.scheme.partition("+")[2] in SSH_TRANSPORTS:
        # Nobody is there to be asked.
        query = {**dict(parse_qsl(parts.query)), "no_tty": "1"}
        dialled = parts._replace(query=urlencode(query, safe="/")).geturl()
    by_hand = f"as root: `virsh --connect {uri} hostname`"
    if source.shell is None:
        return _unreachable("peer2peer", source, by_hand)
    answer = source.shell.run("virsh", "--quiet", "--connect", dialled, "hostname", timeout_s=30)
    if answer.status == NOT_RUN:
        detail = f"not tried: {answer.text}"
        return Check("peer2peer", Status.WARN, detail, f"Look on {source.name}, {by_hand}.")
    if answer.status != 0:
        said = answer.text.removeprefix("error: ")
        need = "" if wanted else "Only peer2peer needs it; in normal mode this machine dials. "
        found = explain(said)
        hint = (found.fix if found.known else "") or (
            f"Root of {source.name} must be able to log in to the destination unasked."
        )
        return Check(
            "peer2peer",
            Status.FAIL if wanted else Status.WARN,
            f"{source.name} cannot connect to {uri}: {said}",
            f"{need}{hint}",
        )
    who = source.shell.run("id", "-u")
    if who.text != "0":
        detail = f"tried as user {who.text}; the libvirtd of {source.name} dials as root"
        return Check("peer2peer", Status.WARN, detail, f"Look there, {by_hand}.")
    return Check("peer2peer", Status.OK, f"{source.name} connects to {uri}")


def _clocks(pair: Pair) -> Check:
    found = [(host.name, clocks.measure(host)) for host in (pair.source, pair.destination)]
    unknown = [name for name, offset in found if offset is None]
    if unknown:
        return Check(
            "clocks",
            Status.WARN,
            f"not known: {', '.join(unknown)} could not be asked for the time",
            "The event downtime is withheld; give qemu+ssh URIs to have clocks measured.",
        )
    offsets = [offset for _, offset in found if offset is not None]
    apart = abs(offsets[0].offset_ms - offsets[1].offset_ms)
    error = offsets[0].error_ms + offsets[1].error_ms
    detail = f"{apart:.1f} ms apart, give or take {error:.1f} ms"
    if apart - error <= CLOCK_TOLERANCE_MS:
        return Check("clocks", Status.OK, f"{detail}; stamps are corrected by that")
    hint = "Let both hosts keep time by NTP: chrony, or systemd-timesyncd."
    return Check("clocks", Status.WARN, detail, hint)
