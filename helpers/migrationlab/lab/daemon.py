"""Keeps a lab up for the command line: the owner of a lab that nobody's program owns.

Started by ``migrationlab lab up`` as a session of its own. Reports on standard output, a JSON
object a line: ``{"step": …}`` while the lab comes up, then ``{"up": true}`` or ``{"error": …}``.
Then it waits until it is told to end (SIGTERM), or the lab has ended.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from dataclasses import asdict

from migrationlab.errors import MigrationLabError, UsageError
from migrationlab.lab.lab import Lab
from migrationlab.steps import Step


def main(arguments: str) -> int:
    """Keep the lab that ``arguments``, a JSON object of ``Lab``'s own, describe."""
    # SIGTERM must unwind what is being built, as Ctrl-C would.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    wanted = json.loads(arguments)
    wanted["images"] = tuple(wanted["images"])
    try:
        with Lab(**wanted, on_step=_report) as lab:
            _say(up=True)
            # Nobody reads this any more, and a write to a closed pipe would end the lab.
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (sys.stdout, sys.stderr):
                os.dup2(null, stream.fileno())
            ended = os.pidfd_open(lab.rack.pid)
            select.select([ended], [], [])
    except OSError as error:
        _say(error=str(error), hint="see that this user may write there", usage=False)
        return 1
    except MigrationLabError as error:
        _say(error=str(error), hint=error.hint, usage=isinstance(error, UsageError))
        return 1
    return 0


def _report(step: Step) -> None:
    _say(step=asdict(step))


def _say(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
