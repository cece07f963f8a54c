"""The panel on real hosts, without a browser: it is pressed as a page would press it."""

from __future__ import annotations

import threading

import pytest

from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.plan import Mode
from migrationlab.runs import Outcome
from migrationlab.widgets import MigrationPanel

TIMEOUT_S = 40
pytestmark = pytest.mark.lab


def watch(panel: MigrationPanel, text: str) -> threading.Event:
    """Return an event that is set once the panel's progress says ``text``."""
    seen = threading.Event()

    def look(change: dict[str, str]) -> None:
        if text in change["new"]:
            seen.set()

    panel.progress.observe(look, names="value")
    return seen


def test_there_cancelled_and_back(guest: Guest) -> None:
    """In both modes, with a cancel between: the guest is where the panel says, and whole."""
    panel = MigrationPanel(guest)
    start = guest.host
    panel.start_button.click()
    assert panel.wait(TIMEOUT_S)
    assert guest.host is not start
    panel.mode.value = Mode.PEER2PEER
    panel.bandwidth.value = "4"
    going = watch(panel, "pass 1")
    panel.start_button.click()
    assert going.wait(TIMEOUT_S)
    panel.cancel_button.click()
    assert panel.wait(TIMEOUT_S)
    assert guest.host is not start
    panel.bandwidth.value = ""
    panel.start_button.click()
    assert panel.wait(TIMEOUT_S)
    assert guest.host is start
    outcomes = [Outcome.COMPLETED, Outcome.CANCELLED, Outcome.COMPLETED]
    assert [run.outcome for run in panel.runs] == outcomes
    assert all(run.guest_check and run.guest_check["intact"] for run in panel.runs)
    assert "intact" in panel.message.value
    panel.close()


def test_a_lab_that_dies_on_the_way_is_named() -> None:
    """When the hosts are gone in mid-migration, the panel says which cell to run again."""
    with Lab() as lab:
        guest = lab.boot(memory_mib=192, working_set_mib=32)
        panel = MigrationPanel(guest)
        panel.bandwidth.value = "4"
        going = watch(panel, "pass 1")
        panel.start_button.click()
        assert going.wait(TIMEOUT_S)
        lab.close()
        assert panel.wait(TIMEOUT_S)
        assert "Run the cell with mig.Lab(…) again" in panel.message.value
        panel.close()
