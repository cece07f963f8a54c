"""The cost of real migrations: bytes by purpose, processor time by thread."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from migrationlab.errors import LabError
from migrationlab.hosts.host import Host
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.lab.socket_broker import LAN, open_socket
from migrationlab.migrate.start import migrate, start
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode
from migrationlab.runs.run import Outcome, Run

pytestmark = pytest.mark.lab

MIB = 1 << 20
#: Of a TCP segment on the wire: Ethernet, IPv4, and TCP with its time stamps.
HEADERS_BYTES = 14 + 20 + 32
#: So slow that a test can act long before the migration is over.
SLOW = Plan(bandwidth_mib_s=4)
EVERYTHING = ("events", "job", "beats", "wire_bytes", "connections", "processes")


@pytest.fixture(scope="module")
def plain(lab: Lab, shared_guest: Guest) -> Run:
    """Return a peer2peer migration, in which everything goes over the wire."""
    shared_guest.set_workload(20, "sequential")
    run = migrate(shared_guest, to=lab.other(shared_guest.host), plan=Plan(mode=Mode.PEER2PEER))
    assert run.outcome is Outcome.COMPLETED
    return run


@pytest.fixture(scope="module")
def parallel(lab: Lab) -> Iterator[Run]:
    """Return a migration with two connections for memory, and a disk that is copied."""
    guest = lab.boot("cost", memory_mib=160, working_set_mib=16, dirty_mib_s=10, disk="local")
    try:
        plan = Plan(parallel=True, parallel_connections=2, copy_storage="full")
        yield migrate(guest, to=lab.host_b, plan=plan)
    finally:
        guest.destroy()


def by_purpose(run: Run, column: str) -> dict[str, int]:
    """Return the sum of a column of the connections for each purpose."""
    sums = run.connections.groupby("purpose")[column].sum()
    return {str(purpose): int(total) for purpose, total in sums.items()}


def threads(run: Run, side: str) -> pd.DataFrame:
    """Return what QEMU's threads at a side used, a column a thread and a row a sample."""
    found = run.processes
    found = found[(found["side"] == side) & (found["process"] == "qemu")]
    used = found.pivot_table(index="time_ns", columns="thread", values="cpu_ns")
    # A thread that was not there yet has used nothing; one that has ended keeps what it used.
    return used.ffill().fillna(0)


def test_run_names_what_was_recorded(plain: Run) -> None:
    """The run of a lab names all instruments and has no warning."""
    assert set(EVERYTHING) <= set(plain.instruments or ())
    assert plain.warnings == ()


def test_memory_is_separate_from_control(plain: Run) -> None:
    """The bytes that libvirt reports as sent are those of the one connection for memory."""
    purposes = by_purpose(plain, "sent_bytes")
    assert set(purposes) == {"memory", "control"}
    sent = plain.summary()["transferred_bytes"]
    assert purposes["memory"] == pytest.approx(sent, rel=0.001)
    assert 0 < purposes["control"] < MIB
    memory = plain.connections.set_index("purpose").loc["memory"]
    assert plain.called_ns < memory["opened_ns"] < memory["closed_ns"] < plain.returned_ns + 1e9


@pytest.mark.thorough
def test_disks_are_separate_from_memory(parallel: Run) -> None:
    """Of two ports of one range, one carries the disk and the other the memory."""
    assert parallel.outcome is Outcome.COMPLETED
    purposes = by_purpose(parallel, "sent_bytes")
    assert set(purposes) == {"memory", "storage"}
    assert purposes["storage"] == pytest.approx(32 * MIB, rel=0.3)
    assert purposes["memory"] > 16 * MIB
    found = parallel.connections
    memory, storage = (found[found["purpose"] == name] for name in ("memory", "storage"))
    # One more than there are channels, for what is not pages.
    assert len(memory) == 3
    assert len(set(memory["remote_port"])) == 1
    assert not set(memory["remote_port"]) & set(storage["remote_port"])


@pytest.mark.parametrize("kind", ["plain", pytest.param("parallel", marks=pytest.mark.thorough)])
def test_bytes_agree_with_the_queue_of_the_wire(request: pytest.FixtureRequest, kind: str) -> None:
    """The connections' bytes with headers equal the bytes of the wire's queue within 0.5 %."""
    run: Run = request.getfixturevalue(kind)
    found = run.connections
    payload = found["sent_bytes"].sum() + found["retransmitted_bytes"].sum()
    expected = payload + HEADERS_BYTES * found["sent_segments"].sum()
    last = run.wire_bytes.iloc[-1]
    assert last["cable_sent_bytes"] == pytest.approx(expected, rel=0.005)
    # The interface counts a piece of many frames with its headers once.
    assert payload < last["sent_bytes"] < last["cable_sent_bytes"]
    answered = found["received_bytes"].sum()
    answered += HEADERS_BYTES * found["received_segments"].sum()
    assert last["cable_received_bytes"] == pytest.approx(answered, rel=0.02, abs=2000)


