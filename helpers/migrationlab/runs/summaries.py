"""Read the summaries of very many runs, on one processor or on the workers of Dask.

Theory of operation. A summary needs its run's ``run.json`` only, unless it was stored with another
definition: then the frames are read and evaluated. The folders are shared out in chunks. A worker
checks each run of its chunk as ``load_runs`` does, and sends back a frame: the runs themselves,
which take a hundred times the space, stay where they were read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from migrationlab.errors import StoreError
from migrationlab.runs.run import summary_frame
from migrationlab.runs.store import load_run, refuse_link, run_folders, same_run

if TYPE_CHECKING:
    import pandas as pd

#: The runs of a chunk: half a second of work, and a frame of a megabyte.
CHUNK = 1000


@dataclass(frozen=True, eq=False, repr=False)
class Summaries:
    """The summaries of a directory of runs.

    Attributes:
        table: A row per run, oldest first, as :meth:`migrationlab.Runs.frame` has them.
        unreadable: For each run that could not be read, its name and the reason.
    """

    table: pd.DataFrame
    unreadable: Mapping[str, str]

    def __repr__(self) -> str:
        left_out = f", {len(self.unreadable)} unreadable" if self.unreadable else ""
        return f"Summaries({len(self.table)} runs{left_out})"


def load_summaries(directory: str | Path, *, client: Any = None, strict: bool = True) -> Summaries:
    """Read the summaries of all runs of a directory, without keeping the runs.

    Args:
        directory: The directory of runs.
        client: A client of ``dask.distributed`` whose workers read, each of which must have the
            directory at the same path; None to read here. Reading is Python's own work, so take
            processes: ``Client(n_workers=8, threads_per_worker=1)``.
        strict: Whether a run that cannot be read is an error. With False the result has the other
            runs, and its ``unreadable`` says why these could not be read.

    Raises:
        StoreError: There is no such directory; a run cannot be read; or a run is there twice.
    """
    parent = Path(directory).absolute()
    names = list(run_folders(parent))
    chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)] or [[]]
    if client is None:
        read = [_read(str(parent), chunk, strict=strict) for chunk in chunks]
    else:
        # Not pure: the folder can have changed since the same chunk was last read.
        places = [str(parent)] * len(chunks)
        read = client.gather(client.map(_read, places, chunks, strict=strict, pure=False))
    return _joined(parent, read)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """What was read of some folders: the frame, and of each row the time and the folder's name."""

    table: pd.DataFrame
    created: list[str]
    names: list[str]
    unreadable: dict[str, str]


def _read(parent: str, names: Sequence[str], *, strict: bool) -> _Chunk:
    unreadable: dict[str, str] = {}
    rows = list(_rows(Path(parent), names, None if strict else unreadable))
    table = summary_frame([summary for _, _, summary in rows])
    return _Chunk(table, [at for at, _, _ in rows], [name for _, name, _ in rows], unreadable)


def _rows(
    parent: Path, names: Sequence[str], unreadable: dict[str, str] | None
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for name in names:
        try:
            refuse_link(parent / name)
            run = load_run(parent / name)
            yield run.created, name, run.summary()
        except StoreError as error:
            if unreadable is None:
                error.add_note("Read the other runs with load_summaries(…, strict=False)")
                raise
            unreadable[name] = str(error)


def _joined(parent: Path, read: Sequence[_Chunk]) -> Summaries:
    import pandas as pd  # noqa: PLC0415 (half a second, which a directory without runs needs not)

    table = pd.concat([chunk.table for chunk in read], ignore_index=True)
    created = [at for chunk in read for at in chunk.created]
    names = [name for chunk in read for name in chunk.names]
    twice = table["run_id"].duplicated()
    if twice.any():
        second = int(twice.argmax())
        first = int((table["run_id"] == table["run_id"][second]).argmax())
        raise same_run(parent, names[first], names[second])
    order = pd.DataFrame({"created": created, "run_id": table["run_id"]})
    places = order.sort_values(["created", "run_id"], kind="stable").index
    unreadable = {name: why for chunk in read for name, why in chunk.unreadable.items()}
    return Summaries(
        table.loc[places].reset_index(drop=True), MappingProxyType(dict(sorted(unreadable.items())))
    )
