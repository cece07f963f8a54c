"""``migrationlab battery``: standard comparisons, with their price before they start."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrationlab.cli.display import StepDisplay
from migrationlab.cli.experiment import complete_metrics, result_lines, results
from migrationlab.cli.interrupts import interrupts
from migrationlab.cli.options import Format, answer, format_option, output_option, text_table
from migrationlab.cli.terminal import echo

if TYPE_CHECKING:
    from migrationlab.experiment.battery import Battery
    from migrationlab.experiment.experiment import Experiment


def complete_names(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the batteries that start with the typed text, for tab completion."""
    from migrationlab.experiment.battery import names

    return [name for name in names() if name.startswith(begun)]


@click.command()
@click.argument("name", required=False, shell_complete=complete_names)
@click.option("--dry-run", is_flag=True, help="Print scenarios and cost, and do nothing.")
@click.option("--budget", metavar="TIME", help="The time for all runs, as 20m or 2h.")
@click.option("--repeats", type=click.IntRange(1, 10_000), help="The runs of each scenario.")
@click.option("--small", is_flag=True, help="Take a smaller guest, for a machine without KVM.")
@click.option(
    "--metric", default="total_ms", show_default=True, shell_complete=complete_metrics,
    help="The metric to compare; with --budget, what varies most in it gets more runs.",
)  # fmt: skip
@output_option("The experiment's folder. [default: experiments/NAME]", file_okay=False)
@format_option
@click.pass_context
def battery(
    context: click.Context,
    name: str | None,
    dry_run: bool,
    budget: str | None,
    repeats: int | None,
    small: bool,
    metric: str,
    output: Path | None,
    output_format: Format,
) -> None:
    """List the batteries, or run the battery NAME: the scenarios of a standard comparison.

    It says what it takes before it starts. With --budget as many repeats are planned as the time
    pays: half of them in whole blocks, the rest where --metric then varies most, and no block
    begins that would end later. The same command continues a stopped battery.

    Exit status as that of `migrationlab experiment`; 2 if the budget does not pay one block.
    """
    from migrationlab.experiment import battery as batteries
    from migrationlab.experiment.experiment import Experiment

    if name is None:
        found = [batteries.find(each) for each in batteries.names()]
        rows = [["battery", "about"], *([each.name, each.about] for each in found)]
        answer(
            output_format, {"batteries": [_about(each) for each in found]}, text_table(rows, left=2)
        )
        return
    budget_s = None if budget is None else batteries.read_budget(budget)
    known = Experiment.battery(
        name, repeats=repeats, budget_s=budget_s, small=small, metric=metric, directory=output
    )
    known.require_metric(metric)
    chosen = batteries.find(name, small=small)
    price = _price(chosen, known)
    if dry_run:
        answer(output_format, price, "\n".join(_price_lines(price)))
        return
    echo("\n".join(_price_lines(price, scenarios=False)), err=True)
    # After a Ctrl-C the finished runs are shown.
    with suppress(KeyboardInterrupt), interrupts() as stop, StepDisplay() as display:
        known.run(on_step=display, stop=stop, budget_s=budget_s)
    record = price | results(known, metric, mixed=False)
    record["table"] = _table(chosen, known)
    lines = [known.question, "", *result_lines(record), "", *_scenario_lines(record), ""]
    answer(output_format, record, "\n".join([*lines, f"folder   {known.directory}"]))
    if not known.finished:
        again = f"migrationlab battery {name}"
        echo(f"stopped; `{again}` with the same options continues", err=True)
        context.exit(0 if budget_s is not None and known.measured else 130)


def _about(each: Battery) -> dict[str, Any]:
    return {"name": each.name, "about": each.about, "source": each.source,
            "left_out": dict(each.left_out)}  # fmt: skip


def _table(chosen: Battery, known: Experiment) -> list[dict[str, Any]]:
    """Return a row for each scenario: what was measured, or why it cannot be."""
    from migrationlab.experiment.battery import scenarios

    return [asdict(each) | {"text": each.text} for each in scenarios(chosen, known)]


def _price(chosen: Battery, known: Experiment) -> dict[str, Any]:
    from migrationlab.experiment.allocated import weakest
    from migrationlab.experiment.battery import cost

    repeats, allocation = known.repeats(), known.design.allocation
    shown = cost(known.design)
    if len(set(repeats.values())) > 1:
        shown = replace(shown, shows=weakest(repeats))
    cells = [
        {
            "name": cell.name,
            "plan": cell.plan.to_dict(),
            "setting": dict(cell.setting),
            "repeats": repeats[cell.name],
        }
        for cell in known.cells
    ]
    return _about(chosen) | {
        "question": known.question,
        "scenarios": cells,
        "table": _table(chosen, known),
        "repeats": known.design.repeats,
        "left": len(known.left),
        "allocate": None if allocation is None else asdict(allocation),
        "cost": asdict(shown),
    }


def _price_lines(price: dict[str, Any], *, scenarios: bool = True) -> list[str]:
    from migrationlab.runs.numbers import lasting

    cost = price["cost"]
    pending = price["allocate"] and len({each["repeats"] for each in price["scenarios"]}) == 1
    equal = ", if all get equally many" if pending else ""
    head = [price["question"], f"source   {price['source']}", "", *_scenario_lines(price), ""]
    return [
        *(head if scenarios else []),
        *_runs_lines(price),
        f"takes    about {lasting(cost['total_s'])}; a block {lasting(cost['block_s'])}",
        f"sends    at most {cost['traffic_bytes'] / 2**30:.1f} GiB",
        f"stores   about {1 + (cost['disk_bytes'] >> 20)} MiB",
        f"shows    differences from {100 * cost['shows']:.0f} % of pairs on (power 80 %){equal}",
    ]


def _runs_lines(price: dict[str, Any]) -> list[str]:
    planned = [each["repeats"] for each in price["scenarios"]]
    fewest, most, allocate = min(planned), max(planned), price["allocate"]
    of_each = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    line = f"runs     {sum(planned)}: {of_each} of each scenario"
    if allocate is None or fewest != most:
        return [line]
    further = price["repeats"] * len(planned) - sum(planned)
    return [
        f"{line} in whole blocks, then about {further} more, where",
        f"         {allocate['metric']} varies most for the time that a run takes",
    ]


def _scenario_lines(price: dict[str, Any]) -> list[str]:
    rows = [["scenario", "measured"], *([each["name"], each["text"]] for each in price["table"])]
    return [text_table(rows, left=2)]
