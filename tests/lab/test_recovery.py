"""Recovery of real guests after migrations that broke midway."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from migration_helpers import postcopy
from migrationlab.cli import main
from migrationlab.hosts.host import Host
from migrationlab.hosts.poll import wait_until
from migrationlab.hosts.program import run_program
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.recovery import Kind
from migrationlab.migrate.recovery_steps import recover
from migrationlab.migrate.start import start
from migrationlab.plan.plan import Mode, Plan
from migrationlab.runs.run import Outcome
from migrationlab.steps import Step

pytestmark = pytest.mark.lab
#: The kernel's own number of tries: with it a cut connection lasts a quarter of an hour.
KERNELS_RETRIES = 15


@contextlib.contextmanager
def frozen(lab: Lab, host: Host) -> Iterator[None]:
    """Stop a host's libvirtd, so that it answers nobody, and continue it afterwards."""
    daemon = lab.rack.libvirtd(host.name)
    assert daemon is not None
    daemon.suspend()
    try:
        yield
    finally:
        daemon.resume()


def run_in_network(lab: Lab, host: Host, *argv: str) -> str:
    """Run a program in a host's network."""
    done = run_program([*lab.rack.in_host_network(host.name), *argv])
    assert done.status == 0, done
    return done.text


@contextlib.contextmanager
def cut_wire_that_nobody_gives_up(lab: Lab) -> Iterator[None]:
    """Cut the wire, with the kernel's usual patience for connections."""
    file = "/proc/sys/net/ipv4/tcp_retries2"
    old = {host: run_in_network(lab, host, "cat", file) for host in lab.hosts}
    try:
        for host in lab.hosts:
            run_in_network(lab, host, "sh", "-c", f"echo {KERNELS_RETRIES} >{file}")
            run_in_network(lab, host, "ip", "link", "set", "wire", "down")
        yield
    finally:
        for host in lab.hosts:
            run_in_network(lab, host, "ip", "link", "set", "wire", "up")
            run_in_network(lab, host, "sh", "-c", f"echo {old[host]} >{file}")


def stands_still(guest: Guest) -> bool:
    """Return whether a guest has sent no beat for half a second."""
    place = guest.beat_source.place()
    return not wait_until(lambda: guest.beat_source.place() != place, 0.5)


def test_wire_cut_at_the_switchover_ends_with_one_running_guest(lab: Lab, guest: Guest) -> None:
    """The run is unresolved; then the guest runs at the source, with all of its memory."""
    source, to = guest.host, guest.other_host
    under_way = threading.Event()

    def on_step(step: Step) -> None:
        if step.state == "progress":
            under_way.set()

    migration = start(guest, to=to, plan=Plan(deadline_s=8), on_step=on_step)
    assert under_way.wait(30)
    with contextlib.ExitStack() as cut:
        with frozen(lab, source):
            # QEMU waits before the switchover until libvirtd lets it go on.
            assert wait_until(lambda: stands_still(guest), 20)
            cut.enter_context(cut_wire_that_nobody_gives_up(lab))
        run = migration.wait(60)
        assert run.outcome is Outcome.UNRESOLVED
        seen = recover(guest.name, source=source, destination=to)
        assert seen.verdict.kind is Kind.RECOVERABLE, str(seen)
        assert "ss -K" in seen.commands[0]
        after = recover(guest.name, source=source, destination=to, carry_out=True)
    assert after.verdict.kind is Kind.WELL, str(after)
    assert after.done[0] == seen.commands[0]
    assert guest.host is source
    assert to.find(guest.uuid) is None
    assert guest.check().intact


@pytest.mark.thorough
def test_host_that_does_not_answer_may_run_the_guest(lab: Lab, guest: Guest) -> None:
    """Nothing is done, not even with consent; the advice says how to make it sure."""
    source, to = guest.host, guest.other_host
    with frozen(lab, to):
        after = recover(guest.name, source=source, destination=to, carry_out=True)
    to.reconnect()  # the keepalive may have ended the old connection
    assert after.verdict.kind is Kind.REFUSED
    assert "--confirm-dead destination" in after.verdict.advice
    assert after.done == ()
    assert guest.check().intact


