"""Summaries of many runs: the same from workers of Dask as from here, and damage is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from distributed import Client, LocalCluster

from migrationlab.errors import StoreError
from migrationlab.runs import summaries
from migrationlab.runs.run import Run
from migrationlab.runs.store import load_runs, save_run
from migrationlab.runs.summaries import load_summaries

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Give a client of two worker processes."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as made,
    ):
        yield made


@pytest.fixture
def folder(make_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory of five runs, of which the last name is the oldest; chunks are small."""
    monkeypatch.setattr(summaries, "CHUNK", 2)
    for number in range(5):
        place = save_run(make_run(number=number), tmp_path)
        place.rename(tmp_path / f"run-{5 - number}")
    (tmp_path / "no-run").mkdir()
    return tmp_path


def test_workers_read_the_same_as_load_runs(folder: Path, client: Client) -> None:
    """The frame is that of load_runs, in its order, whoever reads."""
    expected = load_runs(folder).frame()
    for given in (None, client):
        found = load_summaries(folder, client=given)
        pd.testing.assert_frame_equal(found.table, expected)
        assert not found.unreadable
        assert repr(found) == "Summaries(5 runs)"


def test_damaged_run_is_left_out_with_the_reason(folder: Path, client: Client) -> None:
    """A frame that is cut and a manifest that is changed are named; the others are read."""
    (folder / "run-2" / "beats.parquet").write_bytes(b"")
    (folder / "run-4" / "run.json").write_text("{}")
    expected = load_runs(folder, strict=False)
    for given in (None, client):
        found = load_summaries(folder, client=given, strict=False)
        pd.testing.assert_frame_equal(found.table, expected.frame())
        assert dict(found.unreadable) == dict(expected.unreadable)
        assert list(found.unreadable) == ["run-2", "run-4"]
        assert repr(found) == "Summaries(3 runs, 2 unreadable)"


def test_damaged_run_is_an_error(folder: Path, client: Client) -> None:
    """The error of a worker arrives with its hint, and says how to read the other runs."""
    (folder / "run-4" / "run.json").write_text("{}")
    for given in (None, client):
        with pytest.raises(StoreError, match="run-4") as caught:
            load_summaries(folder, client=given)
        assert caught.value.hint
        assert "strict=False" in "".join(caught.value.__notes__)


def test_same_run_twice_is_refused(folder: Path, client: Client) -> None:
    """A copy would count twice, also where another worker reads it."""
    shutil.copytree(folder / "run-1", folder / "run-9")
    for given in (None, client):
        with pytest.raises(StoreError, match=r"run-1 and run-9 in .* are the same run"):
            load_summaries(folder, client=given)


def test_directory_without_runs_has_an_empty_table(tmp_path: Path) -> None:
    """The table has its columns; a run itself, and a missing directory, are refused."""
    pd.testing.assert_frame_equal(load_summaries(tmp_path).table, load_runs(tmp_path).frame())
    with pytest.raises(StoreError, match="no runs could be read"):
        load_summaries(tmp_path / "missing")
