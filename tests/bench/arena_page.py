"""Write data/arena.md and data/figures/arena.png: the recorded arena as a page that can be cited.

``PYTHONPATH=helpers:tests python tests/bench/arena_page.py`` reads data/experiments/policies. It
needs no lab.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from migrationlab import plots
from migrationlab.experiment.contest import forecasts
from migrationlab.experiment.experiment import Experiment
from migrationlab.plots.arena import COLUMNS
from migrationlab.report.arena import (
    completed_rows,
    duel_rows,
    forecast_rows,
    section,
    standing_rows,
    too_few,
    worst_rows,
)
from paths import DATA

FOLDER = DATA / "experiments" / "policies"
PAGE, FIGURE = DATA / "arena.md", DATA / "figures" / "arena.png"


def table(rows: Sequence[Mapping[str, object]], heads: Mapping[str, str]) -> str:
    """Return rows as a table of Markdown, with these columns."""
    lines = [list(heads.values()), ["---"] * len(heads)]
    lines += [[str(row[name]) for name in heads] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def page(recorded: Experiment) -> Iterator[str]:
    """Yield the parts of the page."""
    found, about = recorded.arena(mixed=True), section(recorded)
    assert about is not None
    yield f"# The arena: six policies on two guests\n\n**{about['title']}.**"
    yield f"![{about['title']}: a panel for each guest and number](figures/{FIGURE.name})"
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
        "and says nothing about a platform as a whole.\n\n"
        "The guest's program was extended while the arena was recorded (it now times its own "
        "writes): blocks 1 and 2 were made before that, blocks 4 to 6 after it, block 3 partly."
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
    heads = names | {
        "ends": "forecast: completes", "completed": "measured", "total": "total, forecast",
        "measured_total": "measured", "downtime": "downtime, forecast",
        "measured_downtime": "measured",
    }  # fmt: skip
    yield (
        "## Forecast beside measured\n\nThe forecasts were stored before the first run. Their "
        "intervals are meant to hold 90 %; measured are the medians of the completed runs.\n\n"
        + table(forecast_rows(forecasts(recorded)), heads)
    )
    limits = "\n".join(f"- {each}" for each in recorded.warnings())
    yield f"## Limits\n\n{limits}"
    yield (
        f"## Cite\n\n{about['cite']}\n\n`migrationlab report data/experiments/policies -o "
        "arena.html` makes the whole report, with all pairs and runs."
    )


def main() -> None:
    """Write the page and the figure."""
    recorded = Experiment.load(FOLDER)
    plots.arena(recorded.arena(mixed=True)).save(FIGURE)
    PAGE.write_text("\n\n".join(page(recorded)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
