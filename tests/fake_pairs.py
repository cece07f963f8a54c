"""Stand in for the hosts of pairs: a worker answers with a run that is on disk already.

Workers are real processes of Dask, which import this module. The environment variable
``FAKE_PAIRS`` names a folder: ``runs/NUMBER`` holds the files of each planned run; a file
``broken-PAIR`` makes that pair refuse; ``kill-NUMBER`` lets the worker that makes that run end as
if it was killed, once.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from migrationlab.errors import HostError
from migrationlab.experiment import pair_worker


def answer(job: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of a planned run, with the claim of the attempt as in a real worker."""
    folder = Path(os.environ["FAKE_PAIRS"])
    number, pair = job["placement"]["run_number"], job["pair"]["name"]
    if not pair_worker._claimed(job["token"]):
        raise HostError(f"run {number} failed: its worker was lost in the middle")
    if (folder / f"broken-{pair}").exists():
        raise HostError(f"{pair} is broken")
    killed = folder / f"kill-{number}"
    if killed.exists():
        killed.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    root = folder / "runs" / str(number)
    with (folder / "made").open("a", encoding="utf-8") as file:
        file.write(f"{number} {pair}\n")
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def ready() -> None:
    """Do nothing. A worker that was asked for it has loaded this module, and is not behind."""


def close(name: str) -> None:
    """Close nothing."""
