"""The measured clocks of other machines; each answer comes from a real program."""

from __future__ import annotations

import sys
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from migrationlab.capture import clocks
from migrationlab.hosts.host import Host
from migrationlab.hosts.shell import Shell

#: Tells the time, so many nanoseconds ahead, each answer a while after it was asked.
CLOCK = """
import sys, time
for number, _ in enumerate(sys.stdin):
    now = time.time_ns() + int(sys.argv[1])
    if number < 3:
        time.sleep(0.05)  # as a line of the network that is slow at first
    print(now, flush=True)
"""


def clock(ahead_ms: int = 0, program: str = CLOCK) -> list[str]:
    """Return the command of a clock that goes ahead."""
    return [sys.executable, "-c", program, str(ahead_ms * 1_000_000)]


@pytest.mark.parametrize("ahead_ms", [0, 5000, -90_000_000])
def test_offset_is_found_within_its_error(ahead_ms: int) -> None:
    """The offset of a clock that is ahead or behind is measured within its error."""
    found = clocks.ask(clock(ahead_ms))
    assert found is not None
    assert found.offset_ms == pytest.approx(ahead_ms, abs=found.error_ms)
    assert found.method == "ssh"


def test_shortest_round_trip_counts() -> None:
    """The offset comes from the answer with the shortest round trip."""
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
        pytest.param(
            "import sys; [print('9' * 400, flush=True) for _ in sys.stdin]", id="no float"
        ),
        pytest.param(
            "import sys; [print('9' * 5000, flush=True) for _ in sys.stdin]", id="no integer"
        ),
        pytest.param("raise SystemExit(1)", id="no login"),
        pytest.param("input(); raise SystemExit(1)", id="ends in the middle"),
    ],
)
def test_invalid_answer_gives_no_offset(program: str) -> None:
    """A program that prints no time, or ends, gives None as offset, not 0."""
    assert clocks.ask(clock(program=program)) is None


def test_missing_program_gives_no_offset() -> None:
    """Without ssh there is no offset."""
    assert clocks.ask(["/nowhere/ssh"]) is None


def test_silent_host_gives_no_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that does not answer in time has an unknown offset."""
    monkeypatch.setattr(clocks, "TIMEOUT_S", 0.3)
    assert clocks.ask(clock(program="import signal; signal.pause()")) is None


def test_host_on_this_machine_has_offset_zero() -> None:
    """A host on this machine has the offset 0 by definition."""
    host = Host("test:///default")
    found = clocks.measure(host)
    host.close()
    assert found is not None
    assert asdict(found) == {
        "offset_ms": 0.0,
        "error_ms": 0.0,
        "method": "same machine",
    }


def test_far_host_needs_a_shell() -> None:
    """The clock of a far host is measured through its shell, and is unknown without a shell."""
    far = SimpleNamespace(uri="qemu+tls://node1/system", shell=None)
    assert clocks.measure(far) is None  # type: ignore[arg-type]
    far = SimpleNamespace(uri="qemu+ssh://node1/system", shell=Shell())
    found = clocks.measure(far)  # type: ignore[arg-type]
    assert found is not None
    assert found.offset_ms == pytest.approx(0, abs=found.error_ms)
