"""The panel on real hosts, without a browser: it is pressed as a page would press it."""

from __future__ import annotations

import threading

import ipywidgets as widgets
import pytest

from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.plan.plan import Mode
from migrationlab.runs.run import Outcome
from migrationlab.widgets import MigrationPanel

TIMEOUT_S = 40
pytestmark = pytest.mark.lab


def watch(shown: widgets.HTML, text: str) -> threading.Event:
    """Return an event that is set once a part of the panel says ``text``."""
    seen = threading.Event()

    def look(change: dict[str, str]) -> None:
        if text in change["new"]:
            seen.set()

    shown.observe(look, names="value")
    return seen


@pytest.mark.thorough
def test_panel_migrates_cancels_and_migrates_back(guest: Guest) -> None:
    """In both modes, also after a cancel, the guest is intact on the host that the panel shows."""
    panel = MigrationPanel(guest)
    start = guest.host
    panel.start_button.click()
    assert panel.wait(TIMEOUT_S)
    assert guest.host is not start
    panel.form.mode.value = Mode.PEER2PEER
    panel.form.bandwidth.value = "4"
    going = watch(panel.progress, "iteration 1")
    panel.start_button.click()
    assert going.wait(TIMEOUT_S)
    panel.cancel_button.click()
    assert panel.wait(TIMEOUT_S)
    assert guest.host is not start
    panel.form.bandwidth.value = ""
    panel.start_button.click()
    assert panel.wait(TIMEOUT_S)
    assert guest.host is start
    outcomes = [Outcome.COMPLETED, Outcome.CANCELLED, Outcome.COMPLETED]
    assert [run.outcome for run in panel.runs] == outcomes
    assert all(run.guest_check and run.guest_check["intact"] for run in panel.runs)
    assert "intact" in panel.message.value
    panel.close()


def test_panel_changes_a_running_migration(guest: Guest) -> None:
    """The panel sets a downtime limit, reports a refused one, and switches to post-copy."""
    panel = MigrationPanel(guest)
    start, bar = guest.host, panel.steering
    panel.form.bandwidth.value = "6"
    panel.form.postcopy.value = True
    going = watch(panel.progress, "iteration 1")
    panel.start_button.click()
    assert going.wait(TIMEOUT_S)
    assert "left to send" in panel.curves.value
    bar.downtime.value = "9999999"
    refused = watch(bar.message, "Not done: max_downtime_ms must be")
    bar.downtime_button.click()
    assert refused.wait(TIMEOUT_S)
    bar.downtime.value = "700"
    taken = watch(bar.message, "The downtime limit is 700 ms now")
    bar.downtime_button.click()
    assert taken.wait(TIMEOUT_S)
    switched = watch(bar.message, "Switched to post-copy")
    bar.postcopy_button.click()
    assert switched.wait(TIMEOUT_S)
    assert panel.wait(TIMEOUT_S)
    assert guest.host is not start
    (run,) = panel.runs
    assert run.outcome is Outcome.COMPLETED
    assert run.downtime_requested_ms == 700
    assert list(run.timeline().steering["name"]) == ["set_max_downtime", "start_postcopy"]
    assert not any(button.disabled is False for button in (bar.postcopy_button, bar.suspend_button))
    panel.close()


@pytest.mark.thorough
def test_dead_lab_is_reported_with_the_cell_to_run() -> None:
    """If the hosts die during a migration, the panel says which cell to run again."""
    with Lab() as lab:
        guest = lab.boot(memory_mib=192, working_set_mib=32)
        panel = MigrationPanel(guest)
        panel.form.bandwidth.value = "4"
        going = watch(panel.progress, "iteration 1")
        panel.start_button.click()
        assert going.wait(TIMEOUT_S)
        lab.close()
        assert panel.wait(TIMEOUT_S)
        assert "Run the cell with mig.Lab(…) again" in panel.message.value
        panel.close()
