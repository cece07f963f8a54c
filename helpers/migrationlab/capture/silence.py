"""What the guest's beats tell: how long nothing was heard of it, and how evenly it beat before.

Pure functions of the frame ``beats``; no libvirt, no files, no clock. Only a beat newer than
all before it counts as a sign of life: a duplicate or a late one was sent earlier than what has
been heard already, so its arrival says nothing about the guest now.

A silence in which the sequence goes on without a jump is a guest that stood still. Where numbers
are missing, the guest ran in that time and the network lost what it sent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

MS = 1_000_000
AROUND_STOP_NS = 50 * MS
JITTER_WINDOW_NS = 1000 * MS
JITTER_LEAST_GAPS = 100  # below this a 99th percentile is only the greatest value

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """The time between two beats, or nothing where it could not be measured.

    Attributes:
        start_ns: Arrival of the last beat before it.
        end_ns: Arrival of the first beat after it.
        lost: Beats that were sent in between and never arrived.
        notes: Why there is no measure, where beats were recorded.
    """

    start_ns: int | None = None
    end_ns: int | None = None
    lost: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def duration_ms(self) -> float | None:
        """The time between the two arrivals, the beat's own period in it."""
        if self.start_ns is None or self.end_ns is None:
            return None
        return round((self.end_ns - self.start_ns) / MS, 3)


def around_stop(beats: pd.DataFrame, stop_ns: int | None, resume_ns: int | None) -> Silence:
    """Find the longest silence that overlaps a guest's standstill, or 50 ms on either side of it.

    Args:
        beats: Arrivals and sequence numbers, in any order.
        stop_ns: When the guest stopped, None where it is not known.
        resume_ns: When it ran again.

    Returns:
        The silence, empty where the stop is not known or no beat was heard on both sides of it.
    """
    if stop_ns is None or resume_ns is None or not len(beats):
        return Silence()
    arrivals, sequence = signs_of_life(beats)
    # Without a beat on both sides the silence has no measured end: not a number, then.
    if arrivals[0] > stop_ns:
        return Silence(notes=("Nothing was heard of the guest before it stopped.",))
    if arrivals[-1] < resume_ns:
        return Silence(notes=("Nothing was heard of the guest after it ran again.",))
    near = (arrivals[1:] >= stop_ns - AROUND_STOP_NS) & (
        arrivals[:-1] <= resume_ns + AROUND_STOP_NS
    )
    at = int(np.argmax(np.where(near, np.diff(arrivals), -1)))
    before, after = int(sequence[at]), int(sequence[at + 1])
    heard = beats["sequence"]
    late = heard[(heard > before) & (heard < after)].nunique()
    return Silence(
        start_ns=int(arrivals[at]), end_ns=int(arrivals[at + 1]), lost=after - before - 1 - late
    )


def jitter_ms(beats: pd.DataFrame, called_ns: int) -> float | None:
    """Give the 99th percentile of the gaps between beats in the second before the call."""
    arrivals, _ = signs_of_life(beats)
    gaps = np.diff(arrivals[(arrivals >= called_ns - JITTER_WINDOW_NS) & (arrivals < called_ns)])
    if len(gaps) < JITTER_LEAST_GAPS:
        return None
    return round(float(np.percentile(gaps, 99)) / MS, 3)


def lost(beats: pd.DataFrame) -> int | None:
    """Count the beats that never arrived, between the first and the last that did."""
    if not len(beats):
        return None
    sequence = beats["sequence"]
    return int(sequence.max() - sequence.min() + 1 - sequence.nunique())


def signs_of_life(beats: pd.DataFrame) -> tuple[Integers, Integers]:
    """Give arrivals and sequence numbers of the beats that were newer than all before them."""
    ordered = beats.sort_values("arrival_ns", kind="stable")
    arrivals: Integers = ordered["arrival_ns"].to_numpy(dtype=np.int64)
    sequence: Integers = ordered["sequence"].to_numpy(dtype=np.int64)
    news = np.ones(len(sequence), dtype=np.bool_)
    news[1:] = sequence[1:] > np.maximum.accumulate(sequence)[:-1]
    return arrivals[news], sequence[news]
