"""The checks of lesson 05: a plan for half a wire, a sender's idle time, a forecast."""

from __future__ import annotations

import math
from collections.abc import Callable

from migrationlab.analysis.cost import SEGMENT_HEADER_BYTES
from migrationlab.course.feedback import (
    Feedback,
    is_unfinished,
    number_of,
    right,
    unfinished,
    wrong,
)
from migrationlab.forecast.precopy import MIB, PAYLOAD_SHARE
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Run

#: Exercise 1: so much of a wire of 1 Gbit/s may be used.
HALF_MBIT_S = 500
#: Whoever stays below makes the migration slower than it needs to be.
LEAST_MIB_S = 50
#: Exercise 3: what is asked there. The wire would carry far more than the plan allows.
IN_USE_GIB, MEMORY_GIB, LIMIT_MIB_S, WIRE_GBIT_S = 12, 16, 400, 10


def on_the_wire_mbit_s(payload_mib_s: float) -> float:
    """Give what a wire carries for a rate of payload, headers and all."""
    return payload_mib_s * MIB * 8 / 1e6 / PAYLOAD_SHARE


def check_half(answer: object) -> Feedback:
    """Check a plan that is to use at most half of a wire of 1 Gbit/s.

    Args:
        answer: The plan.
    """
    if is_unfinished(answer):
        return unfinished("Put a plan in the place of the dots, as mig.Plan(bandwidth_mib_s=…).")
    if not isinstance(answer, Plan):
        return wrong("That is no plan.", "Write half = mig.Plan(bandwidth_mib_s=…).")
    if problems := answer.problems():
        return wrong(f"This plan cannot work: {problems[0].reason}", problems[0].hint)
    if (limit := answer.bandwidth_mib_s) is None:
        return wrong(
            "This plan sets no limit: it takes what the wire gives.",
            "The setting is called bandwidth_mib_s.",
        )
    if (found := _too_much(limit)) is not None:
        return found
    if limit < LEAST_MIB_S:
        return wrong(
            f"{limit} MiB/s are {on_the_wire_mbit_s(limit):.0f} Mbit/s on the wire: allowed, but "
            "much less than half, so it takes longer than it has to.",
            "A byte has 8 bits: divide by 8 once, and by 2**20.",
        )
    if answer.postcopy and (
        answer.postcopy_bandwidth_mib_s is None or answer.postcopy_bandwidth_mib_s > limit
    ):
        return wrong(
            "Before post-copy this limit holds; in post-copy another one does.",
            "Set postcopy_bandwidth_mib_s too, or leave post-copy out.",
        )
    return right(
        f"{limit} MiB/s are {on_the_wire_mbit_s(limit):.0f} Mbit/s on the wire, headers and all."
    )


def _too_much(limit: int) -> Feedback | None:
    """Say why a limit lets more through than half of the wire; None where it doesn't."""
    used = on_the_wire_mbit_s(limit)
    if used <= HALF_MBIT_S:
        return None
    said = f"{limit} MiB/s are {used:.0f} Mbit/s on the wire: more than {HALF_MBIT_S}."
    if limit >= HALF_MBIT_S:
        return wrong(
            f"{said} The wire is full before that, so it limits nothing.",
            "The wire is in Mbit/s and this limit in MiB/s: divide by 8, and by 2**20 bytes.",
        )
    if limit == math.ceil(HALF_MBIT_S * 1e6 / 8 / MIB):
        return wrong(
            f"{said} That is 59.6 rounded up, and the wire carries headers besides.",
            f"Multiply by the share that is payload, {PAYLOAD_SHARE:.3f}, and round down.",
        )
    if limit * MIB * 8 / 1e6 <= HALF_MBIT_S:
        return wrong(
            f"{said} QEMU counts what it sends, and the wire carries headers besides.",
            f"Multiply by the share that is payload: {PAYLOAD_SHARE:.3f}.",
        )
    if limit <= math.ceil(HALF_MBIT_S / 8):
        return wrong(
            f"{said} 500 Mbit/s are 62.5 MB/s, of 10**6 bytes.", "A MiB is 2**20 bytes, 5 % more."
        )
    if _near(used, 2 * HALF_MBIT_S, 0.1):
        return wrong(f"{said} That is the whole wire.", "Half of 1 Gbit/s is 500 Mbit/s.")
    return wrong(said, "Half of 1 Gbit/s is 500 Mbit/s. Convert that to MiB/s.")


