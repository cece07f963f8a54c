"""Read and write the folder of a fault matrix.

``faults.json`` names what all its runs have in common. ``rows.jsonl`` gets a line after each run,
so these lines show which runs are left. ``runs/`` can hold the runs themselves.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from migrationlab.errors import StoreError, UsageError
from migrationlab.experiment.fault_cells import DEADLINE_S, GUEST, FaultCell
from migrationlab.experiment.folder import append_line
from migrationlab.experiment.manifest import FolderKind, read_manifest_of
from migrationlab.plan.guest_spec import GuestSpec
from migrationlab.runs.safe_files import MIB, read_file
from migrationlab.runs.store import write_file

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "migrationlab-faults"
VERSION = 1
MANIFEST = "faults.json"
ROWS = "rows.jsonl"
RUNS = "runs"
MAX_BYTES = 16 * MIB
#: How long a run of a cell takes, measured on two cores without KVM.
GUESSES_S = {"freeze-libvirtd": 30.0, "freeze-host": 30.0, "freeze-qemu": 25.0, "kill-host": 20.0}
USUAL_S = 12.0
_RESTORE = "Restore it from a copy, or record the matrix into a new folder."
_KIND = FolderKind(
    what="a fault matrix", manifest=MANIFEST, format=FORMAT, version=VERSION, most_bytes=MAX_BYTES,
    missing="Record one: migrationlab faults -o DIR", restore=_RESTORE,
)  # fmt: skip


class FaultRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one run of a cell showed.

    Attributes:
        kind: The fault; ``side`` is the host that it concerns, empty for the wire.
        phase: The phase; ``mode`` and ``copy`` tell how the guest was migrated.
        repeat: The number of the run in its cell, from 1.
        run_id: The name of the run.
        libvirt: The versions of both hosts; ``qemu`` also.
        fired: Whether the phase came, and the fault was made.
        outcome: The outcome of the run.
        said: What libvirt said, or what migrationlab said where libvirt's call did not return.
        explained: The id of the explanation of that text; empty if there is no text.
        noticed_s: The time from the fault to the end of the call or of the wait for it; None if
            the migration completed.
        noticed_by: Who ended it: "nobody", "the deadline", or who reported the error.
        source: The state of the guest's domain at the source right after the run.
        destination: The same at the destination.
        first_verdict: What ``recover`` said while the fault was still there.
        first_why: Its reason.
        recovered_by: Who made the guest run on one host again, or that its memory is lost.
        commands: What ``recover`` carried out.
        trouble: Errors of those steps.
        recover_s: The time from the end of the run to the final verdict.
        verdict: What ``recover`` said in the end; ``why`` is its reason.
        found_at: The side that has the guest in the end; empty if it is lost.
        running_on: The number of hosts that run the guest in the end.
        intact: Whether each page of its working set was right then; None if it does not run.
        after_verdict: What ``recover`` said right after the fault; empty in older rows.
        after_why: Its reason.
    """

    kind: str
    side: str
    phase: str
    mode: str
    copy: str
    repeat: int
    run_id: str
    libvirt: str
    qemu: str
    fired: bool
    outcome: str
    said: str
    explained: str
    noticed_s: float | None
    noticed_by: str
    source: str
    destination: str
    first_verdict: str
    first_why: str
    recovered_by: str
    commands: tuple[str, ...]
    trouble: tuple[str, ...]
    recover_s: float
    verdict: str
    why: str
    found_at: str
    running_on: int
    intact: bool | None
    after_verdict: str = ""
    after_why: str = ""

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """Return what tells its cell from the others."""
        return (self.kind, self.side, self.phase, self.mode, self.copy)

    def __repr__(self) -> str:
        return f"FaultRow({self.what!r}, {self.outcome}, {self.recovered_by})"

    def __str__(self) -> str:
        lines = [("fault", self.what), ("outcome", self.outcome)]
        lines += [("it said", self.said)] if self.said else []
        after = f", {self.noticed_s:g} s after the fault" if self.noticed_s is not None else ""
        lines += [
            ("noticed by", f"{self.noticed_by}{after}"),
            ("source", self.source),
            ("destination", self.destination),
            ("recover said", f"{self.first_verdict}. {self.first_why}"),
            *(
                [("afterwards", f"{self.after_verdict}. {self.after_why}")]
                if self.after_why
                else []
            ),
            *(("done", command) for command in self.commands),
            *(("trouble", text) for text in self.trouble),
            ("recovered by", self.recovered_by),
            ("in the end", f"{self.verdict}. {self.why}"),
        ]
        if self.intact is not None:
            lines.append(("memory", "intact" if self.intact else "damaged"))
        return "\n".join(f"{name:13} {value}" for name, value in lines)

    @property
    def what(self) -> str:
        """Return the fault, the phase and the kind of migration in words."""
        side = f" at the {self.side}" if self.side else ""
        return f"{self.kind}{side}, {self.phase}, {self.mode}, {self.copy}"

    @property
    def ends_well(self) -> bool:
        """Return whether the guest runs intact on one host, or is certainly lost."""
        if self.verdict == "well":
            return self.running_on == 1 and self.intact is True
        return self.verdict == "lost" and self.running_on == 0


