"""The names of events, and collecting them from a real libvirt."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import libvirt
import pandas as pd
import pytest

from migrationlab.capture import events
from migrationlab.hosts.connection import call_later, waits_on
from migrationlab.hosts.host import Host
from migrationlab.hosts.poll import wait_until
from paths import RECORDINGS

#: Two domains of libvirt's test driver, in a node of the test's own.
NODE = "<node>{}{}</node>".format(
    *(
        f"<domain type='test'><name>{name}</name><memory>65536</memory>"
        "<os><type>hvm</type></os></domain>"
        for name in ("ours", "other")
    )
)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[libvirt.virConnect]:
    """Return a connection to a node with two running domains, "ours" and "other"."""
    node = tmp_path / "node.xml"
    node.write_text(NODE)
    host = Host(f"test://{node}")
    yield host.connection
    host.close()


def row(log: events.EventLog) -> events.Row:
    """Return the next row, as soon as it is there."""
    return log._rows.get(timeout=10)


def test_every_kind_of_lifecycle_event_has_its_name() -> None:
    """Each kind of event that the binding knows has the header's name."""
    kinds = {
        libvirt.VIR_DOMAIN_EVENT_DEFINED: "DEFINED",
        libvirt.VIR_DOMAIN_EVENT_UNDEFINED: "UNDEFINED",
        libvirt.VIR_DOMAIN_EVENT_STARTED: "STARTED",
        libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "SUSPENDED",
        libvirt.VIR_DOMAIN_EVENT_RESUMED: "RESUMED",
        libvirt.VIR_DOMAIN_EVENT_STOPPED: "STOPPED",
        libvirt.VIR_DOMAIN_EVENT_SHUTDOWN: "SHUTDOWN",
        libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: "PMSUSPENDED",
        libvirt.VIR_DOMAIN_EVENT_CRASHED: "CRASHED",
    }
    assert kinds == events._LIFECYCLE
    assert sorted(kinds) == list(range(9))


@pytest.mark.parametrize("kind", events._LIFECYCLE.values())
def test_every_detail_has_its_name(kind: str) -> None:
    """Details are numbered from 0 without a gap, each with the header's name."""
    details = {number: name for (of, number), name in events._DETAILS.items() if of == kind}
    assert sorted(details) == list(range(len(details)))
    assert details
    for number, name in details.items():
        assert getattr(libvirt, f"VIR_DOMAIN_EVENT_{kind}_{name}") == number


def test_timeline_knows_the_events_of_a_migration() -> None:
    """The events of a migration have the names that the timeline looks for."""
    wanted = {
        ("STARTED", libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED): "MIGRATED",
        ("SUSPENDED", libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED): "MIGRATED",
        ("RESUMED", libvirt.VIR_DOMAIN_EVENT_RESUMED_MIGRATED): "MIGRATED",
        ("STOPPED", libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED): "MIGRATED",
        ("STOPPED", libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED): "FAILED",
    }
    assert wanted.items() <= events._DETAILS.items()


def test_events_in_recordings_have_names() -> None:
    """No event of libvirt in the recorded runs has a number instead of a name."""
    known = {f"lifecycle.{kind}.{name}" for (kind, _), name in events._DETAILS.items()}
    known |= {"migration_iteration", "job_completed"}
    for path in sorted(RECORDINGS.glob("*/events.parquet")):
        frame = pd.read_parquet(path)
        assert set(frame[frame["origin"] == "libvirt"]["name"]) <= known
        assert set(frame[frame["origin"] == "qemu"]["name"]) <= set(events.QEMU_EVENTS)


