"""Find the network silence around a guest's stop, and how regular its beats were before.

The functions take *arrivals*: a frame with ``arrival_ns`` and ``sequence``, of the guest's beats or
of answers to echo requests. Only an arrival that is newer than all before it shows that the guest
runs now: a duplicate or a late beat was sent before something that has already arrived.

If the sequence has no gap across a silence, the guest was paused. If numbers are missing, the guest
ran during that time and the network lost what it sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from migrationlab.analysis.events import MS

AROUND_STOP_NS = 50 * MS
JITTER_WINDOW_NS = 1000 * MS
#: Smaller differences between two clocks, and smaller delays of beats, are not reported.
CLOCK_STEP_NS = 50 * MS
STEP_BEATS = 20
JITTER_MIN_GAPS = 100  # of fewer values, the 99th percentile is just the maximum

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """The time between two arrivals, or nothing where it could not be measured.

    Attributes:
        start_ns: The last arrival before it.
        end_ns: The first arrival after it.
        lost: Beats that were sent in between and never arrived.
        set_back: Whether it is unknown because a clock was set back during it.
        notes: Why there is no measurement, where arrivals were recorded.
    """

    start_ns: int | None = None
    end_ns: int | None = None
    lost: int | None = None
    set_back: bool = False
    notes: tuple[str, ...] = ()

    @property
    def duration_ms(self) -> float | None:
        """The time between the two arrivals. It includes the period of the beats."""
        if self.start_ns is None or self.end_ns is None:
            return None
        return round((self.end_ns - self.start_ns) / MS, 3)


@dataclass(frozen=True, slots=True)
class ClockStep:
    """A jump between this machine's clock and the guest's, from one beat to the next.

    Attributes:
        start_ns: Arrival of the beat before.
        end_ns: Arrival of the beat after.
        ms: How far this machine's clock is ahead of the guest's since then: the guest was paused,
            or this clock was set forward. Below 0 this clock was set back.
    """

    start_ns: int
    end_ns: int
    ms: float


def silence_around(arrivals: pd.DataFrame, stop_ns: int | None, resume_ns: int | None) -> Silence:
    """Find the longest silence that overlaps a guest's pause, or 50 ms on either side of it.

    Args:
        arrivals: Arrivals and sequence numbers, in any order.
        stop_ns: When the guest stopped, None if unknown.
        resume_ns: When it ran again, None if unknown.

    Returns:
        The silence; empty if the stop is unknown or nothing arrived before or after it.
    """
    if stop_ns is None or resume_ns is None or not len(arrivals):
        return Silence()
    times, sequence = in_order(arrivals)
    # Without an arrival on both sides, the silence has no measured end.
    if times[0] > stop_ns:
        return Silence(notes=("Nothing arrived from the guest before it stopped.",))
    if times[-1] < resume_ns:
        return Silence(notes=("Nothing arrived from the guest after it ran again.",))
    near = (times[1:] >= stop_ns - AROUND_STOP_NS) & (times[:-1] <= resume_ns + AROUND_STOP_NS)
    at = int(np.argmax(np.where(near, np.diff(times), -1)))
    before, after = int(sequence[at]), int(sequence[at + 1])
    numbers = arrivals["sequence"]
    late = numbers[(numbers > before) & (numbers < after)].nunique()
    return Silence(
        start_ns=int(times[at]), end_ns=int(times[at + 1]), lost=after - before - 1 - late
    )


def jitter_ms(arrivals: pd.DataFrame, called_ns: int) -> float | None:
    """Return the 99th percentile of the gaps between arrivals in the second before the call.

    If less than that second was recorded, it must have at least :data:`JITTER_MIN_GAPS` gaps.
    """
    gaps = _gaps_before(arrivals, called_ns)
    return None if gaps is None else round(float(np.percentile(gaps, 99)) / MS, 3)


def usual_gap_ms(arrivals: pd.DataFrame, called_ns: int) -> float | None:
    """Return the median of the gaps between arrivals in the second before the call."""
    gaps = _gaps_before(arrivals, called_ns)
    return None if gaps is None else round(float(np.median(gaps)) / MS, 3)


def _gaps_before(arrivals: pd.DataFrame, called_ns: int) -> Integers | None:
    times, _ = in_order(arrivals)
    before = (times >= called_ns - JITTER_WINDOW_NS) & (times < called_ns)
    gaps: Integers = np.diff(times[before])
    return gaps if len(gaps) >= JITTER_MIN_GAPS else None


def duplicates(beats: pd.DataFrame) -> int | None:
    """Count the repeated arrivals of beats, without each beat's first."""
    return int(beats["sequence"].duplicated().sum()) if len(beats) else None


