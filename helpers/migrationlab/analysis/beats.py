"""What the guest's beats tell: how long nothing was heard of it, and how evenly it beat before.

Pure functions of the frame ``beats``; no libvirt, no files, no clock. Only a beat newer than
all before it counts as a sign of life: a duplicate or a late one was sent earlier than what has
been heard already, so its arrival says nothing about the guest now.

A silence in which the sequence goes on without a jump is a guest that stood still. Where numbers
are missing, the guest ran in that time and the network lost what it sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

MS = 1_000_000
AROUND_STOP_NS = 50 * MS
JITTER_WINDOW_NS = 1000 * MS
#: By less two clocks may go apart, or datagrams be late, without a reason to speak of.
CLOCK_STEP_NS = 50 * MS
STEP_BEATS = 20
JITTER_LEAST_GAPS = 100  # below this a 99th percentile is only the greatest value

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """The time between two beats, or nothing where it could not be measured.

    Attributes:
        start_ns: Arrival of the last beat before it.
        end_ns: Arrival of the first beat after it.
        lost: Beats that were sent in between and never arrived.
        set_back: Whether there is none because a clock was set back in it.
        notes: Why there is no measure, where beats were recorded.
    """

    start_ns: int | None = None
    end_ns: int | None = None
    lost: int | None = None
    set_back: bool = False
    notes: tuple[str, ...] = ()

    @property
    def duration_ms(self) -> float | None:
        """The time between the two arrivals, the beat's own period in it."""
        if self.start_ns is None or self.end_ns is None:
            return None
        return round((self.end_ns - self.start_ns) / MS, 3)


@dataclass(frozen=True, slots=True)
class Step:
    """Where two clocks went apart between one beat and the next.

    Attributes:
        start_ns: Arrival of the beat before.
        end_ns: Arrival of the beat after it.
        ms: By how much the clock of arrivals is ahead of the guest's since: a guest that stood
            still, or a clock set forward; less than 0 where it was set back.
    """

    start_ns: int
    end_ns: int
    ms: float


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
    """Give the 99th percentile of the gaps between beats in the second before the call.

    Or of as much of it as was recorded, where that are at least :data:`JITTER_LEAST_GAPS`.
    """
    gaps = _gaps_before(beats, called_ns)
    return None if gaps is None else round(float(np.percentile(gaps, 99)) / MS, 3)


def usual_ms(beats: pd.DataFrame, called_ns: int) -> float | None:
    """Give the median of the gaps between beats in the second before the call."""
    gaps = _gaps_before(beats, called_ns)
    return None if gaps is None else round(float(np.median(gaps)) / MS, 3)


def _gaps_before(beats: pd.DataFrame, called_ns: int) -> Integers | None:
    """Give the gaps in the second before the call; None for too few to tell what is usual."""
    arrivals, _ = signs_of_life(beats)
    before = (arrivals >= called_ns - JITTER_WINDOW_NS) & (arrivals < called_ns)
    gaps: Integers = np.diff(arrivals[before])
    return gaps if len(gaps) >= JITTER_LEAST_GAPS else None


def doubled(beats: pd.DataFrame) -> int | None:
    """Count the beats that arrived more than once, each time after the first."""
    return int(beats["sequence"].duplicated().sum()) if len(beats) else None


def overtaken(beats: pd.DataFrame) -> int | None:
    """Count the beats that arrived after one that was sent later."""
    if not len(beats):
        return None
    ordered = beats.sort_values("arrival_ns", kind="stable").drop_duplicates("sequence")
    sequence = ordered["sequence"].to_numpy(dtype=np.int64)
    return int((sequence < np.maximum.accumulate(sequence)).sum())


def steps(beats: pd.DataFrame) -> tuple[Step, ...]:
    """Find where the clock that stamped arrivals and the guest's own went apart at once.

    A late beat is alone; a step is there in all beats that follow. So the least difference of the
    two clocks over some beats before is held against that over some after.

    Returns:
        The steps of more than :data:`CLOCK_STEP_NS`, each where it was greatest.
    """
    ordered = beats.sort_values("sequence", kind="stable")
    arrivals = ordered["arrival_ns"].to_numpy(dtype=np.int64)
    apart = pd.Series(arrivals - ordered["guest_ns"].to_numpy(dtype=np.int64), dtype="int64")
    if len(apart) < 2:
        return ()
    base = int(apart.iloc[0])  # a float holds the differences to the nanosecond, not the times
    before = (apart - base).rolling(STEP_BEATS, min_periods=1).min().to_numpy()[:-1]
    after = (apart - base)[::-1].rolling(STEP_BEATS, min_periods=1).min().to_numpy()[::-1][1:]
    change = after - before
    found: list[Step] = []
    last = -STEP_BEATS
    for at in np.flatnonzero(np.abs(change) > CLOCK_STEP_NS):
        step = Step(int(arrivals[at]), int(arrivals[at + 1]), round(float(change[at]) / MS, 3))
        if at - last >= STEP_BEATS:
            found.append(step)
        elif abs(step.ms) > abs(found[-1].ms):
            found[-1] = step
        last = int(at)
    return tuple(found)


def doubted(quiet: Silence, found: Iterable[Step], since_ns: int) -> Silence:
    """Add what the guest's own clock says of a silence; where it says so, take its measure away.

    Where this machine's clock was set back, a silence is shorter than it was.

    Args:
        quiet: The silence around the stop.
        found: Where the clocks went apart.
        since_ns: The moment since which that concerns the migration.
    """
    notes = list(quiet.notes)
    measured = True
    for step in found:
        # Set back, the clock shows the later beat at the earlier time.
        first, last = sorted((step.start_ns, step.end_ns))
        if last < since_ns:
            continue
        touches = (
            quiet.start_ns is not None
            and quiet.end_ns is not None
            # A guest that runs again makes up for lost time, which blurs where the step was.
            and first <= quiet.end_ns + AROUND_STOP_NS
            and last >= quiet.start_ns - AROUND_STOP_NS
        )
        if step.ms < 0:
            measured = measured and not touches
            notes.append(
                f"The clock by which beats were stamped was set back by {-step.ms:.0f} ms: times "
                "on both sides of that do not go together."
            )
        elif not touches:
            notes.append(
                f"Apart from its stop nothing was heard of the guest for {step.ms:.0f} ms, as if "
                "it stood still then too, or this machine's clock was set forward."
            )
    return (
        replace(quiet, notes=tuple(notes))
        if measured
        else Silence(set_back=True, notes=tuple(notes))
    )


def fallen(beats: pd.DataFrame, stop_ns: int | None, returned_ns: int) -> tuple[str, ...]:
    """Tell where the guest fell silent for good, though nobody saw it stop: its host may be lost.

    Args:
        beats: Beats, or answers to echo requests.
        stop_ns: When the guest stopped; None where no stop was seen.
        returned_ns: When libvirt's call came back.
    """
    if stop_ns is not None or not len(beats):
        return ()
    silent_ms = (returned_ns - int(beats["arrival_ns"].max())) / MS
    if silent_ms * MS <= AROUND_STOP_NS:
        return ()
    when = f"{silent_ms:.0f} ms before the call's return"
    return (f"No stop was seen, but nothing was heard of the guest from {when} on.",)


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
