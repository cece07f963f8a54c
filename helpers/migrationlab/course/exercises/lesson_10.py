"""Check the exercises of lesson 10: what is safe, and the moment from which the memory is safe."""

from __future__ import annotations

from collections.abc import Callable

from migrationlab.course.answers import need, need_places, one_of, words_of
from migrationlab.course.feedback import Feedback, Texts
from migrationlab.course.midway import recorded_matrix
from migrationlab.migrate.recovery import Found

PLACES = ("source", "destination", "wait", "lost")
#: What both hosts say in each situation of the exercise: the source, and the destination.
SITUATIONS = {
    "A": (Found("paused", "migrating"), Found("paused", "migrating")),
    "B": (Found("paused", "migrating"), Found("unknown", "no answer")),
    "C": (Found("unknown", dead=True), Found("paused", "migrating", received=True)),
    "D": (Found("paused", "post-copy failed"), Found("absent")),
    "E": (Found("running", "migration canceled"), Found("running", "migrated")),
}
#: Where it is safe to let each guest run.
SAFE = {"A": "source", "B": "wait", "C": "destination", "D": "lost", "E": "wait"}
_HINTS = {
    "A": "In pre-copy the destination's copy has not run. Which copy has all of the memory?",
    "B": "May the guest run on the host that does not answer?",
    "C": "The source's machine was switched off. What does QEMU at the destination have?",
    "D": "In post-copy each side has a part of the memory. Where is the other part?",
    "E": "Both copies have run since. Can you see from here which one is right?",
}
_SYNONYMS = {
    "resume-source": "source", "nobody": "wait", "neither": "wait", "unsure": "wait",
    "unknown": "wait", "refuse": "wait", "look": "wait", "gone": "lost", "none": "lost",
}  # fmt: skip
PHASES = ("begin", "prepare", "perform", "switchover", "finish", "confirm")
say = Texts(__file__, places=", ".join(PLACES), phases=", ".join(PHASES))


def check_safe(answer: object) -> Feedback:
    """Check where it is safe to let the guest of each situation run."""
    places = need_places(answer, tuple(SITUATIONS), "a word for ")
    for name, right in SAFE.items():
        given = one_of(PLACES, places[name], _SYNONYMS)
        if given is None:
            return say.wrong("no-place", name=name, given=places[name])
        if given != right:
            if right == "wait":
                return say.wrong("too-bold", name=name, given=given, hint=_HINTS[name])
            return say.wrong("place", name=name, given=given, hint=_HINTS[name])
    return say.right("safe")


def check_phase(answer: object) -> Feedback:
    """Check the first phase in which the death of the source's QEMU loses no memory."""
    need(answer, "Write the name of a phase in quotes.")
    found = [word for word in words_of(answer) if word in PHASES]
    if len(found) != 1:
        return say.wrong("no-phase", given=answer)
    given, right = found[0], first_safe_phase()
    if given == right:
        return say.right("phase")
    if PHASES.index(given) < PHASES.index(right):
        return say.wrong("phase-early", given=given)
    return say.wrong("phase-late", given=given)


def first_safe_phase() -> str:
    """Return that phase, as the recorded fault matrix has it."""
    rows = recorded_matrix()
    mine = rows[(rows["kind"] == "kill-qemu") & (rows["side"] == "source")]
    kept = set(mine[mine["found_at"] == "destination"]["phase"])
    return next(phase for phase in PHASES if phase in kept)


CHECKS: dict[str, Callable[..., Feedback]] = {"safe": check_safe, "phase": check_phase}
