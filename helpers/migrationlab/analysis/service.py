"""Compute what the clients of a guest's service noticed of a migration.

Clients send requests on a fixed schedule (an open loop). A **latency** counts from the moment at
which the request was due, so it contains the time for which the request waited for its connection.
Had it counted from the moment of sending, a pause of the guest would appear in one request a
connection, and the rest would look as quick as ever (Gil Tene's "coordinated omission").

**Percentiles** are exact: every request is recorded, so no histogram with its buckets stands in
between. A failed request counts as slower than all others. A percentile that would be decided by
less than one request is unknown: p99 of fewer than 100 requests, p99.9 of fewer than 1,000.

**The service downtime** is the longest time between two answers, of any connection, that overlaps
the pause of the guest or 50 ms on either side of it. It is longer than the network downtime: the
service has the priority of a normal process, and a packet that was lost or sent in the pause is
sent again only when TCP's timer ends (RFC 6298: 200 ms on Linux at least, doubled each time).

**Recovery** is the time from when the guest runs again until latency is normal: until the first
:data:`WINDOW_MS` (:data:`WINDOW_REQUESTS` requests at least) in which at most a tenth of the
requests took longer than the 99th percentile before the call.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from migrationlab.analysis import beats
from migrationlab.analysis.beats import Silence
from migrationlab.analysis.frames import MS, Integers, Numbers, integers, span_ms, table
from migrationlab.analysis.switchover import Moments

WINDOW_MS = 100
WINDOW_REQUESTS = 10
#: A service that answered a smaller share of the requests before the call cannot keep up.
KEPT_UP = 0.95
#: The percentiles of a part of the time: by name the share of requests that are not slower.
PERCENTILES = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}

_PARTS = {"part": "str", "start_ns": "int64", "end_ns": "int64", "requests": "int64"}
_PARTS |= dict.fromkeys(("requests_s", *PERCENTILES, "max_ms"), "float64")
_PARTS |= {"failed": "int64", "retried": "int64"}
_LATENCY = {"due_ns": "int64", "latency_ms": "float64"}


@dataclass(frozen=True, kw_only=True, eq=False)
class ServiceView:
    """A migration as the clients of the guest's service saw it.

    Attributes:
        parts: part, start_ns, end_ns, requests, requests_s, p50_ms, p99_ms, p999_ms, max_ms,
            failed, retried; a row for ``before`` the call, ``during`` it, and ``after`` it, by the
            moment at which requests were due. ``requests_s`` is the rate of answered requests.
        latency: due_ns, latency_ms; a row per request, NaN where it failed.
        downtime_service_ms: The longest time without an answer around the guest's pause.
        low_ms: The least of it that the migration caused: see ``downtimes`` for both bounds.
        high_ms: The most of it that the migration caused.
        usual_gap_ms: The usual time between two answers before the call.
        gap_from_ns: The last answer before that time.
        gap_until_ns: The first answer after it.
        recovery_ms: The time from the guest's resume until latency was normal again.
        failed: The number of requests that were never answered.
        retried: The number of requests that were sent more than once.
        notes: The reasons why figures are unknown or uncertain.
    """

    parts: pd.DataFrame
    latency: pd.DataFrame
    downtime_service_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    usual_gap_ms: float | None = None
    gap_from_ns: int | None = None
    gap_until_ns: int | None = None
    recovery_ms: float | None = None
    failed: int | None = None
    retried: int | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        gap = self.downtime_service_ms
        longest = "?" if gap is None else f"{gap:.0f}"
        return f"ServiceView({len(self.latency)} requests, {longest} ms without an answer)"


def service_view(requests: pd.DataFrame, moments: Moments) -> ServiceView:
    """Compute what clients noticed from the frame ``requests`` and the moments of a timeline."""
    if not len(requests):
        return ServiceView(parts=table(_PARTS), latency=table(_LATENCY))
    ordered = requests.sort_values("due_ns", kind="stable", ignore_index=True)
    due, took = integers(ordered["due_ns"]), _latencies(ordered)
    parts = _parts(ordered, took, moments)
    silence = _silence(ordered, moments)
    answers = _answers(ordered)
    jitter = beats.jitter_ms(answers, moments.called_ns)
    usual_gap = beats.usual_gap_ms(answers, moments.called_ns)
    gap = silence.duration_ms
    low = high = None
    if gap is not None and jitter is not None and usual_gap is not None:
        low, high = max(round(gap - jitter, 3), 0.0), round(gap + jitter - usual_gap, 3)
    usual_ms = parts.set_index("part").loc["before", "p99_ms"]
    return ServiceView(
        parts=parts,
        latency=pd.DataFrame({"due_ns": due, "latency_ms": np.where(np.isinf(took), np.nan, took)}),
        downtime_service_ms=gap,
        low_ms=low,
        high_ms=high,
        usual_gap_ms=usual_gap,
        gap_from_ns=silence.start_ns,
        gap_until_ns=silence.end_ns,
        recovery_ms=_recovery_ms(due, took, float(usual_ms), moments.resume_ns),
        failed=int(np.isinf(took).sum()),
        retried=int((ordered["attempts"] > 1).sum()),
        notes=(*silence.notes, *overload(ordered, moments.called_ns)),
    )


def _latencies(ordered: pd.DataFrame) -> Numbers:
    """Return the latency of each request in ms; infinity if it failed."""
    spans = (ordered["answered_ns"] - ordered["due_ns"]).astype("Int64")
    took: Numbers = spans.to_numpy(dtype="float64", na_value=np.inf) / MS
    return took.round(3)


def _answers(ordered: pd.DataFrame) -> pd.DataFrame:
    """Return the answers as arrivals, numbered in the order in which they came."""
    times = np.sort(integers(ordered["answered_ns"].dropna()))
    return pd.DataFrame({"arrival_ns": times, "sequence": np.arange(len(times))})


def _silence(ordered: pd.DataFrame, moments: Moments) -> Silence:
    found = beats.silence_around(_answers(ordered), moments.stop_ns, moments.resume_ns)
    notes = [note.replace("from the guest", "from the service") for note in found.notes]
    return Silence(start_ns=found.start_ns, end_ns=found.end_ns, notes=tuple(notes))


def _parts(ordered: pd.DataFrame, took: Numbers, moments: Moments) -> pd.DataFrame:
    due = integers(ordered["due_ns"])
    first, last = int(due[0]), int(due[-1]) + 1
    called, returned = moments.called_ns, moments.returned_ns
    spans = {"before": (first, called), "during": (called, returned), "after": (returned, last)}
    rows = []
    for part, (start, end) in spans.items():
        inside = (due >= start) & (due < end)
        here = took[inside]
        seconds = max(end - start, 0) / 1e9
        answered = int(np.isfinite(here).sum())
        slowest = float(here.max()) if len(here) else np.nan
        rows.append(
            {
                "part": part,
                "start_ns": start,
                "end_ns": end,
                "requests": len(here),
                "requests_s": round(answered / seconds, 1) if seconds else np.nan,
                **{name: percentile(here, share) for name, share in PERCENTILES.items()},
                "max_ms": slowest if np.isfinite(slowest) else np.nan,
                "failed": len(here) - answered,
                "retried": int((ordered["attempts"][inside] > 1).sum()),
            }
        )
    return table(_PARTS, rows)


def percentile(latencies_ms: Numbers, share: float) -> float:
    """Return the latency that a share of requests does not exceed; NaN if it is not known.

    Args:
        latencies_ms: The latency of each request; infinity for a failed one.
        share: The share of requests, 0 to 1.
    """
    # The number of requests beyond the percentile must be at least one.
    if round(len(latencies_ms) * (1 - share), 9) < 1:
        return float("nan")
    value = float(np.quantile(latencies_ms, share, method="inverted_cdf"))
    return value if np.isfinite(value) else float("nan")


def _recovery_ms(
    due: Integers, took: Numbers, usual_ms: float, resume_ns: int | None
) -> float | None:
    if resume_ns is None or not np.isfinite(usual_ms):
        return None
    for first in np.flatnonzero(due >= resume_ns):
        # The window begins at a request; it is longer where requests are rare.
        end = int(np.searchsorted(due, due[first] + WINDOW_MS * MS))
        end = max(end, int(first) + WINDOW_REQUESTS)
        if end > len(due):
            return None
        if np.mean(took[first:end] > usual_ms) <= 0.1:
            return span_ms(resume_ns, int(due[first]))
    return None


def overload(requests: pd.DataFrame, called_ns: int) -> tuple[str, ...]:
    """Return a note if the service could not answer the rate of its clients before the call."""
    reached = reached_before(requests, called_ns)
    if reached is None or reached[1] >= KEPT_UP * reached[0]:
        return ()
    due, answered = reached
    note = (
        f"The service cannot keep up: {due:.0f} requests/s were due before the call, and "
        f"{answered:.0f} requests/s were answered. Latency grows without a migration."
    )
    return (note,)


def reached_before(requests: pd.DataFrame, called_ns: int) -> tuple[float, float] | None:
    """Return the rates before the call: requests/s that were due, and that were answered by then.

    The result is None if fewer than ten requests were due.
    """
    before = requests[requests["due_ns"] < called_ns]
    if len(before) < WINDOW_REQUESTS:
        return None
    seconds = (called_ns - int(before["due_ns"].min())) / 1e9
    answered = int((before["answered_ns"] < called_ns).fillna(value=False).sum())
    return len(before) / seconds, answered / seconds
