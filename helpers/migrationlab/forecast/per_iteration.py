"""Simulate pre-copy by the rule of many models: decide at the end of each iteration.

Each iteration sends everything that is dirty. The next one begins with D(duration of the last).
The guest is paused when the next iteration would take no longer than the downtime limit. This is
how Clark et al. (NSDI 2005) describe pre-copy, and what tools compute that know no hypervisor's
details. There are no constants: times are those of sending memory.

D is concave, so the durations form a monotone sequence: once an iteration does not take less than
the last one, none ever will.
"""

from __future__ import annotations

from migrationlab.forecast.case import HEADER_BYTES, Case, Path, Sent

#: A sequence that falls by less than this share has reached its end.
SETTLED = 1e-9
MOST_ITERATIONS = 100_000


def simulate_per_iteration(case: Case) -> Path:
    """Return the path of a migration by the rule "per-iteration"."""
    pages = case.normal_pages
    amount = pages * case.sent_page_bytes + case.zero_pages * HEADER_BYTES
    iterations: list[Sent] = []
    now = sent = 0.0
    last_s = float("inf")
    while len(iterations) < MOST_ITERATIONS:
        takes_s = amount / case.rate_bytes_s
        if takes_s <= _limit_s(case, now):
            stop_s = amount / case.link_bytes_s
            return Path(
                end="switchover", iterations=tuple(iterations), count=len(iterations) + 1,
                sending_s=now + stop_s, downtime_s=stop_s, network_s=stop_s,
                sent_bytes=sent + amount,
            )  # fmt: skip
        if takes_s >= last_s * (1 - SETTLED) and now >= case.limits[-1][0]:
            break
        last_s = takes_s
        iterations.append(Sent(len(iterations) + 1, now, now + takes_s, pages, 0.0, 0.0))
        now += takes_s
        sent += amount
        pages = case.written(takes_s)
        amount = pages * case.again_page_bytes
    return Path(
        end="never", iterations=tuple(iterations), count=len(iterations), sending_s=now,
        downtime_s=None, network_s=None, sent_bytes=sent,
    )  # fmt: skip


def _limit_s(case: Case, now_s: float) -> float:
    return [limit for at, limit in case.limits if at <= now_s][-1]