def test_command_says_that_all_is_well(guest: Guest) -> None:
    """A guest that runs at one side needs nothing."""
    ends = ["--from", guest.host.uri, "--to", guest.other_host.uri]
    result = CliRunner().invoke(main, ["recover", guest.name, *ends, "--format", "json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["verdict"] == "well"


@pytest.mark.thorough
def test_copy_that_must_not_run_is_ended(lab: Lab, guest: Guest) -> None:
    """A wire cut at the switchover in peer2peer leaves one at the destination."""
    source, to = guest.host, guest.other_host
    with lab.fault("cut-wire", phase="switchover", guest=guest):
        run = start(guest, to=to, plan=Plan(mode=Mode.PEER2PEER, deadline_s=6)).wait(60)
        assert run.outcome is Outcome.UNRESOLVED
        seen = recover(guest.name, source=source, destination=to)
        assert seen.verdict.kind is Kind.RECOVERABLE, str(seen)
        after = recover(guest.name, source=source, destination=to, carry_out=True)
    assert after.verdict.kind is Kind.WELL, str(after)
    # libvirt may have ended it just before.
    assert {line.split()[3] for line in after.done} <= {"destroy"}
    assert (guest.host, to.find(guest.uuid)) == (source, None)
    assert guest.check().intact


def ask(guest: Guest, source: Host, to: Host, *options: str) -> tuple[int, dict[str, Any]]:
    """Call the command; return its exit status and its answer."""
    words = ["recover", guest.name, "--from", source.uri, "--to", to.uri, *options]
    result = CliRunner().invoke(main, [*words, "--format", "json"])
    assert result.stdout, result.output
    return result.exit_code, json.loads(result.stdout)


def test_one_of_two_running_copies_is_ended_only_by_choice(lab: Lab, guest: Guest) -> None:
    """Consent alone is not enough in a split brain."""
    source, to = guest.host, guest.other_host
    to.create(source.connection.lookupByUUIDString(guest.uuid).XMLDesc())
    status, seen = ask(guest, source, to, "--yes")
    assert (status, seen["verdict"], seen["done"]) == (1, "refused", [])
    assert "split brain" in seen["why"]
    assert "--keep" in seen["advice"]
    status, after = ask(guest, source, to, "--yes", "--keep", "source")
    assert (status, after["verdict"], len(after["done"])) == (0, "well", 1)
    assert (guest.host, to.find(guest.uuid)) == (source, None)
    assert guest.check().intact


def test_definition_that_somebody_could_start_is_removed(guest: Guest) -> None:
    """But never the only one."""
    source, to = guest.host, guest.other_host
    xml = source.connection.lookupByUUIDString(guest.uuid).XMLDesc()
    to.connection.defineXML(xml)
    status, seen = ask(guest, source, to, "--yes")
    assert (status, seen["verdict"], seen["done"]) == (0, "well", [])
    assert "Its only definition is at the destination" in seen["why"]
    source.connection.defineXML(xml)
    status, after = ask(guest, source, to, "--yes")
    assert (status, after["verdict"]) == (0, "well")
    assert [line.split()[3] for line in after["done"]] == ["undefine"]
    assert to.find(guest.uuid) is None
    source.connection.lookupByUUIDString(guest.uuid).undefine()
    assert guest.check().intact


@pytest.mark.thorough
def test_ctrl_c_ends_a_look_at_a_silent_host(lab: Lab, guest: Guest) -> None:
    """The command need not wait for the host, and has done nothing."""
    source, to = guest.host, guest.other_host
    asking = threading.Thread(target=interrupt_a_question)
    ends = ["--from", source.uri, "--to", to.uri, "--yes", "--patience-s", "60"]
    with frozen(lab, to):
        asking.start()
        result = CliRunner().invoke(main, ["recover", guest.name, *ends])
        asking.join()
    to.reconnect()
    assert (result.exit_code, result.stdout) == (130, "")
    assert guest.host is source
    assert guest.check().intact


def interrupt_a_question() -> None:
    """Press Ctrl-C when ``recover`` waits for a host's answer."""

    def waits() -> bool:
        return any(each.name == "recovery-open" for each in threading.enumerate())

    assert wait_until(waits, 30)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.thorough
def test_guest_of_a_dead_host_goes_on_only_when_it_is_confirmed() -> None:
    """Its copy at the destination has all of its memory, but the source might run it."""
    with Lab() as own:
        guest = own.boot(memory_mib=128, working_set_mib=16, dirty_mib_s=5)
        source, to = guest.host, guest.other_host
        with own.fault("freeze-host", phase="finish"):
            run = start(guest, to=to, plan=Plan(deadline_s=6)).wait(60)
            assert run.outcome is Outcome.UNRESOLVED
            status, seen = ask(guest, source, to, "--yes", "--patience-s", "3")
            assert (status, seen["verdict"], seen["done"]) == (1, "refused", [])
            # The machine is switched off.
            psutil.Process(own.rack.hosts[source.name]).kill()
            dead = ("--patience-s", "3", "--confirm-dead", "source")
            status, after = ask(guest, source, to, "--yes", *dead)
        assert (status, after["verdict"]) == (0, "well"), after
        assert guest.host is to
        assert guest.check().intact


@pytest.mark.thorough
@postcopy
def test_guest_in_post_copy_without_one_half_is_lost(lab: Lab) -> None:
    """No half is ended while both are there; without one, nothing but a clean end is left."""
    guest = lab.boot("halves", memory_mib=192, working_set_mib=32, dirty_mib_s=20)
    source, to = guest.host, guest.other_host
    plan = Plan(postcopy=True, bandwidth_mib_s=8, postcopy_bandwidth_mib_s=2, deadline_s=40)
    migration = start(guest, to=to, plan=plan)
    migration.start_postcopy()
    migration.pause_postcopy()
    assert migration.wait(60).outcome is Outcome.INTERRUPTED
    seen = recover(guest.name, source=source, destination=to)
    # The libvirtd of trixie would crash if it were asked to resume.
    assert seen.verdict.kind is Kind.REFUSED, str(seen)
    assert "both are there" in seen.verdict.why
    assert "End neither half" in seen.verdict.advice
    # A libvirtd that starts again might change its mind about the halves, so only QEMU ends.
    qemu = [
        process
        for process in psutil.Process(lab.rack.hosts[to.name]).children(recursive=True)
        if process.name().startswith("qemu-system")
        and any(guest.name in w for w in process.cmdline())
    ]
    assert len(qemu) == 1
    qemu[0].kill()
    assert wait_until(lambda: to.find(guest.uuid) is None, 20)
    after = recover(guest.name, source=source, destination=to, carry_out=True)
    assert after.verdict.kind is Kind.LOST
    assert "memory is lost" in after.verdict.why
    assert "destroy" in after.done[0]
    assert source.find(guest.uuid) is None
