"""Fixtures of all live tests: the lab and the guest that they share.

A test that kills or damages something makes its own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import psutil
import pytest

from migrationlab.errors import MigrationLabError
from migrationlab.lab import image
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.plan.wire_spec import WireSpec

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


@dataclass
class KeptLab:
    """A lab and its guest, for one file after the other.

    Both take some seconds to start. Between two files the guest is paused, because it takes a
    quarter of a CPU. A file with a failure, or that leaves anything, ends them.
    """

    lab: Lab | None = None
    guest: Guest | None = None

    def started(self) -> Lab:
        """Return the lab; start it if there is none."""
        if self.lab is None:
            self.lab = Lab()
        return self.lab

    def booted(self, lab: Lab) -> Guest:
        """Return the guest, running; boot it if there is none."""
        if self.guest is None:
            self.guest = lab.boot("shared", memory_mib=192, working_set_mib=32, dirty_mib_s=20)
        elif self.guest.paused:
            self.guest.resume()
        return self.guest

    def is_as_new(self) -> bool:
        """Pause the guest; return whether another file can use the lab."""
        if self.lab is None or self.guest is None or not self.lab.alive:
            return False
        try:
            found = [guest.uuid for guest in self.lab.guests]
            if found != [self.guest.uuid] or self.lab.wire.settings != WireSpec():
                return False
            if not self.guest.paused:
                self.guest.suspend()
        except MigrationLabError:
            return False  # a host that does not answer
        return self.guest.name == "shared" and self.lab.inspect()["broken"] is None

    def end(self) -> None:
        """End the lab, and check that nothing of it is left."""
        lab, self.lab, self.guest = self.lab, None, None
        if lab is not None:
            end(lab)


def end(lab: Lab) -> None:
    """End a lab, and check that nothing of it is left."""
    pids = [process.pid for process in psutil.Process(lab.rack.pid).children(recursive=True)]
    folder = lab.files.directory
    lab.close()
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert not folder.exists()


@pytest.fixture(scope="session")
def kept() -> Iterator[KeptLab]:
    """Keep a lab for the files whose tests use the shared guest."""
    made = KeptLab()
    yield made
    made.end()


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest, kept: KeptLab) -> Iterator[Lab]:
    """Give the lab that a file's live tests share."""
    session = request.session
    own = [item for item in session.items if item.path == request.path]
    if not any("shared_guest" in getattr(item, "fixturenames", ()) for item in own):
        made = Lab()
        yield made
        end(made)
        return
    failed = session.testsfailed
    yield kept.started()
    if session.testsfailed > failed or not kept.is_as_new():
        kept.end()


@pytest.fixture(scope="module")
def shared_guest(lab: Lab, kept: KeptLab) -> Guest:
    """Give the guest that the live tests of some files share."""
    return kept.booted(lab)


@pytest.fixture
def guest(shared_guest: Guest) -> Guest:
    """Return the shared guest with its usual workload, whatever an earlier test set."""
    shared_guest.set_workload(20, "sequential")
    return shared_guest
