"""The ring of beats: what the reader makes of what stands in the file."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from migrationlab.lab.beat_buffer import HEADER, RECORD, BeatBuffer

SIZE = 8


class Writer:
    """Writes a ring as ``observer.py`` does, a record at a time."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(HEADER + SIZE * RECORD.itemsize))
        self.path = path
        self.count = 0

    def record(self, number: int) -> None:
        """Write the record ``number`` to its place; it isn't counted yet."""
        data = np.array([(number * 10, 1, number, number, 0)], dtype=RECORD).tobytes()
        self._put(HEADER + number % SIZE * RECORD.itemsize, data)

    def write(self, records: int) -> None:
        """Write some records, and count each."""
        for _ in range(records):
            self.record(self.count)
            self.count += 1
            self._put(0, struct.pack("<Q", self.count))

    def _put(self, place: int, data: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(place)
            file.write(data)


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    """Give the writer of an empty ring."""
    return Writer(tmp_path / "ring")


def sequences(ring: BeatBuffer, first: int, last: int | None = None) -> list[int]:
    """Return the numbers of the beats read."""
    return [int(number) for number in ring.read(first, last)["sequence"]]


def test_an_empty_ring(writer: Writer) -> None:
    """Before the first beat there is none, wherever one looks."""
    ring = BeatBuffer(writer.path)
    assert ring.count == 0
    assert repr(ring) == "BeatBuffer(0 beats)"
    assert sequences(ring, 0) == []
    assert sequences(ring, -5) == []


def test_reads_from_a_place(writer: Writer) -> None:
    """From a place, from the newest backwards, or up to a place: each beat as often as it came."""
    writer.write(6)
    ring = BeatBuffer(writer.path)
    assert sequences(ring, 0) == [0, 1, 2, 3, 4, 5]
    assert sequences(ring, 4) == [4, 5]
    assert sequences(ring, -2) == [4, 5]
    assert sequences(ring, -99) == [0, 1, 2, 3, 4, 5]
    assert sequences(ring, 1, 3) == [1, 2]
    assert sequences(ring, 6) == sequences(ring, 99) == []
    assert sequences(ring, 0, 99) == [0, 1, 2, 3, 4, 5]


def test_a_reader_follows(writer: Writer) -> None:
    """What is written after the ring was opened is read too."""
    ring = BeatBuffer(writer.path)
    writer.write(2)
    seen = ring.count
    writer.write(3)
    assert sequences(ring, seen) == [2, 3, 4]


def test_the_ring_goes_round(writer: Writer) -> None:
    """Once it is full the newest are there, in order; the oldest have been written over."""
    writer.write(21)
    ring = BeatBuffer(writer.path)
    assert ring.count == 21
    read = sequences(ring, 0)
    assert read == list(range(21 - len(read), 21))
    assert len(read) >= SIZE - 1
    assert sequences(ring, 19) == [19, 20]
    assert sequences(ring, 10, 12) == []
    assert sequences(ring, 12, 16) == [14, 15]


def test_a_record_half_written_is_no_beat(writer: Writer) -> None:
    """The record that the next beat is just written over is not given out as the oldest."""
    writer.write(SIZE)
    writer.record(SIZE)
    assert sequences(BeatBuffer(writer.path), 0) == list(range(1, SIZE))


def test_beats_overtaken_while_read_are_left_out(writer: Writer) -> None:
    """What the observer wrote over while it was being copied is not taken for the older beats."""
    writer.write(SIZE)
    ring = BeatBuffer(writer.path)

    class Overtaking:
        """The ring's records, over which four more are written just before they are copied."""

        def __init__(self, records: np.ndarray) -> None:
            self._records = records

        def __len__(self) -> int:
            return len(self._records)

        def __getitem__(self, places: np.ndarray) -> np.ndarray:
            writer.write(4)
            return self._records[places]

    ring._records = Overtaking(ring._records)
    read = sequences(ring, 0)
    assert read == list(range(SIZE - len(read), SIZE))
    assert min(read) >= 4
    assert len(read) >= 3


def test_a_copy_stays(writer: Writer) -> None:
    """What was read does not change when the ring goes round."""
    writer.write(3)
    taken = BeatBuffer(writer.path).read(0)
    writer.write(SIZE)
    assert taken["sequence"].tolist() == [0, 1, 2]