def reordered(beats: pd.DataFrame) -> int | None:
    """Count the beats that arrived after a beat that was sent later (RFC 4737)."""
    if not len(beats):
        return None
    ordered = beats.sort_values("arrival_ns", kind="stable").drop_duplicates("sequence")
    sequence = ordered["sequence"].to_numpy(dtype=np.int64)
    return int((sequence < np.maximum.accumulate(sequence)).sum())


def lost(beats: pd.DataFrame) -> int | None:
    """Count the beats that never arrived, between the first and the last that did."""
    if not len(beats):
        return None
    sequence = beats["sequence"]
    return int(sequence.max() - sequence.min() + 1 - sequence.nunique())


def clock_steps(beats: pd.DataFrame) -> tuple[ClockStep, ...]:
    """Find where this machine's clock and the guest's own jumped apart.

    A late beat is alone; a step shows in all beats that follow. So the minimum difference of the
    two clocks over some beats before is compared with the minimum over some beats after.

    Returns:
        The steps of more than :data:`CLOCK_STEP_NS`, each where it was largest.
    """
    ordered = beats.sort_values("sequence", kind="stable")
    times = ordered["arrival_ns"].to_numpy(dtype=np.int64)
    apart = pd.Series(times - ordered["guest_ns"].to_numpy(dtype=np.int64), dtype="int64")
    if len(apart) < 2:
        return ()
    # A float holds these differences to the nanosecond, but not the times.
    apart -= int(apart.iloc[0])
    before = apart.rolling(STEP_BEATS, min_periods=1).min().to_numpy()[:-1]
    after = apart[::-1].rolling(STEP_BEATS, min_periods=1).min().to_numpy()[::-1][1:]
    change = after - before
    found: list[ClockStep] = []
    last = -STEP_BEATS
    for at in np.flatnonzero(np.abs(change) > CLOCK_STEP_NS):
        step = ClockStep(int(times[at]), int(times[at + 1]), round(float(change[at]) / MS, 3))
        if at - last >= STEP_BEATS:
            found.append(step)
        elif abs(step.ms) > abs(found[-1].ms):
            found[-1] = step
        last = int(at)
    return tuple(found)


def check_clock(silence: Silence, steps: Iterable[ClockStep], since_ns: int) -> Silence:
    """Add notes on clock steps to a silence, and withhold it if the clock was set back during it.

    A silence during which this machine's clock was set back looks shorter than it was.

    Args:
        silence: The silence around the stop.
        steps: The steps between this machine's clock and the guest's.
        since_ns: Earlier steps do not concern the migration.
    """
    notes = list(silence.notes)
    measured = True
    for step in steps:
        # If the clock was set back, it shows the later beat at the earlier time.
        first, last = sorted((step.start_ns, step.end_ns))
        if last < since_ns:
            continue
        touches = (
            silence.start_ns is not None
            and silence.end_ns is not None
            # A guest that runs again catches up, which blurs where the step was.
            and first <= silence.end_ns + AROUND_STOP_NS
            and last >= silence.start_ns - AROUND_STOP_NS
        )
        if step.ms < 0:
            measured = measured and not touches
            notes.append(
                f"The clock that stamps beats was set back by {-step.ms:.0f} ms: times before "
                "and after that cannot be compared."
            )
        elif not touches:
            notes.append(
                f"Besides its stop, the guest sent nothing for {step.ms:.0f} ms: it was paused "
                "then too, or this machine's clock was set forward."
            )
    silence = silence if measured else Silence(set_back=True)
    return replace(silence, notes=tuple(notes))


def silent_at_end(arrivals: pd.DataFrame, stop_ns: int | None, returned_ns: int) -> tuple[str, ...]:
    """Return a note if the guest became silent for good without a stop: its host may be lost.

    Args:
        arrivals: Beats, or answers to echo requests.
        stop_ns: When the guest stopped; None if no stop was recorded.
        returned_ns: When libvirt's call returned.
    """
    if stop_ns is not None or not len(arrivals):
        return ()
    silent_ns = returned_ns - int(arrivals["arrival_ns"].max())
    if silent_ns <= AROUND_STOP_NS:
        return ()
    when = f"from {silent_ns / MS:.0f} ms before the call's return"
    return (f"No stop was recorded, but nothing arrived from the guest {when}.",)


def in_order(arrivals: pd.DataFrame) -> tuple[Integers, Integers]:
    """Return times and sequence numbers of the arrivals that were newer than all before them."""
    ordered = arrivals.sort_values("arrival_ns", kind="stable")
    times: Integers = ordered["arrival_ns"].to_numpy(dtype=np.int64)
    sequence: Integers = ordered["sequence"].to_numpy(dtype=np.int64)
    newer = np.ones(len(sequence), dtype=np.bool_)
    newer[1:] = sequence[1:] > np.maximum.accumulate(sequence)[:-1]
    return times[newer], sequence[newer]
