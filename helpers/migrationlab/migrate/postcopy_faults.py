"""Ask the destination's QEMU how long the guest waited for its pages in post-copy.

QEMU counts that if its capability ``postcopy-blocktime`` is on when it starts to listen for pages.
libvirt does not know it, and lets nobody ask the monitor of a QEMU that waits for a guest. From
QEMU 10.1 on the capability is also a property, so that a lab's guest has it as an argument.
"""

from __future__ import annotations

from migrationlab.errors import HostError
from migrationlab.hosts.connection import refusals
from migrationlab.hosts.host import Host
from migrationlab.hosts.monitor import ask_monitor
from migrationlab.hosts.time_limit import within
from migrationlab.migrate.record import MigrationRecord
from migrationlab.plan.plan import Plan
from migrationlab.runs.record import Outcome

#: The first QEMU with that property, and with the distribution of latencies (qapi/migration.json).
FIRST_QEMU = (10, 1)
#: The property, as a ``-global`` argument.
ARGUMENTS = ("-global", "migration.postcopy-blocktime=on")
#: The name of the event that has QEMU's answer.
EVENT = "postcopy_faults"
ANSWER_TIMEOUT_S = 5.0


def counted(to: Host, plan: Plan) -> bool:
    """Return whether a lab's destination can count how long the guest waits for pages."""
    return plan.postcopy and to.facts.qemu >= FIRST_QEMU


def note(record: MigrationRecord) -> None:
    """Record QEMU's figures of the guest's waits as an event, if post-copy has begun and ended."""
    if not record.counts_faults or record.outcome is not Outcome.COMPLETED:
        return

    def ask() -> dict[str, object]:
        with refusals():
            domain = record.destination.connection.lookupByUUIDString(record.uuid)
        answer: dict[str, object] = ask_monitor(domain, "query-migrate")
        return answer

    try:
        answer = within(ANSWER_TIMEOUT_S, ask)
    except (HostError, TimeoutError) as error:
        reason = str(error) or f"{record.destination.name} does not answer"
        record.warnings.append(f"the waits for pages in post-copy are missing: {reason}")
        return
    figures = {name: value for name, value in answer.items() if name.startswith("postcopy-")}
    if figures:
        record.recorder.events.note(EVENT, "destination", **figures)
