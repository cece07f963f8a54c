"""``migrationlab migrate``: run one real migration, show its progress, and store the run."""

from __future__ import annotations

import threading
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrationlab.cli.display import StepDisplay
from migrationlab.cli.interrupts import held, interrupts
from migrationlab.cli.options import Format, answer, format_option, output_option
from migrationlab.cli.plan_options import PlanCommand, plan_from, plan_options
from migrationlab.cli.runs import table
from migrationlab.cli.terminal import echo
from migrationlab.errors import UsageError
from migrationlab.plan.uris import require_connection_uri

if TYPE_CHECKING:
    from migrationlab.explain.explanation import Explanation
    from migrationlab.migrate.migration import Migration
    from migrationlab.runs.run import Run

POLL_S = 0.1
#: More than a run needs.
ROOM_BYTES = 1 << 20
#: libvirt's ``VIR_ERR_OPERATION_ABORTED``.
ABORTED = 78
#: The description of a cancelled run. libvirt's error would hide the user's request.
_CANCELLED = {
    "cancelled": "cancelled",
    "timed_out": "cancelled: it did not complete within the deadline (--deadline-s)",
}


@click.command(cls=PlanCommand)
@click.argument("domain")
@click.option("--from", "source", metavar="URI", required=True, help="The source host.")
@click.option("--to", "destination", metavar="URI", required=True, help="The destination host.")
@click.option(
    "--probe", metavar="ADDRESS", help="Ping the guest at this address during the migration."
)
@output_option("The folder to store the run in.", default="runs", file_okay=False)
@plan_options
@format_option
@click.pass_context
def migrate(
    context: click.Context,
    /,
    domain: str,
    source: str,
    destination: str,
    probe: str | None,
    output: Path,
    output_format: Format,
    **options: Any,
) -> None:
    """Migrate DOMAIN, a name or UUID, and store the measurements as a run.

    The URIs are libvirt's, such as qemu+ssh://root@node1/system, or those that
    `migrationlab lab inspect` prints. Ctrl-C cancels a pre-copy migration: the guest stays at
    the source, and the run is stored.

    Exit status 0 if it completed; 1 if a host refused, it failed, or it reached its deadline; 2
    if the call is wrong, and nothing was started; 130 if Ctrl-C cancelled it.
    """
    from migrationlab.hosts.host import Host
    from migrationlab.migrate.start import start
    from migrationlab.runs.store import save_run, write_file

    require_connection_uri("--from", source)
    require_connection_uri("--to", destination)
    plan = plan_from(options)
    # Check now, not after the migration, that the run can be stored.
    write_file(output / ".room", bytes(ROOM_BYTES)).unlink()
    with (
        interrupts() as stop,
        StepDisplay() as display,
        closing(Host(source)) as here,
        closing(Host(destination)) as there,
        held(stop),  # from here on there is a migration to cancel and a run to store
    ):
        migration = start(domain, source=here, to=there, plan=plan, probe=probe, on_step=display)
        run = _waited(migration, stop)
        kept = save_run(run, output)
    explanation = _explanation(run)
    warnings = [f"warning  {warning}" for warning in run.warnings]
    text = "\n".join([table([run.summary()]), "", *warnings, f"run      {kept}"])
    answer(output_format, _record(run, kept, explanation), text)
    if output_format == "text" and run.error is not None and explanation is not None:
        echo(f"migrationlab: {_CANCELLED.get(run.outcome, run.error.text)}", err=True)
        echo(f"hint: {explanation.fix or run.error.hint}", err=True)
    context.exit({"completed": 0, "cancelled": 130}.get(run.outcome, 1))


def _waited(migration: Migration, stop: threading.Event) -> Run:
    """Wait until a migration is over; only the first Ctrl-C cancels it."""
    asked = False
    while not migration.done:
        if stop.is_set() and not asked:
            asked = True
            _cancel(migration)
        with suppress(TimeoutError):
            migration.wait(POLL_S)
    return migration.wait()


def _cancel(migration: Migration) -> None:
    try:
        migration.cancel()
    except UsageError as error:
        echo(f"it can no longer be cancelled; waiting for its end: {error}", err=True)
    else:
        echo("cancelling; the guest stays at the source", err=True)


def _explanation(run: Run) -> Explanation | None:
    if run.error is None:
        return None
    from migrationlab.explain.explanation import explain

    if run.outcome in _CANCELLED:
        # libvirt's message can be about the connection that ended with it.
        return replace(explain("", code=ABORTED), text=run.error.text)
    return explain(run.error.text, code=run.error.code, domain=run.error.domain)


def _record(run: Run, kept: Path, explanation: Explanation | None) -> dict[str, object]:
    return {
        "outcome": str(run.outcome),
        "summary": run.summary(),
        "run": str(kept),
        "error": run.error and run.error.text,
        "explanation": explanation and explanation.to_dict(),
        "domain_states": run.domain_states and dict(run.domain_states),
        "warnings": list(run.warnings),
    }
