"""Record what virsh and QEMU report of a migration, for the tests that read such reports.

A guest that writes 60 MiB/s leaves over a wire of 200 Mbit/s, so its migration does not converge;
then its workload slows down to 5 MiB/s, and the migration completes. The reports are what the
programs printed.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab

FOLDER = Path(__file__).with_name("job_reports")
PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
QUERY = json.dumps({"execute": "query-migrate"})


def ask(guest: Guest, *argv: str) -> str:
    """Return what virsh on the guest's source prints."""
    shell = guest.lab.host_a.shell
    assert shell is not None
    result = shell.run("env", PATH, "virsh", *argv)
    assert result.status == 0, result
    return result.stdout


def record(guest: Guest, name: str) -> None:
    """Write the reports of this moment."""
    reports = {
        "domjobinfo.txt": ask(guest, "domjobinfo", guest.name),
        "rawstats.txt": ask(guest, "domjobinfo", guest.name, "--rawstats"),
        "query-migrate.json": ask(guest, "qemu-monitor-command", guest.name, QUERY),
        "info-migrate.txt": ask(guest, "qemu-monitor-command", guest.name, "--hmp", "info migrate"),
        "job_stats.txt": f"{guest.host.domain(guest.name).jobStats()}\n",
    }
    for kind, text in reports.items():
        (FOLDER / f"{name}.{kind}").write_text(text)


def main() -> None:
    """Record both migrations."""
    FOLDER.mkdir(exist_ok=True)
    with Lab(wire_mbit_s=200) as lab:
        guest = lab.boot(memory_mib=256, working_set_mib=64, dirty_mib_s=60)
        shell = lab.host_a.shell
        assert shell is not None
        line = ["migrate", "--live", "--verbose", guest.name, "qemu+tcp://host-b/system"]
        argv = shell.command("env", PATH, "virsh", *line)
        ours = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        time.sleep(2)
        record(guest, "first-iteration")
        time.sleep(18)
        record(guest, "diverging")
        guest.set_workload(dirty_mib_s=5)
        output, _ = ours.communicate(timeout=60)
        (FOLDER / "completed.verbose.txt").write_bytes(output)
        assert ours.returncode == 0, output
        there = lab.host_b.shell
        assert there is not None
        done = there.run("env", PATH, "virsh", "domjobinfo", guest.name, "--completed")
        (FOLDER / "completed.domjobinfo.txt").write_text(done.stdout)
        nothing = there.run("env", PATH, "virsh", "domjobinfo", guest.name)
        (FOLDER / "none.domjobinfo.txt").write_text(nothing.stdout)


if __name__ == "__main__":
    main()
