"""Runs on disk are whole or not there at all, and damage is always found."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrationlab.errors import StoreError
from migrationlab.runs import atomic_write as disk
from migrationlab.runs import store
from migrationlab.runs.manifest import sealed
from migrationlab.runs.run import Run
from migrationlab.runs.schema import FRAMES, METRICS, SUMMARY
from paths import DATA, RECORDINGS

MakeRun = Callable[..., Run]
#: A recorded run, of which a test may change a copy.
FIRST = RECORDINGS / "20261122-192728-594178"
STORED = sorted(path.parent for root in (RECORDINGS, DATA) for path in root.rglob("run.json"))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a run's ``run.json`` and its checksum."""
    manifest = json.loads((folder / "run.json").read_text())
    manifest.pop("sha256", None)
    change(manifest)
    (folder / "run.json").write_bytes(sealed((json.dumps(manifest, indent=2) + "\n").encode()))


@pytest.mark.parametrize("outcome", ["completed", "cancelled", "timed_out", "failed"])
def test_loaded_run_equals_the_saved_one(make_run: MakeRun, tmp_path: Path, outcome: str) -> None:
    """Saving and loading changes nothing, for each outcome."""
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
    assert facts["version"] == 4
    assert facts["files"]["beats.parquet"]["rows"] == len(run.beats)
    assert facts["run"]["plan"]["mode"] == "normal"


def test_every_column_and_key_is_described(make_run: MakeRun, tmp_path: Path) -> None:
    """data/README.md names everything that a run holds."""
    text = (DATA / "README.md").read_text()
    manifest = json.loads((store.save_run(make_run(), tmp_path) / "run.json").read_text())
    names = [*manifest, *manifest["run"], *SUMMARY]
    names += [column for columns in FRAMES.values() for column in columns]
    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    "folder",
    [
        # One program wrote all runs of an experiment, so a part of them tells.
        pytest.param(folder, id=folder.name, marks=[pytest.mark.thorough] * (number % 4 > 0))
        for number, folder in enumerate(STORED)
    ],
)
def test_recorded_run_has_todays_format(folder: Path) -> None:
    """Every recorded run loads with all columns, and its stored summary is used.

    A number that was added since the run was recorded is missing.
    """
    run = store.load_run(folder)
    stored = json.loads((folder / "run.json").read_text())["summary"]["values"]
    added = {name: None for name, about in METRICS.items() if about.added}
    assert added | stored == run.summary()
    for name, columns in FRAMES.items():
        assert list(getattr(run, name)) == list(columns)


def test_stored_run_is_never_overwritten(make_run: MakeRun, tmp_path: Path) -> None:
    """Saving the same run twice is refused, and the first copy stays unchanged."""
    folder = store.save_run(make_run(), tmp_path)
    before = (folder / "run.json").read_bytes()
    with pytest.raises(StoreError, match="already") as caught:
        store.save_run(make_run(), tmp_path)
    assert "never overwritten" in caught.value.hint
    assert (folder / "run.json").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [folder.name]


