"""Processor time and memory: the kernel is asked about programs that the tests start."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import libvirt
import psutil
import pytest

from migrationlab.capture import processes
from migrationlab.capture.processes import DomainMeter, ProcessMeter, thread_name
from migrationlab.hosts.connection import is_waited_on
from migrationlab.hosts.poll import wait_until
from migrationlab.runs.schema import FRAMES, frame

UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
#: A program with a thread that is called like one of QEMU's and works for 0.2 s, and one that
#: works less. Says when that is done; a line later it lets the second end, and then the first.
PROGRAM = """
import ctypes, sys, threading, time

def work(name, seconds):
    ctypes.CDLL(None).prctl(15, name)
    while time.thread_time() < seconds:
        pass
    working.release()
    (over if name.startswith(b"CPU") else ending).wait()

over, ending, working = threading.Event(), threading.Event(), threading.Semaphore(0)
held = bytearray(32 << 20)
threads = [threading.Thread(target=work, args=each) for each in (
    (b"CPU 0/TCG", 0.2), (b"worker", 0.05))]
for thread in threads:
    thread.start()
for thread in threads:
    working.acquire()
print("worked", flush=True)
sys.stdin.readline()
ending.set()
threads[1].join()
print("ended", flush=True)
sys.stdin.readline()
over.set()
"""


@dataclass
class Fake:
    """Counters that know processes by their pids, whatever those are."""

    pids: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    device: str = "none"
    address: str = "127.0.0.1"

    def processes(self, uuid: str) -> dict[str, int]:
        """Return the processes of the test."""
        assert uuid == UUID
        self.asked += 1
        return dict(self.pids)

    def sent_bytes(self) -> int:
        """Return no figure: these tests are about processes."""
        raise AssertionError

    netlink = sent_bytes


class Program:
    """A running program."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.expect("worked")

    def expect(self, word: str) -> None:
        """Wait until it says so."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == word

    def go_on(self) -> None:
        """Let it go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """End it, and wait until it is gone."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def program() -> Iterator[Callable[[], Program]]:
    """Return a starter of programs, which are gone when the test is over."""
    started: list[Program] = []

    def start() -> Program:
        started.append(Program())
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.fixture
def fake() -> Fake:
    """Return counters without a process."""
    return Fake()


@pytest.fixture
def meter(fake: Fake) -> Iterator[ProcessMeter]:
    """Return a meter of one side."""
    meter = ProcessMeter({"source": fake}, UUID)
    yield meter
    meter.close()


def latest(meter: ProcessMeter, thread: str) -> int:
    """Return what a thread had used when it was last sampled; "" is the whole process."""
    found = [row["cpu_ns"] for row in meter.rows if row["thread"] == thread]
    assert isinstance(found[-1], int)
    return found[-1]


def test_process_and_threads_are_sampled(
    program: Callable[[], Program], fake: Fake, meter: ProcessMeter
) -> None:
    """The process and each thread have their processor time, also a thread that has ended."""
    running = program()
    fake.pids["qemu"] = running.process.pid
    meter.read()
    working = latest(meter, "worker")
    # A thread can be a scheduler's tick further than its figure in /proc says.
    assert 0.19e9 < latest(meter, "vCPU 0") < 0.3e9
    assert 0.04e9 < working < 0.1e9
    running.go_on()
    running.expect("ended")
    meter.read()
    # Its end took a moment of it, too, where that was still to be seen.
    assert working <= latest(meter, "worker") < working + 5e6
    named = sum(latest(meter, name) for name in ("main", "vCPU 0", "worker"))
    # What the program did before it had these threads is main's.
    assert latest(meter, "") == pytest.approx(named, abs=0.03e9)
    times = psutil.Process(running.process.pid).cpu_times()
    assert latest(meter, "") / 1e9 == pytest.approx(times.user + times.system, abs=0.05)


def test_memory_is_that_of_the_process(
    program: Callable[[], Program], fake: Fake, meter: ProcessMeter
) -> None:
    """A process has the kernel's resident memory; a thread has none."""
    running = program()
    fake.pids["qemu"] = running.process.pid
    meter.read()
    made = frame("processes", meter.rows)
    whole = made[made["thread"] == ""]["memory_bytes"]
    resident = psutil.Process(running.process.pid).memory_info().rss
    assert int(whole.iloc[0]) == pytest.approx(resident, rel=0.05)
    assert resident > 32 << 20
    assert made[made["thread"] != ""]["memory_bytes"].isna().all()
    assert set(made.columns) == set(FRAMES["processes"])


def test_threads_of_libvirtd_are_not_sampled(
    program: Callable[[], Program], fake: Fake, meter: ProcessMeter
) -> None:
    """Only the threads of QEMU are sampled, because libvirtd's have no known meaning."""
    fake.pids["libvirtd"] = program().process.pid
    meter.read()
    assert [row["thread"] for row in meter.rows] == [""]


def test_ended_process_keeps_its_rows(
    program: Callable[[], Program], fake: Fake, meter: ProcessMeter
) -> None:
    """A QEMU that has ended keeps its rows and gets no new ones."""
    running = program()
    fake.pids["qemu"] = running.process.pid
    meter.read()
    before = list(meter.rows)
    fake.pids.clear()
    running.end()
    meter.read()
    meter.read()
    assert meter.rows == before


