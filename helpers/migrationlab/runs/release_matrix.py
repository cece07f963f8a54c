"""Read and write the release matrix: which host can migrate a guest to which, as it was tried.

A file has one line of JSON for each migration, written as soon as it is over. So an interrupted
matrix is continued, and a row never changes. The rows of one *cell* are tries of the same thing.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from migrationlab.errors import StoreError

#: The words for a cell, the best first.
WORKS, MIXED, LOST, FAILS = "works", "works sometimes", "loses the guest", "fails"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellKey:
    """What one cell of the matrix tries.

    Attributes:
        source: The image of the host that the guest leaves.
        destination: The image of the host that it goes to.
        booted_on: The image of the host that it was booted on.
        mode: "normal" or "peer2peer".
        machine: QEMU's machine type.
        network_model: The model of the guest's network card.
        disk: "local" for a guest with a virtio disk, which is copied; None without a disk.
        disk_queue_size: The entries that the disk's XML asks for; None if it does not ask.
    """

    source: str
    destination: str
    booted_on: str
    mode: str
    machine: str
    network_model: str = "virtio"
    disk: str | None = None
    disk_queue_size: int | None = None

    @property
    def plain(self) -> bool:
        """Return whether the guest has a virtio network card and no disk, as most of them."""
        return self.network_model == "virtio" and self.disk is None

    @property
    def disk_words(self) -> str:
        """Return the guest's disk in words."""
        asked = f", {self.disk_queue_size} entries" if self.disk_queue_size else ""
        return f"virtio{asked}" if self.disk else "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedMigration(CellKey):
    """One migration of a matrix, with its result.

    Attributes:
        run_id: The run's name.
        outcome: The run's outcome.
        intact: Whether the guest's memory was found intact; None if nobody could ask.
        downtime_ms: The event downtime; None if it was not measured.
        total_ms: The time of the call.
        explanation: The id of the cause of the error; None if there is none.
        error: libvirt's words; None if it completed.
        destination_log: What the destination's QEMU said; empty if it said nothing.
        versions: libvirt's and QEMU's packages at the source and at the destination.
    """

    run_id: str
    outcome: str
    intact: bool | None
    downtime_ms: float | None
    total_ms: float | None
    explanation: str | None
    error: str | None
    destination_log: str
    versions: dict[str, str]

    @property
    def key(self) -> CellKey:
        """Return the cell that it belongs to."""
        return CellKey(**{each.name: getattr(self, each.name) for each in fields(CellKey)})

    @property
    def works(self) -> bool:
        """Return whether the guest arrived with its memory intact."""
        return self.outcome == "completed" and self.intact is True


@dataclass(frozen=True, slots=True)
class Cell:
    """The tries of one cell."""

    key: CellKey
    tries: tuple[TriedMigration, ...]

    @property
    def word(self) -> str:
        """Return the result in a word."""
        good = sum(each.works for each in self.tries)
        if good == len(self.tries):
            return WORKS
        if good:
            return MIXED
        lost = all(each.outcome in ("completed", "guest_lost") for each in self.tries)
        return LOST if lost else FAILS

    @property
    def downtime_ms(self) -> float | None:
        """Return the median downtime of the tries that worked."""
        known = [each.downtime_ms for each in self.tries if each.works and each.downtime_ms]
        return statistics.median(known) if known else None

    @property
    def total_ms(self) -> float | None:
        """Return the median time of the tries that worked."""
        known = [each.total_ms for each in self.tries if each.works and each.total_ms]
        return statistics.median(known) if known else None

    @property
    def explanations(self) -> tuple[str, ...]:
        """Return the causes that were met, without repetition."""
        return tuple(dict.fromkeys(each.explanation for each in self.tries if each.explanation))

    def to_dict(self) -> dict[str, object]:
        """Return the cell as plain values."""
        return {
            **asdict(self.key),
            "disk": self.key.disk_words,
            "result": self.word,
            "tries": len(self.tries),
            "worked": sum(each.works for each in self.tries),
            "downtime_ms": self.downtime_ms,
            "total_ms": self.total_ms,
            "explanations": list(self.explanations),
        }


class ReleaseMatrix:
    """The tries of a matrix; ``path`` is its file."""

    def __init__(self, tries: Sequence[TriedMigration]) -> None:
        self.tries = tuple(tries)

    def __repr__(self) -> str:
        return f"ReleaseMatrix({len(self.cells())} cells, {len(self.tries)} migrations)"

    def cells(self) -> tuple[Cell, ...]:
        """Return the cells in the order in which they were first tried."""
        found: dict[CellKey, list[TriedMigration]] = {}
        for each in self.tries:
            found.setdefault(each.key, []).append(each)
        return tuple(Cell(key, tuple(tries)) for key, tries in found.items())

    def images(self) -> tuple[str, ...]:
        """Return the images, the oldest QEMU first."""
        qemu: dict[str, tuple[int, ...]] = {}
        for each in self.tries:
            qemu[each.source] = _numbers(each.versions["source_qemu"])
            qemu[each.destination] = _numbers(each.versions["destination_qemu"])
        return tuple(sorted(qemu, key=lambda name: (qemu[name], name)))

    def between(self, source: tuple[str, str], destination: tuple[str, str]) -> tuple[Cell, ...]:
        """Return the cells of two pairs of versions, each libvirt's and QEMU's."""
        wanted = (*source, *destination)
        names = ("source_libvirt", "source_qemu", "destination_libvirt", "destination_qemu")
        tries = [each for each in self.tries if tuple(map(each.versions.get, names)) == wanted]
        return ReleaseMatrix(tries).cells()


def load_matrix(path: str | Path) -> ReleaseMatrix:
    """Return the matrix of a file; an empty one if there is no file.

    Raises:
        StoreError: The file is no matrix.
    """
    file = Path(path)
    if not file.exists():
        return ReleaseMatrix(())
    lines = file.read_text(encoding="utf-8").splitlines()
    tries = []
    for number, line in enumerate(lines, 1):
        try:
            tries.append(TriedMigration(**json.loads(line)))
        except (ValueError, TypeError) as error:
            if number == len(lines):
                break  # it was cut while it was written; that migration is tried again
            raise StoreError(
                f"{file} must have a migration of a matrix in line {number}: {error}",
                hint="Give the file that `migrationlab matrix -o DIR` wrote.",
            ) from error
    return ReleaseMatrix(tries)


def rewrite(path: Path, tries: Iterable[TriedMigration]) -> None:
    """Write the tries as the file's whole content."""
    text = "".join(json.dumps(asdict(each)) + "\n" for each in tries)
    path.write_text(text, encoding="utf-8")


def append(path: Path, tried: TriedMigration) -> None:
    """Add a try at the end of the file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(tried)) + "\n")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
