"""The checks of lesson 05: a plan for half a wire, a sender's idle time, a forecast."""

from __future__ import annotations

import math
from collections.abc import Callable

from migrationlab.analysis.cost import SEGMENT_HEADER_BYTES
from migrationlab.course.answers import need, need_number, need_plan, need_run, refuse_mistakes
from migrationlab.course.feedback import Feedback, right, wrong
from migrationlab.forecast.precopy import MIB, PAYLOAD_SHARE
from migrationlab.runs.run import Run

#: Exercise 1: the part of a wire of 1 Gbit/s that may be used.
HALF_MBIT_S = 500
#: A lower limit makes the migration slower than it needs to be.
MIN_MIB_S = 50
#: Exercise 3: its numbers. The wire carries far more than the plan allows.
IN_USE_GIB, MEMORY_GIB, LIMIT_MIB_S, WIRE_GBIT_S = 12, 16, 400, 10


def on_the_wire_mbit_s(payload_mib_s: float) -> float:
    """Return what a wire carries for a rate of payload, headers included."""
    return payload_mib_s * MIB * 8 / 1e6 / PAYLOAD_SHARE


def check_half(answer: object) -> Feedback:
    """Check a plan that uses at most half of a wire of 1 Gbit/s.

    Args:
        answer: The plan.
    """
    plan = need_plan(answer, "half")
    if problems := plan.problems():
        return wrong(f"This plan cannot work: {problems[0].reason}", problems[0].hint)
    if (limit := plan.bandwidth_mib_s) is None:
        return wrong(
            "This plan sets no limit: it takes what the wire gives.",
            "Use the setting bandwidth_mib_s.",
        )
    if (found := _check_too_much(limit)) is not None:
        return found
    used = f"{limit} MiB/s are {on_the_wire_mbit_s(limit):.0f} Mbit/s on the wire"
    if limit < MIN_MIB_S:
        return wrong(
            f"{used}: allowed, but much less than half, so it takes longer than it has to.",
            "A byte has 8 bits: divide by 8 once, and by 2**20.",
        )
    if plan.postcopy and (
        plan.postcopy_bandwidth_mib_s is None or plan.postcopy_bandwidth_mib_s > limit
    ):
        return wrong(
            "This limit holds before post-copy; in post-copy another one does.",
            "Set postcopy_bandwidth_mib_s too, or leave post-copy out.",
        )
    return right(f"{used}, headers included.")


def _check_too_much(limit: int) -> Feedback | None:
    """Return why a limit lets more through than half of the wire; None where it does not."""
    used = on_the_wire_mbit_s(limit)
    if used <= HALF_MBIT_S:
        return None
    fact = f"{limit} MiB/s are {used:.0f} Mbit/s on the wire: more than {HALF_MBIT_S}."
    if limit >= HALF_MBIT_S:
        return wrong(
            f"{fact} The wire is full before that, so it limits nothing.",
            "The wire is in Mbit/s and this limit in MiB/s: divide by 8, and by 2**20 bytes.",
        )
    if limit == math.ceil(HALF_MBIT_S * 1e6 / 8 / MIB):
        return wrong(
            f"{fact} This is 59.6 rounded up, and the wire carries headers too.",
            f"Multiply by the share that is payload, {PAYLOAD_SHARE:.3f}, and round down.",
        )
    if limit * MIB * 8 / 1e6 <= HALF_MBIT_S:
        return wrong(
            f"{fact} QEMU counts what it sends, and the wire carries headers too.",
            f"Multiply by the share that is payload: {PAYLOAD_SHARE:.3f}.",
        )
    if limit <= math.ceil(HALF_MBIT_S / 8):
        return wrong(
            f"{fact} 500 Mbit/s are 62.5 MB/s, of 10**6 bytes.", "A MiB is 2**20 bytes, 5 % more."
        )
    if math.isclose(used, 2 * HALF_MBIT_S, rel_tol=0.1):
        return wrong(f"{fact} This is the whole wire.", "Half of 1 Gbit/s is 500 Mbit/s.")
    return wrong(fact, "Half of 1 Gbit/s is 500 Mbit/s. Convert that to MiB/s.")


