"""The checks of lesson 06: which migrations end, by the model; and a remedy, by recorded runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType

from migrationlab.course.feedback import Feedback, is_unfinished, right, unfinished, wrong
from migrationlab.experiment.experiment import Experiment
from migrationlab.forecast.precopy import MIB, PAYLOAD_SHARE, Precopy
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome

NIGHT_LIMIT_MIB_S = 50
_WEB = Precopy(dirty_mib_s=30, wire_mbit_s=1000, memory_mib=6144, working_set_mib=1024)
#: Exercise 1: the guests that are asked about. One has a limit of libvirt's: as good as a wire of
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
    "pass can find more to send than the working set.",
    "night": "It is sent at the slower of wire and limit.",
}

#: Exercise 2: what is demanded of the remedy.
WITHIN_S, STANDSTILL_MS = 15, 500
#: The recorded remedies that an answer is held against.
REMEDIES = {"post-copy", "auto-converge"}
#: The guest and the wire of the recorded experiment.
BUSY = Precopy(dirty_mib_s=80, wire_mbit_s=500)


def check_ends(answer: object) -> Feedback:
    """Check of which guests the migration ends by itself.

    Args:
        answer: True or False by the guests' names.
    """
    if is_unfinished(answer):
        return unfinished("Write True or False for each guest.")
    if not isinstance(answer, Mapping):
        return wrong("That is no dictionary.", "Write ends = {'web': True, …}.")
    if unknown := [str(name) for name in answer if name not in GUESTS]:
        return wrong(f"{unknown[0]} is none of the guests.", f"They are {', '.join(GUESTS)}.")
    if missing := [name for name in GUESTS if is_unfinished(answer.get(name))]:
        return unfinished(f"Write True or False for {', '.join(missing)}.")
    for name, asked in GUESTS.items():
        if not isinstance(answer[name], bool):
            return wrong(
                f"{name}: {answer[name]!r} is neither True nor False.", "Write one of them."
            )
        told = asked.forecast()
        if answer[name] is not told.ends:
            said = "it does not end" if answer[name] else "it ends"
            return wrong(f"{name}: {said}.", _HINTS[name])
    return right("All four, as the model has it, too.")


def check_remedy(answer: object, remedies: object = None) -> Feedback:
    """Check a plan that is to help a guest that writes faster than its wire carries.

    Args:
        answer: The plan.
        remedies: The recorded experiment of that guest.
    """
    if is_unfinished(answer):
        return unfinished("Put a plan in the place of the dots: mig.Plan(…).")
    if not isinstance(answer, Plan):
        return wrong("That is no plan.", "Write remedy = mig.Plan(…).")
    if not (isinstance(remedies, Experiment) and {c.name for c in remedies.cells} >= REMEDIES):
        return wrong(
            "The check did not get the recorded remedies.",
            'Give the experiment too: lesson.check("remedy", remedy, remedies).',
        )
    if problems := answer.problems():
        return wrong(f"This plan cannot work: {problems[0].reason}", problems[0].hint)
    for limit in (answer.bandwidth_mib_s, answer.postcopy_bandwidth_mib_s):
        if limit is not None and limit < BUSY.bandwidth_mib_s:
            return wrong(
                f"A limit of {limit} MiB/s makes the wire slower still.", "Leave bandwidths alone."
            )
    if answer.postcopy:
        return _postcopy(answer, remedies)
    return _standstill(answer) or _other(answer, remedies)


def _postcopy(plan: Plan, remedies: Experiment) -> Feedback:
    after_pass, after_s = plan.postcopy_after_iteration, plan.postcopy_after_s
    if after_pass is None and after_s is None:
        return wrong(
            "This plan makes post-copy possible, and nothing switches to it.",
            "Say when: postcopy_after_iteration=1, or postcopy_after_s=3.",
        )
    if plan.parallel:
        return wrong(
            "The QEMU of these hosts refuses post-copy over parallel connections.",
            "Leave parallel out: one connection carries it.",
        )
    if (limit := plan.max_downtime_ms) is not None and _ends_with(limit):
        return wrong(
            f"With a limit of {limit} ms it ends by a standstill, before it switches.",
            "Post-copy needs no other limit: leave max_downtime_ms out.",
        )
    total_s, still_ms = _recorded(remedies, "post-copy")
    # A pass more is the working set once more, over the wire.
    later = 0.0 if after_pass is None else after_pass * _pass_s()
    begins_s = later if after_s is None else after_s if after_pass is None else min(later, after_s)
    if (most := min(WITHIN_S, plan.deadline_s)) < max(begins_s + 2 * _pass_s(), total_s):
        return wrong(
            f"That is too late: it has to be over within {most:g} s.",
            f"The recorded ones, which switch after pass 2, took {total_s:.1f} s in all.",
        )
    return right(
        f"The recorded ones took {total_s:.1f} s, and the guest stood still for {still_ms:.0f} ms. "
        "It pays afterwards: until its memory has followed it works more slowly, and if the source "
        "dies just then, it is lost."
    )


def _standstill(plan: Plan) -> Feedback | None:
    """Say what is wrong with a plan that ends by letting the guest stand still; None for others."""
    held = (
        not plan.live
        or plan.suspend_after_iteration is not None
        or plan.suspend_after_s is not None
    )
    limit = plan.max_downtime_ms
    if limit is None and not held:
        return None
    needed_ms = 1000 * _pass_s()
    if held or (limit is not None and _ends_with(limit)):
        return wrong(
            f"It ends, but the guest stands still for some {needed_ms:.0f} ms, and not for "
            f"{STANDSTILL_MS}.",
            "Whatever ends by a standstill has to send the working set meanwhile.",
        )
    return wrong(
        f"With a limit of {limit} ms it does not end: sending the working set takes "
        f"{needed_ms:.0f} ms.",
        "And a limit that were long enough is longer than is allowed here.",
    )


def _other(plan: Plan, remedies: Experiment) -> Feedback:
    if plan.auto_converge:
        total_s, _ = _recorded(remedies, "auto-converge")
        if plan.auto_converge_initial_percent or plan.auto_converge_increment_percent:
            return wrong(
                "Of auto-converge with these values there is no recorded run: that it is over in "
                "time is not shown.",
                "One of the recorded remedies does what is asked.",
            )
        return wrong(
            f"It ends, but the recorded ones took {total_s:.0f} s, and not {WITHIN_S}.",
            "Throttling begins gently, and QEMU looks at the dirty rate twice before each step.",
        )
    if plan.compression is not None:
        return wrong(
            "This guest's memory is encrypted data: compression finds nothing to save.",
            "That the recorded ones were fast was due to their guest's pages.",
        )
    if plan.parallel:
        return wrong(
            "More connections over a full wire carry no more.", "The wire is what limits here."
        )
    return wrong(
        "As the recorded ones without a remedy, it does not end.",
        f"The guest writes {BUSY.dirty_mib_s:g} MiB/s, the wire carries "
        f"{BUSY.bandwidth_mib_s:.0f} MiB/s.",
    )


def _ends_with(max_downtime_ms: int) -> bool:
    """Tell whether the guest's migration ends by itself with a downtime limit."""
    return dataclasses.replace(BUSY, max_downtime_ms=max_downtime_ms).forecast().ends


def _pass_s() -> float:
    """Give how long it takes to send the working set."""
    return BUSY.working_set_mib / BUSY.bandwidth_mib_s


def _recorded(remedies: Experiment, cell: str) -> tuple[float, float]:
    """Give the medians of a remedy: how many seconds it took, and the standstill in ms."""
    frame = remedies.frame()
    ended = frame[(frame["cell"] == cell) & (frame["outcome"] == str(Outcome.COMPLETED))]
    return (
        float(ended["total_ms"].median()) / 1000,
        float(ended["downtime_event_ms"].median()),
    )


CHECKS: dict[str, Callable[..., Feedback]] = {"ends": check_ends, "remedy": check_remedy}
