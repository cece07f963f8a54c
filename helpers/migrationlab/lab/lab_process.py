"""Labs of the command line: brought up in a keeper of their own, and taken down from any state.

Nothing here is looked for by name: a lab's processes are known by the numbers and start times
that its owner wrote down, and end with the rack's first process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import IO, Any

import psutil

from migrationlab.errors import LabError, UsageError
from migrationlab.hosts.poll import wait_until
from migrationlab.lab import registry
from migrationlab.steps import Listener, Step, ignore

DEFAULT_NAME = "lab"
DOWN_TIMEOUT_S = 10


def up(
    name: str = DEFAULT_NAME,
    *,
    images: tuple[str, str],
    wire_mbit_s: float | None,
    on_step: Listener = ignore,
) -> None:
    """Start a lab that stays up after this process.

    Args:
        name: Its name.
        images: The Debian release of each host.
        wire_mbit_s: The rate of the wire, None for no limit.
        on_step: Hears how it comes up.

    Raises:
        UsageError: A lab of that name is up, or the arguments cannot be.
        LabError: It did not come up; nothing is left.
    """
    arguments = json.dumps({"name": name, "images": images, "wire_mbit_s": wire_mbit_s})
    keeper = subprocess.Popen(
        [sys.executable, "-m", "migrationlab.lab.daemon", arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that a Ctrl-C in this terminal later does not reach it
    )
    assert keeper.stdout is not None
    assert keeper.stderr is not None
    try:
        _follow(keeper.stdout, keeper.stderr, on_step)
    except BaseException:
        keeper.terminate()
        keeper.wait()
        raise
    finally:
        keeper.stdout.close()
        keeper.stderr.close()


def _follow(said: IO[str], complaints: IO[str], on_step: Listener) -> None:
    """Pass on what a keeper reports, until its lab is up."""
    for line in said:
        message = json.loads(line)
        if "up" in message:
            return
        if "error" in message:
            family = UsageError if message["usage"] else LabError
            raise family(message["error"], hint=message["hint"])
        on_step(Step(**message["step"]))
    raise LabError(f"the lab's keeper died: {complaints.read().strip()[-800:]}")


def down(name: str) -> bool:
    """End a lab, whoever keeps it and whatever state it is in.

    Returns:
        Whether there was one.

    Raises:
        LabError: Its owner lives on and still holds its name.
    """
    found = bool(registry.sweep([name]))
    if not registry.is_up(name):
        return found
    state = _state(name)
    if state is not None:
        _kill(state["rack"]["pid"], state["rack_started"])
    if not wait_until(lambda: not registry.is_up(name), DOWN_TIMEOUT_S):
        owner = registry.owner(name)
        raise LabError(
            f"process {owner} still holds the name {name!r}",
            hint="close the lab there (lab.close()), or end that process",
        )
    registry.sweep([name])
    return True


def _state(name: str) -> dict[str, Any] | None:
    try:
        return registry.state(name)
    except UsageError:
        return None  # it has not come as far, or is gone since we looked


def _kill(pid: int, started: float) -> None:
    """End a process, if the number still is that process's, and wait for it."""
    try:
        process = psutil.Process(pid)
        if process.create_time() != started:
            return
        process.kill()
        process.wait(DOWN_TIMEOUT_S)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired as error:
        raise LabError(f"the lab's process {pid} does not end") from error
