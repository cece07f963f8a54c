"""``migrationlab lab break``, ``mend`` and ``broken``: faults between the two hosts."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from migrationlab.cli.display import StepDisplay
from migrationlab.cli.options import Format, answer, format_option

if TYPE_CHECKING:
    from migrationlab.hosts.host import Host
    from migrationlab.lab.lab import Lab


def complete_cases(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the faults whose names start with the typed text, for tab completion."""
    from migrationlab.lab.fault_cases import CASES

    return [case.id for case in CASES if case.id.startswith(begun)]


def host_of(running: Lab, name: str, option: str) -> Host:
    """Return a host of a lab by its name from an option."""
    host = next((each for each in running.hosts if each.name == name), None)
    if host is None:
        raise click.BadParameter(f"{option} must be host-a or host-b (got {name!r})")
    return host


name_option = click.option("--name", default="lab", show_default=True, help="The lab's name.")


@click.command("break")
@click.argument("case_id", metavar="FAULT", required=False, shell_complete=complete_cases)
@click.option("--list", "as_list", is_flag=True, help="List the faults and exit.")
@name_option
@click.option("--source", default="host-a", show_default=True, help="The host to migrate from.")
@format_option
@click.pass_context
def break_(
    context: click.Context,
    case_id: str | None,
    name: str,
    source: str,
    output_format: Format,
    *,
    as_list: bool,
) -> None:
    """Switch FAULT on in the lab and print a command that fails because of it.

    `lab mend` switches it off.
    """
    if as_list:
        context.invoke(broken, output_format=output_format)
        return
    if case_id is None:
        raise click.UsageError(
            "FAULT must be given; list them with `migrationlab lab break --list`"
        )
    from migrationlab.lab import faults as breaker
    from migrationlab.lab.lab import Lab

    with StepDisplay() as display:
        running = Lab.attach(name, on_step=display)
        host = host_of(running, source, "--source")
        on = breaker.switch_on(running, case_id, source=host, boot=running.boot)
    guests = [guest.name for guest in [on.guest] if guest] or host.domain_names()
    plan = on.plan.filled(destination=on.to.peer_name)
    virsh = plan.virsh(guests[0] if guests else "GUEST", source_uri=host.uri)
    record = {
        "case": on.case.id,
        "title": on.case.title,
        "broken": on.case.broken,
        "note": on.case.note,
        "source": host.name,
        "to": on.to.name,
        "guest": on.guest.name if on.guest else None,
        "plan": plan.to_dict(),
        "virsh": virsh,
    }
    lines = [f"{on.case.title}. {on.case.broken}", on.case.note]
    if on.guest:
        lines.append(f"A guest for it, {on.guest.name}, runs on {host.name}.")
    elif not guests:
        lines.append(f"No guest runs on {host.name}: migrationlab lab boot {name} --on {host.name}")
    lines = [line for line in lines if line]
    lines += ["", f"Try it:      {shlex.join(virsh)}", f"In Python:   {on.plan!r}"]
    lines += [f"Fix it:      migrationlab lab mend --name {name}"]
    answer(output_format, record, "\n".join(lines))


@click.command()
@name_option
@format_option
def mend(name: str, output_format: Format) -> None:
    """Remove the faults from the lab, and the guest that was made for one.

    Also undoes what `lab fault` left if it was killed.
    """
    from migrationlab.lab import faults as breaker
    from migrationlab.lab import phase_faults
    from migrationlab.lab.lab import Lab

    phase_faults.thaw(name)
    running = Lab.attach(name)
    undone = phase_faults.undo_all(running)
    case = breaker.fix(running)
    fixed = [*undone, *([case.id] if case else [])]
    text = f"{', '.join(fixed)} is fixed" if fixed else f"lab {name} has no fault"
    record = {"mended": case.id if case else None, "undone": undone}
    answer(output_format, record, text)


@click.command()
@format_option
def broken(output_format: Format) -> None:
    """List the faults that `lab break` can switch on."""
    from migrationlab.lab.fault_cases import CASES

    names = ("id", "title", "broken", "note")
    cases = [{name: getattr(case, name) for name in names} for case in CASES]
    text = "\n".join(f"{case.id}\n    {case.title}. {case.broken}" for case in CASES)
    answer(output_format, {"cases": cases}, text)
