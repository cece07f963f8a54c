"""Tests of the workload, as a program of this machine: it needs no guest.

It is compiled as for a guest, but with the compiler's checks of addresses and of undefined
behaviour. They end it with a message on standard error.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from migrationlab.lab.boot_files import COMPILE, PAYLOAD
from migrationlab.lab.disk_files import write_first_round

PAGES = 256
PATTERNS = ["sequential", "random", "hot-cold", "zipf"]
BLOCK = 4096
BLOCKS_PER_MIB = 256
MAX, STOPPED = -1, 0
#: As ``struct beat`` of workload.c: magic, guest, sequence, guest_ns, writes.
BEAT = struct.Struct("<4sIQQQ")
#: As ``struct latency_report`` of latency.h: magic, guest, request, guest_ns, counts.
REPORT = struct.Struct("<4sIQQ256I")
MS = 1_000_000
#: workload.c, LONGEST_CREDIT: what a stall of the machine is made up for at most.
CREDIT_NS = 20 * MS


@dataclass(frozen=True)
class Beat:
    """A beat that has arrived."""

    guest: int
    sequence: int
    guest_ns: int
    writes: int


class Workload:
    """A running workload; sends requests as the lab does to a guest."""

    def __init__(self, beats: socket.socket, control: socket.socket) -> None:
        self._beats = beats
        self._control = control
        self._number = 0

    def ask(self, request: str) -> dict[str, int | str]:
        """Return its answer to a request."""
        self._number += 1
        token = f"request-{self._number}"
        self._control.send(f"{token} {request}".encode())
        words = self._control.recv(512).decode().split()
        assert words[0] == token
        pairs = dict(word.split("=", 1) for word in words[1:])
        return {name: int(text) if text.isdigit() else text for name, text in pairs.items()}

    def durations(self) -> tuple[int, ...]:
        """Return its counts of writes, by duration."""
        self._number += 1
        self._control.send(f"{self._number} latency".encode())
        magic, guest, request, _, *counts = REPORT.unpack(self._control.recv(2048))
        assert (magic, guest, request) == (b"MLL1", 42, self._number)
        return tuple(counts)

    def check(self) -> dict[str, int | str]:
        """Let it check its pages."""
        return self.ask("check")

    def beats(self, count: int) -> list[Beat]:
        """Return its next beats; those that wait already are forgotten."""
        self._beats.setblocking(False)
        try:
            while True:
                self._beats.recv(64)
        except BlockingIOError:
            self._beats.settimeout(10)
        return [self._beat() for _ in range(count)]

    def _beat(self) -> Beat:
        data = self._beats.recv(64)
        assert len(data) == BEAT.size
        magic, *numbers = BEAT.unpack(data)
        assert magic == b"MLB1"
        return Beat(*numbers)


Start = Callable[..., "contextmanager[Workload]"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the compiled workload."""
    path = tmp_path_factory.mktemp("workload") / "workload"
    flags = [flag for flag in COMPILE if flag != "-static"]
    checks = ["-Werror", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
    subprocess.run([*flags, *checks, "-o", path, PAYLOAD / "workload.c"], check=True)
    return path


def environment(**settings: object) -> dict[str, str]:
    """Return the workload's environment: a small guest's settings, with some others."""
    usual: dict[str, object] = {
        "guest": 42, "pages": PAGES, "fill_pages": 0, "rate": 0, "pattern": "random",
        "hot_pages": 100_000, "hot_writes": 900_000, "noise": 32, "fresh": 1, "writers": 1,
        "huge": 0, "phases": "",
        "observer": "127.0.0.1", "beat_port": 1, "control_port": 1, "disk": "",
        # It ends with its pages mapped, which is no leak that matters.
        "ASAN_OPTIONS": "detect_leaks=0",
    }  # fmt: skip
    return {name: str(value) for name, value in (usual | settings).items()}


@contextmanager
def running(
    program: Path,
    rate: int,
    pattern: str = "sequential",
    disk: tuple[Path, int] | None = None,
    host: str = "127.0.0.1",
    **others: object,
) -> Iterator[Workload]:
    """Run the workload; assert that it prints only that it runs, and does not end by itself."""
    family, any_address = socket.AF_INET, "0.0.0.0"
    if ":" in host:
        family, any_address = socket.AF_INET6, "::"
    with (
        socket.socket(family, socket.SOCK_DGRAM) as beats,
        socket.socket(family, socket.SOCK_DGRAM) as control,
    ):
        beats.bind((host, 0))
        control.bind((host, 0))
        control.settimeout(10)
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((any_address, 0))
            port = probe.getsockname()[1]
        path, disk_rate = disk or ("", 0)
        settings = {"rate": rate, "pattern": pattern, "disk": path, "disk_rate": disk_rate}
        settings |= {
            "observer": host,
            "beat_port": beats.getsockname()[1],
            "control_port": port,
        } | others
        with subprocess.Popen(
            [program], env=environment(**settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                assert process.stdout.readline() == b"migrationlab: workload runs\n"
                control.connect((host, port))
                yield Workload(beats, control)
            finally:
                ended = process.poll()
                process.kill()
                complaints = process.stderr.read().decode()
            assert (ended, complaints) == (None, "")


def assert_intact(workload: Workload, pages: int = PAGES) -> int:
    """Assert that every page has its last write; return the number of writes."""
    answer = workload.check()
    assert answer.keys() == {"pages", "bad_pages", "writes"}
    assert (answer["pages"], answer["bad_pages"]) == (pages, 0)
    return int(answer["writes"])


def test_beats_have_the_documented_layout(program: Path) -> None:
    """Each millisecond a beat has its own number, and the guest's number, clock and writes."""
    with running(program, STOPPED) as workload:
        beats = workload.beats(200)
    assert {beat.guest for beat in beats} == {42}
    assert {beat.writes for beat in beats} == {PAGES}
    first = beats[0].sequence
    assert [beat.sequence for beat in beats] == list(range(first, first + 200))
    times = [beat.guest_ns for beat in beats]
    assert times == sorted(times)
    # Never earlier; later only where this machine was busy.
    assert times[-1] - times[0] >= 198 * MS


def test_beats_and_answers_go_over_ipv6_too(program: Path) -> None:
    """The protocol is that of the observer's address."""
    with running(program, STOPPED, host="::1") as workload:
        assert workload.beats(2)[0].guest == 42
        assert_intact(workload)


def test_durations_of_writes_have_the_documented_layout(program: Path) -> None:
    """The report counts the writes that were timed: all, at the rate of a usual guest."""
    with running(program, STOPPED) as workload:
        before, after = workload.durations(), workload.durations()
    assert before == after
    assert sum(before) == PAGES


def test_part_of_very_many_writes_is_timed(program: Path) -> None:
    """A workload without pauses times one of 256 writes."""
    with running(program, MAX) as workload:
        first, timed_first = workload.beats(1)[0].writes, sum(workload.durations())
        while workload.beats(1)[0].writes < first + 200_000:
            pass
        timed, last = sum(workload.durations()), workload.beats(1)[0].writes
    assert 200_000 / 256 * 0.8 < timed - timed_first < (last - first) / 256 * 1.2


def test_rate_zero_writes_each_page_once(program: Path) -> None:
    """At rate 0 each page is written once, at the start, and never again."""
    with running(program, STOPPED) as workload:
        assert assert_intact(workload) == PAGES
        assert {beat.writes for beat in workload.beats(50)} == {PAGES}
        assert assert_intact(workload) == PAGES


@pytest.mark.parametrize("pattern", PATTERNS)
def test_set_rate_is_reached(program: Path, pattern: str) -> None:
    """A set rate is reached by the guest's own clock, and every page is intact."""
    rate = 25_600
    with running(program, rate, pattern) as workload:
        first, *_, last = workload.beats(300)
        seconds = (last.guest_ns - first.guest_ns) / 1e9
        written = last.writes - first.writes
        assert written <= rate * (seconds + CREDIT_NS / 1e9)
        # A busy machine makes it slower, but not idle.
        assert written >= rate * seconds / 2
        assert_intact(workload)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_max_rate_is_above_any_set_rate(program: Path, pattern: str) -> None:
    """Without a limit it writes more than at any set rate here, and continues after each check."""
    with running(program, MAX, pattern) as workload:
        first, *_, last = workload.beats(100)
        assert (last.writes - first.writes) / (last.guest_ns - first.guest_ns) * 1e9 > 100_000
        one = assert_intact(workload)
        # On a busy machine the beats can go on for some time before the next write.
        assert any(workload.beats(1)[0].writes > one for _ in range(10_000))
        assert last.writes < one < assert_intact(workload)


def test_rate_and_order_can_be_changed(program: Path) -> None:
    """Rate and order change often while it runs, and the pages stay intact."""
    with running(program, MAX) as workload:
        for rate, pattern in [
            (STOPPED, "random"), (MAX, "random"), (MAX, "sequential"), (5_000, "sequential"),
            (MAX, "random"), (MAX, "random"), (STOPPED, "sequential"),
        ]:  # fmt: skip
            assert workload.ask(f"set {rate} {pattern} 32 1") == {"ok": 1}
            workload.beats(5)
            assert_intact(workload)
        # At rate 0, and in the same order as before, not one page is written.
        writes = assert_intact(workload)
        assert workload.ask(f"set {STOPPED} sequential 32 1") == {"ok": 1}
        assert assert_intact(workload) == writes
        # Another order or content begins with a write to each page.
        workload.ask(f"set {STOPPED} random 32 1")
        assert assert_intact(workload) == writes + PAGES
        for content, fills in (("0 1", 2), ("63 1", 3), ("63 0", 4), ("63 0", 4)):
            workload.ask(f"set {STOPPED} random {content}")
            assert assert_intact(workload) == writes + fills * PAGES


@pytest.mark.parametrize("rate", [STOPPED, MAX])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_check_finds_damaged_pages(program: Path, rate: int, pattern: str) -> None:
    """Each page that was damaged without the workload knowing is found, also first and last."""
    # Noise that is new at each write would heal a page.
    with running(program, rate, pattern, noise=0) as workload:
        assert_intact(workload)
        for bad, page in enumerate((5, 0, PAGES - 1), start=1):
            assert workload.ask(f"spoil {page}") == {"ok": 1}
            assert workload.check()["bad_pages"] == bad
        workload.ask("spoil 5")
        assert workload.check()["bad_pages"] == 3


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("content", [(0, 1), (16, 1), (63, 1), (63, 0)])
def test_check_covers_every_writer_and_content(
    program: Path, pattern: str, content: tuple[int, int]
) -> None:
    """Pages of every writer, and filled pages, hold their content in every byte."""
    noise, fresh = content
    filled = {"fill_pages": 16, "writers": 3, "noise": noise, "fresh": fresh}
    with running(program, MAX, pattern, **filled) as workload:
        one = assert_intact(workload, PAGES + 16)
        workload.beats(20)
        assert assert_intact(workload, PAGES + 16) > one
        workload.ask(f"set {STOPPED} {pattern} {noise} {fresh}")
        # The first and last page of each writer, and of the filled ones.
        for bad, page in enumerate((0, 84, 85, 169, 170, 255, 256, 271), start=1):
            assert workload.ask(f"spoil {page}") == {"ok": 1}
            assert workload.check()["bad_pages"] == bad
        assert workload.ask("spoil 272") == {"error": "unknown"}


def test_writers_share_the_rate(program: Path) -> None:
    """Several writers write as much together as one writer is asked for."""
    rate = 25_600
    with running(program, rate, writers=3) as workload:
        first, *_, last = workload.beats(300)
        seconds = (last.guest_ns - first.guest_ns) / 1e9
        written = last.writes - first.writes
        assert rate * seconds / 2 <= written <= rate * (seconds + 3 * CREDIT_NS / 1e9)


def test_last_phase_stays(program: Path) -> None:
    """A batch job writes in its first phase and ends; each change of the rate begins it anew."""
    with running(program, MAX, phases="1000000:200,0") as workload:
        for _ in range(2):
            before = workload.beats(1)[0].writes
            assert any(workload.beats(1)[0].writes > before for _ in range(10_000))
            workload.beats(300)
            ended = assert_intact(workload)
            workload.beats(20)
            assert assert_intact(workload) == ended
            workload.ask("set 1000000 sequential 32 1")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Return a disk of 1 MiB with the first round of writes on it."""
    path = tmp_path / "disk"
    write_first_round(path, 1)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_DIRECT))
    except OSError:
        pytest.skip("the file system of temporary files has no O_DIRECT")
    return path


def test_disk_is_written_round_and_round(program: Path, disk: Path) -> None:
    """Blocks are written at their rate, round and round, and each has its latest write."""
    before = disk.read_bytes()
    rate = 4000
    with running(program, STOPPED, disk=(disk, rate)) as workload:
        first, *_, last = workload.beats(300)
        answer = workload.check()
        assert workload.ask("set-disk 0") == {"ok": 1}
    assert (answer["disk_blocks"], answer["bad_blocks"]) == (BLOCKS_PER_MIB, 0)
    numbers = sorted(
        int.from_bytes(block[:8], "little") // 8
        for block in (disk.read_bytes()[at : at + BLOCK] for at in range(0, len(before), BLOCK))
    )
    # The newest writes, without a gap: more than a round of them.
    assert numbers == list(range(numbers[0], numbers[0] + BLOCKS_PER_MIB))
    assert numbers[0] > BLOCKS_PER_MIB
    # Never faster than set; it also wrote a little before and after the beats.
    seconds = (last.guest_ns - first.guest_ns) / 1e9
    assert numbers[-1] >= rate * seconds / 2


def test_new_workload_continues_on_a_written_disk(program: Path, disk: Path) -> None:
    """A workload that starts on a written disk finds its blocks intact, and continues."""
    for _ in range(2):
        with running(program, STOPPED, disk=(disk, 2000)) as workload:
            workload.beats(50)
            assert workload.check()["bad_blocks"] == 0


def test_check_finds_bad_blocks(program: Path, disk: Path) -> None:
    """A block that was damaged inside or outside, or lost its latest write, is found."""
    first_round = disk.read_bytes()
    with running(program, STOPPED, disk=(disk, 0)) as workload:
        assert workload.check()["bad_blocks"] == 0
        assert workload.ask(f"spoil-block {BLOCKS_PER_MIB - 1}") == {"ok": 1}
        assert workload.check()["bad_blocks"] == 1
        with disk.open("r+b") as file:
            file.seek(5 * BLOCK + 100)
            file.write(b"x")
        assert workload.check()["bad_blocks"] == 2
        with disk.open("r+b") as file:
            file.write(first_round)
        assert workload.check()["bad_blocks"] == 0
        workload.ask("set-disk 2000")
        workload.beats(50)
        workload.ask("set-disk 0")
        workload.beats(5)
        assert workload.check()["bad_blocks"] == 0
        with disk.open("r+b") as file:
            file.write(first_round)
        assert int(workload.check()["bad_blocks"]) > 10
        os.truncate(disk, 0)
        assert workload.check()["bad_blocks"] == BLOCKS_PER_MIB


def test_requests_for_a_missing_disk_are_refused(program: Path) -> None:
    """Requests for a disk are errors where the guest has none."""
    with running(program, STOPPED) as workload:
        for request in ("set-disk 5", "spoil-block 0"):
            assert workload.ask(request) == {"error": "unknown"}


def test_bad_requests_are_refused(program: Path) -> None:
    """A request that is unknown, lacks a word, or names a page out of range changes nothing."""
    with running(program, STOPPED) as workload:
        for request in (
            "", "sing", "set", "set 5", "set 5 random", "set 5 zigzag 1 1", "set 5 random 64 1",
            "spoil", "spoil -1", f"spoil {PAGES}", "check" * 9,
        ):  # fmt: skip
            assert workload.ask(request) == {"error": "unknown"}
        assert assert_intact(workload) == PAGES


def ended(program: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Return the status and the error of a workload that ends by itself."""
    done = subprocess.run(
        [program], env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    return done.returncode, done.stderr


def test_bad_settings_end_the_workload(program: Path) -> None:
    """With a missing or wrong setting, a missing disk, or a used port, it says so and ends."""
    assert ended(program, {}) == (2, "workload: guest must be set\n")
    for wrong in ({"pattern": "zigzag"}, {"writers": 0}, {"writers": 17}):
        status, error = ended(program, environment(**wrong))
        assert (status, error) == (2, "workload: no such pattern, or no such number of writers\n")
    status, error = ended(program, environment(disk="/nowhere", disk_rate=1))
    assert (status, error) == (1, "workload: disk: No such file or directory\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        status, error = ended(program, environment(control_port=taken.getsockname()[1]))
    assert (status, error) == (1, "workload: control port: Address already in use\n")
