"""The lab: two separate hosts, a wire, and an end that leaves nothing."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import libvirt
import psutil
import pytest

from migrationlab.errors import LabError, UsageError
from migrationlab.lab import directories, namespaces, registry
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.plan.wire_spec import WireSpec

pytestmark = pytest.mark.lab

#: A lab of another process, which prints what the lab consists of and then waits.
OWNER = """
import json, sys
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
lab = Lab(name=sys.argv[1])
lab.boot(memory_mib=128, working_set_mib=1, dirty_mib_s=0)
print(json.dumps(lab.inspect()), flush=True)
sys.stdin.read()
"""


def mounts_and_interfaces() -> tuple[str, list[str]]:
    """Return this machine's mounts and network interfaces, as this process sees them."""
    return Path("/proc/self/mounts").read_text(), sorted(psutil.net_if_addrs())


def has_ended(pid: int, timeout_s: float = 10) -> bool:
    """Wait until a process has ended; return whether it has."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ready, _, _ = select.select([descriptor], [], [], timeout_s)
    finally:
        os.close(descriptor)
    return bool(ready)


def test_hosts_are_separate(lab: Lab) -> None:
    """Each host has its own name, identity, file system and network."""
    a, b = lab.hosts
    assert [host.facts.hostname for host in lab.hosts] == ["host-a", "host-b"]
    uuids = []
    for host in lab.hosts:
        xml = host.connection.getCapabilities()
        uuids.append(xml.partition("<uuid>")[2].partition("</uuid>")[0])
    assert len(set(uuids)) == 2
    namespaces.run([*lab.rack.in_host(a.name), "touch", "/root/only-on-a"])
    assert "only-on-a" in namespaces.run([*lab.rack.in_host(a.name), "ls", "/root"])
    assert "only-on-a" not in namespaces.run([*lab.rack.in_host(b.name), "ls", "/root"])
    interfaces = namespaces.run([*lab.rack.in_host(a.name), "ip", "-brief", "address"])
    assert "10.11.0.1/30" in interfaces
    assert "10.11.0.2/30" not in interfaces


def test_new_port_leaves_bridge_address_unchanged(lab: Lab) -> None:
    """Each bridge of the LAN keeps its MAC address when a port with a lower one comes and goes."""
    places = [lab.rack.in_rack_network(), *(lab.rack.in_host(host.name) for host in lab.hosts)]
    show = ["ip", "-brief", "link", "show", "dev", "lan"]
    for enter in places:
        before = namespaces.run([*enter, *show]).split()[2]
        low = "link add low address 02:00:00:00:00:01 type veth peer name peer"
        both = "link set low master lan\nlink set low up\nlink set peer up"
        namespaces.run([*enter, "ip", "-batch", "-"], text=f"{low}\n{both}")
        try:
            assert namespaces.run([*enter, *show]).split()[2] == before
        finally:
            namespaces.run([*enter, "ip", "link", "delete", "low"])


def test_lan_forwards_from_the_start() -> None:
    """Every port of the LAN forwards frames as soon as a lab is up."""
    with Lab() as new:
        for enter in (
            new.rack.in_rack_network(),
            *(new.rack.in_host(host.name) for host in new.hosts),
        ):
            ports = namespaces.run([*enter, "bridge", "link", "show"]).splitlines()
            assert ports
            assert all("state forwarding" in port for port in ports)


def test_hosts_use_no_name_server(lab: Lab) -> None:
    """A host resolves names from its files only, so an unknown name fails at once."""
    for host in lab.hosts:
        enter = lab.rack.in_host(host.name)
        assert "hosts: files\n" in namespaces.run([*enter, "cat", "/etc/nsswitch.conf"])
        assert "10.11.0.1" in namespaces.run([*enter, "getent", "hosts", "host-a"])


@pytest.mark.parametrize("transport", ["ssh", "tcp"])
def test_hosts_reach_each_other(lab: Lab, transport: str) -> None:
    """The source's libvirtd connects to the destination's by the URIs that peer2peer uses."""
    uri = f"qemu+{transport}://{'root@' if transport == 'ssh' else ''}host-b/system"
    argv = [*lab.rack.in_host("host-a"), "virsh", "--connect", uri, "hostname"]
    assert namespaces.run(argv).strip() == "host-b"


def test_virsh_connects_with_the_printed_uri(lab: Lab) -> None:
    """The URI of ``inspect`` opens the right host from this machine, as in virsh."""
    for host in lab.inspect()["hosts"]:
        connection = libvirt.open(host["uri"])
        assert connection.getHostname() == host["name"]
        connection.close()


@pytest.mark.parametrize("uri", ["qemu+ssh://root@host-b/system", "qemu+tcp://host-b/system"])
def test_this_process_connects_to_lab_names(lab: Lab, uri: str) -> None:
    """This process connects to a host by the URI that the other host uses."""
    connection = lab.host_b.new_connection(uri)
    assert connection.getHostname() == "host-b"
    connection.close()


def test_inspect_shows_hosts_wire_guests_and_processes(lab: Lab) -> None:
    """The command inspect shows hosts, wire, guests and processes as plain JSON."""
    shown = json.loads(json.dumps(lab.inspect()))
    assert [host["name"] for host in shown["hosts"]] == ["host-a", "host-b"]
    assert shown["wire"] == asdict(WireSpec())
    programs = [(process["host"], process["program"]) for process in shown["processes"]]
    for host in ("host-a", "host-b"):
        assert (host, "libvirtd") in programs
        assert (host, "sshd") in programs


def test_rate_of_the_wire_changes_while_the_lab_runs(lab: Lab) -> None:
    """The kernel reports the rate that was set on the wire of a running lab."""
    try:
        assert lab.wire.set(250).rate_mbit_s == 250
        assert lab.wire.set(None).rate_mbit_s is None
        uneven = WireSpec(250, back_mbit_s=100)
        assert lab.wire.set(250, back_mbit_s=100) == uneven == lab.wire.settings
        assert lab.wire.seen_from("host-b") == WireSpec(100, back_mbit_s=250)
    finally:
        assert lab.wire.set(1000).rate_mbit_s == 1000


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate_mbit_s": -1},
        {"rate_mbit_s": 0},
        {"rate_mbit_s": 1e9},
        {"rate_mbit_s": "fast"},
        {"rate_mbit_s": 100, "delay_ms": -1},
        {"rate_mbit_s": 100, "loss_percent": 101},
        {"rate_mbit_s": 100, "jitter_ms": 1},
        {"rate_mbit_s": None, "back_mbit_s": 100},
    ],
)
def test_refused_settings_leave_wire_unchanged(lab: Lab, wrong: dict[str, float]) -> None:
    """A value out of its range is refused with a hint, and the wire stays as it was."""
    with pytest.raises(UsageError) as caught:
        lab.wire.set(**wrong)
    assert caught.value.hint
    assert lab.wire.settings.rate_mbit_s == 1000


def test_delay_works_or_is_refused(lab: Lab) -> None:
    """With netem in the kernel a delay is set and read back; without netem it is refused."""
    if lab.wire.can_impair():
        try:
            set_ = lab.wire.set(1000, delay_ms=5, jitter_ms=1, loss_percent=1)
            assert (set_.delay_ms, set_.jitter_ms) == pytest.approx((5, 1))
        finally:
            assert lab.wire.set(1000).delay_ms == 0
    else:
        with pytest.raises(LabError, match="no netem") as caught:
            lab.wire.set(1000, delay_ms=5)
        assert "sch_netem" in caught.value.hint
        assert lab.wire.settings.rate_mbit_s == 1000


def test_second_lab_of_the_same_name_is_refused(lab: Lab) -> None:
    """A second lab of the same name is refused, and the first stays up."""
    with pytest.raises(UsageError, match="is up already") as caught:
        Lab(name=lab.name)
    assert "lab down" in caught.value.hint
    assert lab.alive
    assert lab.files.state.exists()


@pytest.mark.parametrize("name", ["", "-x", "a b", "../up", "x" * 40, "Lab"])
def test_bad_names_are_refused(name: str) -> None:
    """A name that is no plain word is refused."""
    with pytest.raises(UsageError, match="lab's name must be"):
        registry.files(name)


def test_bad_wire_is_refused_before_a_lab_starts() -> None:
    """A wire out of range is refused before a lab starts."""
    steps: list[object] = []
    with pytest.raises(UsageError, match="rate_mbit_s must be a number"):
        Lab(name="absurd", wire_mbit_s=-4, on_step=steps.append)
    assert steps == []


def test_folder_without_lock_is_deleted() -> None:
    """A folder without a lock is deleted, and a lab can take its name."""
    name = f"stray-{os.getpid()}"
    (directories.labs() / name / "guests").mkdir(parents=True)
    with Lab(name=name) as lab:
        assert lab.alive
    assert not (directories.labs() / name).exists()


@pytest.mark.thorough
def test_guests_of_two_processes_have_unique_numbers(lab: Lab) -> None:
    """Guests that two processes boot at the same time have their own numbers."""
    booted: list[Guest] = []

    def boot(name: str) -> None:
        other = Lab.attach(lab.name)
        guest = other.boot(name, memory_mib=128, working_set_mib=1, dirty_mib_s=0)
        other.close()
        booted.append(lab.guest(guest.name))

    threads = [threading.Thread(target=boot, args=[f"at-once-{n}"]) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert len({guest.spec.number for guest in booted}) == 2
        assert {guest.name for guest in booted} <= {guest.name for guest in lab.guests}
    finally:
        for guest in booted:
            guest.destroy()


def test_unknown_release_is_refused() -> None:
    """An unknown release is refused with the known ones."""
    with pytest.raises(UsageError) as caught:
        Lab(images="sid")
    assert "trixie" in caught.value.hint
    assert "bookworm" in caught.value.hint


@pytest.mark.thorough
def test_two_labs_are_separate(lab: Lab) -> None:
    """Two labs have the same addresses, and their guests do not see each other."""
    with Lab() as other:
        there = other.boot("elsewhere", memory_mib=128, working_set_mib=1, dirty_mib_s=1)
        assert [guest.name for guest in other.guests] == ["elsewhere"]
        assert "elsewhere" not in [guest.name for guest in lab.guests]
        assert there.check().intact
        assert set(registry.names()) >= {lab.name, other.name}
    assert lab.alive


def test_close_removes_the_lab() -> None:
    """After close the lab has no process, mount, interface or folder."""
    before = mounts_and_interfaces()
    lab = Lab()
    pids = [process["pid"] for process in lab.inspect()["processes"]]
    folder = lab.files.directory
    lab.close()
    assert all(has_ended(pid) for pid in pids)
    assert not folder.exists()
    assert mounts_and_interfaces() == before
    lab.close()  # a second call does no harm


def test_death_of_the_owner_ends_the_lab() -> None:
    """A SIGKILL of the owner ends every process; a new lab can take the name."""
    before = mounts_and_interfaces()
    name = f"killed-{os.getpid()}"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with owner:
        assert owner.stdout is not None
        shown = json.loads(owner.stdout.readline())
        pids = [process["pid"] for process in shown["processes"]]
        assert any(process["program"].startswith("qemu-system") for process in shown["processes"])
        owner.kill()
    assert all(has_ended(pid) for pid in pids)
    assert mounts_and_interfaces() == before
    assert not registry.is_up(name)
    assert (directories.labs() / name).exists()  # only files are left
    with Lab(name=name) as again:
        assert again.alive
    assert not (directories.labs() / name).exists()


def test_attached_lab_stays_up_after_close(lab: Lab) -> None:
    """A lab that was attached to by its name stays up when the attached object is closed."""
    guest = lab.boot("seen", memory_mib=128, working_set_mib=2, dirty_mib_s=1, pattern="random")
    try:
        attached = Lab.attach(lab.name)
        assert attached.guest("seen").spec == guest.spec
        assert attached.guest("seen").check().intact
        attached.close()
        assert lab.alive
    finally:
        guest.destroy()


def test_attach_to_missing_lab_is_refused() -> None:
    """Attaching to a lab that is not up is refused."""
    with pytest.raises(UsageError, match="no lab 'nobody' is up"):
        Lab.attach("nobody")


def test_repr_is_one_plain_line(lab: Lab) -> None:
    """The repr of lab, host and wire has no address in memory."""
    for thing in (lab, lab.host_a, lab.wire, lab.beat_buffer):
        assert "\n" not in repr(thing)
        assert " at 0x" not in repr(thing)


def test_refused_namespaces_give_a_hint() -> None:
    """Without the right to make namespaces the error has a hint, and no file is left."""
    if namespaces.rootless():
        pytest.skip("the way to take this right away needs root")
    script = "from migrationlab.lab.lab import Lab; Lab(name='refused')"
    done = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "LabError: start of the lab's rack failed" in done.stderr
    assert "Operation not permitted" in done.stderr
    assert not registry.is_up("refused")
    assert not (directories.labs() / "refused").exists()


def test_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without unshare the error names it, and the hint says how to install it."""
    monkeypatch.setattr(namespaces, "child_environment", lambda: {"PATH": str(tmp_path)})
    with pytest.raises(LabError, match="missing") as caught:
        Lab(name="missing")
    assert "make setup" in caught.value.hint
    assert not (directories.labs() / "missing").exists()


def test_interrupt_at_start_removes_the_lab() -> None:
    """Ctrl-C while a lab starts removes the lab."""
    name = f"interrupted-{os.getpid()}"
    script = (
        "import sys; from migrationlab.lab.lab import Lab; "
        "Lab(name=sys.argv[1], on_step=lambda step: print(step.state, flush=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"started\n"
        owner.send_signal(signal.SIGINT)
    assert owner.returncode != 0
    assert not (directories.labs() / name).exists()
