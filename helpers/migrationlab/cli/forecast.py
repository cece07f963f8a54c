"""``migrationlab forecast``: what a migration will do, from a dirty curve. Nothing is started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migrationlab.cli.options import (
    Command,
    Format,
    PathType,
    answer,
    format_option,
    output_option,
)
from migrationlab.cli.plan_options import PlanCommand, plan_from, plan_options
from migrationlab.errors import UsageError
from migrationlab.plan.wording import quote
from migrationlab.runs.safe_files import MIB, read_file

if TYPE_CHECKING:
    from migrationlab.forecast.case import Constants, Memory
    from migrationlab.forecast.curve import DirtyCurve


def curve_options(*, required: bool) -> Callable[[Command], Command]:
    """Return the options for a guest's curve and link, which two verbs share."""

    def add(command: Command) -> Command:
        for option in (
            click.option(
                "--curve", "curve_file", metavar="FILE", required=required,
                type=PathType(path_type=Path),
                help="The guest's dirty curve, from `migrationlab dirty-rate`.",
            ),
            click.option(
                "--bandwidth-mbit-s", metavar="N[:N]", required=required,
                help="What the migration's data gets, headers not counted; or LOW:HIGH.",
            ),
            click.option(
                "--memory-mib", type=float, help="The guest's memory. [default: the curve's]"
            ),
            click.option("--zero-mib", type=float, help="The part of it that is all zeros."),
            click.option(
                "--compression-ratio", type=float,
                help="Bytes sent for each byte of memory, if the plan compresses.",
            ),
            click.option(
                "--constants", "constants_file", metavar="FILE", type=PathType(path_type=Path),
                help="The hosts' constants, from `migrationlab calibrate`.",
            ),
            click.option(
                "--vcpu-use", type=float, default=1.0, show_default=True,
                help="How much of its processors' time the guest uses, 0 to 1.",
            ),
        ):  # fmt: skip
            command = option(command)
        return command

    return add


@click.command(cls=PlanCommand)
@curve_options(required=True)
@click.option(
    "--stop-rule", type=click.Choice(["qemu", "per-iteration"]), default="qemu", show_default=True,
    help="QEMU's own rule, or the one of models that decide after each iteration.",
)  # fmt: skip
@output_option("Also draw what is left to send, as PNG, SVG or PDF.", dir_okay=False)
@plan_options
@format_option
def forecast(
    curve_file: Path,
    bandwidth_mbit_s: str,
    memory_mib: float | None,
    zero_mib: float | None,
    compression_ratio: float | None,
    vcpu_use: float,
    constants_file: Path | None,
    stop_rule: Any,
    output: Path | None,
    output_format: Format,
    **options: Any,
) -> None:
    """Forecast a migration: whether it ends, when, and with what downtime.

    Each number has a low, a median and a high value: 90 % of migrations are between. Without
    --deadline-s no deadline counts. Nothing is started.
    """
    from migrationlab.forecast.forecast import forecast as told_by

    curve = read_curve(curve_file)
    told = told_by(
        plan_from(options), curve, bandwidth_mbit_s=read_bandwidth(bandwidth_mbit_s),
        memory=memory_of(curve, memory_mib, zero_mib), stop_rule=stop_rule,
        compression_ratio=compression_ratio, vcpu_use=vcpu_use,
        constants=constants_of(constants_file),
    )  # fmt: skip
    if output is not None:
        from migrationlab.plots.forecast import forecast as drawn

        drawn(told, page_bytes=curve.page_bytes).save(output)
    answer(output_format, told.to_dict(), str(told))


def read_curve(path: Path) -> DirtyCurve:
    """Return the curve of a file.

    Raises:
        UsageError: The file cannot be read, or is no curve.
    """
    from migrationlab.forecast.curve import DirtyCurve

    how = "Measure one: migrationlab dirty-rate DOMAIN --on URI -o FILE"
    return DirtyCurve.from_json(_content("--curve", path, how))


def constants_of(path: Path | None) -> Constants | None:
    """Return the constants of a file; None for the defaults."""
    from migrationlab.forecast.calibration import read_constants

    if path is None:
        return None
    how = "Write one: migrationlab calibrate RUNS_DIR -o FILE"
    return read_constants(_content("--constants", path, how))


def _content(option: str, path: Path, how: str) -> bytes:
    try:
        return read_file(path, MIB, follow=True)
    except OSError as error:
        raise UsageError(
            f"{option} must be a file that can be read (got {quote(str(path))}: {error.strerror})",
            hint=how,
        ) from error


def read_bandwidth(text: str) -> float | tuple[float, float]:
    """Return a bandwidth, or its lowest and highest value."""
    try:
        values = [float(word) for word in text.split(":")]
    except ValueError:
        values = []
    if not 1 <= len(values) <= 2:
        raise UsageError(
            f"--bandwidth-mbit-s must be a number, or LOW:HIGH (got {quote(text)})",
            hint="Write --bandwidth-mbit-s 950, or --bandwidth-mbit-s 900:1000",
        )
    return values[0] if len(values) == 1 else (values[0], values[1])


def memory_of(curve: DirtyCurve, memory_mib: float | None, zero_mib: float | None) -> Memory | None:
    """Return the memory that the options give; None leaves it to the curve."""
    from migrationlab.forecast.case import Memory

    if memory_mib is None and zero_mib is None:
        return None
    total = memory_mib
    if total is None:
        total = (curve.total_pages or 0) * curve.page_bytes / MIB
    known = Memory(total_mib=total)
    if zero_mib is None:
        zero_mib = min(curve.zero_pages * curve.scale * curve.page_bytes / MIB, total)
    return replace(known, zero_mib=zero_mib)