def test_threads_add_up_to_their_process(plain: Run) -> None:
    """The processor time of QEMU's threads adds up to that of the process, on both hosts."""
    found = plain.processes
    whole = found[found["thread"] == ""]
    assert set(zip(whole["side"], whole["process"], strict=True)) == {
        (side, process) for side in ("source", "destination") for process in ("qemu", "libvirtd")
    }
    source, destination = threads(plain, "source"), threads(plain, "destination")
    assert {"", "main", "vCPU 0", "migration"} <= set(source)
    assert {"", "main", "vCPU 0"} <= set(destination)
    for used in (source, destination):
        assert (used.diff().min() >= 0).all()
        growth = used.iloc[-1] - used.iloc[0]
        assert growth.drop("").sum() == pytest.approx(growth[""], rel=0.05, abs=20e6)
    # The guest ran here first, and there in the end.
    assert source["vCPU 0"].iloc[-1] > source["vCPU 0"].iloc[0]
    assert destination["vCPU 0"].iloc[-1] > destination["vCPU 0"].iloc[0]


def test_older_processes_have_two_samples_before_the_call(plain: Run) -> None:
    """Processes that are older than the migration have two samples before the call."""
    found = plain.processes[plain.processes["thread"] == ""]
    before = found[found["time_ns"] < plain.called_ns].groupby(["side", "process"])
    assert dict(before.size()) == {
        ("source", "qemu"): 2,
        ("source", "libvirtd"): 2,
        ("destination", "libvirtd"): 2,
    }


def test_sources_qemu_is_sampled_after_the_stop(plain: Run) -> None:
    """The last sample of the source's QEMU is after the guest's stop, shortly before QEMU's end."""
    stop_ns = plain.timeline().stop_ns
    assert stop_ns is not None
    assert stop_ns < threads(plain, "source").index[-1] < plain.returned_ns
    assert threads(plain, "destination").index[-1] >= plain.returned_ns


def test_memory_of_the_destination_grows(plain: Run) -> None:
    """The memory of the destination's QEMU grows by at least the working set."""
    found = plain.processes
    whole = found[(found["thread"] == "") & (found["process"] == "qemu")]
    resident = whole[whole["side"] == "destination"]["memory_bytes"]
    assert resident.iloc[-1] - resident.iloc[0] > 32 * MIB
    assert found[found["thread"] != ""]["memory_bytes"].isna().all()


@pytest.mark.thorough
def test_each_multifd_channel_has_its_thread(parallel: Run) -> None:
    """Each multifd channel has a thread with processor time on each host."""
    for side in ("source", "destination"):
        used = threads(parallel, side)
        assert {"multifd 0", "multifd 1"} <= set(used)
        assert (used[["multifd 0", "multifd 1"]].max() > 0).all()


@pytest.mark.thorough
def test_tunnelled_memory_is_memory(lab: Lab, guest: Guest) -> None:
    """Memory that is tunnelled through the daemons' connection counts as memory."""
    plan = Plan(mode=Mode.PEER2PEER, tunnelled=True)
    run = migrate(guest, to=lab.other(guest.host), plan=plan)
    assert run.outcome is Outcome.COMPLETED
    purposes = by_purpose(run, "sent_bytes")
    assert set(purposes) == {"memory"}
    assert purposes["memory"] > run.summary()["transferred_bytes"]


def test_without_capture_only_libvirts_figures_are_recorded(lab: Lab, guest: Guest) -> None:
    """The run has libvirt's own figures, and names no other instrument."""
    run = migrate(guest, to=lab.other(guest.host), capture=False)
    assert run.outcome is Outcome.COMPLETED
    assert run.instruments == ("events",)
    assert set(run.events["origin"]) == {"migrationlab", "libvirt"}
    for name in EVERYTHING[1:]:
        assert getattr(run, name).empty
    summary = run.summary()
    assert summary["downtime_reported_ms"] > 0
    assert summary["transferred_bytes"] > MIB
    assert summary["wire_bytes"] is None
    assert run.clock is None
    assert run.warnings == ()


@pytest.mark.thorough
def test_policies_get_samples_without_capture(lab: Lab, guest: Guest) -> None:
    """A plan that acts on job statistics gets them without capture too."""
    plan = Plan(bandwidth_mib_s=4, abort_when_diverging_s=0.5)
    run = migrate(guest, to=lab.other(guest.host), plan=plan, capture=False)
    assert run.outcome is Outcome.DIVERGED
    assert run.instruments == ("events", "job")


