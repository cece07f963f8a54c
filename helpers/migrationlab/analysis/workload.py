"""Compute the effect of a migration on the guest's workload: its rate of writing over time.

Each beat has the count of pages that the workload has written so far. Between two beats the count
is taken to grow evenly over the time between their arrivals: this is the guest's work as seen from
outside.

**Errors.** At a moment between two beats, the true count is between their two counts. So each rate
has bounds, and its error is half the difference of these. The delay of a beat, which the network
jitter of a run shows, is not included.

**Before** memory is sent, the usual rate is the median of the rates over each :data:`WINDOW_MS` in
which the guest wrote at all. A lab's guest writes nothing while it is checked after a migration,
and the next call may come directly after that.

**Recovery** is the time from when the guest runs again until it writes as fast as before: until the
start of the first :data:`WINDOW_MS` with a rate of at least :data:`RECOVERED` of the usual one. The
start, because by the end of that window a workload may have caught up on missed work. The search
ends when the call returns, because then comes the next check.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from migrationlab.analysis.frames import MS, Integers, Numbers, integers, span_ms, table
from migrationlab.analysis.switchover import Moments

#: The unit that the workload of a lab's guest counts (lab/payload/workload.c).
PAGE_BYTES = 4096
MIB = 1 << 20
WINDOW_MS = 100
RECOVERED = 0.95
#: The distance of a curve's points, among which the recovery is searched too.
STEP_MS = 5
#: Each point is the rate over this time: beats come in bursts of some milliseconds.
CURVE_MS = 20
#: A rate over less than this says nothing: the beats are 1 ms apart.
MIN_RATE_MS = 10
#: The stamps of neighbours may fall back by this; a larger step means that a clock was set.
CLOCK_STEP_MS = 50
#: A workload is unsteady if a tenth of the time it was slower than this share of its usual rate.
STEADY = 0.8
#: Below this share of the requested rate, a workload counts as a different workload.
REACHED = 0.9

Span = tuple[str, int, int]

_RATES = {"part": "str", "start_ns": "int64", "end_ns": "int64"}
_RATES |= dict.fromkeys(("duration_ms", "mib_s", "error_mib_s", "share"), "float64")
_CURVE = {"time_ns": "int64", "mib_s": "float64"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """A guest's rate of writing memory, before, during and after its migration.

    Attributes:
        rates: part, start_ns, end_ns, duration_ms, mib_s, error_mib_s, share; a row per part of the
            time: ``before`` the call, ``prepare`` until the first iteration, ``iteration 1`` and so
            on while the guest runs at the source, ``paused``, ``post-copy``, ``after`` until the
            call returned. ``share`` is relative to ``before_mib_s``.
        curve: time_ns, mib_s; the rate over the :data:`CURVE_MS` around each moment.
        before_mib_s: The rate before memory was sent.
        sending_mib_s: The rate from the first iteration until the guest stopped, or sending ended.
        recovery_ms: The time from the guest's resume until it wrote as fast as before.
        notes: The reasons why values are unknown or uncertain.
    """

    rates: pd.DataFrame
    curve: pd.DataFrame
    before_mib_s: float | None = None
    sending_mib_s: float | None = None
    recovery_ms: float | None = None
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        before = "?" if self.before_mib_s is None else f"{self.before_mib_s:.1f}"
        sending = "?" if self.sending_mib_s is None else f"{self.sending_mib_s:.1f}"
        return f"Workload({before} MiB/s before, {sending} MiB/s until it stopped)"


def workload(
    *,
    beats: pd.DataFrame,
    iterations: pd.DataFrame,
    moments: Moments,
    asked_mib_s: float | None = None,
) -> Workload:
    """Compute the guest's rate of writing from frames of a run and of its timeline.

    ``asked_mib_s`` is the rate that the guest was asked for at every moment; None: there is none.
    """
    if (unusable := _unusable(beats)) is not None:
        return Workload(rates=table(_RATES), curve=table(_CURVE), notes=(unusable,))
    written = _Written(beats)
    running = iterations[iterations["guest_running"]]
    sent = (int(running["start_ns"].min()), int(running["end_ns"].max())) if len(running) else None
    until_ns = moments.called_ns if sent is None else sent[0]
    before, unsteady = _before(written, until_ns)
    recovery, unrecovered = _recovery(written, before, moments)
    return Workload(
        rates=_rates(written, list(spans(written.first_ns, running, moments)), before),
        curve=written.curve(),
        before_mib_s=before,
        sending_mib_s=None if sent is None else written.rate(*sent)[0],
        recovery_ms=recovery,
        notes=(*unsteady, *rate_missed(beats, until_ns, asked_mib_s), *unrecovered),
    )


def rate_missed(beats: pd.DataFrame, until_ns: int, asked_mib_s: float | None) -> tuple[str, ...]:
    """Return a note if a guest wrote clearly less than it was asked for; else nothing.

    Args:
        beats: The frame ``beats`` of a run.
        until_ns: The time until which its rate counts: its migration slows it down.
        asked_mib_s: As of :func:`workload`.
    """
    if asked_mib_s is None or _unusable(beats) is not None:
        return ()
    written = _Written(beats)
    _, rates = written.windows(written.first_ns, until_ns)
    # Not the median: the guest can have been asked for more only just before the call.
    reached = float(np.quantile(rates, 0.9)) if len(rates) else asked_mib_s
    if reached >= REACHED * asked_mib_s:
        return ()
    return (f"The guest was asked for {asked_mib_s:g} MiB/s, and reached {reached:.1f} MiB/s.",)


def spans(first_ns: int, running: pd.DataFrame, moments: Moments) -> Iterator[Span]:
    """Yield the parts of the time: name, start, end."""
    yield "before", first_ns, moments.called_ns
    end: int | None = None
    if len(running):
        yield "prepare", moments.called_ns, int(running["start_ns"].min())
        for row in running.itertuples():
            yield f"iteration {row.iteration}", int(row.start_ns), int(row.end_ns)
        end = int(running["end_ns"].max())
    if moments.stop_ns is not None:
        end = moments.resume_ns
        yield "paused", moments.stop_ns, moments.returned_ns if end is None else end
    if end is not None and moments.postcopy_ns is not None and moments.completed_ns is not None:
        yield "post-copy", end, moments.completed_ns
        end = moments.completed_ns
    if end is not None:
        yield "after", end, moments.returned_ns


class _Written:
    """The amount written over time."""

    def __init__(self, beats: pd.DataFrame) -> None:
        ordered = beats.sort_values("arrival_ns", kind="stable")
        self.times = integers(ordered["arrival_ns"])
        # A beat that was overtaken adds nothing new.
        pages = np.maximum.accumulate(integers(ordered["writes"]))
        self._mib: Numbers = pages * (PAGE_BYTES / MIB)
        self.first_ns, self.last_ns = int(self.times[0]), int(self.times[-1])

    def at(self, times: Integers) -> Numbers:
        # Relative to the first: a float does not hold such a time to the nanosecond.
        mib: Numbers = np.interp(times - self.first_ns, self.times - self.first_ns, self._mib)
        return mib

    def over(self, starts: Integers, ends: Integers) -> Numbers:
        """Return the rates between moments, MiB/s."""
        rates: Numbers = (self.at(ends) - self.at(starts)) / (ends - starts) * 1e9
        return rates

    def rate(self, start_ns: int, end_ns: int) -> tuple[float | None, float | None]:
        """Return the rate between two moments and its error; None if too little was recorded."""
        start, end = max(start_ns, self.first_ns), min(end_ns, self.last_ns)
        if end - start < MIN_RATE_MS * MS:
            return None, None
        moments = np.array([start, end])
        rate = self.over(moments[:1], moments[1:])[0]
        at_least = self._mib[np.searchsorted(self.times, moments, side="right") - 1]
        at_most = self._mib[np.searchsorted(self.times, moments, side="left")]
        error = float((at_most - at_least).sum()) / 2 / (end - start) * 1e9
        return round(float(rate), 3), round(error, 3)

    def curve(self) -> pd.DataFrame:
        """Return the rate around each moment; at the ends, over the recorded part only."""
        times = np.arange(self.first_ns, self.last_ns, STEP_MS * MS, dtype=np.int64)
        half, recorded = CURVE_MS * MS // 2, (self.first_ns, self.last_ns)
        rates = self.over(np.clip(times - half, *recorded), np.clip(times + half, *recorded))
        return pd.DataFrame({"time_ns": times, "mib_s": rates.round(3)})

    def windows(self, start_ns: int, end_ns: int) -> tuple[Integers, Numbers]:
        """Return the starts of all windows between two moments, and the rates over them."""
        first, last = max(start_ns, self.first_ns), min(end_ns, self.last_ns) - WINDOW_MS * MS
        starts = np.arange(first, last + 1, STEP_MS * MS, dtype=np.int64)
        return starts, self.over(starts, starts + WINDOW_MS * MS)


def _unusable(beats: pd.DataFrame) -> str | None:
    """Return the reason why the beats give no rate; None if they give one."""
    if len(beats) < 2:
        return "No beats were recorded, so nothing is known of the workload."
    # Rows are in the order of receipt.
    if (np.diff(integers(beats["arrival_ns"])) < -CLOCK_STEP_MS * MS).any():
        return "The recording machine's clock was set back, so no rate is known."
    counted = beats.sort_values("sequence", kind="stable")["writes"]
    if not counted.is_monotonic_increasing:
        return "The guest's count of writes restarted, for example by a reset: no rate is known."
    return None


def _before(written: _Written, until_ns: int) -> tuple[float | None, tuple[str, ...]]:
    _, rates = written.windows(written.first_ns, until_ns)
    if not len(rates):
        return None, ("Too little was recorded before memory was sent to know the usual rate.",)
    if not rates.any():
        return 0.0, ()
    median = float(np.median(rates[rates > 0]))
    if np.quantile(rates, 0.1) >= STEADY * median:
        return round(median, 3), ()
    note = "The workload was not steady before memory was sent: usually"
    return round(median, 3), (f"{note} {median:.1f} MiB/s, down to {rates.min():.1f} MiB/s.",)


def _recovery(
    written: _Written, before: float | None, moments: Moments
) -> tuple[float | None, tuple[str, ...]]:
    resume_ns = moments.resume_ns
    if resume_ns is None or before is None:
        return None, ()
    if before == 0:
        return None, ("The guest wrote nothing before, so there is nothing to recover.",)
    starts, rates = written.windows(resume_ns, moments.returned_ns)
    if not len(starts) or starts[0] > resume_ns:
        return None, ("Too little was recorded after the guest ran again to see it recover.",)
    back = np.flatnonzero(rates >= RECOVERED * before)
    if not len(back):
        recorded_ms = (min(written.last_ns, moments.returned_ns) - resume_ns) / MS
        note = f"In the {recorded_ms:.0f} ms from when the guest ran again until the call returned"
        most = f"{rates.max():.1f} MiB/s at most"
        return None, (f"{note}, it did not write as fast as before: {most}.",)
    return span_ms(resume_ns, int(starts[back[0]])), ()


def _rates(written: _Written, spans: Sequence[Span], before: float | None) -> pd.DataFrame:
    rows = []
    for part, start, end in spans:
        if end <= start:
            continue
        rate, error = written.rate(start, end)
        share = None if rate is None or not before else round(rate / before, 4)
        rows.append((part, start, end, span_ms(start, end), rate, error, share))
    return table(_RATES, rows)
