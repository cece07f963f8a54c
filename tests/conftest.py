"""Fixtures of all live tests: one lab and one guest for the whole run.

A test that kills or spoils something makes its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab

HERE = Path(__file__).parent
#: Tests that start labs go to one process a folder: a session's lab is then made once, and no
#: more than two are up at a time, however many processes run.
TOGETHER = {"lab": "lab", "notebooks": "notebooks", "browser": "notebooks"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests belong into one process."""
    for item in items:
        if group := TOGETHER.get(item.path.relative_to(HERE).parts[0]):
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Give the lab that most live tests share; see that nothing of it is left."""
    with Lab() as shared:
        pids = [process.pid for process in psutil.Process(shared.rack.pid).children(recursive=True)]
        folder = shared.files.directory
        yield shared
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert not folder.exists()


@pytest.fixture(scope="session")
def shared_guest(lab: Lab) -> Guest:
    """Give the guest that most live tests share."""
    return lab.boot("shared", memory_mib=192, working_set_mib=32, dirty_mib_s=20)


@pytest.fixture
def guest(shared_guest: Guest) -> Guest:
    """Give the shared guest, with its usual workload whatever the test before did."""
    shared_guest.set_workload(20, "sequential")
    return shared_guest
