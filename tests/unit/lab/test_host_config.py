"""Tests of the settings of the two hosts: which are the same, and which must differ."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from migrationlab.lab import host_config
from migrationlab.lab.layout import HOST_NAMES, LAN_ADDRESSES, WIRE_ADDRESSES, LabFiles


@pytest.fixture
def files(tmp_path: Path) -> LabFiles:
    """Return the folder of a lab with the settings of its hosts."""
    lab = LabFiles(tmp_path)
    host_config.write(lab)
    return lab


def texts(files: LabFiles, path: str) -> list[str]:
    """Return the text of a file of each host."""
    return [(files.host(name).directory / path).read_text() for name in HOST_NAMES]


def public_half(key: Path) -> list[str]:
    """Return type and public half of a private key, as OpenSSH reads it."""
    done = subprocess.run(
        ["ssh-keygen", "-y", "-f", key], check=True, capture_output=True, text=True
    )
    return done.stdout.split()[:2]


def test_hosts_have_unique_uuids(files: LabFiles) -> None:
    """Each host has its own UUID; with equal ones libvirt treats them as the same host."""
    found = [
        re.findall(r'^host_uuid = "(.+)"$', text, re.MULTILINE)
        for text in texts(files, "etc/libvirt/libvirtd.conf")
    ]
    assert all(len(uuids) == 1 for uuids in found)
    assert found[0] != found[1]


def test_log_has_the_phases(files: LabFiles) -> None:
    """libvirtd logs the two sources that name the phases, to the file that the capture reads."""
    for text in texts(files, "etc/libvirt/libvirtd.conf"):
        assert "1:qemu.qemu_domain 1:qemu.qemu_migration" in text
        assert '"1:file:/var/log/libvirt/libvirtd.log"' in text


def test_one_ssh_key_opens_both_hosts(files: LabFiles) -> None:
    """One key opens both hosts, and each host's own key is in the known hosts."""
    for name, address in zip(HOST_NAMES, WIRE_ADDRESSES, strict=True):
        folder = files.host(name).directory
        user = public_half(folder / "ssh/id_ed25519")
        assert user == public_half(files.ssh_key)
        assert (folder / "ssh/authorized_keys").read_text().split() == user
        known = (folder / "ssh/known_hosts").read_text().splitlines()
        own = public_half(folder / "etc/ssh/ssh_host_ed25519_key")
        assert f"{name},{address} {' '.join(own)}" in known
        assert len(known) == 2
    a, b = texts(files, "etc/ssh/ssh_host_ed25519_key")
    assert a != b


def test_hosts_resolve_names_to_wire_addresses(files: LabFiles) -> None:
    """Both hosts resolve both names to wire addresses, and have their own addresses."""
    hosts_files = texts(files, "etc/hosts")
    assert hosts_files[0] == hosts_files[1]
    for name, wire in zip(HOST_NAMES, WIRE_ADDRESSES, strict=True):
        assert f"{wire} {name}\n" in hosts_files[0]
    for text, wire, lan in zip(
        texts(files, "etc/migrationlab/network"), WIRE_ADDRESSES, LAN_ADDRESSES, strict=True
    ):
        assert f"address add {wire}/30 dev wire\n" in text
        assert f"address add {lan}/24 dev lan\n" in text


def test_hosts_have_certificates_of_their_names(files: LabFiles) -> None:
    """libvirtd and QEMU of a host have certificates of its name, and of the lab's authority."""
    authority = (files.authority / "cert.pem").read_text()
    seen = []
    for name in HOST_NAMES:
        etc = files.host(name).directory / "etc/pki"
        for trusted in ("CA/cacert.pem", "qemu/ca-cert.pem"):
            assert (etc / trusted).read_text() == authority
        for pair in (
            ("libvirt/servercert.pem", "libvirt/private/serverkey.pem"),
            ("libvirt/clientcert.pem", "libvirt/private/clientkey.pem"),
            ("qemu/server-cert.pem", "qemu/server-key.pem"),
            ("qemu/client-cert.pem", "qemu/client-key.pem"),
        ):
            certificate = x509.load_pem_x509_certificate((etc / pair[0]).read_bytes())
            key = load_pem_private_key((etc / pair[1]).read_bytes(), None)
            assert certificate.public_key() == key.public_key()
            assert f"CN={name}" in certificate.subject.rfc4514_string()
            seen.append(certificate.serial_number)
    assert len(set(seen)) == 8
    assert (files.pki / "cacert.pem").read_text() == authority


def test_only_this_user_may_read_the_files(files: LabFiles) -> None:
    """Only the owner may read the files: some are keys."""
    written = [path for path in files.directory.rglob("*") if path.is_file()]
    assert len(written) == 51
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}


def test_folders_of_the_daemons_are_made(files: LabFiles) -> None:
    """The folders of sockets and logs are made before the daemons start."""
    for name in HOST_NAMES:
        host = files.host(name)
        assert host.socket.parent.is_dir()
        assert host.log.parent.is_dir()


def test_second_write_is_refused(files: LabFiles) -> None:
    """A second write into the same folder is refused; it would replace the first lab's keys."""
    with pytest.raises(FileExistsError):
        host_config.write(files)
