"""``migrationlab lab``: start a lab, inspect it, boot guests, set its wire, stop it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import Any

import click

from migrationlab.cli.display import StepDisplay
from migrationlab.cli.faults import break_, broken, host_of, mend
from migrationlab.cli.images import expired_option, images, refuse_while_used
from migrationlab.cli.options import (
    Columns,
    Format,
    Row,
    answer,
    columns_table,
    format_option,
    to_json,
)
from migrationlab.cli.phase_fault import fault
from migrationlab.cli.spec_options import spec_options
from migrationlab.cli.terminal import echo
from migrationlab.lab.layout import Daemons
from migrationlab.plan.guest_spec import GuestSpec
from migrationlab.plan.wire_spec import DEFAULT_MBIT_S, WireSpec


def complete_names(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Return the labs whose names start with the typed text, for tab completion."""
    from migrationlab.lab import registry

    return [name for name in registry.names() if name.startswith(begun)]


name_argument = click.argument("name", default="lab", shell_complete=complete_names)


@click.group()
def lab() -> None:
    """Run two real hosts on this machine."""


for command in (break_, broken, fault, images, mend):
    lab.add_command(command)


@lab.command()
@name_argument
@click.option(
    "--image", default="trixie", show_default=True,
    help="Both hosts' image; `migrationlab lab images` lists them.",
)  # fmt: skip
@click.option("--image-b", help="The second host's image. [default: as --image]")
@click.option(
    "--wire-mbit-s",
    default=float(DEFAULT_MBIT_S),
    show_default=True,
    help="The wire's rate; 0 for no limit.",
)
@click.option(
    "--daemons", type=click.Choice(["monolithic", "modular"]), default="monolithic",
    show_default=True, help="libvirt's daemons: libvirtd, or virtqemud and virtproxyd.",
)  # fmt: skip
@expired_option
@format_option
def up(
    name: str,
    image: str,
    image_b: str | None,
    wire_mbit_s: float,
    daemons: Daemons,
    expired_mirror: bool,
    output_format: Format,
) -> None:
    """Start the lab NAME. It runs until `lab down`."""
    from migrationlab.lab import lab_process

    with StepDisplay() as display:
        lab_process.up(
            name,
            images=(image, image_b or image),
            wire_mbit_s=wire_mbit_s or None,
            daemons=daemons,
            expired_mirror=expired_mirror,
            on_step=display,
        )
    _show([_inspected(name)], output_format)


@lab.command()
@click.argument("name", required=False, shell_complete=complete_names)
@format_option
def inspect(name: str | None, output_format: Format) -> None:
    """Show the lab NAME, or all labs: hosts, addresses, URIs, guests, processes."""
    from migrationlab.lab import registry

    names = [name] if name else registry.names()
    found = [_inspected(each) for each in names]
    if not found and output_format == "text":
        echo("no lab is running; start one with `migrationlab lab up`")
        return
    _show(found, output_format)


@lab.command()
@name_argument
@click.option("--all", "every", is_flag=True, help="Stop all labs of this user.")
@format_option
def down(name: str, every: bool, output_format: Format) -> None:
    """Stop the lab NAME and remove its files and processes."""
    from migrationlab.lab import lab_process, registry

    names = registry.names() if every else [name]
    ended = [each for each in names if lab_process.down(each)]
    swept = registry.sweep() if every else []
    text = "\n".join(f"lab {each} is down" for each in [*ended, *swept]) or "no lab is running"
    answer(output_format, {"down": [*ended, *swept]}, text)


@lab.command()
@name_argument
@click.option("--guest", help="The guest's name.  [default: guest- and its number]")
@spec_options(GuestSpec)
@click.option("--on", default="host-a", show_default=True, help="The host to boot it on.")
@format_option
def boot(name: str, guest: str | None, on: str, output_format: Format, **wanted: Any) -> None:
    """Boot a guest in the lab NAME."""
    from migrationlab.lab.lab import Lab

    with StepDisplay() as display:
        running = Lab.attach(name, on_step=display)
        booted = running.boot(guest, on=host_of(running, on, "on"), **wanted)
    record = {**booted.record(), "host": booted.host.name, "uri": booted.host.uri}
    answer(output_format, record, f"{booted.name} runs on {on}")


