"""Check the exercises of lesson 05: a plan for half a wire, a sender's busy time, a forecast."""

from __future__ import annotations

import math
from collections.abc import Callable

from migrationlab.analysis.cost import SEGMENT_HEADER_BYTES
from migrationlab.course.answers import need, need_number, need_run, refuse_mistakes
from migrationlab.course.feedback import Feedback, Texts, wrong
from migrationlab.course.plan_answers import need_plan
from migrationlab.forecast.precopy import MIB, PAYLOAD_SHARE
from migrationlab.runs.run import Run

#: Exercise 1: the part of a wire of 1 Gbit/s that may be used.
HALF_MBIT_S = 500
#: A lower limit makes the migration slower than it needs to be.
MIN_MIB_S = 50
#: Exercise 3: its numbers. The wire carries far more than the plan allows.
IN_USE_GIB, MEMORY_GIB, LIMIT_MIB_S, WIRE_GBIT_S = 12, 16, 400, 10
say = Texts(
    __file__,
    share=PAYLOAD_SHARE,
    memory_gib=MEMORY_GIB,
    in_use_gib=IN_USE_GIB,
    wire_gbit_s=WIRE_GBIT_S,
    header_bytes=SEGMENT_HEADER_BYTES,
)


def on_the_wire_mbit_s(payload_mib_s: float) -> float:
    """Return the rate on the wire for a rate of payload, headers included."""
    return payload_mib_s * MIB * 8 / 1e6 / PAYLOAD_SHARE


def check_half(answer: object) -> Feedback:
    """Check a plan that uses at most half of a wire of 1 Gbit/s."""
    plan = need_plan(answer, "half")
    if (limit := plan.bandwidth_mib_s) is None:
        return say.wrong("no-limit")
    if (found := _check_too_much(limit)) is not None:
        return found
    used = f"{limit} MiB/s are {on_the_wire_mbit_s(limit):.0f} Mbit/s on the wire"
    if limit < MIN_MIB_S:
        return say.wrong("too-low", used=used)
    if plan.postcopy and (
        plan.postcopy_bandwidth_mib_s is None or plan.postcopy_bandwidth_mib_s > limit
    ):
        return say.wrong("postcopy")
    return say.right("half", used=used)


def _check_too_much(limit: int) -> Feedback | None:
    """Return the feedback on a limit above half of the wire; None for a lower limit."""
    used = on_the_wire_mbit_s(limit)
    if used <= HALF_MBIT_S:
        return None
    fact = f"{limit} MiB/s are {used:.0f} Mbit/s on the wire: more than {HALF_MBIT_S}."
    if limit >= HALF_MBIT_S:
        return say.wrong("no-effect", fact=fact)
    if limit == math.ceil(HALF_MBIT_S * 1e6 / 8 / MIB):
        return say.wrong("rounded-up", fact=fact)
    if limit * MIB * 8 / 1e6 <= HALF_MBIT_S:
        return say.wrong("headers", fact=fact)
    if limit <= math.ceil(HALF_MBIT_S / 8):
        return say.wrong("megabytes", fact=fact)
    if math.isclose(used, 2 * HALF_MBIT_S, rel_tol=0.1):
        return say.wrong("whole-wire", fact=fact)
    return wrong(fact, "Half of 1 Gbit/s is 500 Mbit/s. Convert that to MiB/s.")


def check_busy(answer: object, run: object = None) -> Feedback:
    """Check the share of the time in which a run's sending thread was busy."""
    need(answer, "Put a number in the place of the dots, or an expression: a share in %.")
    run = need_run(run, 'lesson.check("busy", busy, plain)')
    number = need_number(answer, "a share", "Write a number of percent, or an expression.")
    shares = _shares(run)
    wanted = shares.get(("source", "qemu", "migration"))
    if wanted is None:
        return say.wrong("not-measured")
    # A table shows rounded numbers, and call_ms works as well as total_ms.
    if _near(number, wanted):
        return say.right("busy", wanted=wanted)
    if _near(number * 100, wanted):
        return say.wrong("not-percent")
    if _near(number / 1000, wanted) or _near(number * 1000, wanted):
        return say.wrong("thousand")
    nearest = min(shares, key=lambda row: abs(shares[row] - number))
    if _near(number, shares[nearest], 0.03):
        return say.wrong("row", row=", ".join(nearest))
    return say.wrong("busy", what="less" if number > wanted else "more")


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
    """Check the time to send 12 GiB at 400 MiB/s."""
    need(answer, "Put a number in the place of the dots: seconds.")
    how = "Write a number of seconds, or an expression."
    number = need_number(answer, "a time", how, positive=True)
    mib = IN_USE_GIB * 1024
    wanted = mib / LIMIT_MIB_S
    if _near(number, wanted, 0.01):
        return say.right("seconds")
    raw = WIRE_GBIT_S * 1e9 / 8 / MIB
    refuse_mistakes(
        number,
        (
            (MEMORY_GIB * 1024 / LIMIT_MIB_S, say.wrong("seconds-zeros")),
            (IN_USE_GIB * 1000 / LIMIT_MIB_S, say.wrong("seconds-decimal-gib")),
            (IN_USE_GIB * 2**30 / 1e6 / LIMIT_MIB_S, say.wrong("seconds-decimal-mib")),
            (mib / raw, say.wrong("seconds-wire", raw=raw)),
            (
                mib / raw / PAYLOAD_SHARE,
                say.wrong("seconds-wire-headers", raw=raw),
            ),
            (mib / LIMIT_MIB_S * 8, say.wrong("seconds-mbit")),
            (mib / LIMIT_MIB_S / PAYLOAD_SHARE, say.wrong("seconds-headers")),
            (wanted * 1000, say.wrong("seconds-milliseconds")),
        ),
        rel_tol=0.001,
    )
    return say.wrong("seconds", what="less" if number > wanted else "more")


CHECKS: dict[str, Callable[..., Feedback]] = {
    "half": check_half,
    "busy": check_busy,
    "seconds": check_seconds,
}
