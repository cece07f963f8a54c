"""``migrationlab lab fault``: a fault in a phase of the next migration."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import click

from migrationlab.cli.faults import name_option
from migrationlab.cli.options import Format, answer, format_option
from migrationlab.cli.terminal import echo


def complete_kinds(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the faults whose names start with the typed text, for tab completion."""
    from migrationlab.lab.phase_faults import KINDS

    return [name for name in KINDS if name.startswith(begun)]


def complete_phases(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the phases whose names start with the typed text, for tab completion."""
    from migrationlab.lab.phase_watch import PHASES

    return [name for name in PHASES if name.startswith(begun)]


@click.command()
@click.argument("kind", metavar="FAULT", required=False, shell_complete=complete_kinds)
@click.option("--list", "as_list", is_flag=True, help="List the faults and the phases, and exit.")
@click.option("--at", "phase", metavar="PHASE", shell_complete=complete_phases, help="The phase.")
@click.option("--on", "side", help="source (the default) or destination, for a fault of one host.")
@name_option
@click.option("--guest", help="The guest that migrates.  [default: the lab's only guest]")
@click.option("--iteration", type=int, help="The iteration to wait for, at perform.")
@click.option(
    "--period-s", default=1.0, show_default=True, help="How long a flapping wire is down and up."
)
@click.option(
    "--rate-mbit-s", default=10.0, show_default=True, help="The rate of a throttled wire."
)
@click.option("--wait-s", default=60.0, show_default=True, help="How long to wait for the phase.")
@click.option("--for-s", type=float, help="How long the fault lasts.  [default: until Ctrl-C]")
@format_option
def fault(
    kind: str | None,
    phase: str | None,
    name: str,
    guest: str | None,
    wait_s: float,
    for_s: float | None,
    output_format: Format,
    *,
    as_list: bool,
    **options: Any,
) -> None:
    """Wait for a phase of the next migration in the lab, and let FAULT happen in it.

    Start the migration in another terminal. The fault is undone at the end of this command; what
    has died stays dead. If this command is killed, `lab mend` undoes the fault.
    """
    if as_list:
        _list(output_format)
        return
    if kind is None or phase is None:
        raise click.UsageError(
            "FAULT and --at must be given; list them with `migrationlab lab fault --list`"
        )
    from migrationlab.lab.lab import Lab

    running = Lab.attach(name)
    migrates = running.guest(guest) if guest else None
    record: dict[str, Any] = {}
    with running.fault(kind, phase=phase, guest=migrates, **options) as made:
        echo(f"waiting for {phase}: start the migration now", err=True)
        fired = made.wait(wait_s)
        record = {
            "fault": kind,
            "phase": phase,
            "host": made.host.name if made.host else None,
            "fired_at_ns": made.fired_at_ns,
            "line": made.line,
        }
        if fired:
            echo(f"{kind} fired on: {made.line}", err=True)
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait(for_s)
    text = f"{kind} is over" if fired else f"no migration reached {phase} within {wait_s:g} s"
    answer(output_format, record, text)
    if not fired:
        raise click.exceptions.Exit(1)


def _list(output_format: Format) -> None:
    from migrationlab.lab.phase_faults import KINDS
    from migrationlab.lab.phase_watch import PHASES

    faults = [
        {"id": each.id, "title": each.title, "text": each.text, "unavailable": each.unavailable}
        for each in KINDS.values()
    ]
    phases = [
        {"id": each.id, "title": each.title, "text": each.text, "sure": each.sure}
        for each in PHASES.values()
    ]
    lines = [f"{each['id']}\n    {each['text']}" for each in faults if not each["unavailable"]]
    lines += [
        f"{each['id']}\n    Not available: {each['unavailable']}."
        for each in faults
        if each["unavailable"]
    ]
    lines += ["", "Phases:"]
    lines += [f"{each['id']}\n    {each['text']} {each['sure']}".rstrip() for each in phases]
    answer(output_format, {"faults": faults, "phases": phases}, "\n".join(lines))
