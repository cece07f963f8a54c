"""Record the trials of lessons 06 and 07 for readers without a lab.

``python data/record_trials.py`` writes ``data/course/trials.json``: two labs, about four minutes.
"""

from __future__ import annotations

from pathlib import Path

import migrationlab as mig
from migrationlab.course import json_files
from migrationlab.course.trials import FILE, Trial, run_trial

PATH = Path(__file__).parent / "course" / f"{FILE}.json"
SMALL = {"memory_mib": 128, "working_set_mib": 16, "dirty_mib_s": 10}
DISK = {"disk": "shared", "disk_mib": 32}


def record_default() -> dict[str, Trial]:
    """Record the trials that the lessons run live, and those with a disk or in normal mode."""
    with mig.Lab() as lab:
        lab.wire.set(250)
        busy = lab.boot(dirty_mib_s=60, working_set_mib=64)
        trials = {key: run_trial(key, busy) for key in ("numbers", "timeout")}
        busy.destroy()
        for key, disk in (("copy", {}), ("copy-disk", DISK)):
            guest = lab.boot(**SMALL, **disk)
            trials[key] = run_trial(key, guest)
            guest.destroy()
        lab.wire.set(50)
        for key in ("silence-peer2peer", "silence-normal"):
            guest = lab.boot(**SMALL)
            trials[key] = run_trial(key, guest)
            guest.destroy()
    return trials


def record_locked() -> dict[str, Trial]:
    """Record the start of a copy with a lock manager; of the lab's releases bookworm has one."""
    with mig.Lab(images="bookworm") as lab:
        for host in lab.hosts:
            assert host.shell is not None
            setting = "echo 'lock_manager = \"lockd\"' >> /etc/libvirt/qemu.conf"
            host.shell.run("sh", "-euc", f"{setting}; virtlockd --daemon")
            lab.restart_libvirtd(host)
        return {"copy-locked": run_trial("copy-locked", lab.boot(**SMALL, **DISK))}


def main() -> None:
    """Record all trials."""
    json_files.write(record_default() | record_locked(), PATH)


if __name__ == "__main__":
    main()
