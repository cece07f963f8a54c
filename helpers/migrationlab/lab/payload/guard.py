"""Run one program as the first process of a new pid namespace, and end with the owner.

    guard.py OWNER PROGRAM [ARGUMENT …]

OWNER is an open pidfd of the owner. The guard ends when the owner ends in any way, or when PROGRAM
ends. When the first process of a pid namespace ends, the kernel ends all others there.
Meanwhile the guard reaps processes that lose their parent.
It uses the standard library only: it starts as a file, without the owner's packages.
"""

import os
import selectors
import subprocess
import sys
import threading


def end_with(owner: int) -> None:
    """Wait for the owner to end, then end."""
    with selectors.DefaultSelector() as selector:
        selector.register(owner, selectors.EVENT_READ)
        selector.select()
    os._exit(1)


def main(owner: int, argv: list[str]) -> int:
    """Run ``argv`` to its end; return its exit status."""
    threading.Thread(target=end_with, args=[owner], daemon=True).start()
    program = subprocess.Popen(argv)
    while True:
        pid, status = os.wait()
        if pid == program.pid:
            return abs(os.waitstatus_to_exitcode(status))


sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
