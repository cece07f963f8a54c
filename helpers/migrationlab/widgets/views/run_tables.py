"""Show runs in words and tables: the outcome of one, many at a glance, a few side by side.

The tables side by side have a column for each run: the settings and measurements, the downtimes
with their bounds, and the measurements beside the model of pre-copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from migrationlab.forecast.precopy import compare
from migrationlab.plots.picture import OUTCOMES
from migrationlab.runs.numbers import spoken
from migrationlab.runs.run import Outcome, Run, Runs
from migrationlab.widgets.views import messages
from migrationlab.widgets.views.template import fill

#: The outcomes that need no reason: somebody asked for them.
ASKED_FOR = (Outcome.COMPLETED, Outcome.CANCELLED, Outcome.TIMED_OUT, Outcome.DIVERGED)
#: The outcomes whose own words say where the guest is.
SAY_WHERE = (Outcome.COMPLETED, Outcome.GUEST_LOST, Outcome.UNRESOLVED)
#: The metrics of a summary that are compared, in order.
METRICS = (
    "call_ms",
    "iterations",
    "transferred_bytes",
    "throughput_bytes_per_s",
    "downtime_requested_ms",
    "downtime_reported_ms",
    "downtime_event_ms",
    "downtime_network_ms",
    "workload_before_mib_s",
    "workload_sending_mib_s",
)
UNKNOWN = "–"
#: The columns of many runs at a glance: heading, metric, divisor, format.
_OVERVIEW = (
    ("call s", "call_ms", 1000, ".2f"),
    ("downtime reported, ms", "downtime_reported_ms", 1, ".0f"),
    ("event, ms", "downtime_event_ms", 1, ".0f"),
    ("network, ms", "downtime_network_ms", 1, ".0f"),
    ("sent, MiB", "transferred_bytes", 2**20, ".0f"),
    ("iterations", "iterations", 1, ".0f"),
)
#: The rows of a forecast: heading, format, and the columns of ``forecast.precopy.compare``.
_FORECAST = (
    ("sending, from the first byte", "{:.1f} s", "forecast_s", "sending_s"),
    ("iterations", "{:.0f}", "forecast_iterations", "iterations"),
    ("downtime", "{:.0f} ms", "forecast_downtime_ms", "downtime_event_ms"),
)


def verdict(run: Run) -> str:
    """Return a run's outcome as a message."""
    seconds = run.summary()["call_ms"] / 1000
    words = {
        Outcome.COMPLETED: f"completed in {seconds:.1f} s: it {_arrival(run)}",
        Outcome.CANCELLED: f"cancelled after {seconds:.1f} s",
        Outcome.TIMED_OUT: f"stopped at its deadline, after {seconds:.1f} s",
        Outcome.DIVERGED: f"stopped after {seconds:.1f} s, as it made no progress",
        Outcome.INTERRUPTED: f"interrupted in post-copy, after {seconds:.1f} s",
        Outcome.FAILED: f"failed after {seconds:.1f} s",
        Outcome.GUEST_LOST: "libvirt completed the migration, but the guest does not answer",
        Outcome.UNRESOLVED: f"libvirt's call had not returned after {seconds:.1f} s",
    }
    text = f"{run.guest['name']}: {words[run.outcome]}"
    # A domain that runs nowhere does not continue.
    if run.outcome not in SAY_WHERE and not run.plan.offline:
        at = run.found_at
        text += f"; it continues at {at}" if at else "; it was found running on neither host"
    if run.guest_check is not None:
        intact = "intact" if run.guest_check["intact"] else "DAMAGED"
        blocks = " and block" if run.guest_check.get("disk_blocks") else ""
        text += f". Every page{blocks} that it writes was checked: {intact}"
    hint = ""
    if run.outcome not in ASKED_FOR and run.error is not None:
        hint = " ".join(filter(None, (run.error.text, run.error.hint)))
    bad = "DAMAGED" in text or run.outcome not in {Outcome.COMPLETED, Outcome.CANCELLED}
    return messages.status(f"{text}.", hint=hint, bad=bad)


def _arrival(run: Run) -> str:
    """Return the state in which a guest arrived at the destination."""
    state = "running" if run.domain_states is None else run.domain_states["destination"]
    words = {"running": "runs on", "paused": "is paused on", "shut off": "is defined on"}
    return f"{words.get(state, 'went to')} {run.destination['name']}"


def overview(runs: Runs) -> str:
    """Return the main numbers of runs, a row for each run, the newest first."""
    rows = []
    for number, run in reversed(list(enumerate(runs, 1))):
        summary = run.summary()
        settings = [str(run.plan.mode), run.source["name"], run.destination["name"]]
        numbers = [
            _known(summary[metric], unit, f"{{:{form}}}") for _, metric, unit, form in _OVERVIEW
        ]
        rows.append((str(number), [*settings, str(run.outcome), *numbers]))
    columns = ["mode", "from", "to", "outcome", *(heading for heading, *_ in _OVERVIEW)]
    return fill("table.html", caption="The runs, the newest first", columns=columns, rows=rows)