def test_zombie_has_no_rows(
    program: Callable[[], Program], fake: Fake, meter: ProcessMeter
) -> None:
    """A zombie process has ended and gets no rows."""
    running = program()
    fake.pids["qemu"] = running.process.pid
    psutil.Process(running.process.pid).kill()
    running.expect("")  # all it had open is closed by now
    while psutil.Process(running.process.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    meter.read()
    assert meter.rows == []


def test_restarted_daemon_is_found(
    program: Callable[[], Program], fake: Fake, meter: ProcessMeter
) -> None:
    """A restarted libvirtd is sampled again from its own start."""
    first = program()
    fake.pids = {"libvirtd": first.process.pid, "qemu": first.process.pid}
    meter.read()
    assert fake.asked == 1
    meter.read()
    # While all are there nobody looks for any.
    assert fake.asked == 1
    first.end()
    meter.read()
    fake.pids = {"libvirtd": program().process.pid}
    meter.rows.clear()
    meter.read()
    assert {row["process"] for row in meter.rows} == {"libvirtd"}


def test_host_without_processes_has_no_rows(meter: ProcessMeter) -> None:
    """A dead host has no rows, and no rows of zeros."""
    meter.read()
    assert meter.rows == []


@pytest.mark.parametrize(
    ("own", "name"),
    [
        ("CPU 0/TCG", "vCPU 0"),
        ("CPU 12/KVM", "vCPU 12"),
        ("ALL CPUs/TCG", "vCPUs"),
        ("mig/src/main", "migration"),
        ("mig/src/return", "migration"),
        ("mig/dst/listen", "migration"),
        ("mig/src/send_0", "multifd 0"),
        ("mig/src/recv_1", "multifd 1"),
        ("mig/dst/recv_10", "multifd 10"),
        ("live_migration", "migration"),
        ("return path", "migration"),
        ("postcopy/fault", "migration"),
        ("multifdsend_3", "multifd 3"),
        ("multifdrecv_4", "multifd 4"),
        ("IO mon_iothread", "IO mon_iothread"),
        ("worker", "worker"),
    ],
)
def test_threads_have_one_name_in_every_qemu(own: str, name: str) -> None:
    """A thread has the same name in a run of QEMU 7.2 and of 10.0."""
    assert thread_name(own) == name
    assert thread_name(own, first=True) == "main"


class FakeConnection:
    """A connection to a host whose domain appears after the first question."""

    def __init__(self, *, alive: bool = True) -> None:
        self.answers = 0
        self.alive = alive
        self.enough = threading.Event()

    def lookupByUUIDString(self, uuid: str) -> FakeConnection:  # noqa: N802 - libvirt's name
        """Return itself for a domain, from the second time on."""
        assert uuid == UUID
        self.answers += 1
        if self.answers >= 4 or not self.alive:
            self.enough.set()
        if self.answers < 2:
            raise libvirt.libvirtError("Domain not found")
        return self

    def info(self) -> list[int]:
        """Return virDomainInfo: state, memory twice, processors, time used."""
        return [1, 0, 0, 1, self.answers * 1000]

    def isAlive(self) -> bool:  # noqa: N802 - libvirt's name
        """Return whether the connection is there."""
        return self.alive


def test_real_host_is_sampled_by_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without counters libvirt gives the domain's processor time."""
    monkeypatch.setattr(processes, "LIBVIRT_INTERVAL_S", 0.001)
    connection = FakeConnection()
    meter = DomainMeter({"destination": connection}, UUID)
    meter.start()
    assert connection.enough.wait(10)
    rows = meter.stop()["processes"]
    assert [row["cpu_ns"] for row in rows][:2] == [2000, 3000]
    made = frame("processes", rows)
    assert set(made["side"]) == {"destination"}
    assert set(made["process"] + made["thread"]) == {"qemu"}
    assert made["memory_bytes"].isna().all()


def test_failed_sampling_gives_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure keeps the earlier rows and gives a warning with the reason."""
    monkeypatch.setattr(processes, "LIBVIRT_INTERVAL_S", 0.001)
    connection = FakeConnection()
    monkeypatch.setattr(
        connection, "info", lambda: [] if connection.answers >= 4 else [1, 0, 0, 1, 1000]
    )
    meter = DomainMeter({"destination": connection}, UUID)
    meter.start()
    assert connection.enough.wait(10)
    (timer,) = meter._timers
    timer._thread.join(10)
    assert len(meter.stop()["processes"]) == 2
    (warning,) = meter.warnings
    assert warning.startswith("migration-destination ended early: IndexError(")


def test_lost_real_host_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with a broken connection is asked once and has no row."""
    monkeypatch.setattr(processes, "LIBVIRT_INTERVAL_S", 0.001)
    connection = FakeConnection(alive=False)
    meter = DomainMeter({"source": connection}, UUID)
    meter.start()
    assert connection.enough.wait(10)
    assert meter.stop() == {"processes": []}
    assert connection.answers == 1


def test_frozen_host_has_a_call_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else may ask on its connection until the last sample is answered."""
    monkeypatch.setattr(processes, "LIBVIRT_INTERVAL_S", 0.001)
    monkeypatch.setattr(processes, "ANSWER_TIMEOUT_S", 0.01)
    connection = FakeConnection()
    asked, answer = threading.Event(), threading.Event()

    def info() -> list[int]:
        asked.set()
        assert answer.wait(10)
        return [1, 0, 0, 1, 1000]

    monkeypatch.setattr(connection, "info", info)
    meter = DomainMeter({"source": connection}, UUID)
    meter.start()
    assert asked.wait(10)
    assert meter.stop() == {"processes": []}
    assert is_waited_on(connection)
    answer.set()
    assert wait_until(lambda: not is_waited_on(connection), 10)
