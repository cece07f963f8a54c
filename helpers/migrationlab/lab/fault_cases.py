"""List the faults: what each one changes in the lab, and the plan that runs into it.

A real libvirt or QEMU refuses each of them in its own words, and the fault has the name of its
explanation. Where a release answers differently, or not at all, :attr:`FaultCase.note` says so.
``faults`` switches them on and off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from migrationlab.errors import UsageError
from migrationlab.hosts.host import Host
from migrationlab.lab.certificates import Authority, Credentials
from migrationlab.lab.host_changes import (
    CertificatesRead,
    Change,
    FileChanged,
    Ran,
    Restarted,
    original,
)
from migrationlab.lab.host_config import LIBVIRT_AUTHORITY, LIBVIRT_PKI, QEMU_PKI
from migrationlab.lab.lab_base import LabBase
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode

UNPRIVILEGED_USERFAULTFD = Path("/proc/sys/vm/unprivileged_userfaultfd")
#: The number of a routing table, and the priority of a rule, that nothing else of a host uses.
TABLE = 4915


@dataclass(frozen=True, slots=True)
class Sides:
    """A lab, and the two roles of its hosts.

    Attributes:
        lab: The lab.
        source: The host that the guest leaves.
        to: The host that it goes to.
    """

    lab: LabBase
    source: Host
    to: Host


@dataclass(frozen=True, slots=True)
class FaultCase:
    """A fault that can be switched on.

    Attributes:
        id: Its name; its explanation has the same.
        title: The fault in a few words.
        broken: What is changed in the lab.
        plan: Returns the plan that runs into it.
        changes: Returns the changes of the hosts.
        guest: The guest spec that runs into it; None where any guest does.
        lacking: Returns what a lab lacks for it; empty where it lacks nothing.
        note: Where the fault shows differently.
    """

    id: str
    title: str
    broken: str
    plan: Callable[[Sides], Plan] = field(repr=False)
    changes: Callable[[Sides], tuple[Change, ...]] = field(repr=False)
    guest: Mapping[str, object] | None = None
    lacking: Callable[[Sides], str] = field(default=lambda _sides: "", repr=False)
    note: str = ""


def _plan(
    sides: Sides,
    *,
    transport: str = "tcp",
    tls: bool = False,
    postcopy: bool = False,
    migration_uri: str | None = None,
) -> Plan:
    # By TCP, where nothing else is said: as libvirt closes a connection over ssh, the reason
    # of a failure is now and then replaced by "End of file while reading data".
    user = "root@" if transport == "ssh" else ""
    return Plan(
        mode=Mode.PEER2PEER,
        connection_uri=f"qemu+{transport}://{user}{sides.to.peer_name}/system",
        migration_uri=migration_uri,
        tls=tls,
        postcopy=postcopy,
    )


def _authority(sides: Sides) -> Authority:
    folder = sides.lab.files.authority
    texts = ((folder / name).read_text() for name in ("cert.pem", "key.pem"))
    return Authority.load(Credentials(*texts))


def _show_certificate(host: Host, shown: Credentials, trusted: str | None) -> tuple[Change, ...]:
    """Change the certificate that libvirtd and QEMU of a host show, and the trusted authority."""
    texts = {
        f"{LIBVIRT_PKI}/servercert.pem": shown.certificate,
        f"{LIBVIRT_PKI}/private/serverkey.pem": shown.key,
        f"{QEMU_PKI}/server-cert.pem": shown.certificate,
        f"{QEMU_PKI}/server-key.pem": shown.key,
    }
    if trusted is not None:
        # A server must trust the certificate that it shows, or it does not start.
        texts |= {LIBVIRT_AUTHORITY: trusted, f"{QEMU_PKI}/ca-cert.pem": trusted}
    files = (FileChanged(host.name, path, text) for path, text in texts.items())
    return (*files, CertificatesRead(host.name))


def _wrong_name(sides: Sides) -> tuple[Change, ...]:
    return _show_certificate(sides.to, _authority(sides).server("elsewhere.example"), None)


def _unknown_authority(sides: Sides) -> tuple[Change, ...]:
    stranger = Authority.new("somebody else's authority")
    return _show_certificate(sides.to, stranger.server(sides.to.name), stranger.certificate)


def _expired(sides: Sides) -> tuple[Change, ...]:
    old = _authority(sides).server(sides.to.name, lifetime=timedelta(seconds=-1))
    return (
        FileChanged(sides.to.name, f"{QEMU_PKI}/server-cert.pem", old.certificate),
        FileChanged(sides.to.name, f"{QEMU_PKI}/server-key.pem", old.key),
    )


def _missing(sides: Sides) -> tuple[Change, ...]:
    paths = (f"{LIBVIRT_PKI}/clientcert.pem", f"{QEMU_PKI}/client-cert.pem")
    return tuple(FileChanged(sides.source.name, path, None) for path in paths)


def _host_key(sides: Sides) -> tuple[Change, ...]:
    return (FileChanged(sides.source.name, "root/.ssh/known_hosts", ""),)


def _port_closed(sides: Sides) -> tuple[Change, ...]:
    # The source sees a firewall that rejects; a rule alone would give another error.
    rule = f"pref {TABLE} ipproto tcp dport 49152-49215 lookup {TABLE}"
    return (
        Ran(
            sides.source.name,
            f"ip route replace unreachable default table {TABLE}; ip rule add {rule}",
            f"while ip rule delete pref {TABLE} 2>/dev/null; do :; done; "
            f"ip route flush table {TABLE} 2>/dev/null || :",
        ),
    )


def _localhost(sides: Sides) -> tuple[Change, ...]:
    return (
        Ran(
            sides.to.name,
            "busybox hostname localhost",
            f"busybox hostname {sides.to.name}",
        ),
    )


def _same_uuid(sides: Sides) -> tuple[Change, ...]:
    path, line = "etc/libvirt/libvirtd.conf", re.compile(r'^host_uuid = ".*"$', re.MULTILINE)
    theirs, ours = (original(sides.lab, host.name, path) for host in (sides.source, sides.to))
    uuid = line.findall(theirs)[0]
    return (FileChanged(sides.to.name, path, line.sub(uuid, ours)), Restarted(sides.to))


def _no_drop_cache(sides: Sides) -> tuple[Change, ...]:
    path = "etc/libvirt/qemu.conf"
    # The switch that libvirt has for its own tests (qemu.conf, capability_filters).
    text = original(sides.lab, sides.source.name, path)
    text += 'capability_filters = ["migration-file-drop-cache"]\n'
    return (FileChanged(sides.source.name, path, text), Restarted(sides.source))


def _no_userfaultfd(sides: Sides) -> tuple[Change, ...]:
    # Root may use the call by its capability, and the device as its owner.
    remount = "[ ! -e /dev/userfaultfd ] || mount -o remount,bind,{} /dev/userfaultfd"
    daemon = "#!/bin/sh\nexec setpriv --bounding-set=-sys_ptrace libvirtd --listen\n"
    return (
        Ran(sides.to.name, remount.format("nodev"), remount.format("dev")),
        FileChanged(sides.to.name, "etc/migrationlab/libvirtd", daemon),
        Restarted(sides.to),
    )


def _needs_bookworm(sides: Sides) -> str:
    if (sides.source.image, sides.to.image) == ("trixie", "bookworm"):
        return ""
    return 'a source of trixie and a destination of bookworm: Lab(images=("trixie", "bookworm"))'


def _needs_shared_filesystems(sides: Sides) -> str:
    if sides.source.image != "bookworm":
        return ""
    return "a source of trixie: libvirt 9.0 treats every disk of the lab as not shared"


def _needs_no_sysctl(sides: Sides) -> str:
    path = UNPRIVILEGED_USERFAULTFD
    if not path.exists() or path.read_text().strip() == "0":
        return ""
    return "sysctl vm.unprivileged_userfaultfd=0: now every user may use userfaultfd here"


CASES = (
    FaultCase(
        id="certificate-wrong-name",
        title="The certificate names another host",
        broken="libvirtd and QEMU of the destination show a certificate of elsewhere.example.",
        plan=lambda sides: _plan(sides, tls=True),
        changes=_wrong_name,
        note="Over qemu+tls libvirt only says that it failed to verify the peer's certificate; "
        "its log has the reason. QEMU 7.2 does not pass on its reason.",
    ),
    FaultCase(
        id="certificate-unknown-authority",
        title="A certificate authority that the other side does not know",
        broken="libvirtd and QEMU of the destination have the certificates of another authority.",
        plan=lambda sides: _plan(sides, tls=True),
        changes=_unknown_authority,
        note="Over qemu+tls libvirt only says that it failed to verify the peer's certificate.",
    ),
    FaultCase(
        id="certificate-expired",
        title="An expired certificate",
        broken="The server certificate of the destination's QEMU has expired.",
        plan=lambda sides: _plan(sides, tls=True),
        changes=_expired,
        note="libvirtd reads its certificate when it starts, and does not notice later that it "
        "expired. QEMU reads its own for each migration.",
    ),
    FaultCase(
        id="certificate-missing",
        title="No client certificate",
        broken="libvirtd and QEMU of the source have lost their client certificates.",
        plan=lambda sides: _plan(sides, transport="tls"),
        changes=_missing,
    ),
    FaultCase(
        id="host-key-unknown",
        title="An unknown host key",
        broken="root of the source no longer knows the destination's ssh key.",
        plan=lambda sides: _plan(sides, transport="ssh"),
        changes=_host_key,
    ),
    FaultCase(
        id="port-closed",
        title="A closed port",
        broken="What the source sends to QEMU's ports, 49152 to 49215, is rejected.",
        plan=_plan,
        changes=_port_closed,
    ),
    FaultCase(
        id="name-resolves-to-localhost",
        title="A host whose name is localhost",
        broken="The destination's host name is localhost, and the plan leaves the migration URI "
        "to the destination.",
        plan=lambda sides: _plan(sides, migration_uri="auto"),
        changes=_localhost,
        note="A correct host name that /etc/hosts maps to 127.0.1.1 is no fault: libvirt sends "
        "the name, not the address.",
    ),
    FaultCase(
        id="same-host-uuid",
        title="Two hosts with the same UUID",
        broken="The destination's libvirtd has the source's host_uuid, as on a cloned machine.",
        plan=_plan,
        changes=_same_uuid,
    ),
    FaultCase(
        id="cpu-model-missing",
        title="A CPU model that the other side lacks",
        broken="Nothing on the hosts: the guest has a versioned CPU model, which libvirt 9.0 "
        "does not know.",
        plan=_plan,
        changes=lambda _: (),
        guest={"cpu": "Nehalem-v1"},
        lacking=_needs_bookworm,
    ),
    FaultCase(
        id="disk-not-shared",
        title="A disk that is not shared",
        broken="Nothing on the hosts: the guest's disk is on its own host's file system.",
        plan=_plan,
        changes=lambda _: (),
        guest={"disk": "local"},
    ),
    FaultCase(
        id="cache-mode-unsafe",
        title="An unsafe cache mode",
        broken="The source's libvirt believes that QEMU cannot drop its cache of a disk image, as "
        "before QEMU 4.0; the guest's shared disk is cached.",
        plan=_plan,
        changes=_no_drop_cache,
        guest={"disk": "shared", "disk_cache": "writeback"},
        lacking=_needs_shared_filesystems,
        note="Without the fault, libvirt 9.0 and 11.3 migrate such a guest: QEMU drops its cache.",
    ),
    FaultCase(
        id="userfaultfd-refused",
        title="No userfaultfd at the destination",
        broken="The destination's QEMU has neither the capability CAP_SYS_PTRACE nor the device "
        "/dev/userfaultfd.",
        plan=lambda sides: _plan(sides, postcopy=True),
        changes=_no_userfaultfd,
        lacking=_needs_no_sysctl,
        note="Without root it is always refused.",
    ),
)


def find(case_id: str) -> FaultCase:
    """Return the fault called ``case_id``.

    Raises:
        UsageError: There is none.
    """
    for case in CASES:
        if case.id == case_id:
            return case
    raise UsageError(
        f"no fault is called {case_id!r}",
        hint=f"Choose one of {', '.join(case.id for case in CASES)}.",
    )
