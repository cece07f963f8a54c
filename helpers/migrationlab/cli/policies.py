"""``migrationlab policies``: the named policies, what each does, and when.

Nothing is started. The times are those for an imagined guest that never converges.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from migrationlab.cli.options import (
    Format,
    answer,
    format_option,
    output_option,
    text_table,
)
from migrationlab.plan.policies import catalog
from migrationlab.plan.policies.driver import Imagined, imagined

UNTIL_S = 7200.0
#: The width of the longest bar.
BAR = 30


def complete_names(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the policies that start with the typed text, for tab completion."""
    return [name for name in catalog.names() if name.startswith(begun)]


@click.command()
@click.argument("name", required=False, shell_complete=complete_names)
@click.option(
    "--memory-mib", type=click.IntRange(1, 1 << 30), default=2048, show_default=True,
    help="The imagined guest's memory.",
)  # fmt: skip
@click.option(
    "--iteration-s", type=click.FloatRange(0.1, 3600), default=5.0, show_default=True,
    help="The time of one of its iterations.",
)  # fmt: skip
@output_option("Also draw the limit against time, as PNG or SVG.", dir_okay=False)
@format_option
def policies(
    name: str | None,
    memory_mib: int,
    iteration_s: float,
    output: Path | None,
    output_format: Format,
) -> None:
    """List the named policies, or explain the policy NAME and when it acts.

    A policy drives a migration as a cloud platform does: `migrationlab migrate --policy nova`,
    in Python Plan(policy="nova"). The times are for an imagined guest that never converges.
    """
    job = Imagined(memory_mib=memory_mib, iteration_s=iteration_s)
    chosen = list(catalog.names()) if name is None else [catalog.find(name).name]
    if output is not None:
        from migrationlab.plots.policies import policies as drawn

        drawn([each for each in chosen if each != "rules"], job).save(output)
    if name is None:
        records = [catalog.about(each) for each in chosen]
        rows = [["policy", "what it does"]]
        rows += [
            [each["name"], f"{each['meaning'].split('. ')[0].rstrip('.')}."] for each in records
        ]
        answer(output_format, {"policies": records}, text_table(rows, left=2))
        return
    record = catalog.about(name) | {"actions": _actions(name, job)}
    answer(output_format, record, "\n".join(_lines(record, job)))


def _actions(name: str, job: Imagined) -> list[dict[str, Any]]:
    if name == "rules":  # it needs a table of its own
        return []
    found = imagined(catalog.make(name), job, until_s=UNTIL_S)
    return [
        {"at_s": at_s, "action": str(action.kind), "value": action.value, "why": action.why}
        for at_s, action in found
    ]


def _lines(record: dict[str, Any], job: Imagined) -> list[str]:
    options = [["option", "default", "values", "meaning"]]
    options += [
        [each["name"], _word(each["default"]), each["allowed"], each["meaning"]]
        for each in record["options"]
    ]
    adds = ", ".join(f"{key}={_word(value)}" for key, value in record["settings"].items())
    lines = [
        record["name"],
        "",
        record["meaning"],
        f"Source: {record['source']}.",
        "",
        text_table(options, left=4) if record["options"] else "It has no options.",
        "",
        f"adds to the plan   {adds or 'nothing'}",
        "",
    ]
    if not record["actions"]:
        return [*lines, "By its defaults it does nothing to a guest that never converges."]
    lines.append(
        f"for a guest of {job.memory_mib} MiB that never converges, "
        f"with iterations of {job.iteration_s:g} s:"
    )
    longest = max((each["value"] or 1 for each in record["actions"]), default=1)
    rows = [["time", "action", "value", "why", ""]]
    for each in record["actions"]:
        limit = each["action"] == "set_max_downtime"
        value = f"{each['value']} ms" if limit else _word(each["value"])
        bar = _bar(each["value"], longest) if limit else ""
        rows.append([f"{each['at_s']:g} s", each["action"], value, each["why"], bar])
    return [*lines, text_table(rows, left=5)]


def _bar(value: int, longest: int) -> str:
    """Return a bar: its length is the limit's share of the longest, by logarithms if far apart."""
    if longest <= 1000 * BAR:
        return "#" * max(round(BAR * value / longest), 1)
    return "#" * max(round(BAR * math.log(value + 1) / math.log(longest + 1)), 1)


def _word(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "+".join(map(str, value)) or "libvirt's default"
    return str(value)
