"""Measure how fast recorded runs are read: ten thousand of them, and one with many samples.

Makes its runs itself, in a temporary folder, out of one that was recorded. The folder's files are
in the page cache when they are read, so that the disk is not what is measured.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from bench.table import Row, Tell, sampled
from migrationlab.runs.manifest import MANIFEST, sealed
from migrationlab.runs.run import Run
from migrationlab.runs.store import load_run, load_runs, save_run

RECORDING = Path(__file__).parents[1] / "recordings/20261122-192717-620bc3"
RUNS = 10_000
SAMPLES = 100_000


def many_runs(repeats: int, tell: Tell, *, runs: int = RUNS) -> Iterator[Row]:
    """Load a directory of runs, and make the frame of their summaries."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        tell(f"{runs} runs written")
        _multiply(Path(folder), runs)
        loaded_s, framed_s, one_ms = [], [], []
        for number in range(repeats + 1):
            tell(f"{runs} runs read, {number} of {repeats}")
            start = time.perf_counter()
            found = load_runs(folder)
            loaded_s.append(time.perf_counter() - start)
            table = found.frame()
            framed_s.append(time.perf_counter() - start - loaded_s[-1])
            assert len(table) == runs
            start = time.perf_counter()
            _ = found[-1 - number].timeline()
            one_ms.append((time.perf_counter() - start) * 1e3)
    # The first of each warms up.
    yield sampled(f"{runs:,} runs loaded", "s", loaded_s[1:], "≤ 10 s")
    yield sampled(f"frame of {runs:,} runs' summaries", "s", framed_s[1:], "≤ 1 s")
    yield sampled("one of them read and evaluated", "ms", one_ms[1:])


def long_run(repeats: int, tell: Tell, *, samples: int = SAMPLES) -> Iterator[Row]:
    """Store, load and evaluate a run with many samples in each of its larger frames."""
    saved_ms, summed_ms = [], []
    long = lengthened(load_run(RECORDING), samples)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for number in range(repeats + 1):
            tell(f"run of {samples} samples, {number} of {repeats}")
            fresh = dataclasses.replace(long, run_id=f"bench-{number}")
            start = time.perf_counter()
            place = save_run(fresh, folder)
            saved_ms.append((time.perf_counter() - start) * 1e3)
            start = time.perf_counter()
            # A changed copy has no summary yet, so that the kept one is not what is measured.
            _ = dataclasses.replace(load_run(place)).summary()
            summed_ms.append((time.perf_counter() - start) * 1e3)
    yield sampled(f"run of {samples:,} samples a frame stored", "ms", saved_ms[1:])
    yield sampled(f"run of {samples:,} samples read, summed up", "ms", summed_ms[1:], "≤ 1000 ms")


def _multiply(folder: Path, runs: int) -> None:
    """Fill a folder with runs that differ by their names."""
    first = save_run(load_run(RECORDING), folder)
    manifest = json.loads((first / MANIFEST).read_text(encoding="utf-8"))
    del manifest["sha256"]
    frames = sorted(first.glob("*.parquet"))
    for number in range(1, runs):
        run_id = f"20261122-200000-{number:06x}"
        place = folder / run_id
        place.mkdir()
        for frame in frames:
            # Runs are never changed, so that they can share what they hold.
            (place / frame.name).hardlink_to(frame)
        manifest["run"]["run_id"] = manifest["summary"]["values"]["run_id"] = run_id
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        (place / MANIFEST).write_bytes(sealed(text.encode()))


def lengthened(run: Run, samples: int) -> Run:
    """Give a copy of a run whose job and beats have more rows, spread over the same time."""
    frames = {name: _stretched(getattr(run, name), samples) for name in ("job", "beats")}
    return dataclasses.replace(run, **frames)


def _stretched(table: pd.DataFrame, samples: int) -> pd.DataFrame:
    """Repeat each row; the copies' times lie between it and the next."""
    times = -(-samples // len(table))
    long = table.loc[table.index.repeat(times)].head(samples).reset_index(drop=True)
    for name in ("time_ns", "arrival_ns", "guest_ns"):
        if name in long:
            step = int(table[name].diff().median()) // times
            long[name] += (long.index % times) * step
    if "sequence" in long:
        long["sequence"] = long.index
    return long
