"""``migrationlab dirty-rate``: measure how a domain writes its memory, and keep the curve."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import click

from migrationlab.cli.display import StepDisplay
from migrationlab.cli.options import Format, answer, format_option, output_option
from migrationlab.errors import UsageError
from migrationlab.plan.uris import require_connection_uri
from migrationlab.plan.wording import quote


@click.command(name="dirty-rate")
@click.argument("domain")
@click.option("--on", "host_uri", metavar="URI", required=True, help="The host that it runs on.")
@click.option(
    "--seconds", default="1,2,4,8", show_default=True, metavar="N,…",
    help="The times to measure, in whole seconds.",
)  # fmt: skip
@output_option("The file to write the curve to.", required=True, dir_okay=False)
@format_option
def dirty_rate(
    domain: str, host_uri: str, seconds: str, output: Path, output_format: Format
) -> None:
    """Measure the dirty curve of DOMAIN, a running domain, by libvirt's dirty-rate API.

    It takes as long as the times together, changes nothing, and is refused while the domain
    migrates. Ctrl-C ends it. The curve is for `migrationlab forecast` and `migrationlab advise`.
    """
    from migrationlab.hosts.host import Host
    from migrationlab.migrate.dirty_rate import measure_dirty_rate
    from migrationlab.runs.store import write_file

    require_connection_uri("--on", host_uri)
    times = read_seconds(seconds)
    # Check now, not after the measurement, that the curve can be stored.
    write_file(output.with_name(f".{output.name}.room"), b"").unlink()
    with StepDisplay() as display, closing(Host(host_uri)) as host:
        curve = measure_dirty_rate(domain, host=host, seconds=times, on_step=display)
    write_file(output, curve.to_json().encode())
    record = {"curve": json.loads(curve.to_json()), "file": str(output)}
    answer(output_format, record, f"{curve!r}\n{output}")


def read_seconds(text: str) -> tuple[int, ...]:
    """Return the times of the option ``--seconds``."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise UsageError(
            f"--seconds must be whole numbers with commas between (got {quote(text)})",
            hint="Write --seconds 1,2,4,8",
        ) from None