def test_interrupted_write_leaves_nothing(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C at the last moment before the rename leaves no folder."""

    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(disk, "_sync_directory", interrupted)
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
from migrationlab.runs import store
from migrationlab.errors import StoreError
run = store.load_run(sys.argv[1])
try:
    store.save_run(run, sys.argv[2])
except StoreError as error:
    print(error, "|", error.hint)
else:
    sys.exit("it fitted")
"""


def test_full_disk_is_an_error_and_leaves_nothing(make_run: MakeRun, tmp_path: Path) -> None:
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


def test_limit_on_file_size_is_an_error_like_a_full_disk(make_run: MakeRun, tmp_path: Path) -> None:
    """EFBIG, which a quota can give instead of ENOSPC, gets the same hint."""
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


def test_file_instead_of_a_directory_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    """A file in the place of the directory gives a hint, not a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as caught:
        store.save_run(make_run(), tmp_path / "file")
    assert caught.value.hint == "Check the path."


@pytest.mark.parametrize("frame", FRAMES)
def test_cut_or_lost_file_is_an_error_at_once(
    make_run: MakeRun, tmp_path: Path, frame: str
) -> None:
    """Loading a run checks that each of its files exists and has its size."""
    path = store.save_run(make_run(), tmp_path) / f"{frame}.parquet"
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content + b"x", b""):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=rf"{path.name} is damaged: it has") as caught:
            store.load_run(path.parent)
        assert "copy" in caught.value.hint
    path.unlink()
    with pytest.raises(StoreError, match=path.name):
        store.load_run(path.parent)


@pytest.mark.parametrize("frame", FRAMES)
def test_changed_file_is_an_error_when_it_is_read(
    make_run: MakeRun, tmp_path: Path, frame: str
) -> None:
    """A changed byte is an error of the frame that has it, and of no other."""
    path = store.save_run(make_run(), tmp_path) / f"{frame}.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    run = store.load_run(path.parent)
    with pytest.raises(StoreError, match=rf"{path.name} is damaged: its checksum") as caught:
        getattr(run, frame)
    assert "copy" in caught.value.hint
    for other in FRAMES.keys() - {frame}:
        assert getattr(run, other).equals(getattr(make_run(), other))


def test_frame_of_another_program_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    """A file without a column or without a table is an error that names the file."""
    folder = store.save_run(make_run(), tmp_path)
    path = folder / "beats.parquet"
    for content in (make_run().beats.drop(columns="writes").to_parquet(), b"PAR1 and no more"):
        path.write_bytes(content)
        about = {"rows": 1, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        edited(folder, lambda manifest, about=about: manifest["files"].update({path.name: about}))  # type: ignore[misc]
        run = store.load_run(folder)
        with pytest.raises(StoreError, match=r"beats.parquet is damaged: .") as caught:
            _ = run.beats
        assert caught.value.__cause__ is not None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(places=st.lists(st.integers(1, 2500), min_size=1, max_size=4), byte=st.binary(min_size=4))
def test_any_bytes_in_a_table_give_a_frame_or_a_store_error(
    tmp_path: Path, places: list[int], byte: bytes
) -> None:
    """Bytes that changed together with their checksum give a frame or a StoreError."""
    folder = tmp_path / FIRST.name
    if not folder.exists():
        shutil.copytree(FIRST, folder)
    content = bytearray((FIRST / "wire_bytes.parquet").read_bytes())
    for place, value in zip(places, byte, strict=False):
        content[-(place % len(content))] = value
    (folder / "wire_bytes.parquet").write_bytes(content)
    about = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    edited(folder, lambda manifest: manifest["files"]["wire_bytes.parquet"].update(about))
    run = store.load_run(folder)
    with contextlib.suppress(StoreError):
        assert dict(run.wire_bytes.dtypes.astype(str)) == dict(FRAMES["wire_bytes"])


def test_frames_are_read_when_they_are_needed(make_run: MakeRun, tmp_path: Path) -> None:
    """Listing a run reads ``run.json`` only. A frame is read later, from the same folder."""
    folder = store.save_run(make_run(), tmp_path / "runs")
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        (run,) = store.load_runs("runs")
    finally:
        os.chdir(before)
    spoilt = run.beats
    spoilt["sequence"] = 0
    assert run.beats.equals(make_run().beats)
    shutil.rmtree(folder)
    assert run.summary() == make_run().summary()
    with pytest.raises(StoreError, match=r"events.parquet could not be read") as caught:
        _ = run.events
    assert caught.value.hint == "Check the path."


def test_stored_summary_is_used(make_run: MakeRun, tmp_path: Path) -> None:
    """The frames of a run with a stored summary need not be read."""
    folder = store.save_run(make_run(), tmp_path)

    def forge(manifest: dict[str, Any]) -> None:
        manifest["summary"]["values"]["call_ms"] = 1

    edited(folder, forge)
    assert store.load_run(folder).summary()["call_ms"] == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["summary"].update(definition=0),
        lambda manifest: manifest["summary"]["values"].pop("run_id"),
        lambda manifest: manifest["summary"]["values"].update(invented=1),
        lambda manifest: manifest.update(summary=None),
        lambda manifest: manifest.pop("summary"),
    ],
)
def test_summary_of_other_version_is_recomputed(
    make_run: MakeRun, tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    """A summary of another definition, with missing or unknown numbers, or none, is not used."""
    folder = store.save_run(make_run(), tmp_path)

    def both(manifest: dict[str, Any]) -> None:
        manifest["summary"]["values"]["call_ms"] = 1
        change(manifest)

    edited(folder, both)
    assert store.load_run(folder).summary() == make_run().summary()


def test_cut_manifest_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    """A ``run.json`` that ends at any byte before its end gives a StoreError."""
    folder = store.save_run(make_run(), tmp_path)
    content = (folder / "run.json").read_bytes()
    for length in range(0, len(content) - 2, 97):
        (folder / "run.json").write_bytes(content[:length])
        with pytest.raises(StoreError):
            store.load_run(folder)


def test_changed_manifest_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    """A figure that was changed by hand in run.json is damage, and so is a removed checksum."""
    path = store.save_run(make_run(), tmp_path) / "run.json"
    content = path.read_bytes()
    assert content.count(b'"downtime": 330') == 1
    lines = content.splitlines(keepends=True)
    for changed in (
        content.replace(b'"downtime": 330', b'"downtime": 130'),
        b"".join([*lines[:-3], lines[-3].replace(b",", b""), lines[-1]]),
    ):
        path.write_bytes(changed)
        with pytest.raises(StoreError, match=r"run.json is damaged: its checksum differs"):
            store.load_run(path.parent)


def test_checksum_of_manifest_is_as_documented(make_run: MakeRun, tmp_path: Path) -> None:
    """``data/README.md`` is right: it is the checksum of all lines but the last two."""
    path = store.save_run(make_run(), tmp_path) / "run.json"
    head = subprocess.run(["head", "-n", "-2", str(path)], capture_output=True, check=True)
    about = json.loads(path.read_bytes())["sha256"]
    assert hashlib.sha256(head.stdout).hexdigest() == about


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 5}, "has version 5 of the format; this migrationlab reads 4"),
        ({"version": 3}, "has version 3 of the format"),
        ({"format": "other"}, "no run of migrationlab"),
        ({"version": None}, "has version None"),
        ({"files": {}}, "damaged"),
        ({"version": True}, "has version True"),
        ({"version": 4.0}, "has version 4.0"),
        ({"run": {}}, "does not describe a run"),
        ({"summary": 3}, "does not describe a run"),
        ({"run": []}, "does not describe a run"),
    ],
)
def test_files_of_other_formats_and_versions_are_refused(
    make_run: MakeRun, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    """migrationlab does not guess the content of formats and versions that it does not know."""
    folder = store.save_run(make_run(), tmp_path)
    edited(folder, lambda manifest: manifest.update(change))
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
        ("wire", 3),
        ("called_ns", "now"),
        ("called_ns", True),
        ("downtime_requested_ms", 0.3),
        ("warnings", "none"),
        ("source", {}),
        ("guest_check", {"pages": 1}),
        ("unknown", 1),
    ],
)
def test_fact_of_wrong_type_is_refused(
    make_run: MakeRun, tmp_path: Path, key: str, value: object
) -> None:
    """An edited run.json with a fact of a wrong type cannot be loaded."""
    folder = store.save_run(make_run(), tmp_path)
    edited(folder, lambda manifest: manifest["run"].update({key: value}))
    with pytest.raises(StoreError, match="does not describe a run"):
        store.load_run(folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_value_in_a_manifest_gives_a_run_or_an_error(
    tmp_path: Path, data: st.DataObject
) -> None:
    """Any value anywhere in run.json gives a run, or an error of migrationlab."""
    folder = tmp_path / FIRST.name
    if not folder.exists():
        shutil.copytree(FIRST, folder)
    manifest = json.loads((FIRST / "run.json").read_text())
    inside: Any = manifest
    keys = []
    while isinstance(inside, dict) and inside and (not keys or data.draw(st.booleans())):
        keys.append(data.draw(st.sampled_from(sorted(inside))))
        parent, inside = inside, inside[keys[-1]]
    parent[keys[-1]] = data.draw(ANYTHING)
    manifest.pop("sha256", None)
    (folder / "run.json").write_bytes(sealed((json.dumps(manifest, indent=2) + "\n").encode()))
    with contextlib.suppress(StoreError):
        run = store.load_run(folder)
        assert repr(run)
        assert run.environment_id


def test_directory_gives_its_runs_and_skips_the_rest(make_run: MakeRun, tmp_path: Path) -> None:
    """Remains of stopped writes, files and other folders are skipped."""
    for number in (2, 1):
        store.save_run(make_run(number=number), tmp_path)
    leftover = tmp_path / ".20261122-180300-000003.0a1b2c3d.part"
    leftover.mkdir()
    (leftover / "run.json").write_text("{")
    (tmp_path / "figures").mkdir()
    (tmp_path / "report.html").touch()
    assert [run.run_id[-1] for run in store.load_runs(tmp_path)] == ["1", "2"]


def test_whole_runs_are_read_beside_damaged_ones(make_run: MakeRun, tmp_path: Path) -> None:
    """One damaged run is an error. With strict=False it is listed beside the whole ones."""
    for number in (1, 2, 3):
        store.save_run(make_run(number=number), tmp_path)
    bad = tmp_path / make_run(number=2).run_id
    (bad / "job.parquet").write_bytes(b"")
    with pytest.raises(StoreError, match=r"job.parquet is damaged") as caught:
        store.load_runs(tmp_path)
    assert "strict=False" in "".join(caught.value.__notes__)
    runs = store.load_runs(tmp_path, strict=False)
    assert [run.run_id[-1] for run in runs] == ["1", "3"]
    assert "job.parquet is damaged" in runs.unreadable[bad.name]
    assert repr(runs) == "Runs(2 normal; 2 completed; 1 unreadable)"


def test_damage_found_by_the_summary_is_listed(make_run: MakeRun, tmp_path: Path) -> None:
    """A damaged run whose summary must be recomputed is listed beside the other runs."""
    for number in (1, 2, 3):
        store.save_run(make_run(number=number), tmp_path)
    bad = tmp_path / make_run(number=2).run_id
    edited(bad, lambda manifest: manifest.pop("summary"))
    content = bytearray((bad / "job.parquet").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (bad / "job.parquet").write_bytes(content)
    runs = store.load_runs(tmp_path, strict=False)
    assert [run.run_id[-1] for run in runs] == ["1", "3"]
    assert "job.parquet is damaged" in runs.unreadable[bad.name]
    assert list(runs.frame()["run_id"]) == [run.run_id for run in runs]


def test_copied_run_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    """A folder copied within its directory is an error, because the run would count twice."""
    folder = store.save_run(make_run(), tmp_path)
    shutil.copytree(folder, tmp_path / "copy")
    with pytest.raises(StoreError, match="the same run") as caught:
        store.load_runs(tmp_path)
    assert "copy" in str(caught.value)
    assert "twice" in caught.value.hint


def test_run_without_computable_summary_is_stored(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose summary fails is stored without one. It has one as soon as it can be computed."""

    def fails(run: Run) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("migrationlab.runs.summary.timeline_of", fails)
        folder = store.save_run(make_run(), tmp_path)
        with pytest.raises(StoreError, match="failed: ZeroDivisionError"):
            store.load_run(folder).summary()
    assert store.load_run(folder).summary() == make_run().summary()


def test_missing_directory_and_single_run_have_hints(make_run: MakeRun, tmp_path: Path) -> None:
    """The two usual mistakes with a path have a hint each."""
    with pytest.raises(StoreError) as caught:
        store.load_runs(tmp_path / "none")
    assert caught.value.hint == "Check the path."
    folder = store.save_run(make_run(), tmp_path)
    with pytest.raises(StoreError, match="is one run"):
        store.load_runs(folder)
    assert store.load_run(folder / "run.json") == make_run()


def test_file_is_replaced_whole(tmp_path: Path) -> None:
    """The report's file is new or as before, with nothing beside it."""
    path = tmp_path / "deep" / "report.html"
    store.write_file(path, b"one")
    assert store.write_file(path, b"two") == path
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]
    with pytest.raises(StoreError):
        store.write_file(tmp_path / "deep", b"three")
    assert len(list(tmp_path.iterdir())) == 1
