"""The settings of a lab host: every file that its image does not bring.

Each line that looks odd has its reason beside it. Writes into the lab's folder; ``host.sh``
copies from there into the host.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from migrationlab.lab.layout import (
    HOST_NAMES,
    LAN_ADDRESSES,
    LAN_PREFIX,
    LIBVIRT_PORT,
    WIRE_ADDRESSES,
    LabFiles,
)

LIBVIRTD = """\
listen_tls = 0
listen_tcp = 1
tcp_port = "{port}"
auth_tcp = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
# Two hosts on one machine would have the same identity: "Attempt to migrate guest to the
# same host".
host_uuid = "{uuid}"
# The phases of a migration, which only the daemons know: read by capture.daemonlog.
log_filters = "1:qemu.qemu_domain 1:qemu.qemu_migration 3:*"
log_outputs = "1:file:/var/log/libvirt/libvirtd.log"
"""

QEMU = """\
user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
# Else virtlogd is wanted.
stdio_handler = "file"
"""

SSHD = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
"""

NETWORK = """\
link set lo up
address add {wire}/30 dev wire
link set wire up
link add lan type bridge
address add {lan}/{prefix} dev lan
link set uplink master lan
link set uplink up
link set lan up
"""


def write(files: LabFiles) -> None:
    """Write the settings and keys of both hosts into a lab's new folder."""
    user = ed25519.Ed25519PrivateKey.generate()
    host_keys = {name: ed25519.Ed25519PrivateKey.generate() for name in HOST_NAMES}
    names = dict(zip(HOST_NAMES, WIRE_ADDRESSES, strict=True))
    known = "".join(
        f"{name},{address} {_public(host_keys[name])}\n" for name, address in names.items()
    )
    hosts = "127.0.0.1 localhost\n" + "".join(
        f"{address} {name}\n" for name, address in names.items()
    )
    for name, lan in zip(HOST_NAMES, LAN_ADDRESSES, strict=True):
        texts = {
            "etc/hosts": hosts,
            "etc/libvirt/libvirtd.conf": LIBVIRTD.format(port=LIBVIRT_PORT, uuid=uuid.uuid4()),
            "etc/libvirt/qemu.conf": QEMU,
            "etc/ssh/sshd_config": SSHD,
            "etc/ssh/ssh_host_ed25519_key": _private(host_keys[name]),
            "etc/migrationlab/network": NETWORK.format(
                wire=names[name], lan=lan, prefix=LAN_PREFIX
            ),
            "ssh/id_ed25519": _private(user),
            "ssh/authorized_keys": _public(user) + "\n",
            "ssh/known_hosts": known,
        }
        directory = files.host(name).directory
        for path, text in texts.items():
            _write_private(directory / path, text)
        for folder in ("run", "log"):
            (directory / folder).mkdir()


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        file.write(text)


def _private(key: ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    ).decode()


def _public(key: ed25519.Ed25519PrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode()
    )
