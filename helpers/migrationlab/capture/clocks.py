"""Measure the offset of a host's clock from this machine's, so that their stamps can be compared.

QEMU stamps its events with its own machine's clock. The offset is measured as NTP does (RFC 5905,
section 8): ask for the time, and take the answer as the time in the middle of the round trip. The
error is at most half the round trip, so the shortest one counts. All questions go through one ssh
session, and its set-up is not measured.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from subprocess import PIPE
from typing import IO

from migrationlab.hosts.host import Host
from migrationlab.hosts.poll import readable
from migrationlab.plan.uri_parser import read_uri

ROUNDS = 25
#: For the login and all rounds.
TIMEOUT_S = 10.0
#: One answer per line of input. The caller quotes it once.
_LOOP = "while read -r _; do date +%s%N; done"
#: The years 2001 and 2286: a `date` without %N gives fewer digits, or letters.
_MIN_NS, _MAX_NS = 10**18, 10**19


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """The offset of a host's clock: positive if it is ahead of this machine's."""

    offset_ms: float  # subtract it from the host's stamps to get this machine's time
    error_ms: float  # the error of the offset, in either direction
    method: str  # "same machine", which is 0 by definition, or "ssh"


def measure(host: Host) -> ClockOffset | None:
    """Measure the clock of a local host or by ssh; None if there is no way to ask."""
    parts = read_uri(host.uri)
    if not parts.hostname and parts.transport in ("", "unix"):
        return ClockOffset(0.0, 0.0, "same machine")
    if host.shell is None:
        return None
    return ask(host.shell.command("sh", "-c", _LOOP))


def ask(command: list[str], *, rounds: int = ROUNDS) -> ClockOffset | None:
    """Measure the clock of a program. It answers each line with the nanoseconds since 1970.

    Returns:
        The offset by the shortest round trip, or None if the program gave no such answer.
    """
    end = time.monotonic() + TIMEOUT_S
    try:
        program = subprocess.Popen(
            command, stdin=PIPE, stdout=PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
    except OSError:
        return None
    assert program.stdin is not None
    assert program.stdout is not None
    with program:
        try:
            trips = [_round(program.stdin, program.stdout, end) for _ in range(rounds + 1)]
        except (OSError, ValueError):
            return None
        finally:
            # It may still wait, for example for a lost host.
            program.kill()
    # The first round waited for the login.
    round_trip_ns, offset_ns = min(trips[1:])
    return ClockOffset(round(offset_ns / 1e6, 3), round(round_trip_ns / 2e6, 3), "ssh")


def _round(questions: IO[bytes], answers: IO[bytes], end: float) -> tuple[int, int]:
    """Ask once; return the round trip and the offset of the other clock, in nanoseconds."""
    asked = time.time_ns()
    began = time.monotonic_ns()
    questions.write(b"\n")
    line = b""
    while not line.endswith(b"\n"):
        if not readable(answers, max(end - time.monotonic(), 0)):
            raise TimeoutError
        piece = answers.read(64)
        if not piece:
            raise ValueError("the program ended")
        line += piece
    # By a clock that cannot be set: a set clock must not look like a short round trip.
    round_trip = time.monotonic_ns() - began
    answer = int(line)
    if not _MIN_NS <= answer < _MAX_NS:
        raise ValueError("not nanoseconds")
    return round_trip, answer - (asked + round_trip // 2)
