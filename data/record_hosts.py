"""Record what lessons 01, 02 and 09 show without a lab.

``python data/record_hosts.py`` writes ``data/course`` (which host keeps a guest's definition, the
hosts' answers, what the wire lets through, preflights) and the run ``data/lessons/09-rehearsal``.
``python data/record_hosts.py definitions`` records one part only.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import migrationlab as mig
from migrationlab.course import definitions
from migrationlab.course.host_commands import LiveHosts, record
from migrationlab.course.recorded_preflights import FAULTS, WELL, save_preflights

DATA = Path(__file__).parent
RATES_MBIT_S = (50, 100, 300, 1000)
ENDS = ("--from", "qemu+ssh://root@host-a/system", "--to", "qemu+ssh://root@host-b/system")


def record_definitions(lab: mig.Lab) -> None:
    """Record which host keeps the definition of lesson 01's persistent guest."""
    guest = lab.boot(persistent=True, memory_mib=128, working_set_mib=16)
    found = {}
    mig.migrate(guest, to=lab.host_b)
    found["migrated"] = definitions.look(guest)
    lab.host_a.domain(guest.name, inactive=True).create()
    found["started twice"] = definitions.look(guest)
    for host in lab.hosts:
        host.destroy(guest.name)
    found["ended"] = definitions.look(guest)
    guest.destroy()
    guest = lab.boot(persistent=True, memory_mib=128, working_set_mib=16)
    mig.migrate(guest, to=lab.host_b, plan=mig.Plan(persistent=True, undefine_source=True))
    found["moved"] = definitions.look(guest)
    guest.host.destroy(guest.name)
    found["moved and ended"] = definitions.look(guest)
    definitions.save(found, DATA / "course" / f"{definitions.FILE}.json")
    guest.destroy()


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
    """Record all of it, or the parts named on the command line, in one lab."""
    parts = {
        "definitions": record_definitions,
        "hosts": record_hosts,
        "preflights": record_preflights,
        "rehearsal": record_rehearsal,
    }
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    wanted = parser.parse_args().parts or list(parts)
    with mig.Lab() as lab:
        for name in wanted:
            if name != "definitions" and not lab.guests:
                lab.boot()
            parts[name](lab)


if __name__ == "__main__":
    main()
