"""Run the command lines of a trial on a lab's host, and keep what they printed for later readers.

``trials.toml`` has the lines, and a recording of ``data/course`` has their output. They run on the
host that the guest is on, in one shell each. ``$GUEST`` is the guest, ``$OTHER`` the other
host, and ``$LAN`` that host's address on the guests' LAN.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrationlab.course import json_files
from migrationlab.course.host_commands import PATH
from migrationlab.errors import UsageError
from migrationlab.lab.layout import HOST_NAMES, LAN_ADDRESSES
from migrationlab.plan.wording import nearest

if TYPE_CHECKING:
    from migrationlab.lab.guest import Guest

FILE = "trials"
#: Longer than any line of a trial waits.
TIMEOUT_S = 60


@dataclass(frozen=True, slots=True, repr=False)
class Trial:
    """Command lines of an operator, and what they printed.

    Attributes:
        host: The host on which they ran.
        steps: The lines in their order, each with its output.
    """

    host: str
    steps: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"Trial({self.host!r}, {len(self.steps)} lines)"

    def __str__(self) -> str:
        """Return the lines and their outputs, as a terminal shows them."""
        return "\n".join(
            f"{self.host}# {line}" + (f"\n{output}" if output else "")
            for line, output in self.steps
        )


def lines_of(key: str) -> tuple[str, ...]:
    """Return the command lines of a trial.

    Raises:
        UsageError: There is no such trial.
    """
    trials: Mapping[str, Mapping[str, Any]] = tomllib.loads(
        Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    )
    if key not in trials:
        raise UsageError(
            f"trial must be one of {', '.join(trials)} (got {key!r})",
            hint=f"Give {nearest(key, trials) or next(iter(trials))!r}.",
        )
    return tuple(trials[key]["lines"])


def run_trial(key: str, guest: Guest) -> Trial:
    """Run the lines of a trial on the host of a lab's guest.

    A line that fails is part of the trial: its message is its output.
    """
    host, other = guest.host, guest.other_host
    if host.shell is None:
        raise UsageError(
            f"guest must be on a host with a shell (got {host.name})", hint="Use a lab's guest."
        )
    lan = dict(zip(HOST_NAMES, LAN_ADDRESSES, strict=True))[other.name]
    names = {"GUEST": guest.name, "OTHER": other.name, "LAN": lan}
    steps = []
    for each in lines_of(key):
        line = string.Template(each).safe_substitute(names)
        script = f"{{ {line}\n}} 2>&1"
        done = host.shell.run("env", PATH, "sh", "-c", script, timeout_s=TIMEOUT_S)
        steps.append((line, _tidy(done.text)))
    return Trial(host.name, tuple(steps))


def load_trial(key: str, name: str = FILE) -> Trial:
    """Return the recorded trial of a file of ``data/course``."""
    lines_of(key)
    return json_files.read(name, dict[str, Trial])[key]


def _tidy(text: str) -> str:
    """Return an output without blank lines and trailing spaces, which virsh prints."""
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())
