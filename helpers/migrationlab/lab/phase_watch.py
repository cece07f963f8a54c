"""Wait for a phase of a migration in the logs of the two hosts, and act at that moment.

Theory of operation. Only the daemons know when a phase begins, and a lab's daemons log it. A
program reads the new lines of the logs every half millisecond. Most phases are over within
milliseconds, so at a line it can also stop a libvirtd (SIGSTOP). The phase then lasts until this
process has acted and that libvirtd continues. ``phase_faults.toml`` has the lines of each phase.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from migrationlab.errors import LabError, UsageError

PROGRAM = Path(__file__).parent / "payload" / "log_watch.py"
#: The data of this module and of ``phase_faults``.
TABLES = tomllib.loads(Path(__file__).with_name("phase_faults.toml").read_text())


@dataclass(frozen=True, slots=True)
class Step:
    """A line to wait for in a log, and the side whose libvirtd is stopped then, if any."""

    log: str
    line: str
    stop: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A phase of a migration, as ``phase_faults.toml`` describes it."""

    id: str
    title: str
    text: str
    steps: tuple[Step, ...]
    sure: str = ""


def _phase(name: str, values: Mapping[str, Any]) -> Phase:
    steps = tuple(Step(**step) for step in values["steps"])
    return Phase(id=name, **{**values, "steps": steps})


PHASES = {name: _phase(name, values) for name, values in TABLES["phase"].items()}


def find_phase(name: str) -> Phase:
    """Return the phase called ``name``; raise :class:`UsageError` if there is none."""
    if name in PHASES:
        return PHASES[name]
    raise UsageError(
        f"phase must be one of {', '.join(PHASES)} (got {name!r})",
        hint="List the phases with `migrationlab lab fault --list`.",
    )


class Moment(Protocol):
    """Something to wait for."""

    def wait(self) -> str | None:
        """Return what has come, as text; None if :meth:`end` was called before."""

    def end(self) -> None:
        """Let :meth:`wait` return. Any thread may call this."""

    def release(self, kept: Collection[int]) -> None:
        """Continue what was stopped, except the pids of ``kept``."""


class LogMoment:
    """Waits for lines in logs, and stops daemons at them; see ``payload/log_watch.py``.

    Args:
        steps: The lines, one after the other, and the daemons to stop at them.
        logs: The logs by the names that the steps use; one may be made later.
        daemons: The libvirtd of each side.
    """

    def __init__(
        self,
        steps: Iterable[Step],
        logs: Mapping[str, Path],
        daemons: Mapping[str, psutil.Process],
    ) -> None:
        wanted = [
            {
                "log": str(logs[step.log]),
                "line": step.line,
                "stop": daemons[step.stop].pid if step.stop else None,
            }
            for step in steps
        ]
        self._program = subprocess.Popen(
            [sys.executable, "-I", "-S", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that a Ctrl-C in this terminal does not reach it
        )
        self._send(wanted)
        if self._receive() != "ready":
            self.close()
            raise LabError("start of the watcher of the logs failed")

    def wait(self) -> str | None:
        """Return the last line, None if :meth:`end` was called before it came."""
        return self._receive()

    def end(self) -> None:
        """Stop waiting, and continue the daemons."""
        assert self._program.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._program.stdin.close()
        self._program.wait()

    def release(self, kept: Collection[int]) -> None:
        """Continue the daemons, except the pids of ``kept``."""
        self._send(list(kept))
        self._program.wait()

    def close(self) -> None:
        """Free what it holds, after its end."""
        self.end()
        assert self._program.stdout is not None
        self._program.stdout.close()

    def _send(self, message: object) -> None:
        assert self._program.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):  # it has ended, or shall
            self._program.stdin.write(json.dumps(message) + "\n")
            self._program.stdin.flush()

    def _receive(self) -> str | None:
        assert self._program.stdout is not None
        line = self._program.stdout.readline()
        return str(json.loads(line)) if line else None


class PhaseWatch:
    """Waits in a thread for a moment, and acts then.

    Args:
        moment: What to wait for.
        act: Called at that moment. It returns the pids that it has stopped itself; these stay
            stopped.
    """

    def __init__(self, moment: Moment, act: Callable[[], Collection[int]]) -> None:
        self._moment = moment
        self._act = act
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="phase-watch", daemon=True)
        #: The line or event that it acted on.
        self.line: str | None = None
        #: When it had acted (CLOCK_REALTIME).
        self.fired_at_ns: int | None = None
        self.failure: Exception | None = None

    def start(self) -> None:
        """Begin to wait."""
        self._thread.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has acted; return whether it has.

        Raises:
            LabError: It could not act.
        """
        self._over.wait(timeout_s)
        if self.failure is not None:
            raise LabError(
                f"firing the fault failed: {self.failure}",
                hint="Look whether that process or host was alive: migrationlab lab inspect",
            ) from self.failure
        return self.fired_at_ns is not None

    def close(self) -> None:
        """Stop waiting, and continue what is stopped."""
        if self.line is None:
            self._moment.end()
        self._thread.join()

    def _work(self) -> None:
        kept: Collection[int] = ()
        try:
            self.line = self._moment.wait()
            if self.line is not None:
                kept = self._act()
                self.fired_at_ns = time.time_ns()
        except (LabError, psutil.Error, OSError) as error:
            self.failure = error
        finally:
            self._moment.release(kept)
            self._over.set()
