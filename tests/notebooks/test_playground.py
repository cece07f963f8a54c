"""The playground on real hosts, without a browser: a setting that ends, and one that does not."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from migrationlab.experiment.experiment import Experiment
from migrationlab.lab.guest import Guest
from migrationlab.runs.run import Outcome
from migrationlab.widgets import ConvergenceExplorer

TIMEOUT_S = 40
DATA = Path(__file__).parents[2] / "data" / "experiments" / "convergence"
pytestmark = pytest.mark.lab


@pytest.mark.thorough
def test_real_migrations_end_as_forecast(guest: Guest) -> None:
    """One migration completes, the deadline stops another, and closing stops the third."""
    wire, dirty = guest.lab.wire.settings, guest.spec.dirty_mib_s
    playground = ConvergenceExplorer(Experiment.load(DATA), guest)
    playground.dirty.value, playground.wire.value = 20, 1000
    assert playground.settings.forecast().ends
    playground.start_button.click()
    assert playground.wait(TIMEOUT_S)
    playground.dirty.value, playground.wire.value = 80, 200
    assert not playground.settings.forecast().ends
    playground.deadline.value = 5
    playground.start_button.click()
    assert playground.wait(TIMEOUT_S)
    going = threading.Event()

    def look(change: dict[str, str]) -> None:
        if "iteration 1" in change["new"]:
            going.set()

    playground.progress.observe(look, names="value")
    playground.start_button.click()
    assert going.wait(TIMEOUT_S)
    playground.close()
    outcomes = [Outcome.COMPLETED, Outcome.TIMED_OUT, Outcome.CANCELLED]
    assert [run.outcome for run in playground.runs] == outcomes
    assert all(run.guest_check and run.guest_check["intact"] for run in playground.runs)
    assert guest.lab.wire.settings == wire
    assert guest.spec.dirty_mib_s == dirty
