"""Post-copy in real migrations: its bandwidth, and its resumption."""

from __future__ import annotations

import threading

import pytest

from migration_helpers import (
    MIB,
    arrived,
    commands_since,
    migrate_recorded,
    postcopy,
    with_command_log,
)
from migrationlab.lab.lab import Lab
from migrationlab.migrate.start import start
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome
from migrationlab.steps import Step

pytestmark = pytest.mark.lab("bookworm")


@pytest.mark.thorough
@postcopy
def test_postcopy_keeps_its_bandwidth() -> None:
    """After the switchover the memory follows at the bandwidth of post-copy."""
    with Lab(wire_mbit_s=None) as lab:
        with_command_log(lab)
        guest = lab.boot(memory_mib=112, working_set_mib=16, dirty_mib_s=0)
        done = arrived(
            migrate_recorded(
                guest,
                postcopy=True,
                postcopy_after_s=0.2,
                postcopy_bandwidth_mib_s=50,
                bandwidth_mib_s=10,
            )
        )
    assert "postcopy-ram" in done.source.capabilities & done.destination.capabilities
    assert done.source.parameters["max-postcopy-bandwidth"] == 50 * MIB
    assert "migrate-start-postcopy" in done.source
    took_ms = done.run.timeline().postcopy_ms
    assert took_ms is not None
    # Some 60 MiB of memory were left: 1.2 s at that rate, 6 s at the one before.
    assert 500 < took_ms < 4000


@postcopy
def test_paused_postcopy_is_resumed() -> None:
    """It completes, and the guest's memory is intact.

    On libvirt 9.0: later ones end there (see LIMITS). Its QEMU is one that can damage an emulated
    guest's memory during the iterations; this guest writes none meanwhile.
    """
    slow = {"postcopy": True, "bandwidth_mib_s": 8, "postcopy_bandwidth_mib_s": 8}
    with Lab(images="bookworm", wire_mbit_s=None) as old:
        with_command_log(old)
        guest = old.boot(memory_mib=112, working_set_mib=16, dirty_mib_s=0, accelerator="tcg")
        source, destination = guest.host, guest.other_host
        made, there = threading.Event(), threading.Event()
        places: list[int] = []

        def look(_step: Step) -> None:
            if made.is_set() and migration.progress().state == "post-copy":
                places.append(guest.beat_source.place())
                # While a device waits for a page, QEMU's main loop waits too and reads no command:
                # paused at that moment, it could not be told how to resume.
                # A guest that is heard at the destination has its network card's pages there.
                if len(guest.beat_source.read(places[0])) >= 30:
                    there.set()

        plan = Plan(**slow, postcopy_after_s=0.2, allow_unsafe_tcg=True)
        migration = start(guest, to=destination, plan=plan, on_step=look)
        made.set()
        assert there.wait(30)
        migration.pause_postcopy()
        broken = migration.wait(15)
        assert broken.outcome is Outcome.INTERRUPTED
        assert broken.error is not None
        assert "failed in post-copy phase" in broken.error.text
        place = source.log.stat().st_size if source.log else 0
        plan = Plan(postcopy=True, postcopy_resume=True, allow_unsafe_tcg=True)
        resumed = start(guest.name, source=source, to=destination, plan=plan).wait(25)
        assert resumed.outcome is Outcome.COMPLETED
        (again,) = commands_since(source, place).all("migrate")
        assert again["resume"] is True
        assert guest.host is destination
        assert guest.check().intact