def check_busy(answer: object, run: object = None) -> Feedback:
    """Check for how much of the time a run's sending thread was busy.

    Args:
        answer: The share in percent, as the learner worked it out.
        run: The run.
    """
    if is_unfinished(answer):
        return unfinished("Put a number in the place of the dots, or an expression: a share in %.")
    if not isinstance(run, Run):
        return wrong(
            "The check got no run.", 'Give the run too: lesson.check("busy", busy, plain).'
        )
    if (number := number_of(answer)) is None or number < 0:
        return wrong(f"{answer!r} is no share.", "Write a number of percent, or an expression.")
    shares = _shares(run)
    wanted = shares.get(("source", "qemu", "migration"))
    if wanted is None:
        return wrong(
            "QEMU's threads were not told apart in this run.", "Take the run that is called plain."
        )
    # The table's numbers are rounded where it is shown, and call_ms serves as well as total_ms.
    if _near(number, wanted, 0.15):
        return right(
            f"The thread that sends was busy for {wanted:.1f} % of the time, and waited for the "
            "wire else: a second one would wait with it."
        )
    if _near(number * 100, wanted, 0.15):
        return wrong("That is the share, but not in percent.", "Multiply by 100.")
    if _near(number / 1000, wanted, 0.15) or _near(number * 1000, wanted, 0.15):
        return wrong("That is 1000 times off.", "cpu_s is in seconds, total_ms in milliseconds.")
    nearest = min(shares, key=lambda row: abs(shares[row] - number))
    if _near(number, shares[nearest], 0.03):
        return wrong(
            f"That is the row {', '.join(nearest)}.",
            "Who sends is the source's QEMU, in its threads called migration.",
        )
    return wrong(
        f"It is {'less' if number > wanted else 'more'} than that.",
        "cpu_s of the row source, qemu, migration; over total_ms in seconds; times 100.",
    )


def _shares(run: Run) -> dict[tuple[str, str, str], float]:
    total_ms = run.summary()["total_ms"]
    if not total_ms:
        return {}
    return {
        (str(row.side), str(row.process), str(row.group)): 1e5 * float(row.cpu_s) / total_ms
        for row in run.cost().processors.itertuples()
    }


def check_seconds(answer: object) -> Feedback:
    """Check how long it takes to send 12 GiB at 400 MiB/s.

    Args:
        answer: The time, in seconds.
    """
    if is_unfinished(answer):
        return unfinished("Put a number in the place of the dots: seconds.")
    if (number := number_of(answer)) is None or number <= 0:
        return wrong(f"{answer!r} is no time.", "Write a number of seconds, or an expression.")
    mib = IN_USE_GIB * 1024
    wanted = mib / LIMIT_MIB_S
    if _near(number, wanted, 0.01):
        return right("What is in use, over the slower of limit and wire.")
    raw = WIRE_GBIT_S * 1e9 / 8 / MIB
    mistakes = (
        (MEMORY_GIB * 1024 / LIMIT_MIB_S, "That sends pages of zeros in full.",
         f"Of {MEMORY_GIB} GiB only {IN_USE_GIB} are in use; for the rest marks are sent."),
        (IN_USE_GIB * 1000 / LIMIT_MIB_S, "That counts a GiB as 1000 MiB.", "It is 1024."),
        (IN_USE_GIB * 2**30 / 1e6 / LIMIT_MIB_S, "That counts a MiB as 10**6 bytes.",
         "Both are binary here: 12 GiB are 12 * 1024 MiB."),
        (mib / raw, "That is the wire's time, and the plan allows less than the wire carries.",
         f"{WIRE_GBIT_S} Gbit/s are {raw:.0f} MiB/s. Which of the two is slower?"),
        (mib / raw / PAYLOAD_SHARE,
         "That is the wire's time, and the plan allows less than the wire carries.",
         f"{WIRE_GBIT_S} Gbit/s are {raw:.0f} MiB/s, headers and all. Which of the two is slower?"),
        (mib / LIMIT_MIB_S * 8, "That takes the limit for Mbit/s.", "It is in MiB/s already."),
        (mib / LIMIT_MIB_S / PAYLOAD_SHARE,
         "That takes headers off the limit, which does not count them.",
         f"A limit is of what QEMU sends: only a wire carries the {SEGMENT_HEADER_BYTES} bytes."),
        (wanted * 1000, "That is in milliseconds.", "Wanted are seconds."),
    )  # fmt: skip
    for value, said, hint in mistakes:
        if _near(number, value, 0.001):
            return wrong(said, hint)
    return wrong(
        f"It takes {'less' if number > wanted else 'more'} than that.",
        "MiB to send, over MiB/s; the slower of limit and wire counts.",
    )


def _near(one: float, other: float, tolerance: float) -> bool:
    return math.isclose(one, other, rel_tol=tolerance)


CHECKS: dict[str, Callable[..., Feedback]] = {
    "half": check_half,
    "busy": check_busy,
    "seconds": check_seconds,
}
