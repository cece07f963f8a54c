"""Start each lab for the command line in its own daemon, and end labs in any state.

No process is searched by name: a lab's first process is known by the pid and start time that its
owner wrote down, and all others end with it.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from typing import IO

import psutil

from migrationlab.errors import LabError, UsageError
from migrationlab.hosts.poll import wait_until
from migrationlab.lab import registry
from migrationlab.lab.layout import Daemons
from migrationlab.steps import Listener, Step, ignore

DEFAULT_NAME = "lab"
DOWN_TIMEOUT_S = 10

#: Daemons go on without this process: kept, so that Python does not warn that they still run.
_DAEMONS: list[subprocess.Popen[str]] = []


def up(
    name: str = DEFAULT_NAME,
    *,
    images: tuple[str, str],
    wire_mbit_s: float | None,
    daemons: Daemons = "monolithic",
    expired_mirror: bool = False,
    on_step: Listener = ignore,
) -> None:
    """Start a lab that stays up after this process; arguments and errors are those of ``Lab``."""
    wanted = {
        "name": name,
        "images": images,
        "wire_mbit_s": wire_mbit_s,
        "daemons": daemons,
        "expired_mirror": expired_mirror,
    }
    arguments = json.dumps(wanted)
    daemon = subprocess.Popen(
        [sys.executable, "-m", "migrationlab.lab.daemon", arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that a Ctrl-C in this terminal later does not reach it
    )
    assert daemon.stdout is not None
    assert daemon.stderr is not None
    with daemon.stdout, daemon.stderr:
        try:
            _follow(daemon.stdout, daemon.stderr, on_step)
        except BaseException:
            daemon.terminate()
            daemon.wait()
            raise
    _DAEMONS.append(daemon)


def _follow(reports: IO[str], errors: IO[str], on_step: Listener) -> None:
    """Pass on the reports of a daemon until its lab is up."""
    for line in reports:
        message = json.loads(line)
        if "up" in message:
            return
        if "error" in message:
            family = UsageError if message["usage"] else LabError
            raise family(message["error"], hint=message["hint"])
        on_step(Step(**message["step"]))
    raise LabError(f"start of the lab's daemon failed: {errors.read().strip()[-800:]}")


def down(name: str) -> bool:
    """End a lab of any owner, in any state; return whether there was one."""
    found = bool(registry.sweep([name]))
    if not registry.is_up(name):
        return found
    with contextlib.suppress(UsageError):  # it is not up yet, or has just ended
        state = registry.state(name)
        _kill(state["rack"]["pid"], state["rack_started"])
    if not wait_until(lambda: not registry.is_up(name), DOWN_TIMEOUT_S):
        owner = registry.owner(name)
        raise LabError(
            f"process {owner} still holds the name {name!r}",
            hint=f"Close the lab there (lab.close()), or end the process: kill {owner}",
        )
    registry.sweep([name])
    return True


def _kill(pid: int, started: float) -> None:
    """End a process and wait for it, unless another process has its pid now."""
    try:
        process = psutil.Process(pid)
        if process.create_time() != started:
            return
        process.kill()
        process.wait(DOWN_TIMEOUT_S)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired as error:
        raise LabError(
            f"stopping the lab process {pid} failed: it did not end within {DOWN_TIMEOUT_S} s",
            hint=f"Stop it: kill -9 {pid}. Then run `migrationlab lab down --all`.",
        ) from error
