"""Write the settings of the lab's hosts: every file that is not in their images.

An unusual line has its reason beside it. The files are written into the lab's folder; ``host.sh``
copies them into the host. The originals stay in the lab's folder, from where faults are fixed.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from migrationlab.lab.certificates import Authority, private_text
from migrationlab.lab.directories import private
from migrationlab.lab.layout import (
    GUESTS_AT_HOST,
    HOST_NAMES,
    LAN_ADDRESSES,
    LAN_ADDRESSES6,
    LAN_PREFIX,
    LIBVIRT_PORT,
    LIBVIRT_TLS_PORT,
    PREFIX6,
    WIRE_ADDRESSES,
    WIRE_ADDRESSES6,
    Daemons,
    LabFiles,
    bridge_mac,
)

#: Where libvirtd and QEMU look for certificates, below the host's root.
LIBVIRT_AUTHORITY = "etc/pki/CA/cacert.pem"
LIBVIRT_PKI = "etc/pki/libvirt"
QEMU_PKI = "etc/pki/qemu"

#: Of the daemon that other machines connect to: libvirtd, or virtproxyd.
REMOTE = """\
# A TLS client needs a certificate of the lab's own authority.
listen_tls = 1
tls_port = "{tls_port}"
listen_tcp = 1
tcp_port = "{port}"
auth_tcp = "none"
"""
#: Of every daemon.
LOCAL = """\
auth_unix_rw = "none"
unix_sock_group = "root"
# Two hosts on one machine have the same UUID by default: "Attempt to migrate guest to the
# same host".
host_uuid = "{uuid}"
# The phases of a migration, which only the daemons know; the capture reads this log.
log_filters = "1:qemu.qemu_domain 1:qemu.qemu_migration 3:*"
log_outputs = "1:file:/var/log/libvirt/{daemon}.log"
"""

QEMU = """\
user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
# The default needs virtlogd.
stdio_handler = "file"
# Both hosts see this folder, though the type of its file system does not tell. libvirt before 10.10
# does not know this setting, and treats such a disk as a local one.
shared_filesystems = ["{guests}"]
"""

#: host-init.sh starts these again whenever they end. They are files, so that a fault can start a
#: daemon with fewer rights. The file libvirtd starts the daemon that controls QEMU.
DAEMON = """\
#!/bin/sh
exec libvirtd --listen
"""
#: virtproxyd has no --listen: it listens as its settings say.
MODULAR = """\
#!/bin/sh
exec /usr/local/sbin/{daemon} --config /etc/libvirt/{daemon}.conf
"""

SSHD = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
# On a busy machine more than the default of ten connections may be waiting; the next is cut off.
MaxStartups 100
"""

#: An image has the name server of the machine that built it; no lab can reach that.
NAMES = """\
passwd: files
group: files
shadow: files
hosts: files
"""

NETWORK = """\
link set lo up
address add {wire}/30 dev wire
link set wire up
link add lan address {mac} type bridge
address add {lan}/{prefix} dev lan
link set uplink master lan
link set uplink up
link set lan up
"""


