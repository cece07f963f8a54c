"""The checks of lesson 06: which migrations end, by the model; and a fix, by recorded runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType

from migrationlab.course.answers import is_unfinished, need, need_plan
from migrationlab.course.feedback import Feedback, right, unfinished, wrong
from migrationlab.experiment.experiment import Experiment
from migrationlab.forecast.precopy import MIB, PAYLOAD_SHARE, Precopy
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome

NIGHT_LIMIT_MIB_S = 50
_WEB = Precopy(dirty_mib_s=30, wire_mbit_s=1000, memory_mib=6144, working_set_mib=1024)
#: Exercise 1: the guests of the question. One has a limit of libvirt's, which works like a wire of
#: that rate.
GUESTS: Mapping[str, Precopy] = MappingProxyType(
    {
        "web": _WEB,
        "database": dataclasses.replace(_WEB, dirty_mib_s=150, working_set_mib=2048),
        "counter": dataclasses.replace(_WEB, dirty_mib_s=400, working_set_mib=24),
        "night": dataclasses.replace(
            _WEB, dirty_mib_s=60, wire_mbit_s=NIGHT_LIMIT_MIB_S * MIB * 8 / 1e6 / PAYLOAD_SHARE
        ),
    }
)
_HINTS = {
    "web": "A guest's size decides how long it takes, not whether it ends: compare what is written "
    "with what the wire carries.",
    "database": "Convert the wire to MiB/s, and compare that with what the guest writes.",
    "counter": "How much does the wire carry in 300 ms? The working set is less than that, and no "
    "iteration can find more to send than the working set.",
    "night": "Memory is sent at the slower of wire and limit.",
}

#: Exercise 2: what the fix must reach.
WITHIN_S, MAX_DOWNTIME_MS = 15, 500
#: The recorded fixes that an answer is compared with.
FIXES = {"post-copy", "auto-converge"}
#: The guest and the wire of the recorded experiment.
BUSY = Precopy(dirty_mib_s=80, wire_mbit_s=500)
#: How long it takes to send the working set.
_ITERATION_S = BUSY.working_set_mib / BUSY.bandwidth_mib_s


def check_ends(answer: object) -> Feedback:
    """Check for which guests the migration ends by itself.

    Args:
        answer: True or False by the guests' names.
    """
    need(answer, "Write True or False for each guest.")
    if not isinstance(answer, Mapping):
        return wrong("This is not a dictionary.", "Write ends = {'web': True, …}.")
    if unknown := [str(name) for name in answer if name not in GUESTS]:
        return wrong(f"{unknown[0]} is none of the guests.", f"They are {', '.join(GUESTS)}.")
    if missing := [name for name in GUESTS if is_unfinished(answer.get(name))]:
        return unfinished(f"Write True or False for {', '.join(missing)}.")
    for name, guest in GUESTS.items():
        if not isinstance(answer[name], bool):
            return wrong(
                f"{name}: {answer[name]!r} is neither True nor False.", "Write one of them."
            )
        if answer[name] is not guest.forecast().ends:
            truth = "it does not end" if answer[name] else "it ends"
            return wrong(f"{name}: {truth}.", _HINTS[name])
    return right("All four agree with the model.")


def check_fix(answer: object, fixes: object = None) -> Feedback:
    """Check a plan for a guest that writes faster than its wire carries.

    Args:
        answer: The plan.
        fixes: The recorded experiment of that guest.
    """
    plan = need_plan(answer, "fix")
    if not (isinstance(fixes, Experiment) and {c.name for c in fixes.cells} >= FIXES):
        return wrong(
            "The check did not get the recorded fixes.",
            'Give the experiment too: lesson.check("fix", fix, fixes).',
        )
    if problems := plan.problems():
        return wrong(f"This plan cannot work: {problems[0].reason}", problems[0].hint)
    for limit in (plan.bandwidth_mib_s, plan.postcopy_bandwidth_mib_s):
        if limit is not None and limit < BUSY.bandwidth_mib_s:
            return wrong(
                f"A limit of {limit} MiB/s makes the wire slower.", "Leave the bandwidths out."
            )
    if plan.postcopy:
        return _check_postcopy(plan, fixes)
    return _check_long_downtime(plan) or _check_other(plan, fixes)


def _check_postcopy(plan: Plan, fixes: Experiment) -> Feedback:
    after_iteration, after_s = plan.postcopy_after_iteration, plan.postcopy_after_s
    if after_iteration is None and after_s is None:
        return wrong(
            "This plan makes post-copy possible, but nothing switches to it.",
            "Say when: postcopy_after_iteration=1, or postcopy_after_s=3.",
        )
    if plan.parallel:
        return wrong(
            "The QEMU of these hosts refuses post-copy over parallel connections.",
            "Leave parallel out: one connection carries it.",
        )
    if (limit := plan.max_downtime_ms) is not None and _ends_with(limit):
        return wrong(
            f"With a limit of {limit} ms it ends with a long downtime, before it switches.",
            "Post-copy needs no other limit: leave max_downtime_ms out.",
        )
    total_s, downtime_ms = _recorded(fixes, "post-copy")
    # One more iteration sends the working set once more over the wire.
    times = [] if after_s is None else [after_s]
    if after_iteration is not None:
        times.append(after_iteration * _ITERATION_S)
    if (most := min(WITHIN_S, plan.deadline_s)) < max(min(times) + 2 * _ITERATION_S, total_s):
        return wrong(
            f"This is too late: it must be over within {most:g} s.",
            f"The recorded ones switch after iteration 2, and took {total_s:.1f} s in all.",
        )
    return right(
        f"The recorded ones took {total_s:.1f} s, with a downtime of {downtime_ms:.0f} ms. The "
        "price comes afterwards: until its memory has followed, the guest works more slowly, and "
        "if the source dies just then, the guest is lost."
    )


def _check_long_downtime(plan: Plan) -> Feedback | None:
    """Return what is wrong with a plan that ends by a long downtime; None for other plans."""
    suspends = (plan.suspend_after_iteration, plan.suspend_after_s) != (None, None)
    paused = not plan.live or suspends
    limit = plan.max_downtime_ms
    if limit is None and not paused:
        return None
    needed_ms = 1000 * _ITERATION_S
    if paused or (limit is not None and _ends_with(limit)):
        return wrong(
            f"It ends, but the guest is paused for about {needed_ms:.0f} ms, and not for "
            f"{MAX_DOWNTIME_MS}.",
            "A migration that ends by a pause must send the working set meanwhile.",
        )
    return wrong(
        f"With a limit of {limit} ms it does not end: sending the working set takes "
        f"{needed_ms:.0f} ms.",
        "A limit that is long enough is longer than is allowed here.",
    )


def _check_other(plan: Plan, fixes: Experiment) -> Feedback:
    if plan.auto_converge:
        total_s, _ = _recorded(fixes, "auto-converge")
        if plan.auto_converge_initial_percent or plan.auto_converge_increment_percent:
            return wrong(
                "There is no recorded run of auto-converge with these values: nothing shows that "
                "it is over in time.",
                "One of the recorded fixes reaches what is asked.",
            )
        return wrong(
            f"It ends, but the recorded ones took {total_s:.0f} s, and not {WITHIN_S}.",
            "Throttling begins gently, and QEMU reads the dirty rate twice before each step.",
        )
    if plan.compression is not None:
        return wrong(
            "This guest's memory is encrypted data: compression finds nothing to save.",
            "The recorded ones were fast because of their guest's pages.",
        )
    if plan.parallel:
        return wrong(
            "More connections over a full wire carry no more.", "Here the wire is the limit."
        )
    return wrong(
        "Like the recorded ones without a fix, it does not end.",
        f"The guest writes {BUSY.dirty_mib_s:g} MiB/s, the wire carries "
        f"{BUSY.bandwidth_mib_s:.0f} MiB/s.",
    )


def _ends_with(max_downtime_ms: int) -> bool:
    """Return whether the guest's migration ends by itself with a downtime limit."""
    return dataclasses.replace(BUSY, max_downtime_ms=max_downtime_ms).forecast().ends


def _recorded(fixes: Experiment, cell: str) -> tuple[float, float]:
    """Return a fix's medians: total time in seconds, downtime in ms."""
    frame = fixes.frame()
    ended = frame[(frame["cell"] == cell) & (frame["outcome"] == str(Outcome.COMPLETED))]
    return (
        float(ended["total_ms"].median()) / 1000,
        float(ended["downtime_event_ms"].median()),
    )


CHECKS: dict[str, Callable[..., Feedback]] = {"ends": check_ends, "fix": check_fix}
