"""Store the forecasts of an experiment before its runs, and compare them afterwards.

``forecasts.json`` lies beside ``experiment.json``. It holds for each cell what the forecast was
made from, and the forecast. It is written once, before the first run begins, and sealed with a
checksum. Comparing refuses a file that was changed, and a run that began before it was written.
So what is compared was forecast, and not fitted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from migrationlab.errors import StoreError, UsageError
from migrationlab.experiment.folder import MAX_BYTES
from migrationlab.experiment.manifest import FolderKind, read_manifest_of
from migrationlab.experiment.results import Results
from migrationlab.experiment.stored import placement
from migrationlab.forecast.case import Constants
from migrationlab.forecast.run_inputs import RunInputs, compared, inputs_of_lab
from migrationlab.runs.store import write_file

FILE = "forecasts.json"
FORMAT = "migrationlab-forecasts"
VERSION = 1
DRAWS = 200
_RESTORE = "Restore it from a copy. Forecasts are written once, and never changed."
_KIND = FolderKind(
    what="forecasts", manifest=FILE, format=FORMAT, version=VERSION, most_bytes=MAX_BYTES,
    missing="Store forecasts before the first run: migrationlab experiment FILE.toml --forecast",
    restore=_RESTORE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredForecasts:
    """The forecasts of an experiment.

    Attributes:
        stored_at: When they were written.
        constants: The constants of the model.
        cells: The forecast of each cell, as ``Forecast.to_dict`` gives it.
        inputs: What each is made from.
    """

    stored_at: datetime
    constants: Mapping[str, float]
    cells: Mapping[str, Mapping[str, Any]]
    inputs: Mapping[str, Mapping[str, Any]]

    def __repr__(self) -> str:
        return f"StoredForecasts({len(self.cells)} cells, {self.stored_at:%Y-%m-%d %H:%M:%S})"


def has_forecasts(folder: Path) -> bool:
    """Return whether a folder of an experiment has forecasts."""
    return (folder / FILE).is_file()


def store_forecasts(
    experiment: Results, *, constants: Constants | None = None, draws: int = DRAWS
) -> StoredForecasts:
    """Forecast each cell of an experiment, and write the forecasts to its folder.

    Args:
        experiment: An experiment of the lab, of which no run has begun.
        constants: The constants of the hosts; by default those of this project's lab.
        draws: The number of simulations for the intervals.

    Raises:
        UsageError: It has forecasts already, a run has begun, or the curve or the wire of a cell
            is not known.
        StoreError: The file cannot be written.
    """
    path = experiment.directory / FILE
    if path.exists():
        raise UsageError(
            f"forecasts must be stored once (got {path}, which exists)",
            hint="Choose another directory (-o) for other forecasts.",
        )
    if experiment.starts or len(experiment.runs):
        raise UsageError(
            f"forecasts must be stored before the first run (got {experiment.directory}, whose "
            "runs have begun)",
            hint="Choose another directory (-o): the same design can be run again there.",
        )
    about = constants or Constants()
    cells = {}
    for cell in experiment.cells:
        given = _inputs(cell.plan, cell.workload, cell.wire)
        if given is None:
            raise UsageError(
                f"cell must have a known rate of writing and a wire with a limit (got {cell.name})",
                hint="Give dirty_mib_s as a number, no phases, and wire_mbit_s = 1000.",
            )
        told = given.forecast(about, draws=draws)
        cells[cell.name] = {"inputs": given.to_dict(), "forecast": told.to_dict()}
    content = {
        "format": FORMAT, "version": VERSION, "experiment": experiment.name,
        "stored_at": datetime.now(UTC).isoformat(),
        "migrationlab_version": version("migrationlab"), "draws": draws,
        "constants": dataclasses.asdict(about), "cells": cells,
    }  # fmt: skip
    experiment.directory.mkdir(parents=True, exist_ok=True)
    write_file(path, _sealed(content).encode())
    return read_forecasts(experiment.directory)


def read_forecasts(folder: Path) -> StoredForecasts:
    """Read the forecasts of an experiment's folder.

    Raises:
        StoreError: There are none, or they were changed since.
    """
    content = read_manifest_of(_KIND, folder)
    seal = content.pop("sha256", None)
    if seal != _checksum(content):
        raise StoreError(
            f"{folder / FILE} must be as it was written (its checksum differs)", hint=_RESTORE
        )
    cells = content["cells"]
    return StoredForecasts(
        stored_at=datetime.fromisoformat(content["stored_at"]), constants=content["constants"],
        cells={name: one["forecast"] for name, one in cells.items()},
        inputs={name: one["inputs"] for name, one in cells.items()},
    )  # fmt: skip


def held_forecasts(experiment: Results) -> pd.DataFrame:
    """Compare the stored forecasts of an experiment with its runs.

    Returns:
        The frame of :func:`migrationlab.forecast.run_inputs.compare`, and ``cell``.

    Raises:
        StoreError: There are no forecasts, they were changed, or a run is older than they are.
    """
    told = read_forecasts(experiment.directory)
    rows = []
    for run in experiment.measured:
        cell = str(placement(run)["cell"])
        if run.called_ns < told.stored_at.timestamp() * 1e9:
            raise StoreError(
                f"run {run.run_id} must have begun after the forecasts were stored "
                f"({told.stored_at:%Y-%m-%d %H:%M:%S} UTC)",
                hint="Score these forecasts with other runs: run the design in another directory.",
            )
        row = compared(run, told.cells[cell])
        if row is not None:
            rows.append({"cell": cell, **row})
    return pd.DataFrame(rows)


def _inputs(plan: Any, workload: Any, wire: Any) -> RunInputs | None:
    if workload is None or wire is None:
        return None
    return inputs_of_lab(plan, dataclasses.asdict(workload), {"rate_mbit_s": wire.rate_mbit_s})


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _sealed(content: Mapping[str, Any]) -> str:
    whole = {**content, "sha256": _checksum(content)}
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
