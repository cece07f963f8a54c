"""Runs on disk: whole or not at all, and never read as what they are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from migrationlab import store
from migrationlab.errors import StoreError
from migrationlab.runs import FRAMES, SUMMARY, Run

MakeRun = Callable[..., Run]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("outcome", ["completed", "cancelled", "timed_out", "failed"])
def test_a_run_comes_back_as_it_was(make_run: MakeRun, tmp_path: Path, outcome: str) -> None:
    """Saving and loading changes nothing, whatever became of the migration."""
    run = make_run(outcome=outcome, mode="peer2peer")
    again = store.load_run(store.save_run(run, tmp_path))
    assert again == run
    for name in run.__dataclass_fields__:
        before, after = getattr(run, name), getattr(again, name)
        assert before.equals(after) if name in FRAMES else before == after
    assert again.summary() == run.summary()


def test_pandas_alone_reads_a_stored_run(make_run: MakeRun, tmp_path: Path) -> None:
    """The files are plain Parquet and JSON, with the documented columns and types."""
    run = make_run()
    folder = store.save_run(run, tmp_path)
    for name, columns in FRAMES.items():
        read = pd.read_parquet(folder / f"{name}.parquet")
        assert dict(read.dtypes.astype(str)) == dict(columns)
        assert read.equals(getattr(run, name))
    facts = json.loads((folder / "run.json").read_text())
    assert facts["format"] == "migrationlab-run"
    assert facts["version"] == 2
    assert facts["files"]["beats.parquet"]["rows"] == len(run.beats)
    assert facts["run"]["plan"]["mode"] == "normal"


def test_every_column_and_key_is_described(make_run: MakeRun, tmp_path: Path) -> None:
    """data/README.md names all that a run holds, so that nobody needs the code to read it."""
    text = (ROOT / "data/README.md").read_text()
    manifest = json.loads((store.save_run(make_run(), tmp_path) / "run.json").read_text())
    names = [*manifest, *manifest["run"], *SUMMARY]
    names += [column for columns in FRAMES.values() for column in columns]
    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize("folder", sorted((ROOT / "data/runs").iterdir()), ids=lambda p: p.name)
def test_version_1_is_read_and_kept_as_version_2(folder: Path, tmp_path: Path) -> None:
    """A run recorded before there was version 2 gives the same numbers, now and stored anew."""
    manifest = json.loads((folder / "run.json").read_text())
    run = store.load_run(folder)
    assert manifest["version"] == 1
    assert run.run_id == manifest["run"]["run_id"]
    assert len(run.echoes) == 0
    assert (run.clock, run.domain_states) == (None, None)
    assert run.job["disk_total_bytes"].isna().all()
    assert run.summary()["downtime_event_ms"] is not None
    assert store.load_run(store.save_run(run, tmp_path)).summary() == run.summary()


def test_a_stored_run_is_never_overwritten(make_run: MakeRun, tmp_path: Path) -> None:
    """Saving the same run twice is refused, and the first stays as it is."""
    folder = store.save_run(make_run(), tmp_path)
    before = (folder / "run.json").read_bytes()
    with pytest.raises(StoreError, match="already") as caught:
        store.save_run(make_run(), tmp_path)
    assert "never overwritten" in caught.value.hint
    assert (folder / "run.json").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [folder.name]


def test_a_broken_write_leaves_nothing(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C at the last moment before the rename leaves no folder, whole or half."""

    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_sync_directory", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.save_run(make_run(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_files_get_the_users_usual_mode(make_run: MakeRun, tmp_path: Path) -> None:
    """Stored runs can be shared: they follow the umask instead of a temporary file's 0600."""
    before = os.umask(0o027)
    try:
        folder = store.save_run(make_run(), tmp_path)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}


FILL_DISK = """
import sys
from migrationlab import store
from migrationlab.errors import StoreError
run = store.load_run(sys.argv[1])
try:
    store.save_run(run, sys.argv[2])
except StoreError as error:
    print(error, "|", error.hint)
else:
    sys.exit("it fitted")
"""


def test_a_full_disk_is_said_and_leaves_nothing(make_run: MakeRun, tmp_path: Path) -> None:
    """A real file system without room gives an error with a hint, and no part of the run."""
    folder = store.save_run(make_run(), tmp_path / "runs")
    disk = tmp_path / "disk"
    disk.mkdir()
    inside = (
        'mount -t tmpfs -o size=16k tmpfs "$2" && "$0" -c "$FILL_DISK" "$1" "$2" && '
        'ls -A "$2" | wc -l'
    )
    arguments = ["sh", "-c", inside, sys.executable, str(folder), str(disk)]
    finished = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"FILL_DISK": FILL_DISK},
    )
    if "unshare" in finished.stderr or "mount:" in finished.stderr:
        pytest.skip(f"this machine gives no namespace to make a small disk in: {finished.stderr}")
    said, left = finished.stdout.splitlines()
    assert "No space left on device | Free some space there" in said
    assert left == "0"
    assert finished.returncode == 0


