"""What the description of a lab's guest says about its writes, memory and compression."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from migrationlab.forecast.lab_guest import (
    SYSTEM_MIB,
    compression_of_guest,
    curve_of_classes,
    curve_of_guest,
    memory_of_guest,
)
from migrationlab.plan.guest_spec import GuestSpec

PAGES_PER_MIB = 256


def described(**changes: Any) -> dict[str, Any]:
    """Describe a guest."""
    return dataclasses.asdict(GuestSpec(**changes))


def drawn_pages(classes: list[tuple[int, float]], writes: int) -> float:
    """Return the different pages of some random writes: the mean of ten draws."""
    random = np.random.default_rng(1)
    total = 0
    for _ in range(10):
        counts = random.multinomial(writes, [share for _, share in classes])
        for (pages, _), count in zip(classes, counts, strict=True):
            total += len(np.unique(random.integers(pages, size=count)))
    return total / 10


@pytest.mark.parametrize("writes", [500, 5000, 40_000])
def test_curve_of_classes_is_the_mean_of_random_writes(writes: int) -> None:
    """Between its knots too, to 3 %."""
    classes = [(1000, 0.9), (9000, 0.1)]
    told = curve_of_classes(classes, writes_s=10_000).written()(writes / 10_000)
    assert told == pytest.approx(drawn_pages(classes, writes), rel=0.03)


@pytest.mark.parametrize("pattern", ["hot-cold", "zipf"])
def test_uneven_patterns_write_fewer_pages_than_random(pattern: str) -> None:
    """At first; in the end all of the working set is written."""
    curve = curve_of_guest(described(pattern=pattern))
    assert curve is not None
    even = curve_of_guest(described(pattern="random"))
    assert even is not None
    assert curve.written()(1.0) < 0.9 * even.written()(1.0)
    assert curve.working_set_mib() == pytest.approx(64 + SYSTEM_MIB, rel=0.01)


def test_redis_writes_what_its_clients_send_to_new_memory() -> None:
    """Beside the workload, and never more than the guest has."""
    guest = {"service": "redis", "memory_mib": 192, "working_set_mib": 12, "dirty_mib_s": 20}
    curve = curve_of_guest(described(**guest, requests_s=300, value_bytes=8192))
    alone = curve_of_guest(described(**guest | {"service": None}))
    assert curve is not None
    assert alone is not None
    more = [
        (curve.written()(time) - alone.written()(time)) / PAGES_PER_MIB for time in (0.5, 3, 60)
    ]
    assert more[:2] == pytest.approx([0.5 * 1.7 * 2.34, 3 * 1.7 * 2.34], rel=0.01)
    assert more[2] == pytest.approx((192 - 12) / 2, rel=0.01)


@pytest.mark.parametrize("changes", [{"dirty_mib_s": "max"}, {"phases": "1:2,0:3"}])
def test_unknown_or_changing_rates_have_no_curve(changes: dict[str, Any]) -> None:
    """It has to be measured."""
    assert curve_of_guest(described(**changes)) is None


def test_service_and_filled_memory_are_not_zeros() -> None:
    """What the service and the filled memory use is sent."""
    plain = memory_of_guest(described(memory_mib=512))
    served = memory_of_guest(described(memory_mib=512, service="postgresql", fill_mib=50))
    assert plain.zero_mib - served.zero_mib == pytest.approx(208 + 50)


def test_compression_follows_the_content() -> None:
    """Noise does not compress; pages of zeros nearly vanish; an unmeasured method is unknown."""
    memory = memory_of_guest(described())
    ratios = {
        noise: compression_of_guest(described(incompressible=noise), "zstd", memory)
        for noise in (0.0, 0.5, 1.0)
    }
    written = [found[1] for found in ratios.values() if found]
    assert written == pytest.approx([0.02, 0.51, 1.0])
    empty = compression_of_guest(described(content="zeros"), "zstd", memory)
    assert empty == ratios[0.0]
    assert compression_of_guest(described(), "qatzip", memory) is None