def write(files: LabFiles, daemons: Sequence[Daemons] = ("monolithic", "monolithic")) -> None:
    """Write the settings and keys of both hosts into a lab's new folder.

    ``daemons`` are the kinds of libvirt's daemons on each host.
    """
    authority = Authority.new(f"authority of {files.directory.name}")
    client = authority.client("client")
    texts = {
        files.authority / "cert.pem": authority.certificate,
        files.authority / "key.pem": authority.credentials.key,
        files.pki / "cacert.pem": authority.certificate,
        files.pki / "clientcert.pem": client.certificate,
        files.pki / "clientkey.pem": client.key,
    }
    user = ed25519.Ed25519PrivateKey.generate()
    host_keys = {name: ed25519.Ed25519PrivateKey.generate() for name in HOST_NAMES}
    names = dict(zip(HOST_NAMES, WIRE_ADDRESSES, strict=True))
    wire6 = dict(zip(HOST_NAMES, WIRE_ADDRESSES6, strict=True))
    lan6 = dict(zip(HOST_NAMES, LAN_ADDRESSES6, strict=True))
    known = "".join(
        f"{name},{address} {_public(host_keys[name])}\n" for name, address in names.items()
    )
    hosts = "127.0.0.1 localhost\n" + "".join(
        f"{address} {name}\n" for name, address in names.items()
    )
    for name, lan, kind in zip(HOST_NAMES, LAN_ADDRESSES, daemons, strict=True):
        directory = files.host(name).directory
        for folder in ("run", "log"):
            (directory / folder).mkdir(parents=True)
        of_host = {
            "etc/hosts": hosts,
            "etc/nsswitch.conf": NAMES,
            **_daemons(kind),
            "etc/libvirt/qemu.conf": QEMU.format(guests=GUESTS_AT_HOST),
            "etc/ssh/sshd_config": SSHD,
            "etc/ssh/ssh_host_ed25519_key": _private(host_keys[name]),
            "etc/migrationlab/network": NETWORK.format(
                wire=names[name], lan=lan, prefix=LAN_PREFIX, mac=bridge_mac(lan)
            ),
            "etc/migrationlab/address6": f"{wire6[name]}/{PREFIX6}\n",
            "etc/migrationlab/lan6": f"{lan6[name]}/{PREFIX6}\n",
            "ssh/id_ed25519": _private(user),
            "ssh/authorized_keys": _public(user) + "\n",
            "ssh/known_hosts": known,
            **_certificates(authority, name, (names[name], lan)),
        }
        texts |= {directory / path: text for path, text in of_host.items()}
    for file, text in texts.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "x", opener=private) as opened:
            opened.write(text)


def _daemons(kind: Daemons) -> dict[str, str]:
    """Return the settings of a host's daemons, and the scripts that start them."""
    remote = REMOTE.format(port=LIBVIRT_PORT, tls_port=LIBVIRT_TLS_PORT)
    own = uuid.uuid4()
    names = ("libvirtd",) if kind == "monolithic" else ("virtqemud", "virtproxyd")
    texts = {f"etc/libvirt/{name}.conf": LOCAL.format(uuid=own, daemon=name) for name in names}
    # The last one serves other machines.
    texts[f"etc/libvirt/{names[-1]}.conf"] += remote
    if kind == "monolithic":
        return texts | {"etc/migrationlab/libvirtd": DAEMON}
    scripts = {"libvirtd": "virtqemud", "virtproxyd": "virtproxyd"}
    return texts | {
        f"etc/migrationlab/{file}": MODULAR.format(daemon=name) for file, name in scripts.items()
    }


def _certificates(authority: Authority, name: str, addresses: tuple[str, ...]) -> dict[str, str]:
    """Return the certificates and keys of a host's libvirtd and QEMU.

    libvirtd's places are those of libvirt's docs/kbase/tlscerts.rst. QEMU's is its
    ``default_tls_x509_cert_dir``. One authority signs both sets.
    """
    texts = {
        LIBVIRT_AUTHORITY: authority.certificate,
        f"{QEMU_PKI}/ca-cert.pem": authority.certificate,
    }
    patterns = (
        (f"{LIBVIRT_PKI}/{{}}cert.pem", f"{LIBVIRT_PKI}/private/{{}}key.pem"),
        (f"{QEMU_PKI}/{{}}-cert.pem", f"{QEMU_PKI}/{{}}-key.pem"),
    )
    for certificate, key in patterns:
        server, client = authority.server(name, addresses), authority.client(name)
        for role, own in (("server", server), ("client", client)):
            texts[certificate.format(role)] = own.certificate
            texts[key.format(role)] = own.key
    return texts


def _private(key: ed25519.Ed25519PrivateKey) -> str:
    return private_text(key, serialization.PrivateFormat.OpenSSH)


def _public(key: ed25519.Ed25519PrivateKey) -> str:
    encoding, form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(encoding, form).decode()
