"""Record the trials of lessons 06 and 07 for readers without a lab.

``python data/record_trials.py`` writes ``data/course/trials.json``: two labs, about four minutes.
"""

from __future__ import annotations

from pathlib import Path

import migrationlab as mig
from migrationlab.course import json_files
from migrationlab.course.host_commands import PATH as SEARCH
from migrationlab.course.trials import FILE, Trial, run_trial
from migrationlab.lab.layout import GUESTS_AT_HOST

PATH = Path(__file__).parent / "course" / f"{FILE}.json"
SMALL = {"memory_mib": 128, "working_set_mib": 16, "dirty_mib_s": 10}
#: A folder that both hosts have, for the lock manager's files.
LOCKS = f"{GUESTS_AT_HOST}/locks"
LOCK_MANAGER = f"""\
mkdir -p {LOCKS}
echo 'file_lockspace_dir = "{LOCKS}"' > /etc/libvirt/qemu-lockd.conf
echo 'lock_manager = "lockd"' >> /etc/libvirt/qemu.conf
virtlockd --daemon
"""


def record_default() -> dict[str, Trial]:
    """Record the trials in a lab of the default release."""
    with mig.Lab() as lab:
        lab.wire.set(250)
        busy = lab.boot(dirty_mib_s=60, working_set_mib=64)
        trials = {key: run_trial(key, busy) for key in ("numbers", "timeout")}
        busy.destroy()
        trials["copy"] = _run(lab, "copy")
        trials["copy-shared"] = _run(lab, "copy-shared", disk="shared")
        trials["copy-unlocked"] = _run(lab, "copy-unlocked", disk="local")
        lab.wire.set(50)
        for key in ("silence-peer2peer", "silence-normal"):
            trials[key] = _run(lab, key)
    return trials


def record_locked() -> dict[str, Trial]:
    """Record the start of a copy with a lock manager; of the lab's releases bookworm has one."""
    with mig.Lab(images="bookworm") as lab:
        for host in lab.hosts:
            assert host.shell is not None
            host.shell.run("env", SEARCH, "sh", "-euc", LOCK_MANAGER)
            lab.restart_libvirtd(host)
        return {"copy-locked": _run(lab, "copy-locked", disk="local")}


def _run(lab: mig.Lab, key: str, **disk: str) -> Trial:
    guest = lab.boot(**SMALL, **disk)
    try:
        return run_trial(key, guest)
    finally:
        guest.destroy()


def main() -> None:
    """Record all trials."""
    json_files.write(record_default() | record_locked(), PATH)


if __name__ == "__main__":
    main()
