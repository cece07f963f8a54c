"""Record what lessons 02 and 09 show without a lab.

``python data/record_hosts.py`` writes ``data/course`` (the hosts' answers, what the wire lets
through, preflights) and the run ``data/lessons/09-rehearsal``.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import migrationlab as mig
from migrationlab.course.host_commands import LiveHosts, record
from migrationlab.course.recorded_preflights import FAULTS, WELL, save_preflights

DATA = Path(__file__).parent
RATES_MBIT_S = (50, 100, 300, 1000)
ENDS = ("--from", "qemu+ssh://root@host-a/system", "--to", "qemu+ssh://root@host-b/system")


def record_hosts(lab: mig.Lab) -> None:
    """Record what the hosts of lesson 02 answer, and what their wire lets through."""
    wire = []
    for rate_mbit_s in RATES_MBIT_S:
        lab.wire.set(rate_mbit_s)
        payload = lab.measure_wire().payload_mbit_s
        wire.append({"rate_mbit_s": rate_mbit_s, "payload_mbit_s": payload})
    lab.wire.set(1000)
    record(LiveHosts(lab), wire).save(DATA / "course" / "host_commands.json")


def record_preflights(lab: mig.Lab) -> None:
    """Record what the preflight of lesson 09 finds, with and without a fault."""
    (guest,) = lab.guests
    findings = {WELL: mig.preflight(lab.host_a, lab.host_b, domain=guest.name)}
    for fault in FAULTS:
        with lab.broken(fault) as broken:
            name = (broken.guest or guest).name
            findings[fault] = mig.preflight(lab.host_a, lab.host_b, domain=name, plan=broken.plan)
    save_preflights(findings, DATA / "course" / "preflights.json")


def record_rehearsal(lab: mig.Lab) -> None:
    """Record the migration that lesson 09 starts on the client machine."""
    (guest,) = lab.guests
    address = lab.inspect()["guests"][0]["address"]
    done = lab.client.run(
        [sys.executable, "-m", "migrationlab.cli", "migrate", guest.name, *ENDS,
         "--mode", "peer2peer", "--probe", address,
         "--output", str(lab.client.home_inside / "runs")]
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    folder = DATA / "lessons" / "09-rehearsal"
    shutil.rmtree(folder, ignore_errors=True)
    for run in mig.load_runs(lab.client.home / "runs"):
        print(mig.save_run(run, folder).name)


def main() -> None:
    """Record all of it in one lab with one guest."""
    with mig.Lab() as lab:
        lab.boot()
        record_hosts(lab)
        record_preflights(lab)
        record_rehearsal(lab)


if __name__ == "__main__":
    main()
