"""``migrationlab advise``: which plan meets a goal, at what cost for the guest."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrationlab.cli.display import StepDisplay
from migrationlab.cli.forecast import (
    constants_of,
    curve_options,
    memory_of,
    read_bandwidth,
    read_curve,
)
from migrationlab.cli.options import Format, answer, format_option
from migrationlab.cli.terminal import echo
from migrationlab.errors import UsageError
from migrationlab.plan.uris import require_connection_uri

if TYPE_CHECKING:
    from migrationlab.forecast.curve import DirtyCurve

#: Of a link's speed the migration's data gets between these shares: headers take 4 %.
SHARES = (0.8, 0.956)


@click.command()
@click.argument("domain", default="DOMAIN")
@click.option("--from", "source", metavar="URI", help="The source host, to measure there.")
@click.option("--to", "to", metavar="URI", help="The destination host.")
@curve_options(required=False)
@click.option("--downtime-ms", type=float, required=True, help="The longest downtime.")
@click.option("--within-s", type=float, required=True, help="The longest total time.")
@click.option(
    "--max-slowdown", type=float, default=0.5, show_default=True,
    help="The largest share of the guest's work that may be prevented, 0 to 1.",
)  # fmt: skip
@click.option("--mode", type=click.Choice(["normal", "peer2peer"]), default="normal",
              show_default=True, help="Who controls the migration.")  # fmt: skip
@click.option(
    "--destination", help="Its name for virsh's lines. [default: that of --to, or DESTINATION]"
)
@format_option
@click.pass_context
def advise(
    context: click.Context,
    /,
    domain: str,
    source: str | None,
    to: str | None,
    curve_file: Path | None,
    bandwidth_mbit_s: str | None,
    memory_mib: float | None,
    zero_mib: float | None,
    compression_ratio: float | None,
    vcpu_use: float,
    constants_file: Path | None,
    downtime_ms: float,
    within_s: float,
    max_slowdown: float,
    mode: str,
    destination: str | None,
    output_format: Format,
) -> None:
    """Advise how to migrate DOMAIN so that its downtime and the total time meet a goal.

    With --from and --to it measures the domain for 15 s, and takes the bandwidth from the hosts'
    links unless it is given. With --curve nothing is measured. The plans that meet the goal are
    listed with their forecasts and virsh lines, the cheapest for the guest first. Exit status 1 if
    none does: the nearest is shown, and what would have to change.
    """
    from migrationlab.forecast.advice import advise as advised
    from migrationlab.plan.plan import Plan
    from migrationlab.plan.uris import Mode

    link = None if bandwidth_mbit_s is None else read_bandwidth(bandwidth_mbit_s)
    if curve_file is not None:
        curve = read_curve(curve_file)
    else:
        curve, found_link, there = _measured(domain, source, to)
        link, destination = link or found_link, destination or there
    if link is None:
        raise UsageError(
            "--bandwidth-mbit-s must be given: the hosts report no speed of their links (got none)",
            hint="Give what the migration's data gets, such as --bandwidth-mbit-s 950",
        )
    known: dict[str, Any] = {"vcpu_use": vcpu_use, "constants": constants_of(constants_file)}
    if compression_ratio is not None:
        known["compression_ratio"] = compression_ratio
    found = advised(
        curve, memory_of(curve, memory_mib, zero_mib), link,
        downtime_ms=downtime_ms, within_s=within_s, max_slowdown=max_slowdown,
        plan=Plan(mode=Mode(mode)), domain=domain,
        destination=destination or "DESTINATION", **known,
    )  # fmt: skip
    answer(output_format, found.to_dict(), str(found))
    context.exit(0 if found.plans else 1)


def _measured(
    domain: str, source: str | None, destination: str | None
) -> tuple[DirtyCurve, tuple[float, float] | None, str]:
    """Return a domain's curve, the bandwidth between two hosts, and the destination's name."""
    from migrationlab.hosts.host import Host
    from migrationlab.hosts.links import fastest_link_mbit_s
    from migrationlab.migrate.dirty_rate import measure_dirty_rate

    if source is None or destination is None:
        raise UsageError(
            "--curve, or --from and --to, must be given (got neither)",
            hint="Write --curve FILE, or --from URI --to URI",
        )
    require_connection_uri("--from", source)
    require_connection_uri("--to", destination)
    with (
        StepDisplay() as display, closing(Host(source)) as here, closing(Host(destination)) as there
    ):  # fmt: skip
        speeds = [fastest_link_mbit_s(host) for host in (here, there)]
        curve = measure_dirty_rate(domain, host=here, on_step=display)
        name = there.name
    known = [speed for speed in speeds if speed is not None]
    if len(known) < 2:
        return curve, None, name
    speed = min(known)
    echo(f"bandwidth: {SHARES[0]:.0%} to {SHARES[1]:.1%} of the links' {speed:g} Mbit/s", err=True)
    return curve, (SHARES[0] * speed, SHARES[1] * speed), name
