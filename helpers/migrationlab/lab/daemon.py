"""Keep a lab up for the command line, in a separate process.

``migrationlab lab up`` starts it in a new session. It reports on standard output, one JSON object
a line: ``{"step": …}`` while the lab comes up, then ``{"up": true}`` or ``{"error": …}``. Then it
waits for SIGTERM, or for the end of the lab.
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
    """Keep a lab up; ``arguments`` are the arguments of ``Lab`` as a JSON object."""
    # SIGTERM must undo a build under way, like Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    wanted = json.loads(arguments)
    wanted["images"] = tuple(wanted["images"])
    try:
        with Lab(**wanted, on_step=_report) as lab:
            _send(up=True)
            # Nobody reads this any more, and a write to a closed pipe would end this process.
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (sys.stdout, sys.stderr):
                os.dup2(null, stream.fileno())
            ended = os.pidfd_open(lab.rack.pid)
            select.select([ended], [], [])
    except OSError as error:
        _send(error=str(error), hint="Give this user the right to write there.", usage=False)
        return 1
    except MigrationLabError as error:
        _send(error=str(error), hint=error.hint, usage=isinstance(error, UsageError))
        return 1
    return 0


def _report(step: Step) -> None:
    _send(step=asdict(step))


def _send(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
