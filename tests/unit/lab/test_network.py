"""Tests of the wire: it refuses bad values before it changes anything."""

from __future__ import annotations

import math
import subprocess

import pytest

from migrationlab.errors import LabError, UsageError
from migrationlab.lab.network import Wire
from migrationlab.lab.rack import Rack

#: A wire without a lab: any change of it would fail with another error.
NOWHERE = Wire(Rack(pid=0, hosts={}, observer=0))


@pytest.mark.parametrize("rate", [0, 0.05, -1, 100_001, math.inf, math.nan])
def test_bad_rates_are_refused(rate: float) -> None:
    """A rate that is zero, negative, or larger than any wire's is refused."""
    with pytest.raises(
        UsageError,
        match=r"rate_mbit_s must be a number from 0.1 to 100000 Mbit/s or None \(no limit\)",
    ):
        NOWHERE.set(rate)


@pytest.mark.parametrize("delay", [-1, 10_001, math.nan])
def test_bad_delays_are_refused(delay: float) -> None:
    """A delay that is negative, or more than ten seconds, is refused."""
    with pytest.raises(UsageError, match=r"delay_ms must be a number from 0 to 10000 ms"):
        NOWHERE.set(None, delay_ms=delay)


@pytest.mark.parametrize("loss", [-0.1, 100.1, math.nan])
def test_bad_losses_are_refused(loss: float) -> None:
    """A loss that is negative, or more than 100 %, is refused."""
    with pytest.raises(UsageError, match=r"loss_percent must be a number from 0 to 100 %"):
        NOWHERE.set(1000, loss_percent=loss)


def test_counters_of_a_dead_host_are_an_error() -> None:
    """The counters of a dead host raise LabError, not OSError."""
    with subprocess.Popen(["true"]) as process:
        pass
    wire = Wire(Rack(pid=0, hosts={"host-a": process.pid}, observer=0))
    with pytest.raises(LabError, match="host-a is gone") as caught:
        wire.sent_bytes("host-a")
    assert caught.value.hint