def check_busy(answer: object, run: object = None) -> Feedback:
    """Check for how much of the time a run's sending thread was busy.

    Args:
        answer: The share in percent, as the learner computed it.
        run: The run.
    """
    need(answer, "Put a number in the place of the dots, or an expression: a share in %.")
    run = need_run(run, 'lesson.check("busy", busy, plain)')
    number = need_number(answer, "a share", "Write a number of percent, or an expression.")
    shares = _shares(run)
    wanted = shares.get(("source", "qemu", "migration"))
    if wanted is None:
        return wrong(
            "QEMU's threads were not measured one by one in this run.",
            "Take the run that is called plain.",
        )
    # A table shows rounded numbers, and call_ms works as well as total_ms.
    if _near(number, wanted):
        return right(
            f"The thread that sends was busy for {wanted:.1f} % of the time; the rest of the time "
            "it waited for the wire. A second thread would wait too."
        )
    if _near(number * 100, wanted):
        return wrong("This is the share, but not in percent.", "Multiply by 100.")
    if _near(number / 1000, wanted) or _near(number * 1000, wanted):
        return wrong("This is 1000 times off.", "cpu_s is in seconds, total_ms in milliseconds.")
    nearest = min(shares, key=lambda row: abs(shares[row] - number))
    if _near(number, shares[nearest], 0.03):
        return wrong(
            f"This is the row {', '.join(nearest)}.",
            "The source's QEMU sends, in its threads called migration.",
        )
    return wrong(
        f"It is {'less' if number > wanted else 'more'} than that.",
        "cpu_s of the row source, qemu, migration; over total_ms in seconds; times 100.",
    )


def _near(one: float, other: float, tolerance: float = 0.15) -> bool:
    return math.isclose(one, other, rel_tol=tolerance)


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
    need(answer, "Put a number in the place of the dots: seconds.")
    how = "Write a number of seconds, or an expression."
    number = need_number(answer, "a time", how, positive=True)
    mib = IN_USE_GIB * 1024
    wanted = mib / LIMIT_MIB_S
    if _near(number, wanted, 0.01):
        return right("What is in use, over the slower of limit and wire.")
    raw = WIRE_GBIT_S * 1e9 / 8 / MIB
    of_wire = "This is the wire's time, and the plan allows less than the wire carries."
    rate = f"{WIRE_GBIT_S} Gbit/s are {raw:.0f} MiB/s"
    refuse_mistakes(
        number,
        (
            (MEMORY_GIB * 1024 / LIMIT_MIB_S, "This sends pages of zeros in full.",
             f"Of {MEMORY_GIB} GiB only {IN_USE_GIB} are in use; for the rest marks are sent."),
            (IN_USE_GIB * 1000 / LIMIT_MIB_S, "This counts a GiB as 1000 MiB.", "It is 1024."),
            (IN_USE_GIB * 2**30 / 1e6 / LIMIT_MIB_S, "This counts a MiB as 10**6 bytes.",
             "Both are binary here: 12 GiB are 12 * 1024 MiB."),
            (mib / raw, of_wire, f"{rate}. Which of the two is slower?"),
            (mib / raw / PAYLOAD_SHARE, of_wire,
             f"{rate}, headers included. Which of the two is slower?"),
            (mib / LIMIT_MIB_S * 8, "This takes the limit for Mbit/s.",
             "It is in MiB/s already."),
            (mib / LIMIT_MIB_S / PAYLOAD_SHARE,
             "This takes headers off the limit, which does not count them.",
             f"The limit counts what QEMU sends: the wire adds the {SEGMENT_HEADER_BYTES} bytes."),
            (wanted * 1000, "This is in milliseconds.", "Give seconds."),
        ),
        rel_tol=0.001,
    )  # fmt: skip
    return wrong(
        f"It takes {'less' if number > wanted else 'more'} than that.",
        "MiB to send, over MiB/s; the slower of limit and wire counts.",
    )


CHECKS: dict[str, Callable[..., Feedback]] = {
    "half": check_half,
    "busy": check_busy,
    "seconds": check_seconds,
}
