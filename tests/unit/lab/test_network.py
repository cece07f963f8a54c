"""The wire: what it refuses, before it touches anything."""

from __future__ import annotations

import math
import subprocess

import pytest

from migrationlab.errors import LabError, UsageError
from migrationlab.lab.network import Wire
from migrationlab.lab.rack import Rack

#: A wire without a lab: asked to do anything, it would fail in another way.
NOWHERE = Wire(Rack(pid=0, hosts={}, observer=0))


@pytest.mark.parametrize("rate", [0, 0.05, -1, 100_001, math.inf, math.nan])
def test_rates_that_cannot_be(rate: float) -> None:
    """A rate of nothing, of less, or of no wire that there is, is refused."""
    with pytest.raises(
        UsageError,
        match=r"rate_mbit_s must be a number from 0.1 to 100000 Mbit/s or None \(no limit\)",
    ):
        NOWHERE.set(rate)


@pytest.mark.parametrize("delay", [-1, 10_001, math.nan])
def test_delays_that_cannot_be(delay: float) -> None:
    """A delay into the past, or of more than ten seconds, is refused."""
    with pytest.raises(UsageError, match=r"delay_ms must be a number from 0 to 10000 ms"):
        NOWHERE.set(None, delay_ms=delay)


@pytest.mark.parametrize("loss", [-0.1, 100.1, math.nan])
def test_losses_that_cannot_be(loss: float) -> None:
    """A loss of less than nothing, or more than all, is refused."""
    with pytest.raises(UsageError, match=r"loss_percent must be a number from 0 to 100 %"):
        NOWHERE.set(1000, loss_percent=loss)


def test_a_host_that_is_gone_says_so() -> None:
    """The counters of a host that has ended are an error of the lab, not one of a file."""
    with subprocess.Popen(["true"]) as process:
        pass
    wire = Wire(Rack(pid=0, hosts={"host-a": process.pid}, observer=0))
    with pytest.raises(LabError, match="host-a is gone") as caught:
        wire.sent_bytes("host-a")
    assert caught.value.hint
