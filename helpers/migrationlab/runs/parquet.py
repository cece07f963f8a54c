"""Write and read the frames of a run: Parquet, read and checked when a frame is first needed."""

from __future__ import annotations

import functools
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from migrationlab.runs.atomic_write import damaged, refused
from migrationlab.runs.manifest import Manifest
from migrationlab.runs.safe_files import MIB, read_file
from migrationlab.runs.schema import FRAMES, RECORDED, conform, frame

if TYPE_CHECKING:
    import pandas as pd

#: The number of frames that stay in memory after reading: those of about nine runs.
CACHED_FRAMES = 64
#: A day of a guest's beats has 86 million rows, in 350 MiB.
MAX_FRAME_BYTES, MAX_ROWS = 512 * MIB, 100_000_000


def encode(table: pd.DataFrame) -> bytes:
    """Return a frame as the content of a Parquet file."""
    # Times and counters grow evenly: stored as differences they take a third of the space.
    growing = [name for name, kind in table.dtypes.items() if str(kind).lower() == "int64"]
    content: bytes = table.to_parquet(
        None,
        engine="pyarrow",
        index=False,
        compression="zstd",
        use_dictionary=[name for name in table.columns if name not in growing],
        column_encoding=dict.fromkeys(growing, "DELTA_BINARY_PACKED"),
    )
    return content


def readers(folder: Path, manifest: Manifest) -> dict[str, Callable[[], pd.DataFrame]]:
    """Return the functions that read the frames of a run, by the frames' names.

    Args:
        folder: The run's folder, an absolute path.
        manifest: The content of its ``run.json``.

    Raises:
        StoreError: A file is missing, or has another size than ``run.json`` says.
    """
    return {name: _reader(folder, name, manifest) for name in FRAMES}


def _reader(folder: Path, name: str, manifest: Manifest) -> Callable[[], pd.DataFrame]:
    # As text: a Path takes longer to make than the file's size to ask for.
    path = f"{folder}/{name}.parquet"
    if (about := manifest.files.get(f"{name}.parquet")) is None:
        if RECORDED[name].added and not os.path.exists(path):  # noqa: PTH110 (as above)
            return functools.partial(frame, name, ())  # recorded before there was such a frame
        raise damaged(Path(path), "run.json does not list it")
    try:
        size = os.lstat(path).st_size
    except OSError as error:
        raise refused(f"{path} could not be read", error) from error
    if size != about.bytes:
        raise damaged(Path(path), f"it has {size} bytes, not {about.bytes}")
    if not 0 <= about.rows <= MAX_ROWS:
        raise damaged(Path(path), f"it has {about.rows} rows; the limit is {MAX_ROWS}")
    return functools.partial(_read, path, name, about.sha256, about.rows)


@functools.lru_cache(maxsize=CACHED_FRAMES)
def _read(place: str, name: str, checksum: str, rows: int) -> pd.DataFrame:
    """Read a frame. Callers share the result, and copy it before they change it.

    Raises:
        StoreError: The content is not the saved one.
    """
    import pandas as pd  # noqa: PLC0415 (takes half a second or more to import; a stored summary needs no frame)
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    path = Path(place)
    try:
        content = read_file(path, MAX_FRAME_BYTES)
    except OSError as error:
        raise refused(f"{path} could not be read", error) from error
    if hashlib.sha256(content).hexdigest() != checksum:
        raise damaged(path, "its checksum differs")
    try:
        # A small file can hold many rows, so they are counted first.
        _require_rows(pq.read_metadata(io.BytesIO(content)).num_rows, rows)
        return conform(name, pd.read_parquet(io.BytesIO(content), engine="pyarrow"))
    # What pandas and pyarrow raise for a file that migrationlab did not write.
    except (pa.ArrowException, KeyError, OSError, OverflowError, TypeError, ValueError) as error:
        raise damaged(path, error) from error


def _require_rows(found: int, listed: int) -> None:
    if found != listed:
        raise ValueError(f"it has {found} rows, not {listed}")
