"""Measure how fast recorded runs are read: very many of them, and one with many samples.

Makes its runs itself, in a temporary folder, out of one that was recorded. The folder's files are
in the page cache when they are read, so that the disk is not what is measured.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from distributed import Client, LocalCluster

from bench.table import Row, Tell, sampled
from migrationlab.runs.manifest import MANIFEST, sealed
from migrationlab.runs.run import Run
from migrationlab.runs.store import load_run, load_runs, save_run
from migrationlab.runs.summaries import load_summaries

RECORDING = Path(__file__).parents[1] / "recordings/20261122-192717-620bc3"
RUNS, VERY_MANY = 10_000, 100_000
SAMPLES = 100_000
#: A file of ext4 has at most 65,000 names.
LINKS = 60_000


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


def very_many_runs(repeats: int, tell: Tell, *, runs: int = VERY_MANY) -> Iterator[Row]:
    """Read the summaries of very many runs with workers of Dask; 1 and 2 in turns."""
    took_s: dict[int, list[float]] = {1: [], 2: []}
    serial_s: list[float] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        tell(f"{runs} runs written")
        _multiply(Path(folder), runs)
        load_summaries(folder)  # which brings the files into the page cache
        for number, workers in itertools.product(range(repeats), took_s):
            tell(f"{runs} runs summarised by {workers} of 2 workers, {number + 1} of {repeats}")
            with (
                LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address=None, security=True
                ) as cluster,
                Client(cluster) as client,
            ):
                start, own = time.perf_counter(), time.process_time()
                found = load_summaries(folder, client=client)
                took_s[workers].append(time.perf_counter() - start)
                serial_s.append(time.process_time() - own)
                assert len(found.table) == runs
    what = f"{runs:,} runs summarised"
    yield sampled(f"{what}, 1 worker of Dask", "s", took_s[1])
    yield sampled(f"{what}, 2 workers", "s", took_s[2], "≤ 60 s")
    yield sampled(f"{what}: the client's own processor time", "s", serial_s)
    # Amdahl's law: what two workers do not halve is taken to stay; not less than the client's part.
    own_s = statistics.median(serial_s)
    stays_s = [max(2 * two_s - one_s, own_s) for one_s, two_s in zip(*took_s.values(), strict=True)]
    eight_s = [
        rest + max(one_s - rest, 0) / 8 for one_s, rest in zip(took_s[1], stays_s, strict=True)
    ]
    yield sampled(f"{what}, 8 workers: extrapolated", "s", eight_s, "≤ 20 s")


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
        # Runs are never changed, so that they can share what they hold.
        for frame in frames:
            if number % LINKS:
                (place / frame.name).hardlink_to(frame)
            else:
                shutil.copy2(frame, place)
        frames = [place / frame.name for frame in frames]
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
