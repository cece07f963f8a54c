"""Tests of the proxies: the URIs that are valid only inside the lab, and the programs for them."""

from __future__ import annotations

import shlex
import stat
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from migrationlab.lab import proxy
from migrationlab.lab.layout import LabFiles
from migrationlab.lab.rack import Rack

RACK = Rack(pid=1, hosts={"host-a": 11, "host-b": 12}, observer=4321)
#: Replacements of the real programs; they print their arguments, one a line.
ECHO = '#!/bin/sh\nprintf "%s\\n" "${0##*/}" "$@"\n'
ENTER = '#!/bin/sh\necho "$2"\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n'


@pytest.fixture
def files(tmp_path: Path, first_on_path: Path) -> LabFiles:
    """Return a lab's folder, with a name that needs quoting, and its proxy programs in it."""
    folder = tmp_path / "a lab's & more"
    folder.mkdir()
    files = LabFiles(folder)
    busybox = folder / "busybox"
    for path, text in {
        busybox: ECHO, first_on_path / "ssh": ECHO, first_on_path / "nsenter": ENTER
    }.items():  # fmt: skip
        path.write_text(text)
        path.chmod(0o700)
    proxy.write(files, RACK, busybox)
    return files


def asked(program: Path, *arguments: str) -> list[str]:
    """Return the arguments that a proxy passes to the programs that it calls."""
    done = subprocess.run([program, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_ssh_route(files: LabFiles) -> None:
    """The ssh proxy enters the lab's network, and checks the host's key."""
    words = asked(files.proxies / "ssh-host-b", "-l", "root", "--", "host-b", "sh -c 'a b'")
    assert words[:2] == ["4321", "ssh"]
    assert words[-5:] == ["-l", "root", "--", "host-b", "sh -c 'a b'"]
    assert words[words.index("-i") + 1] == str(files.ssh_key)
    assert f"UserKnownHostsFile={files.known_hosts}" in words
    assert "HostName=10.22.0.12" in words
    assert "HostKeyAlias=host-b" in words
    assert not [word for word in words if "StrictHostKeyChecking" in word]


def test_tcp_route(files: LabFiles) -> None:
    """The TCP proxy enters the lab's network, and connects to the host's libvirtd."""
    words = asked(files.proxies / "tcp-host-a")
    assert words == ["4321", "busybox", "nc", "10.22.0.11", "16509"]


def test_tls_route(files: LabFiles) -> None:
    """The TLS proxy enters the lab's network, with the host's name to verify and the lab's keys."""
    words = (files.proxies / "tls-host-b").read_text()
    assert "--target 4321" in words
    assert "/payload/tlspipe.py 10.22.0.12 16514 host-b " in words
    assert words.rstrip().endswith(shlex.quote(str(files.pki)))


def test_only_this_user_may_change_proxies(files: LabFiles) -> None:
    """Only this user may read or change the proxy programs."""
    found = list(files.proxies.iterdir())
    assert len(found) == 6
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o700}


def test_route_of_ssh_keeps_the_rest(files: LabFiles) -> None:
    """An ssh URI of a lab host gets the proxy program and stays unchanged otherwise."""
    routed = urlsplit(proxy.route(files, "qemu+ssh://root@host-a/system?no_verify=0"))
    assert (routed.scheme, routed.netloc, routed.path) == ("qemu+ssh", "root@host-a", "/system")
    program = files.proxies / "ssh-host-a"
    assert parse_qs(routed.query) == {"no_verify": ["0"], "command": [str(program)]}
    assert program.exists()


@pytest.mark.parametrize(
    ("scheme", "transport"), [("qemu+tcp", "tcp"), ("qemu+tls", "tls"), ("qemu", "tls")]
)
def test_route_of_tcp_is_a_program(files: LabFiles, scheme: str, transport: str) -> None:
    """A TCP or TLS URI of a lab host becomes one that libvirt opens through a program."""
    routed = urlsplit(proxy.route(files, f"{scheme}://host-b/system"))
    assert (routed.scheme, routed.netloc, routed.path) == ("qemu+ext", "", "/system")
    program = files.proxies / f"{transport}-host-b"
    assert parse_qs(routed.query) == {"command": [str(program)]}
    assert program.exists()


@pytest.mark.parametrize(
    "uri",
    [
        "qemu+ssh://root@node1/system",
        "qemu+tls://node1/system",
        "qemu+libssh://root@host-b/system",
        "qemu:///system",
        "qemu+unix:///system?socket=/run/host-a",
        "tcp://host-b:49152",
        "",
    ],
)
def test_other_uris_stay_unchanged(files: LabFiles, uri: str) -> None:
    """A URI without a lab host or with another transport stays unchanged."""
    assert proxy.route(files, uri) == uri
