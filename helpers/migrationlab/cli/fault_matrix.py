"""``migrationlab faults``: what each fault does in each phase of a migration."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrationlab.cli.display import StepDisplay
from migrationlab.cli.interrupts import interrupts
from migrationlab.cli.options import Format, answer, format_option, output_option, text_table
from migrationlab.cli.phase_fault import complete_kinds, complete_phases
from migrationlab.cli.terminal import echo

if TYPE_CHECKING:
    from migrationlab.experiment.fault_cells import FaultCell
    from migrationlab.experiment.fault_folder import FaultRow


@click.command()
@output_option("The matrix's folder.", required=True, file_okay=False)
@click.option("--repeats", default=1, show_default=True, type=click.IntRange(1, 1000))
@click.option(
    "--kinds",
    multiple=True,
    shell_complete=complete_kinds,
    help="A fault; give it several times for several.  [default: all]",
)
@click.option(
    "--phases",
    multiple=True,
    shell_complete=complete_phases,
    help="A phase; give it several times for several.  [default: all]",
)
@click.option("--modes", multiple=True, type=click.Choice(["normal", "peer2peer"]))
@click.option("--copies", multiple=True, type=click.Choice(["pre-copy", "post-copy"]))
@click.option(
    "--runs/--no-runs", "keep_runs", default=True, help="Store the runs too, or rows only."
)
@click.option(
    "--image", help="Both hosts' image.  [default: trixie, and for post-copy trixie-backports]"
)
@click.option("--dry-run", is_flag=True, help="Print the cells and the time, and do nothing.")
@format_option
@click.pass_context
def faults(
    context: click.Context,
    output: Path,
    repeats: int,
    kinds: tuple[str, ...],
    phases: tuple[str, ...],
    modes: tuple[str, ...],
    copies: tuple[Any, ...],
    image: str | None,
    output_format: Format,
    *,
    keep_runs: bool,
    dry_run: bool,
) -> None:
    """Let each fault happen in each phase of a migration, and recover the guest.

    A lab is made for it. Each cell of the matrix is a fault, a phase, a mode, and pre-copy or
    post-copy. Each run is a real migration; its row says who noticed the fault, who had the guest,
    and how it was recovered. A row is written when its run is over. Ctrl-C keeps these, and the
    same command continues later. Read them with `mig.load_fault_matrix(DIR)`.

    Exit status 0 if every guest ended on one host with its memory intact, or is certainly lost;
    1 if not, or if a run could not be made; 2 if the call is wrong; 130 if Ctrl-C stopped it.
    """
    from migrationlab.experiment.fault_cells import COPIES, MODES, cells
    from migrationlab.experiment.fault_folder import left, read_rows

    chosen_modes = [mode for mode in MODES if not modes or str(mode) in modes]
    chosen_copies = copies or COPIES
    wanted = cells(kinds, phases, modes=chosen_modes, copies=chosen_copies)
    if not dry_run:
        _record(
            output,
            repeats=repeats,
            kinds=kinds,
            phases=phases,
            modes=chosen_modes,
            copies=chosen_copies,
            image=image,
            keep_runs=keep_runs,
        )
    keys = {cell.key for cell in wanted}
    rows = [row for row in read_rows(output) if row.key in keys]
    todo = left(wanted, rows, repeats)
    record = _facts(wanted, rows, todo) | {"directory": str(output)}
    answer(output_format, record, "\n".join(_lines(record, dry_run=dry_run)))
    if dry_run:
        return
    if todo:
        echo(f"{len(todo)} runs are left; the same command continues", err=True)
    if not all(row.ends_well for row in rows) or todo:
        context.exit(1)


def _record(output: Path, **arguments: Any) -> None:
    from migrationlab.experiment.fault_matrix import record_fault_matrix

    with interrupts() as stop, StepDisplay() as display:
        record_fault_matrix(output, on_step=display, stop=stop, **arguments)


def _facts(
    wanted: list[FaultCell], rows: list[FaultRow], todo: list[tuple[FaultCell, int]]
) -> dict[str, Any]:
    import msgspec

    from migrationlab.experiment.fault_folder import estimate_s

    return {
        "cells": [
            {
                "kind": cell.kind,
                "side": cell.side,
                "phase": cell.phase,
                "mode": str(cell.mode),
                "copy": cell.copy,
                "impossible": cell.impossible,
            }
            for cell in wanted
        ],
        "left": len(todo),
        "estimate_s": round(estimate_s(todo)),
        "rows": [{**msgspec.structs.asdict(row), "ends_well": row.ends_well} for row in rows],
    }


def _lines(record: dict[str, Any], *, dry_run: bool) -> list[str]:
    cells, rows = record["cells"], record["rows"]
    possible = [cell for cell in cells if not cell["impossible"]]
    reasons = Counter(cell["impossible"] for cell in cells if cell["impossible"])
    lines = [f"{len(possible)} cells, {len(rows)} runs, {record['left']} left"]
    lines += [f"{count} cells cannot be made: {reason}" for reason, count in reasons.items()]
    names = ("kind", "side", "phase", "mode", "copy")
    if dry_run:
        minutes = -(-record["estimate_s"] // 60)
        lines += [f"about {minutes} min for the runs that are left", ""]
        header = ["fault", "at", "phase", "mode", "copy"]
        return [
            *lines,
            text_table([header, *([cell[n] for n in names] for cell in possible)], left=5),
        ]
    header = ["fault", "at", "phase", "mode", "copy", "outcome", "noticed by", "recovered by"]
    shown = (*names, "outcome", "noticed_by", "recovered_by")
    odd = [row for row in rows if not row["ends_well"]]
    lines += ["", text_table([header, *([row[n] for n in shown] for row in rows)], left=8)]
    lines += ["", f"{len(rows) - len(odd)} of {len(rows)} ended well"]
    return lines + [
        f"not well: {row['kind']} {row['phase']} {row['run_id']}: {row['why']}" for row in odd
    ]
