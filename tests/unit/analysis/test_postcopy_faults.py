"""The waits for pages in post-copy, as the destination's QEMU counted them."""

from __future__ import annotations

import json
from typing import Any

from migrationlab.analysis.postcopy_faults import postcopy_faults
from migrationlab.runs.schema import frame

#: In the form of QEMU 11.1's answer to query-migrate.
ANSWER = {
    "postcopy-blocktime": 12,
    "postcopy-vcpu-blocktime": [12, 40],
    "postcopy-latency": 1_500_250,
    "postcopy-latency-dist": [0, 0, 3, 96, 0, 1],
}


def events(detail: dict[str, Any]) -> Any:
    """Return the frame with that one event."""
    row = {"time_ns": 1, "received_ns": 1, "side": "destination", "origin": "migrationlab"}
    return frame("events", [row | {"name": "postcopy_faults", "detail": json.dumps(detail)}])


def test_histogram_has_powers_of_two() -> None:
    """Bucket n has the faults from 2^n to 2^(n+1) microseconds."""
    found = postcopy_faults(events(ANSWER))
    assert found is not None
    assert found.histogram.to_numpy().tolist() == [[4, 8, 3], [8, 16, 96], [32, 64, 1]]
    assert (found.blocked_ms, found.vcpu_blocked_ms, found.mean_us) == (12, (12, 40), 1500.25)
    assert (found.at_most_us(0.5), found.at_most_us(0.99), found.at_most_us(0.999)) == (
        16,
        16,
        None,
    )
    assert repr(found) == "PostcopyFaults(100 faults, all processors blocked for 12 ms)"


def test_run_without_the_event_has_none() -> None:
    """An older QEMU, or a migration that never came to post-copy."""
    assert postcopy_faults(frame("events", [])) is None


def test_answer_without_latencies_has_an_empty_histogram() -> None:
    """Nothing is made up where QEMU left it out."""
    found = postcopy_faults(events({"postcopy-blocktime": 3}))
    assert found is not None
    assert found.mean_us is None
    assert found.at_most_us(0.5) is None
