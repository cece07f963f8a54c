"""Clocks of other machines, measured; each answer comes from a real program."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from migrationlab.capture import clocks
from migrationlab.hosts.host import Host
from migrationlab.hosts.shell import Shell

#: Tells the time, so many nanoseconds ahead, each answer a while after it was asked.
CLOCK = """
import sys, time
for number, _ in enumerate(sys.stdin):
    told = time.time_ns() + int(sys.argv[1])
    if number < 3:
        time.sleep(0.05)  # as a line of the network that is slow at first
    print(told, flush=True)
"""


def clock(ahead_ms: int = 0, program: str = CLOCK) -> list[str]:
    """Give the command of a clock that goes ahead."""
    return [sys.executable, "-c", program, str(ahead_ms * 1_000_000)]


@pytest.mark.parametrize("ahead_ms", [0, 5000, -90_000_000])
def test_an_offset_is_found_within_its_error(ahead_ms: int) -> None:
    """A clock ahead or behind is told so, and the error bounds what was measured."""
    found = clocks.ask(clock(ahead_ms))
    assert found is not None
    assert found.offset_ms == pytest.approx(ahead_ms, abs=found.error_ms)
    assert found.method == "ssh"


def test_the_shortest_round_trip_counts() -> None:
    """Answers that took long are not what the offset is known by."""
    found = clocks.ask(clock())
    assert found is not None
    assert 0 < found.error_ms < 25


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("print('%N', flush=True); input()", id="no nanoseconds"),
        pytest.param(
            "import sys; [print(1763800000, flush=True) for _ in sys.stdin]", id="seconds"
        ),
        pytest.param("raise SystemExit(1)", id="no login"),
        pytest.param("input(); raise SystemExit(1)", id="ends in the middle"),
    ],
)
def test_what_is_no_answer_is_not_known(program: str) -> None:
    """A program that tells no time, or ends, leaves the offset unknown, not zero."""
    assert clocks.ask(clock(program=program)) is None


def test_a_missing_program_is_not_known() -> None:
    """Without ssh there is no offset."""
    assert clocks.ask(["/nowhere/ssh"]) is None


def test_a_silent_host_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that does not answer in time leaves the offset unknown."""
    monkeypatch.setattr(clocks, "TIMEOUT_S", 0.3)
    assert clocks.ask(clock(program="import signal; signal.pause()")) is None


def test_this_machines_clock_is_its_own() -> None:
    """A host on this machine has its clock: by definition, not by measure."""
    host = Host("test:///default")
    found = clocks.measure(host)
    host.close()
    assert found is not None
    assert found.to_dict() == {"offset_ms": 0.0, "error_ms": 0.0, "method": "same machine"}


def test_a_host_is_asked_by_its_shell_or_not_at_all() -> None:
    """A far host with a shell is measured; one without is not known."""
    far = SimpleNamespace(uri="qemu+tls://node1/system", shell=None)
    assert clocks.measure(far) is None  # type: ignore[arg-type]
    far = SimpleNamespace(uri="qemu+ssh://node1/system", shell=Shell())
    found = clocks.measure(far)  # type: ignore[arg-type]
    assert found is not None
    assert found.offset_ms == pytest.approx(0, abs=found.error_ms)
