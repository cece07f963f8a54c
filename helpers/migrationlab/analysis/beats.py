"""Find the network silence around a guest's stop, and the regularity of the beats before.

The functions take *arrivals*: a frame with ``arrival_ns`` and ``sequence``, of the guest's beats or
of answers to echo requests. Only an arrival that is newer than all before it shows that the guest
runs now: a duplicate or a late beat was sent before something that has already arrived.

If the sequence has no gap across a silence, the guest was paused. If numbers are missing, the guest
ran during that time and the network lost its packets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from migrationlab.analysis.frames import MS, Integers, integers, span_ms

AROUND_STOP_NS = 50 * MS
JITTER_WINDOW_NS = 1000 * MS
#: Smaller differences between two clocks, and smaller delays of beats, are not reported.
CLOCK_STEP_NS = 50 * MS
STEP_BEATS = 20
JITTER_MIN_GAPS = 100  # of fewer values, the 99th percentile is just the maximum


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """The time between two arrivals, empty if it could not be measured."""

    start_ns: int | None = None  # the last arrival before it
    end_ns: int | None = None  # the first arrival after it
    lost: int | None = None  # beats that were sent in between and never arrived
    set_back: bool = False  # whether it is unknown because a clock was set back during it
    notes: tuple[str, ...] = ()  # why there is no measurement, where arrivals were recorded

    @property
    def duration_ms(self) -> float | None:
        """Return the time between the two arrivals. It includes the period of the beats."""
        return span_ms(self.start_ns, self.end_ns)


@dataclass(frozen=True, slots=True)
class ClockStep:
    """A jump between this machine's clock and the guest's, from one beat to the next."""

    start_ns: int  # arrival of the beat before
    end_ns: int  # arrival of the beat after
    #: How far this machine's clock is ahead of the guest's since then: the guest was paused, or
    #: this clock was set forward. Below 0 this clock was set back.
    ms: float


def silence_around(arrivals: pd.DataFrame, stop_ns: int | None, resume_ns: int | None) -> Silence:
    """Find the longest silence that overlaps a guest's pause, or 50 ms on either side of it.

    The silence is empty if STOP is unknown, or without an arrival before or after STOP.
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

    A recording of less than that second must have at least :data:`JITTER_MIN_GAPS` gaps.
    """
    return _gap_before_ms(arrivals, called_ns, percentile=99)


def usual_gap_ms(arrivals: pd.DataFrame, called_ns: int) -> float | None:
    """Return the median of the gaps between arrivals in the second before the call."""
    return _gap_before_ms(arrivals, called_ns, percentile=50)


def _gap_before_ms(arrivals: pd.DataFrame, called_ns: int, percentile: int) -> float | None:
    times, _ = in_order(arrivals)
    gaps = np.diff(times[(times >= called_ns - JITTER_WINDOW_NS) & (times < called_ns)])
    if len(gaps) < JITTER_MIN_GAPS:
        return None
    return round(float(np.percentile(gaps, percentile)) / MS, 3)


def counts(beats: pd.DataFrame) -> dict[str, Any]:
    """Count the beats that arrived repeatedly, too late or never, None without any beats.

    Returns:
        ``beats_duplicated``: arrivals of a beat after its first; ``beats_reordered``: beats
        that arrived after a beat that was sent later (RFC 4737); ``beats_lost``: beats between
        the first and the last arrival that never arrived.
    """
    if not len(beats):
        return dict.fromkeys(("beats_duplicated", "beats_reordered", "beats_lost"))
    ordered = beats.sort_values("arrival_ns", kind="stable").drop_duplicates("sequence")
    sequence = integers(ordered["sequence"])
    return {
        "beats_duplicated": len(beats) - len(sequence),
        "beats_reordered": int((sequence < np.maximum.accumulate(sequence)).sum()),
        "beats_lost": int(np.ptp(sequence)) + 1 - len(sequence),
    }


def clock_steps(beats: pd.DataFrame) -> tuple[ClockStep, ...]:
    """Find the moments when this machine's clock and the guest's own jumped apart.

    A late beat is alone; a step shows in all beats that follow. So the minimum difference of the
    two clocks over some beats before is compared with the minimum over some beats after.

    Steps of more than :data:`CLOCK_STEP_NS` count, each at its largest difference.
    """
    ordered = beats.sort_values("sequence", kind="stable")
    times = integers(ordered["arrival_ns"])
    apart = pd.Series(times - integers(ordered["guest_ns"]))
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
    Steps before ``since_ns`` do not concern the migration.
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
            # A guest that runs again catches up, which blurs the moment of the step.
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
    return replace(silence if measured else Silence(set_back=True), notes=tuple(notes))


def silent_at_end(arrivals: pd.DataFrame, stop_ns: int | None, returned_ns: int) -> tuple[str, ...]:
    """Return a note if the guest became silent for good without a stop: its host may be lost."""
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
    times, sequence = integers(ordered["arrival_ns"]), integers(ordered["sequence"])
    newer = np.ones(len(sequence), dtype=np.bool_)
    newer[1:] = sequence[1:] > np.maximum.accumulate(sequence)[:-1]
    return times[newer], sequence[newer]
