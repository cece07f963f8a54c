"""Round trips of echo requests: what a client sees of a paused guest."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.analysis import latency
from migrationlab.runs.schema import frame

MS = 1_000_000
BEGIN_NS = 1_795_400_622_000_000_001


def echoes(*trips_ns: int | None) -> dict[str, list[dict[str, int | None]]]:
    """Return rows of requests, 5 ms apart, each answered after so long; None: never."""
    rows: list[dict[str, int | None]] = []
    for number, trip in enumerate(trips_ns):
        sent = BEGIN_NS + number * 5 * MS
        arrival = None if trip is None else sent + trip
        rows.append({"sequence": number, "sent_ns": sent, "arrival_ns": arrival})
    return {"rows": rows}


def test_round_trips_are_exact() -> None:
    """A round trip is the time from request to answer, to the nanosecond."""
    found = latency.latency(frame("echoes", **echoes(400_001, 7 * MS)))
    assert list(found) == ["sent_ns", "round_trip_ms"]
    assert list(found["round_trip_ms"]) == [0.400001, 7.0]
    assert found["sent_ns"].iloc[1] == BEGIN_NS + 5 * MS


def test_lost_request_is_missing() -> None:
    """A request without an answer has no round trip: not 0, and not the one before it."""
    found = latency.latency(frame("echoes", **echoes(MS, None, MS)))
    assert [math.isnan(trip) for trip in found["round_trip_ms"]] == [False, True, False]


def test_clock_set_back_gives_no_round_trip_and_a_note() -> None:
    """An answer stamped before its request has no round trip, and a note says why."""
    taken = frame("echoes", **echoes(MS, -3600 * 1000 * MS, None))
    assert latency.latency(taken)["round_trip_ms"].isna().tolist() == [False, True, True]
    (note,) = latency.notes(taken)
    assert note.endswith("1 answer has a stamp before the request and no round trip.")
    assert latency.notes(frame("echoes", **echoes(MS, None))) == ()


def test_no_requests_give_an_empty_frame() -> None:
    """Without echo requests there is an empty frame with its columns, and no note."""
    found = latency.latency(frame("echoes", ()))
    assert len(found) == 0
    assert {name: str(kind) for name, kind in found.dtypes.items()} == {
        "sent_ns": "int64",
        "round_trip_ms": "float64",
    }
    assert latency.notes(frame("echoes", ())) == ()


@given(st.lists(st.none() | st.integers(-(10**12), 10**12)), st.randoms())
def test_no_request_is_dropped(trips: list[int | None], shuffle: object) -> None:
    """For any recording, in any order of rows, each request is there once."""
    rows = echoes(*trips)["rows"]
    shuffle.shuffle(rows)  # type: ignore[attr-defined]
    found = latency.latency(frame("echoes", rows))
    expected = [BEGIN_NS + number * 5 * MS for number in range(len(trips))]
    assert list(found["sent_ns"]) == expected
    for trip, seen in zip(trips, found["round_trip_ms"], strict=True):
        if trip is None or trip < 0:
            assert math.isnan(seen)
        else:
            assert seen == pytest.approx(trip / MS)
