"""Ends of a migration that libvirt does not report: its call hangs, or the guest is silent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from migrationlab.hosts.host import Host
from migrationlab.hosts.poll import wait_until
from migrationlab.hosts.program import run_program
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.start import start
from migrationlab.plan.plan import Mode, Plan
from migrationlab.runs.run import Outcome
from migrationlab.runs.store import load_run, save_run
from migrationlab.steps import Step

pytestmark = pytest.mark.lab
#: How much later than the deadline a wait may end.
MOST_S = 10


@contextmanager
def frozen(lab: Lab, host: Host) -> Iterator[psutil.Process]:
    """Stop a host's libvirtd, so that it answers nobody, and continue it afterwards."""
    daemon = lab.rack.libvirtd(host.name)
    assert daemon is not None
    daemon.suspend()
    try:
        yield daemon
    finally:
        daemon.resume()


@pytest.mark.parametrize("mode", [pytest.param("normal", marks=pytest.mark.thorough), "peer2peer"])
def test_deadline_holds_if_the_source_does_not_answer(
    lab: Lab, guest: Guest, mode: str, tmp_path: Path
) -> None:
    """The run is unresolved, names both hosts and a command, and is stored like any other."""
    under_way = threading.Event()

    def on_step(step: Step) -> None:
        if step.state == "progress":
            under_way.set()

    source, to = guest.host, guest.other_host
    plan = Plan(mode=Mode(mode), bandwidth_mib_s=4, deadline_s=4)
    began = time.monotonic()
    migration = start(guest, to=to, plan=plan, on_step=on_step)
    assert under_way.wait(30)
    with frozen(lab, source):
        run = migration.wait(60)
        assert time.monotonic() - began < 4 + MOST_S
    assert run.outcome is Outcome.UNRESOLVED
    assert run.domain_states["source"] == "unknown"
    assert run.guest_check is None
    assert run.error is not None
    assert f"migrationlab recover {guest.spec.name} --from" in run.error.hint
    again = load_run(save_run(run, tmp_path))
    assert (again.outcome, again.error) == (run.outcome, run.error)
    # libvirtd does then what it was asked to do.
    assert wait_until(lambda: not source.is_busy(guest.spec.name), 30)
    assert wait_until(lambda: to.find(guest.uuid) is None, 30)
    assert guest.host is source
    assert guest.check().intact


def test_silent_guest_counts_as_lost(lab: Lab, guest: Guest) -> None:
    """If no beat returns after a completed call, the run says so, and is no success."""
    to = guest.other_host
    port = f"port{lab.hosts.index(to)}"

    def link(state: str) -> None:
        command = [*lab.rack.in_rack_network(), "ip", "link", "set", port, state]
        assert run_program(command).status == 0

    link("down")
    try:
        # Its connection goes over the wire, not over the LAN.
        run = start(guest, to=to, plan=Plan(mode=Mode.PEER2PEER)).wait(60)
    finally:
        link("up")
    assert run.outcome is Outcome.GUEST_LOST
    assert run.domain_states == {"source": "absent", "destination": "running"}
    assert run.error is not None
    assert "the guest does not answer: the guest is absent at the source" in run.error.text
    assert any("no beat arrived within" in warning for warning in run.warnings)
    assert run.timeline().resume_ns is not None
    assert guest.check().intact