def prepare_folder(folder: Path) -> None:
    """Make the folder of a matrix, or check that it is one of the same runs.

    Raises:
        UsageError: It is the matrix of other runs.
        StoreError: It cannot be read or written.
    """
    same = {"deadline_s": DEADLINE_S, "guest": asdict(GUEST)}
    if (folder / MANIFEST).exists():
        kept = read_manifest(folder)
        if isinstance(kept.get("guest"), dict):
            # What an older version did not know yet was as it is by default.
            kept["guest"] = asdict(GuestSpec()) | kept["guest"]
        for name, value in same.items():
            if kept.get(name) != value:
                raise UsageError(
                    f"{name} of {folder} must be {value} (got {kept.get(name)})",
                    hint="Record into another folder: -o NEW_DIR",
                )
        return
    content = {
        "format": FORMAT,
        "version": VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "migrationlab_version": version("migrationlab"),
        **same,
    }
    write_file(folder / MANIFEST, f"{json.dumps(content, indent=1)}\n".encode())


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what all runs of a matrix have in common."""
    return read_manifest_of(_KIND, folder)


def append_row(folder: Path, row: FaultRow) -> None:
    """Keep the row of a run that is over."""
    append_line(folder / ROWS, msgspec.json.encode(row).decode())


def read_rows(folder: Path) -> list[FaultRow]:
    """Return the rows of a matrix, oldest first; none if no run is over.

    Raises:
        StoreError: The file cannot be read, or a line is no row.
    """
    path = folder / ROWS
    try:
        lines = read_file(path, MAX_BYTES).split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"reading {path} failed: {error.strerror}", hint=_RESTORE) from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(msgspec.json.decode(line, type=FaultRow))
        except msgspec.MsgspecError as error:
            if not line.endswith(b"}"):  # a power cut left half a line
                continue
            raise StoreError(
                f"line {number} of {path} is no row: {error}", hint=_RESTORE
            ) from error
    return found


def left(
    wanted: Iterable[FaultCell], rows: Iterable[FaultRow], repeats: int
) -> list[tuple[FaultCell, int]]:
    """Return the runs that are left, each with its number in its cell: whole repeats first."""
    possible = [cell for cell in wanted if not cell.impossible]
    made = Counter(row.key for row in rows)
    return [
        (cell, number)
        for number in range(1, repeats + 1)
        for cell in possible
        if made[cell.key] < number
    ]


def estimate_s(todo: Iterable[tuple[FaultCell, int]]) -> float:
    """Return how long the given runs take, roughly."""
    return sum(GUESSES_S.get(cell.kind, USUAL_S) for cell, _ in todo)


def load_fault_matrix(folder: str | Path) -> pd.DataFrame:
    """Return a recorded fault matrix, a row per run; see :class:`FaultRow` for the columns.

    A last column, ``ends_well``, is whether the guest ran intact on exactly one host in the end,
    or was certainly lost.

    Raises:
        StoreError: The folder has no fault matrix, or it cannot be read.
    """
    import pandas as pd  # noqa: PLC0415 (the command that records needs no pandas)

    place = Path(folder)
    read_manifest(place)
    rows = [{**msgspec.structs.asdict(row), "ends_well": row.ends_well} for row in read_rows(place)]
    columns = [*FaultRow.__struct_fields__, "ends_well"]
    return pd.DataFrame(rows, columns=columns).astype({"intact": "boolean", "noticed_s": "Float64"})
