"""Tests of the trials of lessons 06 and 07 in a lab: what their prose says must hold."""

from __future__ import annotations

import pytest

from migrationlab.course.trials import run_trial
from migrationlab.lab.lab import Lab

pytestmark = pytest.mark.lab


def outputs(trial_key: str, lab: Lab, **spec: float) -> list[str]:
    """Run a trial with a guest of its own; return what each line printed."""
    guest = lab.boot(memory_mib=128, working_set_mib=32, **spec)
    try:
        return [output for _, output in run_trial(trial_key, guest).steps]
    finally:
        guest.destroy()


@pytest.mark.thorough
def test_dirty_rate_of_a_guest_is_measured(lab: Lab) -> None:
    """The rate is there after the measurement, and no speed limit is set."""
    started, rate, _, speed = outputs("numbers", lab, dirty_mib_s=40)
    assert "successfully" in started
    assert "calc_status=2" in rate
    assert "megabytes_per_second=" in rate
    assert int(speed) == 8796093022207


@pytest.mark.thorough
def test_timeout_of_virsh_suspends_and_does_not_cancel(lab: Lab) -> None:
    """The guest is paused at the source, and then runs at the destination."""
    wire = lab.wire.settings
    lab.wire.set(100)
    try:
        _, during, after, _, there, _ = outputs("timeout", lab, dirty_mib_s=40)
    finally:
        lab.wire.set(wire.rate_mbit_s)
    assert "Outgoing migration" in during
    assert after.startswith("paused")
    assert there.startswith("running")


def test_a_copy_of_a_guest_without_a_disk_runs_on_both_hosts(lab: Lab) -> None:
    """Nothing stops the second start."""
    _, _, here, there, _ = outputs("copy", lab, dirty_mib_s=5)
    assert here.startswith("running")
    assert there.startswith("running")
