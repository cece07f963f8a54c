"""The frames of a run on disk: Parquet, read and checked when a frame is first asked for."""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from migrationlab.runs.atomic_write import damaged, refused
from migrationlab.runs.schema import FRAMES, conform

#: What pandas and pyarrow say of a file that no kit wrote.
_FOREIGN = (pa.ArrowException, KeyError, OSError, OverflowError, TypeError, ValueError)
#: How many frames are kept once they are read: those of some nine runs.
FRAMES_KEPT = 64


def encode(table: pd.DataFrame) -> bytes:
    """Return a frame as the content of a Parquet file."""
    # Stamps and counters that grow evenly shrink to a third as differences.
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


def readers(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Callable[[], pd.DataFrame]]:
    """Return a function for each frame of a run that reads the frame.

    Args:
        folder: The run's folder, an absolute path.
        manifest: What its ``run.json`` says.

    Raises:
        StoreError: A file is missing, or has another size than ``run.json`` says.
    """
    return {name: _reader(folder / f"{name}.parquet", name, manifest) for name in FRAMES}


def _reader(path: Path, name: str, manifest: Mapping[str, Any]) -> Callable[[], pd.DataFrame]:
    try:
        told = manifest["files"][path.name]
        checksum, size = str(told["sha256"]), told["bytes"]
        found = path.stat().st_size
    except OSError as error:
        raise refused(f"{path} could not be read", error) from error
    except (KeyError, TypeError) as error:
        raise damaged(path, f"run.json says nothing of it ({error})") from error
    if found != size:
        raise damaged(path, f"it has {found} bytes, not {size}")
    return functools.partial(_read, path, name, checksum)


@functools.lru_cache(maxsize=FRAMES_KEPT)
def _read(path: Path, name: str, checksum: str) -> pd.DataFrame:
    """Read a frame. Whoever is given it shares it, and copies it before it changes anything.

    Raises:
        StoreError: It is not what the run was saved with.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise refused(f"{path} could not be read", error) from error
    if hashlib.sha256(content).hexdigest() != checksum:
        raise damaged(path, "its checksum differs")
    try:
        return conform(name, pd.read_parquet(io.BytesIO(content), engine="pyarrow"))
    except _FOREIGN as error:
        raise damaged(path, error) from error
