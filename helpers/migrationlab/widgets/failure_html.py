"""A attempt as HTML: what was broken, what became of the guest, what the logs got of it.

Pure: records in, escaped HTML out. Imports neither libvirt nor IPython nor ipywidgets.
"""

from __future__ import annotations

import html

from migrationlab.course.attempts import Attempt, AttemptStage
from migrationlab.explain.explanation import Explanation
from migrationlab.widgets import markup

#: How far an attempt came, for people.
STAGES = {
    AttemptStage.CONNECTING: "no migration began: the hosts could not even be connected",
    AttemptStage.MIGRATING: "the migration failed",
    AttemptStage.COMPLETED: "the migration completed: in this mode nothing depends on what was broken",
}


def how(attempt: Attempt) -> str:
    """Say in a sentence how an attempt went, and what became of the guest."""
    where = f"runs on {attempt.found_at}" if attempt.found_at else "was found nowhere"
    if attempt.intact is None:
        memory = "its memory could not be checked"
    else:
        memory = "its memory is whole" if attempt.intact else "its memory is DAMAGED"
    stays = "" if attempt.stage is AttemptStage.COMPLETED else "still "
    return (
        f"In {attempt.mode} mode {STAGES[attempt.stage]}. The guest {stays}{where}, and {memory}."
    )


def changed(attempt: Attempt) -> str:
    """Say what is broken in the lab."""
    return markup.note(f"{attempt.title}. {attempt.broken}")


def meaning(found: Explanation | None) -> str:
    """Give an explanation as a table; a sentence where there is no message."""
    if found is None:
        return markup.note("There is no message, and nothing to explain.")
    return f'<div role="status" class="jp-RenderedHTMLCommon">{found._repr_html_()}</div>'


def logged(attempt: Attempt) -> str:
    """Give what the logs got, folded away; nothing where they got nothing."""
    if not attempt.logs:
        return ""
    told = "".join(
        f"<div><b>{html.escape(log.where)}</b></div>"
        '<pre style="white-space:pre-wrap;margin:0 0 0.4em 0">'
        f"{html.escape(chr(10).join(log.lines))}</pre>"
        for log in attempt.logs
    )
    return (
        '<details style="line-height:1.45"><summary>What the logs got meanwhile</summary>'
        f"{told}</details>"
    )
