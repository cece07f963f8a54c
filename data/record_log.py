"""Record the log of a lesson's exercise: a day of two hosts, with one migration that failed.

``python data/record_log.py`` writes ``data/course/whole_log.json``: one lab, about half a minute.
The lines are the daemons' and QEMUs' own, without those of level debug, and without the name of the
recording machine's kernel. They are merged by time, and each begins with its host and program, as
``journalctl --merge`` does it.
"""

from __future__ import annotations

import re
from pathlib import Path

import migrationlab as mig
from migrationlab.capture.host_logs import qemu_log
from migrationlab.course import json_files
from migrationlab.course.attempts import try_fault
from migrationlab.course.exercises.lesson_07 import LOG_FILE
from migrationlab.hosts.host import Host

PATH = Path(__file__).parent / "course" / f"{LOG_FILE}.json"
#: What others ask these hosts for all day: some of it is refused.
OTHERS = (
    ("domstats", "guest-1"),
    ("qemu-agent-command", "guest-1", '{"execute": "guest-ping"}'),
    ("list",),
    ("domblkinfo", "guest-1", "vda"),
    ("dominfo", "guest-7"),
    ("domjobinfo", "guest-1"),
)
_STAMP = re.compile(r"^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d\.\d{3})\d*(?:\+0000|Z)?:? ?")
_KERNEL = re.compile(r", kernel: [^,]+")
_DEBUG = re.compile(r": \d+: debug : ")


def ask(host: Host) -> None:
    """Ask a host what is asked all day."""
    assert host.shell is not None
    for words in OTHERS:
        host.shell.run("env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "virsh", *words)


def lines(path: Path | None, prefix: str) -> list[tuple[str, str]]:
    """Return the stamped lines of a log that are no debug messages, by their time."""
    assert path is not None
    found = []
    for line in path.read_text(errors="replace").splitlines():
        stamp = _STAMP.match(line)
        if stamp and not _DEBUG.search(line):
            found.append((f"{stamp[1]} {stamp[2]}", f"{prefix}: {_KERNEL.sub('', line)}"))
    return found


def main() -> None:
    """Migrate there and back, let a certificate have another host's name, and write the logs."""
    with mig.Lab() as lab:
        guest = lab.boot(memory_mib=128, working_set_mib=8, dirty_mib_s=5)
        for to in (lab.host_b, lab.host_a):
            for host in lab.hosts:
                ask(host)
            run = mig.migrate(guest, to=to, plan=mig.Plan(mode="peer2peer"))
            assert run.outcome == "completed", run
        failed = try_fault(lab, guest, "certificate-wrong-name")
        assert failed.stage == "migrating", failed
        for host in lab.hosts:
            ask(host)
        found = []
        for host in lab.hosts:
            found += lines(host.log, f"{host.name} libvirtd")
            found += lines(qemu_log(host.log, guest.name), f"{host.name} qemu")
    merged = tuple(line for _, line in sorted(found, key=lambda each: each[0]))
    json_files.write(merged, PATH)
    print(f"{len(merged)} lines")


if __name__ == "__main__":
    main()
