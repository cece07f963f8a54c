"""Runs that are over, as HTML: how one ended, in a sentence, and the main numbers of all.

Pure: runs in, escaped HTML out. Imports neither IPython nor ipywidgets.
"""

from __future__ import annotations

import pandas as pd

from migrationlab.runs.run import Outcome, Run, Runs
from migrationlab.widgets import markup


def verdict(run: Run) -> str:
    """Say how a run ended."""
    seconds = run.summary()["call_ms"] / 1000
    words = {
        Outcome.COMPLETED: f"completed in {seconds:.1f} s: it {_arrived(run)}",
        Outcome.CANCELLED: f"cancelled after {seconds:.1f} s",
        Outcome.TIMED_OUT: f"stopped at its deadline, after {seconds:.1f} s",
        Outcome.DIVERGED: f"given up after {seconds:.1f} s, as it got nowhere",
        Outcome.INTERRUPTED: f"interrupted in post-copy, after {seconds:.1f} s",
        Outcome.FAILED: f"failed after {seconds:.1f} s",
    }
    text = f"{run.guest['name']}: {words[run.outcome]}"
    # What does not run anywhere has nowhere to go on.
    if run.outcome is not Outcome.COMPLETED and not run.plan.offline:
        there = run.found_at
        text += f"; it goes on at {there}" if there else "; nobody knows where it is"
    if run.guest_check is not None:
        intact = "intact" if run.guest_check["intact"] else "DAMAGED"
        blocks = " and block" if run.guest_check.get("disk_blocks") else ""
        text += f". Every page{blocks} that it writes was checked: {intact}"
    hint = ""
    if run.outcome in {Outcome.FAILED, Outcome.INTERRUPTED} and run.error is not None:
        hint = " ".join(filter(None, (run.error.text, run.error.hint)))
    bad = "DAMAGED" in text or run.outcome not in {Outcome.COMPLETED, Outcome.CANCELLED}
    return markup.status(f"{text}.", hint=hint, bad=bad)


def _arrived(run: Run) -> str:
    """Say how a guest that was migrated is at the destination."""
    there = run.destination["name"]
    state = "running" if run.domain_states is None else run.domain_states["destination"]
    words = {"running": "runs on", "paused": "is paused on", "shut off": "is defined on"}
    return f"{words.get(state, 'went to')} {there}"


def table(runs: Runs) -> str:
    """Give the runs' main numbers, the newest run first."""
    frame = runs.frame().iloc[::-1]

    def number(column: str, unit: float = 1) -> pd.Series[float]:
        return frame[column].astype("Float64").astype("float64") / unit

    shown = pd.DataFrame(
        {
            "mode": frame["mode"],
            "from": frame["source"],
            "to": frame["destination"],
            "outcome": frame["outcome"],
            "call s": number("call_ms", 1000),
            "downtime reported, ms": number("downtime_reported_ms"),
            "event, ms": number("downtime_event_ms"),
            "network, ms": number("downtime_network_ms"),
            "sent, MiB": number("transferred_bytes", 2**20),
            "passes": number("iterations"),
        }
    )
    text = shown.to_html(
        index=False,
        na_rep="–",
        formatters={"call s": "{:.2f}".format},
        float_format="{:.0f}".format,
        border=0,
    )
    # Jupyter's own class for tables.
    return f'<div class="jp-RenderedHTMLCommon" style="overflow-x:auto">{text}</div>'