@lab.command()
@name_argument
@spec_options(WireSpec, defaults=False)
@format_option
def wire(name: str, output_format: Format, **given: float | None) -> None:
    """Show or set the wire of the lab NAME. --rate-mbit-s 0 removes the limit.

    --back-mbit-s 0 gives both directions the same rate. Options that are not given do not change.
    """
    from migrationlab.lab.lab import Lab

    running = Lab.attach(name).wire
    changes = {key: value for key, value in given.items() if value is not None}
    if changes:
        wanted = asdict(running.settings) | changes
        # On a command line 0 stands for None.
        rates = {name: wanted[name] or None for name in ("rate_mbit_s", "back_mbit_s")}
        running.set(**wanted | rates)
    settings = asdict(running.settings)
    answer(output_format, settings, _wire_text(settings))


@lab.command()
@format_option
def clean(output_format: Format) -> None:
    """Delete the cached host images and guest files. The next lab builds them again."""
    from migrationlab.lab import boot_files, image, recipes, service_image

    refuse_while_used()
    deleted = [name for name in recipes.RECIPES if image.remove(name)]
    boot_files.remove()
    service_image.remove()
    text = f"deleted the host images of {', '.join(deleted) or 'no name'}"
    answer(output_format, {"deleted": deleted}, text)


def _inspected(name: str) -> dict[str, Any]:
    from migrationlab.lab.lab import Lab

    with closing(Lab.attach(name)) as running:
        return running.inspect()


def _wire_text(settings: dict[str, Any]) -> str:
    rate = settings["rate_mbit_s"]
    back = settings["back_mbit_s"]
    parts = ["no limit" if rate is None else f"{rate:g} Mbit/s in each direction"]
    if back is not None:
        parts = [f"{rate:g} Mbit/s from the first host", f"{back:g} Mbit/s back"]
    if settings["delay_ms"]:
        parts.append(f"{settings['delay_ms']:g} ms delay")
    if settings["jitter_ms"]:
        parts.append(f"{settings['jitter_ms']:g} ms jitter")
    if settings["loss_percent"]:
        parts.append(f"{settings['loss_percent']:g} % loss")
    return ", ".join(parts)


def _show(labs: list[dict[str, Any]], output_format: Format) -> None:
    if output_format == "json":
        echo(to_json({"labs": labs}))
        return
    for each in labs:
        lines = [f"lab {each['name']}, wire {_wire_text(each['wire'])}"]
        if each["broken"]:
            lines.append(f"fault: {each['broken']}; remove it with `migrationlab lab mend`")
        lines.append(columns_table(_HOSTS, each["hosts"], left=7))
        lines += [f"virsh --connect '{host['uri']}' list" for host in each["hosts"]]
        if each["guests"]:
            lines.append(columns_table(_GUESTS, each["guests"], left=6))
        else:
            lines.append("no guests; boot one with `migrationlab lab boot`")
        lines.append(columns_table(_PROCESSES, each["processes"], left=3))
        echo("\n".join(lines))


def _reached(guest: Row) -> str:
    reached = guest["reached_mib_s"]
    return "-" if reached is None else f"{reached:.1f} MiB/s"


_HOSTS: Columns = {
    "host": "{name}",
    "image": "{image}",
    "daemons": "{daemons}",
    "libvirt": "{libvirt}",
    "QEMU": "{qemu}",
    "wire": "{wire_address}",
    "LAN": "{lan_address}",
}
_GUESTS: Columns = {
    "guest": "{name}",
    "on": "{host}",
    "MiB": "{memory_mib}",
    "working set": "{working_set_mib} MiB",
    "asked": "{dirty_mib_s} MiB/s",
    "reached": _reached,
}
_PROCESSES: Columns = {"pid": "{pid}", "host": "{host}", "program": "{program}"}