def label(number: int, run: Run) -> str:
    """Return a run's label in a list: number, mode, outcome, main settings, and duration."""
    parts = [f"{number}", str(run.plan.mode), OUTCOMES[run.outcome].lower()]
    if run.guest.get("dirty_mib_s") is not None:
        parts.append(f"{run.guest['dirty_mib_s']} MiB/s written")
    if run.wire is not None:
        parts.append(_wire(run))
    return " · ".join([*parts, f"{(run.returned_ns - run.called_ns) / 1e9:.1f} s"])


def numbers(runs: Mapping[int, Run]) -> str:
    """Return settings and measurements, a column for each run, by its number in the list."""
    rows = [
        ("mode", [str(run.plan.mode) for run in runs.values()]),
        ("outcome", [OUTCOMES[run.outcome].lower() for run in runs.values()]),
        ("way", [f"{run.source['name']} → {run.destination['name']}" for run in runs.values()]),
        ("guest", [_guest(run) for run in runs.values()]),
        ("wire", [_wire(run) for run in runs.values()]),
    ]
    summaries = [run.summary() for run in runs.values()]
    for metric in METRICS:
        words, unit, divisor = spoken(metric)
        rows.append((words, [_number(summary[metric], divisor, unit) for summary in summaries]))
    rows[5:] = [row for row in rows[5:] if set(row[1]) != {UNKNOWN}]
    intact = {True: "yes", False: "NO", None: UNKNOWN}
    rows.append(("memory intact", [intact[summary["guest_intact"]] for summary in summaries]))
    return _side_by_side("What was set, and what was measured", list(runs), rows)


def downtimes(runs: Mapping[int, Run]) -> str:
    """Return each run's downtimes with their bounds and methods, a column for each run."""
    tables = [run.timeline().downtimes.set_index("kind") for run in runs.values()]
    rows = []
    for kind in map(str, tables[0].index):
        methods = dict.fromkeys(str(each.loc[kind, "method"]) for each in tables)
        values = [_downtime(each.loc[kind]) for each in tables]
        rows.append((f"{kind}: {' or '.join(methods)}", values))
    return _side_by_side("Downtimes, and how far off each may be", list(runs), rows)


def forecasts(runs: Sequence[Run], memory_mib: float, caption: str) -> str:
    """Return the measurements of runs beside the forecasts of the pre-copy model.

    ``memory_mib`` is the memory in use in their guest.
    """
    records = list(compare(runs, memory_mib).to_dict(orient="records"))
    ends = {True: "it ends in time", False: "it does not end in time"}
    rows = [
        ("written", [f"{one['dirty_mib_s']:g} MiB/s" for one in records]),
        ("wire", [f"{one['wire_mbit_s']:g} Mbit/s" for one in records]),
        ("outcome", [
            f"{OUTCOMES[Outcome(one['outcome'])].lower()} (the model: {ends[one['forecast_ends']]})"
            for one in records
        ]),
    ]  # fmt: skip
    for words, form, forecast, measured in _FORECAST:
        values = []
        for one in records:
            did, said = (_known(one[name], 1, form) for name in (measured, forecast))
            values.append(did if said == UNKNOWN else f"{did} (the model: {said})")
        if set(values) != {UNKNOWN}:
            rows.append((words, values))
    return _side_by_side(caption, range(1, len(records) + 1), rows)


def _side_by_side(
    caption: str, numbers: Sequence[int], rows: Sequence[tuple[str, list[str]]]
) -> str:
    columns = [f"run {number}" for number in numbers]
    return fill("table.html", caption=caption, columns=columns, rows=rows)


def _known(value: float | None, divisor: float, form: str) -> str:
    return UNKNOWN if value is None or pd.isna(value) else form.format(value / divisor)


def _downtime(row: pd.Series) -> str:
    if pd.isna(row["downtime_ms"]):
        return f"{UNKNOWN} ({row['reason']})"
    value, low, high = row["downtime_ms"], row["low_ms"], row["high_ms"]
    if pd.isna(low) or pd.isna(high):
        return f"{value:.0f} ms ({row['reason']})"
    if low == high:
        return f"{value:.0f} ms"
    digits = 0 if high - low >= 2 else 3
    return f"{value:.{digits}f} ms ({low:.{digits}f} to {high:.{digits}f})"


def _number(value: float | None, divisor: int, unit: str) -> str:
    if unit == "ms" and value is not None and value >= 1000:
        return _known(value, 1000, "{:.2f} s")
    return _known(value, divisor, f"{{:.0f}} {unit}").rstrip()


def _guest(run: Run) -> str:
    guest = run.guest
    if "working_set_mib" not in guest:
        return str(guest["name"])
    rate = guest["dirty_mib_s"]
    return f"{guest['memory_mib']} MiB, {guest['working_set_mib']} of them written at {rate} MiB/s"


def _wire(run: Run) -> str:
    if run.wire is None:
        return UNKNOWN
    rate, back = run.wire["rate_mbit_s"], run.wire.get("back_mbit_s")
    said = "no limit" if rate is None else f"{rate:.0f} Mbit/s"
    return said if back is None else f"{said}, back {back:.0f} Mbit/s"
