"""Show an attempt to migrate with a fault in the lab: the fault, the guest afterwards, the logs."""

from __future__ import annotations

from migrationlab.course.attempts import Attempt, AttemptStage
from migrationlab.explain.explanation import Explanation
from migrationlab.widgets.views import messages
from migrationlab.widgets.views.template import fill

#: The stages of an attempt, in words.
STAGES = {
    AttemptStage.CONNECTING: "no migration began: a host could not be connected",
    AttemptStage.MIGRATING: "the migration failed",
    AttemptStage.COMPLETED: "the migration completed: this mode does not depend on the fault",
}


def outcome(attempt: Attempt) -> str:
    """Return the outcome of an attempt, the guest's host, and the state of the guest's memory."""
    still = "" if attempt.stage is AttemptStage.COMPLETED else "still "
    where = f"{still}runs on {attempt.found_at}" if attempt.found_at else "was found on no host"
    memory = {
        True: "its memory is intact",
        False: "its memory is DAMAGED",
        None: "its memory could not be checked",
    }[attempt.intact]
    return f"In {attempt.mode} mode {STAGES[attempt.stage]}. The guest {where}, and {memory}."


def fault(attempt: Attempt) -> str:
    """Return the fault in the lab, in words."""
    return messages.note(f"{attempt.title}. {attempt.broken}")


def meaning(explanation: Explanation | None) -> str:
    """Return an explanation as a table; a sentence if there is no message."""
    if explanation is None:
        return messages.note("There is no message to explain.")
    return fill("explanation.html", explanation=explanation)


def logs(attempt: Attempt) -> str:
    """Return the new lines of the logs, folded; empty if there are none."""
    return fill("attempt_logs.html", logs=attempt.logs) if attempt.logs else ""