def test_real_events_are_collected(connection: libvirt.virConnect) -> None:
    """libvirt's events of one domain are recorded with name, side and time."""
    domain = connection.lookupByName("ours")
    log = events.EventLog(domain.UUIDString())
    log.listen(connection, "source")
    called = log.note("call", mode="normal")
    connection.lookupByName("other").suspend()
    domain.suspend()
    domain.resume()
    assert row(log) == (called, called, "client", "migrationlab", "call", '{"mode": "normal"}')
    for name in ("lifecycle.SUSPENDED.PAUSED", "lifecycle.RESUMED.UNPAUSED"):
        time_ns, received_ns, *rest = row(log)
        assert called <= time_ns == received_ns
        assert rest == ["source", "libvirt", name, "{}"]
    log.close()
    domain.suspend()
    domain.resume()
    assert log.drain() == []
    # A refusal to collect QEMU's own is no error: this driver has none.
    (warning,) = log.warnings
    assert warning.startswith("no QEMU events from the source: ")
    assert "not supported by the connection driver" in warning


def test_events_queued_at_the_end_are_recorded(connection: libvirt.virConnect) -> None:
    """Events that libvirt has queued when the log is closed are recorded."""
    domain = connection.lookupByName("ours")
    for _ in range(20):
        log = events.EventLog(domain.UUIDString())
        log.listen(connection, "source")
        domain.suspend()
        domain.resume()
        log.close()
        names = [found[4] for found in log.drain()]
        assert names == ["lifecycle.SUSPENDED.PAUSED", "lifecycle.RESUMED.UNPAUSED"]


def test_qemus_events_have_qemus_time(connection: libvirt.virConnect) -> None:
    """QEMU's events of a migration are recorded with QEMU's time in microseconds."""
    domain = connection.lookupByName("ours")
    log = events.EventLog(domain.UUIDString())
    other = connection.lookupByName("other")
    log._qemu(connection, domain, "RTC_CHANGE", 1, 2, '{"offset":0}', "source")
    log._qemu(connection, other, "STOP", 1, 2, None, "source")
    log._qemu(connection, domain, "STOP", 1_700_000_000, 42, None, "source")
    log._qemu(connection, domain, "MIGRATION_PASS", 1_700_000_001, 0, '{"pass":1}', "source")
    stop, migration_pass = log.drain()
    assert stop[0] == 1_700_000_000_000_042_000
    assert stop[1] > stop[0]
    assert stop[2:] == ("source", "qemu", "STOP", "{}")
    assert json.loads(migration_pass[5]) == {"pass": 1}


def test_unknown_number_is_recorded_as_a_number(connection: libvirt.virConnect) -> None:
    """An event kind that only a newer libvirt knows is recorded as its number."""
    domain = connection.lookupByName("ours")
    log = events.EventLog(domain.UUIDString())
    log._lifecycle(connection, domain, 99, 98, "source")
    log._lifecycle(connection, domain, libvirt.VIR_DOMAIN_EVENT_STOPPED, 97, "source")
    assert [found[4] for found in log.drain()] == ["lifecycle.99.98", "lifecycle.STOPPED.97"]


def test_broken_connection_gives_a_warning_at_close(
    connection: libvirt.virConnect,
) -> None:
    """A connection that fails to unregister at close gives one warning."""
    log = events.EventLog("")
    log.listen(connection, "source")
    log.warnings.clear()
    _connection, undo = log._undo[0]
    undo()
    log.close()
    log.close()
    (warning,) = log.warnings
    assert warning.startswith("unregistering events failed: ")


def test_callbacks_are_removed_when_a_frozen_daemon_answers(
    connection: libvirt.virConnect,
) -> None:
    """Until then a call waits on the connection; afterwards nothing keeps the log."""
    log = events.EventLog("")
    log.listen(connection, "source")
    log.warnings.clear()
    waiting: Future[None] = Future()
    waits_on(connection, waiting)
    log.close()
    assert log.warnings == ["unregistering events failed: a host does not answer"]
    kept, over = weakref.ref(log), threading.Event()
    call_later(connection, over.set)
    del log
    gc.collect()
    assert kept() is not None  # libvirt's callbacks hold it
    waiting.set_result(None)
    assert over.wait(10)
    assert wait_until(lambda: (gc.collect(), kept())[1] is None, 10)
