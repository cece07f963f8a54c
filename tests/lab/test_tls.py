"""Connections are safe: TLS for libvirt and for the guest's memory, ssh with keys."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from migrationlab.errors import HostError, LabError, UsageError
from migrationlab.hosts.host import Host
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.start import migrate
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode
from migrationlab.runs.run import Outcome

pytestmark = pytest.mark.lab

#: Text in the memory of every guest of the lab: a part of its kernel's command line.
KNOWN = b"migrationlab.observer="
#: Reads everything that passes a host's end of the wire until its input ends, and prints how many
#: bytes that were and how often they had the word.
SNIFFER = """
import json, os, select, socket, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
wire.bind(("wire", 0))
print("ready", flush=True)
seen = found = 0
while True:
    ready, _, _ = select.select([0, wire], [], [])
    if wire in ready:
        frame = wire.recv(1 << 17)
        seen += len(frame)
        found += frame.count(sys.argv[1].encode())
    elif not os.read(0, 1):
        print(json.dumps({"bytes": seen, "found": found}))
        break
"""
#: Opens a connection, and prints the host's name.
WHO = "import sys, libvirt; print(libvirt.open(sys.argv[1]).getHostname())"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Give a lab of this module's own: tests restart its daemons and take its keys away."""
    with Lab() as own:
        yield own


@pytest.fixture(scope="module")
def guest(lab: Lab) -> Guest:
    """Give a small guest."""
    return lab.boot("tls", memory_mib=128, working_set_mib=8, dirty_mib_s=5)


