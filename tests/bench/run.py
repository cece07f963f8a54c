"""Measure migrationlab on this machine: the figures of the README, as a Markdown table.

What is compared is measured side by side, in one run and in alternation. A missed target is a
result like any other: the exit status stays 0. Not a test; ``make bench`` runs it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bench.clients import cost_of_clients
from bench.probes import against_capture
from bench.speed import against_virsh, image_built, moves, starts, thinking, throughput
from bench.stored import long_run, many_runs, very_many_runs
from bench.sureness import agreement, captures, cost_of_capture, drawing
from bench.table import Tell
from migrationlab.capture.environment import environment
from migrationlab.cli import say_error
from migrationlab.cli.interrupts import interrupts
from migrationlab.errors import MigrationLabError
from migrationlab.hosts.connection import library_version
from migrationlab.lab import image
from migrationlab.lab.lab import Lab
from migrationlab.plan.uris import Mode

NOTES = """\
Spread: min to max; of ratios and differences of medians, bootstrap 95 % intervals. `mig.migrate`
and virsh, on the source host, moved the same guest (256 MiB, of which 64 are dirtied at 40 MiB/s)
over 1 Gbit/s by the same plan, in turns A B B A. The target is held against *whole* calls, because
that is what a user waits for: from asking to the finished run in hand, against virsh's process,
though the kit also checks the guest's memory and evaluates its records then. *Until moved* ends as
libvirt's call returns, against virsh's own `--timing` of `migrate`; in normal mode both connect to
the destination within it, which the kit's *own* time leaves out. *Libvirt* compares the total times
of libvirt's job statistics. p: two-sided Mann-Whitney U test, told apart below 0.05. *Payload*:
what libvirt says it sent while QEMU's migration was active; *with headers*: what the wire's shaper
counted then. *Whole capture on against off*: in turns likewise; off, a run has libvirt's own
figures only. *Wall time* is from asking until libvirt's call has returned. *Clients and probes*:
the same with a web server in the guest, whose requests are off then too; of each pair the
difference in percent, and the median of these. *Bytes by purpose*: each
connection's payload, 66 bytes of headers a segment and what was resent, against the counters of the
wire's own queues. *Packet capture*: tcpdump where each host's cable to the LAN begins. *Judged*: a
plan of each setting, against two hosts and a guest; *explained*: each message that the tests know.
"""


def measure(n: int, repeats: int, images: int, tell: Tell) -> dict[str, Any]:
    """Measure everything; return the machine, the table's rows, and each migration."""
    machine = environment(library_version()) | {"date": f"{datetime.now(UTC):%Y-%m-%d}"}
    image.ensure(image.DEFAULT)
    rows = [*(image_built(images, tell) if images else ()), *starts(repeats, tell)]
    with Lab() as lab:
        guest = lab.boot()
        machine |= asdict(lab.host_a.facts) | {"accelerator": guest.accelerator}
        rows += thinking(lab, guest, tell)
        measured = list(moves(lab, guest, n, tell))
        for mode in Mode:
            rows += against_virsh(measured, mode)
        taken = list(captures(lab, guest, 2 * n, tell))
        for mode in Mode:
            rows += cost_of_capture(taken, mode)
        watched = [each["run"] for each in taken if each["capture"]]
        rows += agreement(watched)
        rows += against_capture(lab, guest, 2 * n, tell)
        guest.destroy()
        rows += cost_of_clients(lab, 2 * n, tell)
        idle = lab.boot(memory_mib=512, working_set_mib=256, dirty_mib_s=0)
        rows += throughput(lab, idle, repeats, tell)
    rows += [*many_runs(repeats, tell), *very_many_runs(min(repeats, 3), tell)]
    rows += [*long_run(repeats, tell), *drawing(watched[0], tell)]
    return {"machine": machine, "rows": rows, "migrations": measured}


def markdown(result: dict[str, Any]) -> str:
    """Return the result as the README shows it."""
    head = ["what", "n", "median", "spread", "target", "met?"]
    table = [head, ["---"] * len(head), *(row.cells() for row in result["rows"])]
    place = (
        "{date}, {cpu_model}, {cpus} processors, Linux {kernel}, {accelerator}; "
        "hosts: libvirt {libvirt_version}, QEMU {qemu_version}; load at start {load_1min}."
    ).format_map(result["machine"])
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in table), "", place, "", NOTES])


@click.command()
@click.option("--quick", is_flag=True, help="Few samples: to see that it works.")
@click.option(
    "--n",
    type=click.IntRange(2),
    help="Migrations for each side and mode; twice as many for the capture.  [default: 10]",
)
@click.option("--image", "build", is_flag=True, help="Also build the image from nothing.")
@click.option("--format", "output_format", type=click.Choice(["text", "json"]), default="text")
@click.option("--output", type=click.Path(path_type=Path), help="Also write JSON to this file.")
def main(quick: bool, n: int | None, build: bool, output_format: str, output: Path | None) -> None:
    """Measure the kit on this machine; takes about twenty minutes."""
    with interrupts() as stop:

        def tell(text: str) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            click.echo(text, err=True)

        few = 2 if quick else 5
        try:
            result = measure(n or (2 if quick else 10), few, few // 2 if build else 0, tell)
        except MigrationLabError as error:
            say_error(error)
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(130)
    rows = [asdict(row) | {"met": row.met} for row in result["rows"]]
    text = json.dumps(result | {"rows": rows}, indent=1)
    click.echo(text if output_format == "json" else markdown(result))
    if output is not None:
        output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
