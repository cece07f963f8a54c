"""``migrationlab advise``: which plan meets a goal, at what cost for the guest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from migrationlab.cli.forecast import curve_options, memory_of, read_bandwidth, read_curve
from migrationlab.cli.options import Format, answer, format_option


@click.command()
@click.argument("domain", default="DOMAIN")
@curve_options(required=True)
@click.option("--downtime-ms", type=float, required=True, help="The longest downtime.")
@click.option("--within-s", type=float, required=True, help="The longest total time.")
@click.option(
    "--max-slowdown", type=float, default=0.5, show_default=True,
    help="The largest share of the guest's work that may be prevented, 0 to 1.",
)  # fmt: skip
@click.option("--mode", type=click.Choice(["normal", "peer2peer"]), default="normal",
              show_default=True, help="Who controls the migration.")  # fmt: skip
@click.option("--destination", default="DESTINATION", show_default=True,
              help="The destination's host name, for virsh's lines.")  # fmt: skip
@format_option
@click.pass_context
def advise(
    context: click.Context,
    /,
    domain: str,
    curve_file: Path,
    bandwidth_mbit_s: str,
    memory_mib: float | None,
    zero_mib: float | None,
    compression_ratio: float | None,
    vcpu_use: float,
    downtime_ms: float,
    within_s: float,
    max_slowdown: float,
    mode: str,
    destination: str,
    output_format: Format,
) -> None:
    """Advise how to migrate DOMAIN so that its downtime and the total time meet a goal.

    The plans that meet it are listed with their forecasts and virsh lines, the cheapest for the
    guest first. Exit status 1 if none does: the nearest is shown, and what would have to change.
    """
    from migrationlab.forecast.advice import advise as advised
    from migrationlab.plan.plan import Plan
    from migrationlab.plan.uris import Mode

    curve = read_curve(curve_file)
    known: dict[str, Any] = {"vcpu_use": vcpu_use}
    if compression_ratio is not None:
        known["compression_ratio"] = compression_ratio
    found = advised(
        curve, memory_of(curve, memory_mib, zero_mib), read_bandwidth(bandwidth_mbit_s),
        downtime_ms=downtime_ms, within_s=within_s, max_slowdown=max_slowdown,
        plan=Plan(mode=Mode(mode)), domain=domain, destination=destination, **known,
    )  # fmt: skip
    answer(output_format, found.to_dict(), str(found))
    context.exit(0 if found.plans else 1)
