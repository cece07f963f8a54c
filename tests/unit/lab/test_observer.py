"""Tests of the observer: it receives real datagrams, and the lab's reader reads its records."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrationlab.lab.beat_buffer import BeatBuffer
from migrationlab.lab.boot_files import PAYLOAD

RECORDS = 16
#: As ``struct beat`` of workload.c: magic, guest, sequence, guest_ns, writes.
BEAT = struct.Struct("<4sIQQQ")


def command(ring: Path, port: int) -> list[str]:
    """Return the command that starts the observer, as in rack_init.py."""
    program = str(PAYLOAD / "observer.py")
    return [sys.executable, "-I", "-S", program, "127.0.0.1", str(port), str(ring), str(RECORDS)]


class Guest:
    """A sender of beats, as a guest is."""

    def __init__(self, port: int, ring: Path) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))
        self.ring = BeatBuffer(ring)

    def beat(self, sequence: int, guest: int = 7) -> None:
        """Send one beat."""
        self.socket.send(BEAT.pack(b"MLB1", guest, sequence, sequence * 1000, sequence * 3))

    def written(self, count: int) -> None:
        """Wait until the observer has written that many records."""
        end = time.monotonic() + 10
        while self.ring.count < count:
            assert time.monotonic() < end, f"{self.ring} after 10 s, not {count}"
            os.sched_yield()


@pytest.fixture
def free_port() -> int:
    """Return a UDP port that nobody uses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def guest(tmp_path: Path, free_port: int) -> Iterator[Guest]:
    """Yield a guest whose beats an observer receives."""
    ring = tmp_path / "ring"
    with subprocess.Popen(command(ring, free_port), stdout=subprocess.PIPE) as observer:
        assert observer.stdout is not None
        assert observer.stdout.readline() == b"ready\n"
        sender = Guest(free_port, ring)
        yield sender
        sender.socket.close()
        observer.kill()


def test_beat_becomes_a_record(guest: Guest) -> None:
    """The record has the beat's values and the time of its arrival."""
    before = time.time_ns()
    guest.beat(5)
    guest.written(1)
    after = time.time_ns()
    (record,) = guest.ring.read(0)
    assert before <= record["arrival_ns"] <= after
    assert [int(record[name]) for name in ("guest", "sequence", "guest_ns", "writes")] == [
        7, 5, 5000, 15,
    ]  # fmt: skip


def test_newest_beats_overwrite_the_oldest(guest: Guest) -> None:
    """A full ring buffer holds the newest beats, in order of arrival."""
    total = 2 * RECORDS + 5
    for sequence in range(total):
        guest.beat(sequence)
    guest.written(total)
    beats = guest.ring.read(0)
    assert len(beats) >= RECORDS - 1
    assert beats["sequence"].tolist() == list(range(total - len(beats), total))
    assert (beats["arrival_ns"][1:] >= beats["arrival_ns"][:-1]).all()


def test_other_datagrams_are_ignored(guest: Guest) -> None:
    """A datagram of another length or without the magic number makes no record."""
    for junk in (b"", b"MLB1", bytes(BEAT.size), BEAT.pack(b"MLB1", 7, 0, 0, 0) + b"more"):
        guest.socket.send(junk)
    guest.beat(1)
    guest.written(1)
    assert guest.ring.read(0)["sequence"].tolist() == [1]


def test_existing_file_is_not_overwritten(tmp_path: Path, free_port: int) -> None:
    """The observer fails where the file of its ring buffer exists already."""
    ring = tmp_path / "ring"
    ring.write_bytes(b"mine")
    done = subprocess.run(command(ring, free_port), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "FileExistsError" in done.stderr
    assert ring.read_bytes() == b"mine"