def test_guest_times_its_own_writes(plain: Run) -> None:
    """Nearly all writes of a guest of the usual rate are timed, in each part that has any."""
    assert "memory_writes" in (plain.instruments or ())
    found = plain.write_latency()
    assert {"before", "iteration 1", "after"} <= set(found.parts["part"])
    assert (found.parts["p50_us"] <= found.parts["max_us"]).all()
    beats = plain.beats.sort_values("sequence")
    counted = plain.memory_writes
    first, last = counted["since_ns"].min(), counted["arrival_ns"].max()
    inside = beats[beats["arrival_ns"].between(first, last)]["writes"]
    # The report at each end is up to one interval of beats away from a beat.
    assert found.parts["writes"].sum() <= counted["writes"].sum()
    assert counted["writes"].sum() >= 0.9 * (inside.max() - inside.min())
    assert plain.summary()["write_after_max_us"] > 0


def test_real_hosts_are_sampled_by_libvirt(lab: Lab, guest: Guest) -> None:
    """Without counters the domain's processor time on each host comes from libvirt."""
    source, to = (
        Host(host.uri, name=host.name, peer_uri=host.peer_uri)
        for host in (guest.host, lab.other(guest.host))
    )
    with contextlib.closing(source), contextlib.closing(to):
        run = migrate(guest.name, source=source, to=to, plan=Plan(mode=Mode.PEER2PEER))
    assert run.outcome is Outcome.COMPLETED
    assert run.instruments == ("events", "job", "processes")
    assert run.wire_bytes.empty
    assert run.connections.empty
    found = run.processes
    assert set(found["side"]) == {"source", "destination"}
    assert set(found["process"] + found["thread"]) == {"qemu"}
    assert found["memory_bytes"].isna().all()
    for _, used in found.groupby("side")["cpu_ns"]:
        assert used.is_monotonic_increasing
        assert used.iloc[-1] > 0


def test_changed_wire_gives_a_warning(lab: Lab, guest: Guest) -> None:
    """After a change of the wire the bytes of its queue are missing, with a warning."""
    migration = start(guest, to=lab.other(guest.host), plan=SLOW)
    try:
        migration.set_max_downtime(300)  # returns once the first iteration is under way
        lab.wire.set(500)
        migration.set_bandwidth(None)
        run = migration.wait(60)
    finally:
        migration.cancel()
        migration.wait(60)
        lab.wire.set(1000)
    assert run.outcome is Outcome.COMPLETED
    counted = run.wire_bytes["cable_sent_bytes"]
    assert counted.iloc[0] == 0
    assert pd.isna(counted.iloc[-1])
    assert counted.dropna().is_monotonic_increasing
    assert run.wire_bytes["sent_bytes"].iloc[-1] > 16 * MIB
    assert [each for each in run.warnings if "what a cable would carry ends early" in each]


def test_restarted_libvirtd_is_found(lab: Lab, guest: Guest) -> None:
    """The processes of a host are found again after a restart of libvirtd."""
    lab.restart_libvirtd(guest.host)
    counters = guest.host.counters
    assert counters is not None
    assert set(counters.processes(guest.uuid)) == {"libvirtd", "qemu"}
    other = lab.other(guest.host).counters
    assert other is not None
    assert set(other.processes(guest.uuid)) == {"libvirtd"}


def test_broker_gives_the_requested_socket(lab: Lab) -> None:
    """The broker's socket belongs to the named network, and a refusal has a reason."""
    broker = lab.files.broker
    with open_socket(broker, LAN, socket.AF_INET, socket.SOCK_DGRAM) as lan:
        lan.bind(("10.22.0.1", 0))  # an address that only the rack has
    # Echo requests to a guest use such a socket.
    open_socket(broker, LAN, socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()
    with open_socket(broker, "host-a", socket.AF_INET, socket.SOCK_STREAM) as here:
        here.bind(("10.11.0.1", 0))
    with pytest.raises(LabError, match="a socket on the network nowhere"):
        open_socket(broker, "nowhere", socket.AF_INET, socket.SOCK_DGRAM)
    with pytest.raises(LabError, match=r"a socket on the network lan of .*not supported"):
        open_socket(broker, LAN, socket.AF_INET, socket.SOCK_DGRAM, 77)
    with pytest.raises(LabError, match="is down"):
        open_socket(broker.with_name("none"), LAN, socket.AF_INET, socket.SOCK_DGRAM)


def test_broker_serves_many_clients_at_once(lab: Lab) -> None:
    """Each of many clients gets a socket of its requested network."""
    names = ["host-a", "host-b", LAN] * 20
    addresses = {"host-a": "10.11.0.1", "host-b": "10.11.0.2", LAN: "10.22.0.1"}

    def visit(name: str) -> bool:
        with open_socket(lab.files.broker, name, socket.AF_INET, socket.SOCK_DGRAM) as given:
            given.bind((addresses[name], 0))
            return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(visit, names))
