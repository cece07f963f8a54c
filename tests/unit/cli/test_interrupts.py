"""Ctrl-C, given to a real process: it stops what runs, and is never lost."""

from __future__ import annotations

import signal
import subprocess
import sys

#: Waits within interrupts() and says what came of it.
WAITING = """
import sys
from migrationlab.cli.interrupts import interrupts
with interrupts() as stop:
    try:
        print("ready", flush=True)
        sys.stdin.read()
    except KeyboardInterrupt:
        print("raised, kept" if stop.is_set() else "raised")
"""
#: The same, but the signal comes while an object is being deleted.
DELETING = """
import sys
from migrationlab.cli.interrupts import interrupts

class Connection:
    def __del__(self):
        print("ready", flush=True)
        sys.stdin.readline()

with interrupts() as stop:
    try:
        Connection()
        print("kept" if stop.is_set() else "lost")
    except KeyboardInterrupt:
        print("raised")
"""
#: Another error in a ``__del__``, within and after.
BROKEN = """
import signal
from migrationlab.cli.interrupts import interrupts

class Broken:
    def __del__(self):
        raise ValueError("it is broken")

before = signal.getsignal(signal.SIGINT)
with interrupts() as stop:
    print("ready", flush=True)
    Broken()
assert signal.getsignal(signal.SIGINT) is before
assert not stop.is_set()
Broken()
"""

#: The same as WAITING, but within held(), twice, and once more after it.
HOLDING = """
import os, signal, sys
from migrationlab.cli.interrupts import held, interrupts

with interrupts() as stop:
    try:
        with held(stop):
            print("ready", flush=True)
            sys.stdin.read()
            os.kill(os.getpid(), signal.SIGINT)
        print("kept" if stop.is_set() else "lost")
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        print("raised")
"""


def interrupted(script: str, *, send: bool = True) -> tuple[str, str]:
    """Run a script, send it SIGINT once it is ready; return what it said, and complained of."""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        if send:
            process.send_signal(signal.SIGINT)
        said, complaints = process.communicate(timeout=10)
        assert process.returncode == 0, complaints
    return said, complaints


def test_ctrl_c_raises_and_sets_event() -> None:
    """Ctrl-C raises KeyboardInterrupt and also sets the event."""
    assert interrupted(WAITING) == ("raised, kept\n", "")


def test_ctrl_c_in_del_is_not_lost() -> None:
    """Ctrl-C in a ``__del__``, where Python drops exceptions, sets the event silently."""
    assert interrupted(DELETING) == ("kept\n", "")


def test_other_errors_in_del_are_shown() -> None:
    """Other errors in a ``__del__`` are printed, inside the block and after it."""
    said, complaints = interrupted(BROKEN, send=False)
    assert said == ""
    assert complaints.count("ValueError: it is broken") == 2


def test_ctrl_c_only_sets_event_while_held() -> None:
    """Inside held() Ctrl-C only sets the event; after held() it raises KeyboardInterrupt."""
    assert interrupted(HOLDING) == ("kept\nraised\n", "")
