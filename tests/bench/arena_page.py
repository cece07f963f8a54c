"""Write data/arena.md and data/figures/arena.png: the recorded arena as a page that can be cited.

``PYTHONPATH=helpers:tests python tests/bench/arena_page.py`` reads data/experiments/policies. It
needs no lab.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from migrationlab import plots
from migrationlab.experiment.contest import forecasts, scene_of
from migrationlab.experiment.experiment import Experiment
from migrationlab.plan.policies.catalog import settings_of
from migrationlab.plots.arena import COLUMNS, title
from migrationlab.report.arena import (
    citation,
    completed_rows,
    duel_rows,
    forecast_rows,
    standing_rows,
    too_few,
    worst_rows,
)
from migrationlab.runs.numbers import UNKNOWN, amount
from paths import DATA

FOLDER = DATA / "experiments" / "policies"
#: What is told of a guest's service.
CLIENTS = {"downtime_service_ms": "service's downtime", "service_p99_ms": "99 % of the latencies"}
PAGE, FIGURE = DATA / "arena.md", DATA / "figures" / "arena.png"


def table(rows: Sequence[Mapping[str, object]], heads: Mapping[str, str]) -> str:
    """Return rows as a table of Markdown, with these columns."""
    lines = [list(heads.values()), ["---"] * len(heads)]
    lines += [[str(row[name]) for name in heads] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def switched_on(recorded: Experiment) -> str:
    """Return what policies set besides the limits that they change."""
    found = {
        str(cell.setting["plan"]): settings_of(cell.plan.policy, cell.plan.policy_options)
        for cell in recorded.cells
    }
    each = [f"{name}: {', '.join(added)}" for name, added in found.items() if added]
    return (
        "Some policies also set other things, which can be the reason for a difference "
        f"({'; '.join(each)})."
    )


def clients(recorded: Experiment) -> Iterator[str]:
    """Yield what the clients of the guests' services noticed, if there are services."""
    served = {cell.name: cell for cell in recorded.cells if cell.workload and cell.workload.service}
    if not served:
        return
    numbers = recorded.summary(list(CLIENTS)).set_index(["cell", "metric"])
    rows = [
        {"scene": scene_of(cell), "contestant": str(cell.setting["plan"])}
        | {metric: spread(metric, numbers.loc[(name, metric)]) for metric in CLIENTS}
        for name, cell in served.items()
    ]
    failed = int(recorded.frame().query("cell in @served")["service_failed"].sum())
    heads = {"scene": "guest", "contestant": "policy"} | CLIENTS
    yield (
        "## What the clients of the service noticed\n\nMedians of the completed migrations, with "
        "95 % intervals. Latencies are of the requests that were due during the call. "
        f"Requests without an answer: {failed}.\n\n" + table(rows, heads)
    )


def spread(metric: str, row: pd.Series) -> str:
    """Return a median with its interval and n, as the page has them."""
    if not row["n"]:
        return UNKNOWN
    ends = [] if pd.isna(row["low"]) else [amount(metric, row["low"]), amount(metric, row["high"])]
    within = f" ({' to '.join(ends)})" if ends else ""
    return f"{amount(metric, row['median'])}{within}, n = {row['n']}"


def page(recorded: Experiment) -> Iterator[str]:
    """Yield the parts of the page."""
    found = recorded.arena()
    many = f"{len(found.contestants)} policies on {len(found.scenes)} guests"
    yield f"# The arena: {many}\n\n**{title(found)}.**"
    yield f"![{title(found)}: a panel for each guest and number](figures/{FIGURE.name})"
    yield (
        f"Each policy migrated each guest {found.blocks} times, in blocks of random order. The "
        "design, with the reasons for its settings, is "
        "[experiments/policies.toml](experiments/policies.toml); the runs are beside it. A "
        "migration that did not complete counts as worse than each one that did. *Regret* is a "
        "median minus the lowest one on that guest, which is the best policy in hindsight. "
        "*Lost work* is the time that the guest would have needed, at its usual rate, for what it "
        "did not write from the first iteration until the migration was complete. Intervals are "
        "of 95 %, by bootstrap over blocks; `best` is the share of resamples in which the policy "
        "was the best one. Guests are small and emulated, hosts share two processors, and the "
        "times of the policies are scaled to the guests. So this compares rules on these guests, "
        f"and says nothing about a platform as a whole. {switched_on(recorded)}"
    )
    names = {"scene": "guest", "contestant": "policy"}
    heads = names | {"count": "completed", "interval": "share, 95 %"}
    yield "## Completed\n\n" + table(completed_rows(found), heads)
    for metric, (words, *_) in COLUMNS.items():
        heads = names | {
            "median": "median", "interval": "interval", "regret": "regret",
            "regret_interval": "interval", "best": "best",
        }  # fmt: skip
        yield f"## By {words}\n\n" + table(standing_rows(found, metric), heads)
        heads = {"contestant": "policy", "regret": "worst regret", "interval": "interval",
                 "scene": "on"}  # fmt: skip
        yield table(worst_rows(found, metric), heads)
        duels = duel_rows(found, metric)
        differ = found.duels.query("metric == @metric and p_adjusted < 0.05")
        few = " With so many comparisons, so few blocks cannot show that any pair differs."
        yield (
            f"{len(differ)} of {len(duels)} pairs differ (adjusted p below 0.05)."
            f"{few if too_few(found, metric) else ''}"
        )
    yield from clients(recorded)
    heads = names | {
        "ends": "forecast: completes", "completed": "measured", "total": "total, forecast",
        "measured_total": "measured", "downtime": "downtime, forecast",
        "measured_downtime": "measured",
    }  # fmt: skip
    yield (
        "## Forecast beside measured\n\nThe forecasts were stored before the first run. Their "
        "intervals are meant to hold 90 %. They know what the guest's workload writes, and not "
        "what its service writes. Measured are the medians of the completed runs.\n\n"
        + table(forecast_rows(forecasts(recorded)), heads)
    )
    limits = "\n".join(f"- {each}" for each in recorded.warnings())
    yield f"## Limits\n\n{limits}"
    yield (
        f"## Cite\n\n{citation(recorded)}\n\n`migrationlab report data/experiments/policies -o "
        "arena.html` makes the whole report, with all pairs and runs."
    )


def text(recorded: Experiment) -> str:
    """Return the page."""
    return "\n\n".join(page(recorded)) + "\n"


def main() -> None:
    """Write the page and the figure."""
    recorded = Experiment.load(FOLDER)
    plots.arena(recorded.arena()).save(FIGURE)
    PAGE.write_text(text(recorded), encoding="utf-8")


if __name__ == "__main__":
    main()
