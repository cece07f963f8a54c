"""Read the ring buffer of beats that the observer writes (see ``payload/observer.py``)."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import numpy.typing as npt

HEADER = 64
RECORD = np.dtype(
    [
        ("arrival_ns", "<u8"),
        ("guest", "<u8"),
        ("sequence", "<u8"),
        ("guest_ns", "<u8"),
        ("writes", "<u8"),
    ]
)
Records = npt.NDArray[np.void]


class BeatBuffer:
    """A reader of a lab's ring buffer of beats. Many readers may read at once."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._count = np.frombuffer(self._map, dtype="<u8", count=1)
        self._records = np.frombuffer(self._map, dtype=RECORD, offset=HEADER)

    def __repr__(self) -> str:
        return f"BeatBuffer({self.count} beats)"

    @property
    def count(self) -> int:
        """Return the number of beats ever written, which is the position of the next one."""
        return int(self._count[0])

    def read(self, first: int, last: int | None = None) -> Records:
        """Return a copy of a range of all guests' beats, without beats already overwritten.

        ``first`` is a position; a negative one counts from the newest. ``last`` is the position
        after the last beat, None for all beats so far. The beats are in order of arrival.
        """
        end = self.count if last is None else min(last, self.count)
        start = max(end + first if first < 0 else first, 0)
        places = np.arange(max(start, end - len(self._records)), end) % len(self._records)
        taken: Records = self._records[places]
        # The observer may have overwritten the oldest beats meanwhile. And the
        # record that it is writing now is not counted yet.
        overtaken = max(self.count + 1 - len(self._records) - (end - len(taken)), 0)
        # Else each page that was ever read counts as this process's memory: 40 MiB in the end.
        self._map.madvise(mmap.MADV_DONTNEED)
        return taken[overtaken:]
