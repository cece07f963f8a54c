"""Tests of the reader of the ring buffer of beats."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import psutil
import pytest

from migrationlab.lab.beat_buffer import HEADER, RECORD, BeatBuffer

SIZE = 8


class Writer:
    """A writer of a ring buffer, as ``observer.py`` is, one record at a time."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(HEADER + SIZE * RECORD.itemsize))
        self.path = path
        self.count = 0

    def record(self, number: int) -> None:
        """Write the record ``number`` to its place, but do not count it yet."""
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
    """Return the writer of an empty ring buffer."""
    return Writer(tmp_path / "ring")


def sequences(ring: BeatBuffer, first: int, last: int | None = None) -> list[int]:
    """Return the sequence numbers of the beats that are read."""
    return [int(number) for number in ring.read(first, last)["sequence"]]


def test_empty_buffer_has_no_beats(writer: Writer) -> None:
    """Before the first beat every range is empty."""
    ring = BeatBuffer(writer.path)
    assert ring.count == 0
    assert repr(ring) == "BeatBuffer(0 beats)"
    assert sequences(ring, 0) == []
    assert sequences(ring, -5) == []


def test_range_of_beats_is_read(writer: Writer) -> None:
    """A range has a first position, also counted from the newest beat, and an optional end."""
    writer.write(6)
    ring = BeatBuffer(writer.path)
    assert sequences(ring, 0) == [0, 1, 2, 3, 4, 5]
    assert sequences(ring, 4) == [4, 5]
    assert sequences(ring, -2) == [4, 5]
    assert sequences(ring, -99) == [0, 1, 2, 3, 4, 5]
    assert sequences(ring, 1, 3) == [1, 2]
    assert sequences(ring, 6) == sequences(ring, 99) == []
    assert sequences(ring, 0, 99) == [0, 1, 2, 3, 4, 5]


def test_later_beats_are_read(writer: Writer) -> None:
    """Beats that are written after the buffer was opened are read, too."""
    ring = BeatBuffer(writer.path)
    writer.write(2)
    seen = ring.count
    writer.write(3)
    assert sequences(ring, seen) == [2, 3, 4]


def test_full_buffer_has_the_newest_beats(writer: Writer) -> None:
    """A full buffer has the newest beats in order; the oldest are overwritten."""
    writer.write(21)
    ring = BeatBuffer(writer.path)
    assert ring.count == 21
    read = sequences(ring, 0)
    assert read == list(range(21 - len(read), 21))
    assert len(read) >= SIZE - 1
    assert sequences(ring, 19) == [19, 20]
    assert sequences(ring, 10, 12) == []
    assert sequences(ring, 12, 16) == [14, 15]


def test_half_written_record_is_not_read(writer: Writer) -> None:
    """The oldest record is not read, because the next beat may be overwriting it."""
    writer.write(SIZE)
    writer.record(SIZE)
    assert sequences(BeatBuffer(writer.path), 0) == list(range(1, SIZE))


def test_beats_overwritten_while_copied_are_left_out(writer: Writer) -> None:
    """Records that the observer overwrites during the copy are not returned as older beats."""
    writer.write(SIZE)
    ring = BeatBuffer(writer.path)

    class Overtaking:
        """The buffer's records; four more are written just before a copy."""

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


def test_beats_are_copies(writer: Writer) -> None:
    """Beats that were read do not change when the buffer is overwritten."""
    writer.write(3)
    taken = BeatBuffer(writer.path).read(0)
    writer.write(SIZE)
    assert taken["sequence"].tolist() == [0, 1, 2]


def test_beats_that_were_read_do_not_stay_in_memory(tmp_path: Path) -> None:
    """A process that reads for hours does not grow by the whole buffer."""
    path, records = tmp_path / "large", 100_000
    path.write_bytes(struct.pack("<Q", records) + bytes(HEADER - 8 + records * RECORD.itemsize))
    ring = BeatBuffer(path)
    # The oldest may be overwritten at this moment.
    assert len(ring.read(0)) == records - 1
    (mapped,) = [each for each in psutil.Process().memory_maps() if each.path == str(path)]
    assert mapped.size >= records * RECORD.itemsize
    # The position may be in memory again, with its neighbours.
    assert mapped.rss < mapped.size / 10
