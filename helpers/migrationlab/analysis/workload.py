"""From a guest's beats to what a migration did to its workload: how fast it wrote, when.

Each beat carries the count of pages that the workload has written by then. Between two beats the
count is taken to grow evenly, over the time of their arrival: what the world outside saw of the
guest's work. A pure function of recorded frames: no libvirt, no files, no clock.

**Errors.** At a moment between two beats the count was at least that of the one and at most that
of the other. So each rate has bounds, and its error is half of what lies between them. How late a
beat may come, which a run's network jitter tells, is not in it.

**Before** any memory was sent the rate is the median of those over each :data:`WINDOW_MS` in which
the guest wrote at all: the kit checks a lab's guest after each migration, meanwhile it writes
nothing, and the next call may come right after that.

**Recovery** is the time from the moment that the guest runs again until it writes as fast as
before: until the beginning of the first :data:`WINDOW_MS` over which its rate is at least
:data:`RECOVERED` of that; in the end of that window a workload may have caught up on what it
missed. It is sought until the call returned, for then comes the next check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

#: What the workload of a lab's guest counts (lab/payload/workload.c).
PAGE_BYTES = 4096
MIB = 1 << 20
MS = 1_000_000
WINDOW_MS = 100
RECOVERED = 0.95
#: A curve is drawn from points this far apart, and a recovery is sought among them.
STEP_MS = 5
#: Each point is the rate over so long: beats come in bursts of some milliseconds.
CURVE_MS = 20
#: Over less than this a rate says nothing: the beats are 1 ms apart.
LEAST_MS = 10
#: By so much the stamps of neighbours may fall back; by more, a clock was set.
CLOCK_STEP_MS = 50
#: A workload that was slower than this share of its rate in a tenth of the time was unsteady.
STEADY = 0.8

Numbers = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Span = tuple[str, int, int]

_RATES = {
    "part": "str",
    "start_ns": "int64",
    "end_ns": "int64",
    "duration_ms": "float64",
    "mib_s": "float64",
    "error_mib_s": "float64",
    "share": "float64",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """How fast a guest wrote its memory, before, during and after its migration.

    Attributes:
        rates: part, start_ns, end_ns, duration_ms, mib_s, error_mib_s, share; a row a part of the
            time: ``before`` the call, ``prepare`` until the first pass, ``iteration 1`` and so on while
            the guest runs at the source, ``paused``, ``post-copy``, ``after`` until the call
            returned. ``share`` is of ``before_mib_s``.
        curve: time_ns, mib_s; the rate over the :data:`CURVE_MS` around each moment.
        before_mib_s: The rate before any memory was sent.
        sending_mib_s: The rate from the first pass until the guest stopped, or sending ended.
        recovery_ms: How long after it ran again it wrote as fast as before.
        notes: Why something is not known, or less sure than it looks.
    """

    rates: pd.DataFrame
    curve: pd.DataFrame
    before_mib_s: float | None
    sending_mib_s: float | None
    recovery_ms: float | None
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        before = "?" if self.before_mib_s is None else f"{self.before_mib_s:.1f}"
        sending = "?" if self.sending_mib_s is None else f"{self.sending_mib_s:.1f}"
        return f"Workload({before} MiB/s before, {sending} MiB/s until it stopped)"


def workload(
    *,
    beats: pd.DataFrame,
    iterations: pd.DataFrame,
    called_ns: int,
    returned_ns: int,
    stop_ns: int | None,
    resume_ns: int | None,
    postcopy_end_ns: int | None,
) -> Workload:
    """Work out how fast the guest wrote.

    Args:
        beats: A run's frame of that name.
        iterations: Those over memory, as a timeline has them.
        called_ns: When libvirt's call was made.
        returned_ns: When it came back.
        stop_ns: When the guest stopped; None if it did not.
        resume_ns: When it ran again.
        postcopy_end_ns: When the last of its memory had followed it; None without post-copy.
    """
    unusable = _unusable(beats)
    if unusable is not None:
        return _nothing(unusable)
    written = _Written(beats)
    running = iterations[iterations["guest_running"]]
    sent = None
    if len(running):
        sent = (int(running["start_ns"].min()), int(running["end_ns"].max()))
    spans: list[Span] = [("before", written.first_ns, called_ns)]
    if sent is not None:
        spans.append(("prepare", called_ns, sent[0]))
    numbered = (running[name] for name in ("iteration", "start_ns", "end_ns"))
    spans += [
        (f"iteration {number}", int(start), int(end))
        for number, start, end in zip(*numbered, strict=True)
    ]
    over = None if sent is None else sent[1]
    if stop_ns is not None:
        over = resume_ns
        spans.append(("paused", stop_ns, returned_ns if resume_ns is None else resume_ns))
    if over is not None and postcopy_end_ns is not None:
        spans.append(("post-copy", over, postcopy_end_ns))
        over = postcopy_end_ns
    if over is not None:
        spans.append(("after", over, returned_ns))
    before, unsteady = _before(written, called_ns if sent is None else sent[0])
    recovery, unrecovered = _recovery(written, before, resume_ns, returned_ns)
    return Workload(
        rates=_rates(written, spans, before),
        curve=written.curve(),
        before_mib_s=before,
        sending_mib_s=None if sent is None else written.rate(*sent)[0],
        recovery_ms=recovery,
        notes=(*unsteady, *unrecovered),
    )


class _Written:
    """How much was written by when."""

    def __init__(self, beats: pd.DataFrame) -> None:
        ordered = beats.sort_values("arrival_ns", kind="stable")
        self.times: Integers = ordered["arrival_ns"].to_numpy(dtype=np.int64)
        # A beat that was overtaken says what is known already.
        pages = np.maximum.accumulate(ordered["writes"].to_numpy(dtype=np.int64))
        self._mib: Numbers = pages * (PAGE_BYTES / MIB)
        self.first_ns, self.last_ns = int(self.times[0]), int(self.times[-1])

    def at(self, times: Integers) -> Numbers:
        # Relative to the first, since a float holds no such moment to the nanosecond.
        mib: Numbers = np.interp(times - self.first_ns, self.times - self.first_ns, self._mib)
        return mib

    def over(self, starts: Integers, ends: Integers) -> Numbers:
        """Give the rates between moments, MiB/s."""
        rates: Numbers = (self.at(ends) - self.at(starts)) / (ends - starts) * 1e9
        return rates

    def rate(self, start_ns: int, end_ns: int) -> tuple[float | None, float | None]:
        """Give the rate between two moments and its error, None where too little was recorded."""
        start, end = max(start_ns, self.first_ns), min(end_ns, self.last_ns)
        if end - start < LEAST_MS * MS:
            return None, None
        moments = np.array([start, end])
        rate = self.over(moments[:1], moments[1:])[0]
        at_least = self._mib[np.searchsorted(self.times, moments, side="right") - 1]
        at_most = self._mib[np.searchsorted(self.times, moments, side="left")]
        error = float((at_most - at_least).sum()) / 2 / (end - start) * 1e9
        return round(float(rate), 3), round(error, 3)

    def curve(self) -> pd.DataFrame:
        """Give the rate around each moment, at the ends over as much as was recorded."""
        times = np.arange(self.first_ns, self.last_ns, STEP_MS * MS, dtype=np.int64)
        half = CURVE_MS * MS // 2
        rates = self.over(
            np.maximum(times - half, self.first_ns), np.minimum(times + half, self.last_ns)
        )
        return pd.DataFrame({"time_ns": times, "mib_s": rates.round(3)})

    def windows(self, start_ns: int, end_ns: int) -> tuple[Integers, Numbers]:
        """Give the beginnings of all windows between two moments, and the rates over them."""
        first, last = max(start_ns, self.first_ns), min(end_ns, self.last_ns) - WINDOW_MS * MS
        starts = np.arange(first, last + 1, STEP_MS * MS, dtype=np.int64)
        return starts, self.over(starts, starts + WINDOW_MS * MS)


def _unusable(beats: pd.DataFrame) -> str | None:
    """Say why no rate can be told from beats, None where it can."""
    if len(beats) < 2:
        return "No beats were recorded, so nothing is known of the workload."
    # Rows are in the order of their receipt.
    if (np.diff(beats["arrival_ns"].to_numpy(dtype=np.int64)) < -CLOCK_STEP_MS * MS).any():
        return "The recording machine's clock was set back meanwhile, so no rate can be told."
    counted = beats.sort_values("sequence", kind="stable")["writes"]
    if not counted.is_monotonic_increasing:
        return "The guest counted its writes anew, as after a reset, so no rate can be told."
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
    note = (
        f"The workload was not steady before memory was sent: mostly {median:.1f} MiB/s, down to "
    )
    return round(median, 3), (f"{note}{rates.min():.1f} MiB/s.",)


def _recovery(
    written: _Written, before: float | None, resume_ns: int | None, returned_ns: int
) -> tuple[float | None, tuple[str, ...]]:
    if resume_ns is None or before is None:
        return None, ()
    if before == 0:
        return None, ("The guest wrote nothing before, so there is nothing to recover.",)
    starts, rates = written.windows(resume_ns, returned_ns)
    if not len(starts) or starts[0] > resume_ns:
        return None, ("Too little was recorded after the guest ran again to see it recover.",)
    back = np.flatnonzero(rates >= RECOVERED * before)
    if not len(back):
        recorded_ms = (min(written.last_ns, returned_ns) - resume_ns) / MS
        note = (
            f"In the {recorded_ms:.0f} ms from when the guest ran again to the call's return it "
            f"did not write as fast as before: {rates.max():.1f} MiB/s at most."
        )
        return None, (note,)
    return round((int(starts[back[0]]) - resume_ns) / MS, 3), ()


def _rates(written: _Written, spans: Sequence[Span], before: float | None) -> pd.DataFrame:
    rows = []
    for part, start, end in spans:
        if end <= start:
            continue
        rate, error = written.rate(start, end)
        share = None if rate is None or not before else round(rate / before, 4)
        rows.append((part, start, end, round((end - start) / MS, 3), rate, error, share))
    return pd.DataFrame(rows, columns=list(_RATES)).astype(_RATES)


def _nothing(note: str) -> Workload:
    curve = {"time_ns": pd.Series(dtype="int64"), "mib_s": pd.Series(dtype="float64")}
    return Workload(
        rates=pd.DataFrame([], columns=list(_RATES)).astype(_RATES),
        curve=pd.DataFrame(curve),
        before_mib_s=None,
        sending_mib_s=None,
        recovery_ms=None,
        notes=(note,),
    )