def test_a_limit_on_file_size_is_a_full_disk_too(make_run: MakeRun, tmp_path: Path) -> None:
    """EFBIG, which a quota can give where there is no small disk, is told in the same way."""
    folder = store.save_run(make_run(), tmp_path / "runs")
    limited = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-B", "-c", limited + FILL_DISK, str(folder), str(tmp_path / "new")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "File too large | Free some space" in finished.stdout
    assert list((tmp_path / "new").iterdir()) == []


def test_a_place_that_is_no_directory_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    """A file where the directory should be gives a hint, not a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as caught:
        store.save_run(make_run(), tmp_path / "file")
    assert caught.value.hint == "Check the path."


@pytest.mark.parametrize("name", [f"{name}.parquet" for name in FRAMES])
def test_damage_is_found_in_each_file(make_run: MakeRun, tmp_path: Path, name: str) -> None:
    """A cut or changed file is told by its name before a number is read from it."""
    folder = store.save_run(make_run(), tmp_path)
    content = (folder / name).read_bytes()
    for damaged in (content[: len(content) // 2], content[:-9] + b"x" + content[-8:], b""):
        (folder / name).write_bytes(damaged)
        with pytest.raises(StoreError, match=rf"{name} is damaged") as caught:
            store.load_run(folder)
        assert "copy" in caught.value.hint
    (folder / name).unlink()
    with pytest.raises(StoreError, match=name):
        store.load_run(folder)


def test_a_cut_manifest_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    """At whatever byte run.json ends, the answer is a StoreError."""
    folder = store.save_run(make_run(), tmp_path)
    content = (folder / "run.json").read_bytes()
    for length in range(0, len(content) - 2, 97):
        (folder / "run.json").write_bytes(content[:length])
        with pytest.raises(StoreError):
            store.load_run(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 3}, "has version 3 of the format; this migrationlab reads 1 to 2"),
        ({"format": "other"}, "no run of migrationlab"),
        ({"version": None}, "has version None"),
        ({"files": {}}, "damaged"),
        ({"run": {}}, "does not describe a run"),
        ({"run": []}, "does not describe a run"),
    ],
)
def test_foreign_and_newer_runs_are_refused(
    make_run: MakeRun, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    """What this version cannot know is not guessed at."""
    folder = store.save_run(make_run(), tmp_path)
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(manifest | change))
    with pytest.raises(StoreError, match=said) as caught:
        store.load_run(folder)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("run_id", "../../x"),
        ("outcome", "splendid"),
        ("plan", {"mode": "sideways"}),
        ("plan", {"unknown": 1}),
        ("plan", None),
        ("error", {"unknown": 1}),
        ("guest", 3),
        ("unknown", 1),
    ],
)
def test_a_wrong_fact_is_refused(
    make_run: MakeRun, tmp_path: Path, key: str, value: object
) -> None:
    """An edited run.json never gets past loading with a fact of the wrong kind."""
    folder = store.save_run(make_run(), tmp_path)
    manifest = json.loads((folder / "run.json").read_text())
    manifest["run"][key] = value
    (folder / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="does not describe a run"):
        store.load_run(folder)


def test_a_directory_gives_its_runs_and_passes_over_the_rest(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """Leftovers of stopped writes, files and other folders do not disturb."""
    for number in (2, 1):
        store.save_run(make_run(number=number), tmp_path)
    leftover = tmp_path / ".20261122-180300-000003.0a1b2c3d.part"
    leftover.mkdir()
    (leftover / "run.json").write_text("{")
    (tmp_path / "figures").mkdir()
    (tmp_path / "report.html").touch()
    assert [run.run_id[-1] for run in store.load_runs(tmp_path)] == ["1", "2"]


def test_no_directory_or_a_run_given_for_one_is_said(make_run: MakeRun, tmp_path: Path) -> None:
    """The two slips of the hand with a path each get their own hint."""
    with pytest.raises(StoreError) as caught:
        store.load_runs(tmp_path / "none")
    assert caught.value.hint == "Check the path."
    folder = store.save_run(make_run(), tmp_path)
    with pytest.raises(StoreError, match="is one run"):
        store.load_runs(folder)
    assert store.load_run(folder / "run.json") == make_run()


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The report's file is new or as before, with nothing beside it."""
    path = tmp_path / "deep" / "report.html"
    store.write_file(path, b"one")
    assert store.write_file(path, b"two") == path
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]
    with pytest.raises(StoreError):
        store.write_file(tmp_path / "deep", b"three")
    assert len(list(tmp_path.iterdir())) == 1
