"""The simulation in the mean against one of every page: hot and cold pages, QEMU's rules."""

from __future__ import annotations

import numpy as np
import pytest

from migrationlab.forecast.case import Constants, Memory, case_of
from migrationlab.forecast.curve import DirtyCurve
from migrationlab.forecast.qemu_rule import simulate_qemu
from migrationlab.plan.plan import Plan

PAGES, PAGE = 16384, 4096
#: Pages of each kind, and how often each is written in a second.
GUESTS = {
    "one kind": ((8000, 1.0),),
    "hot and cold": ((1000, 5.0), (8000, 0.2)),
    "hot, warm and cold": ((500, 20.0), (3000, 0.5), (9000, 0.05)),
}
#: No constants but QEMU's look.
BARE = Constants(
    before_s=0, before_peer2peer_s=0, after_s=0, wake_bytes=0, buffer_bytes=0, devices_s=0,
    network_s=0, zero_pages_per_s=1e9,
)  # fmt: skip


def curve(kinds: tuple[tuple[int, float], ...]) -> DirtyCurve:
    """Return D(t) of independent writers."""
    times = np.geomspace(0.01, 60, 60)
    written = sum(count * (1 - np.exp(-rate * times)) for count, rate in kinds)
    return DirtyCurve.from_points((1000 * times).tolist(), list(written), PAGES, PAGES)


def page_level_s(
    kinds: tuple[tuple[int, float], ...], pages_s: float, limit_s: float, seed: int
) -> float | None:
    """Return the time of a migration, page by page; None if it takes more than 100 s."""
    random = np.random.default_rng(seed)
    rates = np.zeros(PAGES)
    order, begin = random.permutation(PAGES), 0
    for count, rate in kinds:
        rates[order[begin : begin + count]] = rate
        begin += count
    look_s = BARE.look_s
    chance = 1 - np.exp(-rates * look_s)
    pending, written = np.ones(PAGES, dtype=bool), np.zeros(PAGES, dtype=bool)
    pointer, now, budget = 0, 0.0, 0.0
    while now < 100:
        budget += pages_s * look_s
        ahead = np.concatenate([np.arange(pointer, PAGES), np.arange(pointer)])
        sent = ahead[pending[ahead]][: int(budget)]
        pending[sent] = False
        pointer = (int(sent[-1]) + 1) % PAGES if len(sent) else pointer
        budget -= int(budget)
        written |= random.random(PAGES) < chance
        now += look_s
        if pending.sum() < pages_s * limit_s:
            pending |= written
            written[:] = False
            if pending.sum() < pages_s * limit_s:
                return now + float(pending.sum()) / pages_s
    return None


@pytest.mark.parametrize("guest", GUESTS)
@pytest.mark.parametrize(("mib_s", "limit_ms"), [(20, 300), (40, 150), (60, 100)])
def test_mean_is_near_every_page(guest: str, mib_s: float, limit_ms: int) -> None:
    """Whether it ends, and the time to 10 % or to two looks."""
    pages_s = mib_s * 2**20 / PAGE
    single = [page_level_s(GUESTS[guest], pages_s, limit_ms / 1000, seed) for seed in range(3)]
    case = case_of(
        Plan(max_downtime_ms=limit_ms), curve(GUESTS[guest]),
        Memory(total_mib=PAGES * PAGE / 2**20), pages_s * (PAGE + 8) * 8 / 1e6, constants=BARE,
    )  # fmt: skip
    path = simulate_qemu(case)
    ended = [value for value in single if value is not None]
    assert path.ends == (len(ended) >= 2)
    if path.ends:
        assert path.sending_s == pytest.approx(float(np.median(ended)), rel=0.1, abs=0.1)
