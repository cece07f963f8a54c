"""Connect this process to a lab host by the URI that the other host uses.

``qemu+ssh://root@host-b/system`` is known inside the lab only. So a URI that names a lab host goes
through a small program. The program enters the lab's network and connects from there: by ssh to the
host's sshd, or by TCP or TLS to its libvirtd. The connection really has its transport, and the
host's key or certificate is checked.

Parameters of connection URIs: libvirt's docs/uri.rst.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from urllib.parse import quote

from migrationlab.lab.layout import (
    HOST_NAMES,
    LAN_ADDRESSES,
    LIBVIRT_PORT,
    LIBVIRT_TLS_PORT,
    LabFiles,
)
from migrationlab.lab.rack import PAYLOAD, Rack
from migrationlab.plan.uri_parser import read_uri

TRANSPORTS = ("ssh", "tcp", "tls")
ADDRESSES = dict(zip(HOST_NAMES, LAN_ADDRESSES, strict=True))


def write(files: LabFiles, rack: Rack, busybox: Path) -> None:
    """Write the proxy programs of a lab; a static busybox's ``nc`` carries a TCP connection."""
    files.proxies.mkdir()
    enter = shlex.join(rack.in_rack_network())
    for name, address in ADDRESSES.items():
        ssh = shlex.join(
            [
                *("ssh", "-F", "none", "-i", str(files.ssh_key)),
                *("-o", f"UserKnownHostsFile={files.known_hosts}"),
                *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"),
                # The default key exchange of OpenSSH before 10 takes 60 ms longer.
                *("-o", "KexAlgorithms=curve25519-sha256"),
                *("-o", f"HostName={address}", "-o", f"HostKeyAlias={name}"),
            ]
        )
        # libvirt calls the program with ssh's arguments, also with the host's name.
        _write(files.proxies / f"ssh-{name}", f'{enter} {ssh} "$@"')
        _write(
            files.proxies / f"tcp-{name}",
            f"{enter} {shlex.join([str(busybox), 'nc', address, str(LIBVIRT_PORT)])}",
        )
        tls = [
            *(sys.executable, "-I", "-S", str(PAYLOAD / "tlspipe.py")),
            *(address, str(LIBVIRT_TLS_PORT), name, str(files.pki)),
        ]
        _write(files.proxies / f"tls-{name}", f"{enter} {shlex.join(tls)}")


def route(files: LabFiles, uri: str) -> str:
    """Return the URI for this process that leads to the same end as ``uri`` inside the lab."""
    parts = read_uri(uri)
    # A URI that names a host and no transport means TLS.
    transport = parts.transport or "tls"
    if parts.driver != "qemu" or parts.hostname not in ADDRESSES or transport not in TRANSPORTS:
        return uri
    program = str(files.proxies / f"{transport}-{parts.hostname}")
    if transport != "ssh":
        return f"qemu+ext://{parts.path}?command={quote(program)}"
    return parts.with_options({**parts.options, "command": program})


def _write(path: Path, command: str) -> None:
    path.write_text(f"#!/bin/sh\nexec {command}\n")
    path.chmod(0o700)
