"""List the faults: the changes of each fault in the lab, and the plan that meets it.

A real libvirt or QEMU refuses each of them in its own words, and the fault has the name of its
explanation. If a release answers differently, or not at all, :attr:`FaultCase.note` says so.
``faults`` switches them on and off.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from migrationlab.errors import UsageError
from migrationlab.hosts.host import Host
from migrationlab.lab.certificates import Authority, Credentials
from migrationlab.lab.host_changes import (
    Change,
    certificates_read,
    file_changed,
    original,
    ran,
    restarted,
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
    """A lab, the host that the guest leaves, and the host that it goes to."""

    lab: LabBase
    source: Host
    to: Host


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultCase:
    """A fault that can be switched on, as ``fault_cases.toml`` describes it.

    Attributes:
        id: Its name; its explanation has the same.
        title: The fault in a few words.
        broken: The change in the lab.
        guest: The guest spec that meets the fault; None if any guest meets it.
        plan: The transport of the connection URI, and settings of the plan.
        note: The releases with a different answer.
    """

    id: str
    title: str
    broken: str
    guest: Mapping[str, object] | None = None
    plan: Mapping[str, Any] = field(default_factory=dict, repr=False)
    note: str = ""

    def changes(self, sides: Sides) -> tuple[Change, ...]:
        """Return the changes of the hosts."""
        return CHANGES[self.id](sides) if self.id in CHANGES else ()

    def lacking(self, sides: Sides) -> str:
        """Return the requirements that a lab lacks for it; empty if the lab has all."""
        return LACKING[self.id](sides) if self.id in LACKING else ""

    def plan_for(self, sides: Sides) -> Plan:
        """Return the plan that meets the fault."""
        settings = dict(self.plan)
        # TCP is the default: when libvirt closes a connection over ssh, "End of file while
        # reading data" sometimes replaces the reason of a failure.
        transport = settings.pop("transport", "tcp")
        user = "root@" if transport == "ssh" else ""
        uri = f"qemu+{transport}://{user}{sides.to.peer_name}/system"
        return Plan(mode=Mode.PEER2PEER, connection_uri=uri, **settings)


def _authority(sides: Sides) -> Authority:
    folder = sides.lab.files.authority
    texts = ((folder / name).read_text() for name in ("cert.pem", "key.pem"))
    return Authority.load(Credentials(*texts))


def _show_certificate(sides: Sides, shown: Credentials, trusted: str | None) -> tuple[Change, ...]:
    """Change the certificate that the destination shows, and the authority that it trusts."""
    lab, host = sides.lab, sides.to.name
    texts = {
        f"{LIBVIRT_PKI}/servercert.pem": shown.certificate,
        f"{LIBVIRT_PKI}/private/serverkey.pem": shown.key,
        f"{QEMU_PKI}/server-cert.pem": shown.certificate,
        f"{QEMU_PKI}/server-key.pem": shown.key,
    }
    if trusted is not None:
        # A server must trust the certificate that it shows, or it does not start.
        texts |= {LIBVIRT_AUTHORITY: trusted, f"{QEMU_PKI}/ca-cert.pem": trusted}
    files = (file_changed(lab, host, path, text) for path, text in texts.items())
    return (*files, certificates_read(lab, host))


def _wrong_name(sides: Sides) -> tuple[Change, ...]:
    return _show_certificate(sides, _authority(sides).server("elsewhere.example"), None)


def _unknown_authority(sides: Sides) -> tuple[Change, ...]:
    stranger = Authority.new("somebody else's authority")
    return _show_certificate(sides, stranger.server(sides.to.name), stranger.certificate)


def _expired(sides: Sides) -> tuple[Change, ...]:
    old = _authority(sides).server(sides.to.name, lifetime=timedelta(seconds=-1))
    texts = {"cert": old.certificate, "key": old.key}
    return tuple(
        file_changed(sides.lab, sides.to.name, f"{QEMU_PKI}/server-{part}.pem", text)
        for part, text in texts.items()
    )


def _missing(sides: Sides) -> tuple[Change, ...]:
    paths = (f"{LIBVIRT_PKI}/clientcert.pem", f"{QEMU_PKI}/client-cert.pem")
    return tuple(file_changed(sides.lab, sides.source.name, path, None) for path in paths)


def _host_key(sides: Sides) -> tuple[Change, ...]:
    return (file_changed(sides.lab, sides.source.name, "root/.ssh/known_hosts", ""),)


def _port_closed(sides: Sides) -> tuple[Change, ...]:
    # The source sees a firewall that rejects; a rule alone would give another error.
    rule = f"pref {TABLE} ipproto tcp dport 49152-49215 lookup {TABLE}"
    return (
        ran(
            sides.lab,
            sides.source.name,
            f"ip route replace unreachable default table {TABLE}; ip rule add {rule}",
            f"while ip rule delete pref {TABLE} 2>/dev/null; do :; done; "
            f"ip route flush table {TABLE} 2>/dev/null || :",
        ),
    )


def _localhost(sides: Sides) -> tuple[Change, ...]:
    names = ("localhost", sides.to.name)
    return (ran(sides.lab, sides.to.name, *(f"busybox hostname {name}" for name in names)),)


def _same_uuid(sides: Sides) -> tuple[Change, ...]:
    line = re.compile(r'^host_uuid = ".*"$', re.MULTILINE)
    lab, to = sides.lab, sides.to
    hosts = (sides.source, to)
    theirs, ours = (original(lab, host.name, _config(lab, host)) for host in hosts)
    text = line.sub(line.findall(theirs)[0], ours)
    return (file_changed(lab, to.name, _config(lab, to), text), restarted(lab, to))


def _config(lab: LabBase, host: Host) -> str:
    return lab.files.host(host.name).config


def _no_drop_cache(sides: Sides) -> tuple[Change, ...]:
    lab, source, path = sides.lab, sides.source, "etc/libvirt/qemu.conf"
    # The switch that libvirt has for its own tests (qemu.conf, capability_filters).
    text = original(lab, source.name, path)
    text += 'capability_filters = ["migration-file-drop-cache"]\n'
    return (file_changed(lab, source.name, path, text), restarted(lab, source))


def _no_userfaultfd(sides: Sides) -> tuple[Change, ...]:
    # Root may use the call by its capability, and the device as its owner.
    remount = "[ ! -e /dev/userfaultfd ] || mount -o remount,bind,{} /dev/userfaultfd"
    lab, to = sides.lab, sides.to
    script = "etc/migrationlab/libvirtd"
    fewer = "exec setpriv --bounding-set=-sys_ptrace "
    daemon = original(lab, to.name, script).replace("exec ", fewer)
    return (
        ran(lab, to.name, remount.format("nodev"), remount.format("dev")),
        file_changed(lab, to.name, script, daemon),
        restarted(lab, to),
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


#: The changes of the hosts. A fault without changes concerns the guest alone.
CHANGES: dict[str, Callable[[Sides], tuple[Change, ...]]] = {
    "certificate-wrong-name": _wrong_name,
    "certificate-unknown-authority": _unknown_authority,
    "certificate-expired": _expired,
    "certificate-missing": _missing,
    "host-key-unknown": _host_key,
    "port-closed": _port_closed,
    "name-resolves-to-localhost": _localhost,
    "same-host-uuid": _same_uuid,
    "cache-mode-unsafe": _no_drop_cache,
    "userfaultfd-refused": _no_userfaultfd,
}
#: The requirements that a lab lacks for a fault; empty if it has all.
LACKING: dict[str, Callable[[Sides], str]] = {
    "cpu-model-missing": _needs_bookworm,
    "cache-mode-unsafe": _needs_shared_filesystems,
    "userfaultfd-refused": _needs_no_sysctl,
}


def _read() -> tuple[FaultCase, ...]:
    with Path(__file__).with_suffix(".toml").open("rb") as file:
        return tuple(FaultCase(id=name, **values) for name, values in tomllib.load(file).items())


CASES = _read()


def find(case_id: str) -> FaultCase:
    """Return the fault called ``case_id``; raise :class:`UsageError` if there is none."""
    known = {case.id: case for case in CASES}
    if case_id in known:
        return known[case_id]
    raise UsageError(
        f"fault must be one of {', '.join(known)} (got {case_id!r})",
        hint="List the faults with `migrationlab lab break --list`.",
    )
