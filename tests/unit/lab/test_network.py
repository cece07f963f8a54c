"""Tests of the wire: it refuses bad values before it changes anything."""

from __future__ import annotations

import json
import math
import subprocess

import pytest

from migrationlab.errors import LabError, UsageError
from migrationlab.lab import network
from migrationlab.lab.network import Wire
from migrationlab.lab.rack import Rack
from migrationlab.plan.wire_spec import WireSpec

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


@pytest.mark.parametrize("jitter", [5.1, 20])
def test_jitter_longer_than_the_delay_is_refused(jitter: float) -> None:
    """A frame cannot arrive before it is sent, so jitter is at most the delay."""
    with pytest.raises(UsageError, match=rf"jitter_ms must be at most delay_ms=5 \(got {jitter:g}"):
        NOWHERE.set(1000, delay_ms=5, jitter_ms=jitter)


def test_rate_back_needs_a_rate_there() -> None:
    """A wire with a limit back has one there too, so that the other way round it has both."""
    with pytest.raises(UsageError, match="number beside back_mbit_s=100 ") as caught:
        NOWHERE.set(None, back_mbit_s=100)
    assert "rate_mbit_s=100000" in caught.value.hint


def test_second_host_sees_the_rates_exchanged() -> None:
    """What one host sends fast, the other one receives fast; an equal wire is its own reverse."""
    wire = WireSpec(1000, back_mbit_s=100, delay_ms=5, jitter_ms=1)
    assert wire.reversed() == WireSpec(100, back_mbit_s=1000, delay_ms=5, jitter_ms=1)
    assert wire.reversed().reversed() == wire
    assert WireSpec(250).reversed() == WireSpec(250)


def test_each_host_shapes_what_it_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each end of the wire has the rate of its own direction, and netem has the jitter."""
    given: list[tuple[str, str]] = []
    # As `tc -json qdisc show` prints them: the rate is in bytes a second.
    rates = {"host-a": 125e6, "host-b": 12.5e6}

    def run(argv: list[str], *, text: str = "") -> str:
        if text:
            given.append((argv[0], text))
        return json.dumps([{"kind": "tbf", "options": {"rate": rates[argv[0]]}}])

    monkeypatch.setattr(network.namespaces, "run", run)
    monkeypatch.setattr(Rack, "in_host_network", lambda _, host: [host])
    monkeypatch.setattr(Wire, "can_impair", lambda _: True)
    wire = Wire(Rack(pid=0, hosts={"host-a": 1, "host-b": 2}, observer=0))
    shown = wire.set(1000, back_mbit_s=100, delay_ms=5, jitter_ms=1)
    assert (shown.rate_mbit_s, shown.back_mbit_s) == (1000, 100)
    assert wire.seen_from("host-b") == WireSpec(100, back_mbit_s=1000)
    (first, there), (second, back) = given
    assert (first, second) == ("host-a", "host-b")
    assert "tbf rate 1000000000bit" in there
    assert "tbf rate 100000000bit" in back
    assert there.endswith("netem delay 5ms 1ms loss 0%")


def test_counters_of_a_dead_host_are_an_error() -> None:
    """The counters of a dead host raise LabError, not OSError."""
    with subprocess.Popen(["true"]) as process:
        pass
    wire = Wire(Rack(pid=0, hosts={"host-a": process.pid}, observer=0))
    with pytest.raises(LabError, match="host-a is gone") as caught:
        wire.sent_bytes("host-a")
    assert caught.value.hint