@contextmanager
def sniffed(lab: Lab) -> Iterator[dict[str, int]]:
    """Count what passes the wire during a ``with``; the dictionary is filled at its end."""
    heard: dict[str, int] = {}
    argv = [*lab.rack.in_host_network("host-b"), sys.executable, "-I", "-S", "-c", SNIFFER]
    with subprocess.Popen(
        [*argv, KNOWN.decode()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as sniffer:
        assert sniffer.stdin is not None
        assert sniffer.stdout is not None
        assert sniffer.stdout.readline() == "ready\n"
        yield heard
        sniffer.stdin.close()
        heard.update(json.loads(sniffer.stdout.read()))


@pytest.mark.parametrize(
    ("mode", "tls"),
    [
        # That it is found in clear shows that the sniffer works.
        (Mode.NORMAL, False),
        pytest.param(Mode.NORMAL, True, marks=pytest.mark.thorough),
        pytest.param(Mode.PEER2PEER, False, marks=pytest.mark.thorough),
        (Mode.PEER2PEER, True),
    ],
)
def test_memory_cannot_be_read_on_the_wire(lab: Lab, guest: Guest, mode: Mode, tls: bool) -> None:
    """The guest's memory crosses the wire in clear, unless the plan has TLS."""
    # Slowly, so that the sniffer misses nothing.
    plan = Plan(mode=mode, tls=tls, bandwidth_mib_s=50)
    with sniffed(lab) as heard:
        run = migrate(guest, to=guest.other_host, plan=plan)
    assert run.outcome is Outcome.COMPLETED, run.error
    assert run.guest_check is not None
    assert run.guest_check["intact"] is True
    assert heard["bytes"] > 10e6
    if tls:
        assert heard["found"] == 0
    else:
        assert heard["found"] > 0


@pytest.mark.parametrize(
    "mode", [pytest.param(Mode.NORMAL, marks=pytest.mark.thorough), Mode.PEER2PEER]
)
def test_libvirt_connections_use_tls(lab: Lab, guest: Guest, mode: Mode) -> None:
    """This process and the source's libvirtd connect to the destination by TLS."""
    to = guest.other_host
    plan = Plan(mode=mode, connection_uri=f"qemu+tls://{to.name}/system", tls=True)
    run = migrate(guest, to=to, plan=plan)
    assert run.outcome is Outcome.COMPLETED, run.error
    assert run.plan.connection_uri == f"qemu+tls://{to.name}/system"
    assert guest.host is to


def test_this_process_connects_by_tls(lab: Lab) -> None:
    """A URI with a lab host's name opens that host, also without a transport."""
    for uri in ("qemu+tls://host-b/system", "qemu://host-b/system"):
        connection = lab.host_b.new_connection(uri)
        assert connection.getHostname() == "host-b"
        assert len(connection.getCapabilities()) > 10_000  # more than fits into one TLS record
        connection.close()


def test_admin_client_connects_by_tls(lab: Lab) -> None:
    """The admin client connects with the lab's client certificate, and not without one."""
    folder = lab.client.home / "pki"
    shutil.copytree(lab.files.pki, folder)
    uri = f"qemu+tls://host-b/system?pkipath={lab.client.home_inside}/pki"
    done = lab.client.run([sys.executable, "-c", WHO, uri])
    assert done.stdout.strip() == "host-b", done.stderr
    (folder / "clientcert.pem").unlink()
    done = lab.client.run([sys.executable, "-c", WHO, uri])
    assert done.returncode != 0
    assert "Unable to read TLS confirmation" in done.stderr
    assert "host-b" not in done.stdout


def test_tls_verifies_both_sides(lab: Lab) -> None:
    """The proxy checks the host's name, and the host checks the certificate."""
    program = lab.files.proxies / "tls-host-b"
    text = program.read_text()
    try:
        program.write_text(text.replace(" host-b ", " host-c "))
        with pytest.raises(HostError, match="Hostname mismatch"):
            lab.host_b.new_connection("qemu+tls://host-b/system")
    finally:
        program.write_text(text)
    lab.host_b.new_connection("qemu+tls://host-b/system").close()


def test_tls_destination(lab: Lab, guest: Guest) -> None:
    """A plan accepts a certificate of another name if it expects that name."""
    with lab.broken("certificate-wrong-name", source=guest.host) as case:
        plan = Plan(mode="peer2peer", tls=True, tls_destination="elsewhere.example")
        run = migrate(guest, to=case.to, plan=plan)
    assert run.outcome is Outcome.COMPLETED, run.error


def test_unknown_host_key_is_refused(lab: Lab) -> None:
    """This process does not connect by ssh to a host with an unknown key."""
    known = lab.files.known_hosts.read_text()
    try:
        lab.files.known_hosts.write_text("")
        with pytest.raises(HostError, match="Host key verification failed"):
            lab.host_b.new_connection("qemu+ssh://root@host-b/system")
    finally:
        lab.files.known_hosts.write_text(known)
    lab.host_b.new_connection("qemu+ssh://root@host-b/system").close()


def libvirtd(lab: Lab, host: Host) -> psutil.Process:
    """Return the libvirtd of a host."""
    found = lab.rack.libvirtd(host.name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "role", [pytest.param("source", marks=pytest.mark.thorough), "destination"]
)
def test_restart_of_libvirtd_leaves_guest_running(lab: Lab, guest: Guest, role: str) -> None:
    """After a restart libvirtd is another process, and the guest lost no beat."""
    host = guest.host if role == "source" else guest.other_host
    before, source = libvirtd(lab, host).pid, guest.host
    place = guest.beat_source.place()
    lab.restart_libvirtd(host)
    assert libvirtd(lab, host).pid != before
    assert guest.host is source
    sequence = guest.beat_source.read(place)["sequence"]
    assert len(sequence) > 0
    assert (sequence.diff().dropna() == 1).all()
    assert guest.check().intact
    run = migrate(guest, to=guest.other_host)
    assert run.outcome is Outcome.COMPLETED, run.error


def test_dead_libvirtd_is_started_again(lab: Lab, guest: Guest) -> None:
    """After a crash libvirtd starts again by itself, and the guest is intact."""
    host = guest.host
    daemon = libvirtd(lab, host)
    daemon.kill()
    daemon.wait(10)
    lab._await_libvirtd(host.name, host.reconnect)
    assert guest.host is host
    assert guest.check().intact


def test_only_hosts_of_the_lab_are_restarted(lab: Lab) -> None:
    """A host outside the lab is not restarted."""
    other = Host("test:///default")
    with pytest.raises(UsageError, match="host must be a host of this lab"):
        lab.restart_libvirtd(other)
    other.close()


def test_lab_that_is_down_is_reported() -> None:
    """A restart of libvirtd and a measurement of the wire in a closed lab raise LabError."""
    with Lab() as own:
        rack = psutil.Process(own.rack.pid)
        rack.kill()
        rack.wait(10)
        with pytest.raises(LabError, match="is down"):
            own.restart_libvirtd(own.host_a)
        with pytest.raises(LabError):
            own.measure_wire()
