"""Fixtures of all live tests: one lab and one guest for those of a file.

They start in three seconds, and an idle guest takes a quarter of a CPU, so none outlives its file.
A test that kills or damages something makes its own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psutil
import pytest

from migrationlab.lab import image
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab

# A busy machine is no reason to fail.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

LONG = 120


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that also runs the tests marked ``thorough``."""
    text = "also run the tests marked thorough (several times as long)"
    parser.addoption("--thorough", action="store_true", help=text)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a long text by its length: a test's name stands in each line about it."""
    if isinstance(val, str) and len(val) > LONG:
        return f"{argname} of {len(val)} characters"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave thorough tests to those who ask; run a file's tests in one process.

    Whoever names a test or that mark wants it, so then nothing is left out.
    """
    chosen = (
        config.option.thorough
        or "thorough" in config.option.markexpr
        or any("::" in argument for argument in config.args)
    )
    if not chosen:
        left_out = {item for item in items if item.get_closest_marker("thorough")}
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    # One process for a file's tests, so that they share a lab, a guest, or what a fixture computed.
    for item in items:
        if not item.get_closest_marker("xdist_group") and (is_live(item) or is_unit(item.path)):
            group = f"{item.path.parent.name} {item.path.stem}"
            item.add_marker(pytest.mark.xdist_group(group))
    if hasattr(config, "workerinput"):
        items[:] = mixed(items)


def is_live(item: pytest.Item) -> bool:
    """Return whether a test starts a lab or a browser."""
    return any(item.get_closest_marker(name) for name in ("lab", "browser"))


@functools.cache
def is_unit(path: Path) -> bool:
    """Return whether a file's tests need no lab and belong together."""
    return Path(__file__).parent / "unit" in path.parents


def mixed(items: list[pytest.Item]) -> list[pytest.Item]:
    """Spread the files of unit tests evenly among the others, which often wait.

    While one process waits, another one computes. The notebooks take longest, so they come first.
    """
    files = dict.fromkeys(item.path for item in items)
    units = [path for path in files if is_unit(path)]
    others = [path for path in files if not is_unit(path)]
    others.sort(key=lambda path: path.parent.name != "notebooks")
    place = {path: n / len(mine) for mine in (units, others) for n, path in enumerate(mine)}
    return sorted(items, key=lambda item: place[item.path])


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Stop if groups are split: each process would start its own labs."""
    if session.config.getoption("loadgroup", default=False):
        grouped = (item for item in session.items if item.get_closest_marker("xdist_group"))
        if apart := next((item.nodeid for item in grouped if "@" not in item.nodeid), None):
            raise pytest.UsageError(f"pytest-xdist does not keep the group of {apart} together")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Build the hosts' images that the tests need before any test's time is measured."""
    if not session.config.option.collectonly:
        marks = [mark for item in session.items for mark in item.iter_markers("lab")]
        for release in sorted({name for mark in marks for name in (image.DEFAULT, *mark.args)}):
            image.ensure(release)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Start the lab that a file's live tests share; check that nothing of the lab is left."""
    with Lab() as shared:
        pids = [process.pid for process in psutil.Process(shared.rack.pid).children(recursive=True)]
        folder = shared.files.directory
        yield shared
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert not folder.exists()


@pytest.fixture(scope="module")
def shared_guest(lab: Lab) -> Guest:
    """Boot the guest that a file's live tests share."""
    return lab.boot("shared", memory_mib=192, working_set_mib=32, dirty_mib_s=20)


@pytest.fixture
def guest(shared_guest: Guest) -> Guest:
    """Return the shared guest with its usual workload, whatever an earlier test set."""
    shared_guest.set_workload(20, "sequential")
    return shared_guest
