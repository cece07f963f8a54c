"""Wait for lines in growing logs, and stop processes at them.

It is a separate process, so that nothing in the owner delays it, and it continues the processes
also when the owner has died. It uses the standard library only: it starts as a file, without the
owner's packages.

It reads a JSON list of steps from standard input, ``{"log": path, "line": text, "stop": pid}``,
where the pid is null if nothing is stopped. It answers ``"ready"``, and the last step's line when
that has come. At the next line of standard input, a JSON list of pids, it continues all other
processes that it has stopped. It does so at once, and ends, when standard input ends.
"""

import contextlib
import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

POLL_S = 0.0005


class GrowingLog:
    """The lines that are added to a log from now on; the log may be made later."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.place = self.size()
        self.partial = b""
        self.lines: list[bytes] = []

    def size(self) -> int:
        """Return the log's length, 0 without a log."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def find(self, text: bytes) -> bytes | None:
        """Return the next new line that contains a text, or None; forget the lines before it."""
        size = self.size()
        if size != self.place:
            with self.path.open("rb") as file:
                # A log that shrank was replaced (logrotate(8)).
                file.seek(self.place if size > self.place else 0)
                *whole, self.partial = (self.partial + file.read()).split(b"\n")
                self.place = file.tell()
            self.lines += whole
        while self.lines:
            line = self.lines.pop(0)
            if text in line:
                return line
        return None


def send(message: str) -> None:
    """Send the owner a message."""
    print(json.dumps(message), flush=True)


def await_line(log: GrowingLog, text: bytes) -> bytes | None:
    """Return the line when it has come; None if standard input has ended."""
    while (line := log.find(text)) is None:
        if select.select([sys.stdin], [], [], POLL_S)[0]:
            return None
    return line


def watch(steps: list[dict[str, Any]], stopped: list[int]) -> bytes | None:
    """Return the last step's line; None if standard input ended before it came."""
    logs = {step["log"]: GrowingLog(step["log"]) for step in steps}
    send("ready")
    line = None
    for step in steps:
        line = await_line(logs[step["log"]], step["line"].encode())
        if line is None:
            return None
        if step["stop"] is not None:
            os.kill(step["stop"], signal.SIGSTOP)
            stopped.append(step["stop"])
    return line


def main() -> None:
    """Watch for the owner."""
    with contextlib.suppress(PermissionError):
        os.nice(-20)  # a phase can be over within 3 ms
    steps = json.loads(sys.stdin.readline())
    stopped: list[int] = []
    kept: list[int] = []
    try:
        line = watch(steps, stopped)
        if line is not None:
            send(line.decode(errors="replace"))
            kept = json.loads(sys.stdin.readline() or "[]")
    finally:
        for pid in stopped:
            if pid not in kept:
                with contextlib.suppress(ProcessLookupError):  # the fault has ended it
                    os.kill(pid, signal.SIGCONT)


main()
