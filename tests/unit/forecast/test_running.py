"""The forecast of a running migration, replayed from recorded ones."""

from __future__ import annotations

import functools
import subprocess
import sys

import pandas as pd
import pytest

from migrationlab import load_runs
from migrationlab.forecast.running import RunningForecast, SeenMigration
from migrationlab.runs.run import Outcome, Run
from paths import DATA

#: A second, in ns.
SECOND = 10**9


@functools.cache
def runs() -> tuple[Run, ...]:
    """Return a run of each cell of the experiment `convergence`; all of the one at the border."""
    found: dict[object, Run] = {}
    for run in load_runs(DATA / "experiments" / "convergence" / "runs"):
        assert run.wire is not None
        place = (run.guest["dirty_mib_s"], run.wire["rate_mbit_s"])
        found.setdefault(run.run_id if place == (80, 1000) else place, run)
    return tuple(found.values())


@functools.cache
def replayed(run_id: str) -> tuple[tuple[int, RunningForecast], ...]:
    """Return what was forecast at each sample until the guest was paused, and when."""
    (run,) = (one for one in runs() if one.run_id == run_id)
    seen, found = SeenMigration(), []
    stop_ns = run.timeline().stop_ns
    for row in run.job.to_dict("records"):
        if stop_ns is not None and row["time_ns"] > stop_ns:
            break
        seen.sampled(row["time_ns"], {k: int(v) for k, v in row.items() if not pd.isna(v)})
        found.append((row["time_ns"], seen.forecast(run.plan, 300, row["time_ns"])))
    return tuple(found)


def cell(dirty_mib_s: float, wire_mbit_s: float) -> list[Run]:
    """Return the runs of a cell."""
    return [
        run for run in runs()
        if run.guest["dirty_mib_s"] == dirty_mib_s and run.wire is not None
        and run.wire["rate_mbit_s"] == wire_mbit_s
    ]  # fmt: skip


def test_nothing_is_said_of_a_first_iteration() -> None:
    """What the guest writes is not known yet."""
    for run in runs():
        _, first = replayed(run.run_id)[0]
        assert first.ends is None
        assert first.left_s.median is None


def test_what_is_said_for_certain_is_right() -> None:
    """No run that ended was given up; one that never ended is not said to end."""
    for run in runs():
        said = {told.ends for _, told in replayed(run.run_id)}
        if run.outcome is Outcome.COMPLETED:
            assert False not in said, run
    for run in (*cell(80, 500), *cell(80, 250), *cell(40, 250)):
        assert True not in {told.ends for _, told in replayed(run.run_id)}, run


@pytest.mark.parametrize("wire", [250, 500])
def test_endless_migration_is_recognized(wire: float) -> None:
    """After some iterations, with a limit that would end it and other ways."""
    for run in cell(80, wire):
        _, last = replayed(run.run_id)[-1]
        assert last.ends is False
        assert str(last) == "does not end like this"
        assert any("set_max_downtime" in change for change in last.changes)
        assert "migration.cancel()" in last.changes


def test_time_left_does_not_run_backwards() -> None:
    """Once an end is forecast, the time left never rises."""
    shown = 0
    for run in runs():
        left = [told.left_s.median for _, told in replayed(run.run_id) if told.ends]
        times = [value for value in left if value is not None]
        assert times == sorted(times, reverse=True)
        shown += len(times)
    assert shown >= 50


def test_time_left_is_near_the_end() -> None:
    """For 40 MiB/s over 500 Mbit/s, each forecast is within 1.5 s of what was left."""
    for run in cell(40, 500):
        resume_ns = run.timeline().resume_ns
        assert resume_ns is not None
        sure = [(at, told) for at, told in replayed(run.run_id) if told.ends]
        assert sure
        for at_ns, told in sure:
            assert told.left_s.median == pytest.approx((resume_ns - at_ns) / SECOND, abs=1.5)


def test_longer_limit_ends_what_stands_still() -> None:
    """The advised limit makes the forecast an end."""
    run = cell(80, 500)[0]
    seen = SeenMigration()
    for row in run.job.to_dict("records"):
        seen.sampled(row["time_ns"], {k: int(v) for k, v in row.items() if not pd.isna(v)})
    last_ns = int(run.job["time_ns"].iloc[-1])
    (call,) = [text for text in seen.forecast(run.plan, 300, last_ns).changes if "downtime" in text]
    limit_ms = int(call.removeprefix("migration.set_max_downtime(").removesuffix(")"))
    assert 1000 <= limit_ms <= 2400


def test_forecast_loads_nothing_while_a_guest_migrates() -> None:
    """It is made between two samples of the job, and these shall not wait for a library."""
    folder = DATA / "experiments" / "convergence" / "runs"
    script = f"""
import sys, pandas as pd, migrationlab.migrate
from migrationlab.forecast.running import SeenMigration
from migrationlab.runs.store import load_runs
runs = [(run.plan, run.job.to_dict("records")) for run in list(load_runs({str(folder)!r}))[24:26]]
before, told = set(sys.modules), 0
for plan, rows in runs:
    seen = SeenMigration()
    for row in rows:
        seen.sampled(row["time_ns"], {{k: int(v) for k, v in row.items() if not pd.isna(v)}})
        told += seen.forecast(plan, 300, row["time_ns"]).ends is not None
print(told > 0, sorted(set(sys.modules) - before))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split(maxsplit=1) == ["True", "[]\n"]
