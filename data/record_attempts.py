"""Record libvirt's answer to each fault, in both modes, for lesson 07 without a lab.

``python data/record_attempts.py`` writes ``data/course/attempts.json``: two labs, about a minute.
"""

from __future__ import annotations

from pathlib import Path

import migrationlab as mig
from migrationlab.course.attempts import FILE, Attempt, save_attempts, try_fault

PATH = Path(__file__).parent / "course" / f"{FILE}.json"
#: The case that a lab of one release cannot have (``lacking`` of the case says so).
TWO_RELEASES = "cpu-model-missing"
#: One fault, met by whoever connects to the destination's libvirtd by TLS.
BY_TLS = "certificate-wrong-name"


def record(lab: mig.Lab, case_id: str, mode: mig.Mode, control: str = "") -> Attempt:
    """Meet a case, with the guest on the first host."""
    (guest,) = lab.guests
    if guest.host is not lab.host_a:
        mig.migrate(guest, to=lab.host_a, plan=mig.Plan())
    met = try_fault(lab, guest, case_id, mode=mode, control=control)
    print(repr(met))
    return met


def main() -> None:
    """Record all cases, each in a lab that can have it."""
    small = {"memory_mib": 128, "working_set_mib": 8, "dirty_mib_s": 5}
    cases = [case.id for case in mig.Lab.fault_cases()]
    met: dict[str, list[Attempt]] = {}
    with mig.Lab() as lab:
        lab.boot(**small)
        for case in cases:
            if case != TWO_RELEASES:
                met[case] = [record(lab, case, mode) for mode in mig.Mode]
        met[BY_TLS] += [record(lab, BY_TLS, mode, "tls") for mode in mig.Mode]
    with mig.Lab(images=("trixie", "bookworm")) as lab:
        lab.boot(**small)
        met[TWO_RELEASES] = [record(lab, TWO_RELEASES, mode) for mode in mig.Mode]
    save_attempts([attempt for case in cases for attempt in met[case]], PATH)


if __name__ == "__main__":
    main()
