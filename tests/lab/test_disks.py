"""A guest's disks and definitions in real migrations: copied, shared, broken, moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from migration_helpers import ADDRESSES, MIB, arrived, migrate_recorded, with_command_log, xml_of
from migrationlab.errors import PlanError
from migrationlab.hosts.host import Host
from migrationlab.lab import namespaces
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.lab.layout import DISKS_AT_HOST, GUESTS_AT_HOST
from migrationlab.migrate.start import migrate, start
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome

pytestmark = pytest.mark.lab

#: A guest that boots and is checked soon: it reads each block of its disk, under TCG.
SMALL: dict[str, Any] = {"memory_mib": 112, "working_set_mib": 8, "dirty_mib_s": 0, "disk_mib": 8}
#: Copying it takes so long that the counters of the copy are seen.
LARGER = {"disk_mib": 32}


@pytest.fixture(scope="module")
def stage() -> Iterator[Lab]:
    """Give a lab of this file's own."""
    with Lab(wire_mbit_s=None) as lab:
        yield with_command_log(lab)


@pytest.fixture(scope="module")
def keeper(stage: Lab) -> Guest:
    """Give a persistent guest with a local disk that it writes to."""
    return stage.boot("keeper", **SMALL | LARGER, disk="local", persistent=True)


def held_mib(guest: Guest, host: Host) -> float:
    """Return how much of a host's file system a guest's local disk takes, without its base."""
    enter = guest.lab.rack.in_host(host.name)
    said = namespaces.run([*enter, "du", "--block-size=1K", guest.spec.disk_path])
    return int(said.split()[0]) / 1024


def domain(guest: Guest, host: Host) -> Any:
    """Return a guest's domain at a host, as libvirt has it."""
    return host.connection.lookupByUUIDString(guest.uuid)


def defined(guest: Guest, host: Host) -> bool:
    """Return whether a host that a guest does not run on keeps its definition."""
    left = host.find(guest.uuid)
    return left is not None and not left.active


@dataclass(frozen=True, kw_only=True)
class Copy:
    """How a disk is copied, and what both QEMUs must have been told."""

    settings: Callable[[str], Mapping[str, Any]] = lambda _: {}
    kind: str = "full"
    server: Callable[[str], Mapping[str, Any]] | None = None
    target: Mapping[str, Any] = field(default_factory=dict)
    mirror: Mapping[str, Any] = field(default_factory=dict)


COPIES = {
    "full": Copy(mirror={"sync": "full"}),
    "incremental": Copy(kind="incremental", mirror={"sync": "top"}),
    "chosen": Copy(settings=lambda _: {"copy_disks": ("vda",)}),
    "synchronous": Copy(
        settings=lambda _: {"synchronous_writes": True}, mirror={"copy-mode": "write-blocking"}
    ),
    "detect_zeroes": Copy(
        settings=lambda _: {"copy_disks": ("vda",), "detect_zeroes_disks": ("vda",)},
        target={"detect-zeroes": "unmap", "discard": "unmap"},
    ),
    "port": Copy(
        settings=lambda _: {"disks_port": 50_000},
        server=lambda _: {"host": "::", "port": "50000"},
    ),
    "tcp": Copy(
        settings=lambda host: {"disks_uri": f"tcp://{ADDRESSES[host]}:50001"},
        server=lambda host: {"host": ADDRESSES[host], "port": "50001"},
    ),
    "unix": Copy(
        settings=lambda _: {"disks_uri": f"unix://{GUESTS_AT_HOST}/disks.sock"},
        server=lambda _: {"path": f"{GUESTS_AT_HOST}/disks.sock"},
    ),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copied_storage(keeper: Guest, copy: Copy) -> None:
    """A disk is copied in the way that was asked for, while the guest writes to it, to the byte."""
    keeper.set_workload(0, disk_mib_s=2)
    host = keeper.other_host.name
    done = arrived(migrate_recorded(keeper, copy_storage=copy.kind, **copy.settings(host)))
    assert done.run.guest_check is not None
    assert done.run.guest_check["disk_blocks"] == keeper.spec.disk_mib * 256
    assert done.run.job["disk_processed_bytes"].max() > 0
    (server,) = done.destination.all("nbd-server-start")
    if copy.server is not None:
        assert copy.server(host) == server["addr"]["data"]
    (target,) = (each for each in done.source.all("blockdev-add") if each["driver"] == "nbd")
    (mirror,) = done.source.all("blockdev-mirror")
    assert copy.target.items() <= target.items()
    assert copy.mirror.items() <= mirror.items()
    if not copy.mirror:
        assert "copy-mode" not in mirror
    if not copy.target:
        assert "detect-zeroes" not in target


@pytest.mark.thorough
def test_definitions(stage: Lab) -> None:
    """Who keeps a definition, and which, is as the plan says; without one, nobody but the source.

    The test has its own guest: where a guest is defined depends on every migration that it had
    before. A migration without ``persistent`` leaves the source's definition there, and defines
    nothing at the destination.
    """
    guest = stage.boot(**SMALL, disk="local", persistent=True)
    first, second = guest.host, guest.other_host
    try:
        arrived(migrate_recorded(guest, copy_storage="full"))
        assert not domain(guest, second).isPersistent()
        assert defined(guest, first)
        arrived(migrate_recorded(guest, copy_storage="full"))
        assert domain(guest, first).isPersistent()
        assert second.find(guest.uuid) is None

        kept = xml_of(guest, 2).replace("<on_crash>destroy", "<on_crash>restart")
        arrived(migrate_recorded(guest, copy_storage="full", persistent=True, persistent_xml=kept))
        assert "<on_crash>restart" in xml_of(guest, 2)
        assert "<on_crash>destroy" in xml_of(guest, 0)
        assert defined(guest, first)
        arrived(migrate_recorded(guest, copy_storage="full", persistent=True, undefine_source=True))
        assert guest.host is first
        assert second.find(guest.uuid) is None
    finally:
        guest.destroy()


@pytest.mark.thorough
def test_copied_storage_in_full_and_in_part(stage: Lab) -> None:
    """A partial copy has only what the guest wrote over the backing file; a full copy has all."""
    guest = stage.boot(**SMALL | LARGER, disk="local")
    try:
        first, second = guest.host, guest.other_host
        assert held_mib(guest, second) < 2
        done = arrived(migrate_recorded(guest, copy_storage="incremental"))
        # At 1 MiB/s for as long as this took, in clusters of 64 KiB.
        assert held_mib(guest, second) < guest.spec.disk_mib / 2
        assert done.run.job["disk_processed_bytes"].max() < guest.spec.disk_mib * MIB / 2
        done = arrived(migrate_recorded(guest, copy_storage="full"))
        assert held_mib(guest, first) >= guest.spec.disk_mib
        assert done.run.job["disk_processed_bytes"].max() >= guest.spec.disk_mib * MIB
    finally:
        guest.destroy()


@pytest.mark.thorough
def test_unsafe(stage: Lab) -> None:
    """A local disk that is not copied is refused; with unsafe the guest has a damaged disk."""
    guest = stage.boot(**SMALL, disk="local")
    try:
        with pytest.raises(PlanError, match="do not share"):
            migrate_recorded(guest)
        refused = migrate(guest, to=guest.other_host, validate=False)
        assert refused.error is not None
        assert "Migration without shared storage is unsafe" in refused.error.text
        assert guest.check().intact
        done = migrate_recorded(guest, unsafe=True)
        assert done.run.outcome is Outcome.COMPLETED
        check = done.run.guest_check
        assert check is not None
        assert check["intact"] is False
        assert check["bad_pages"] == 0
        assert check["bad_blocks"] > 0
    finally:
        guest.destroy()


def test_a_shared_disk_needs_no_copy(stage: Lab) -> None:
    """A shared disk needs no copy in any cache mode."""
    guest = stage.boot(**SMALL, disk="shared", disk_mib_s=2)
    try:
        done = arrived(migrate_recorded(guest))
        assert "blockdev-mirror" not in done.source
        assert done.run.guest["disk"] == "shared"
        assert done.run.guest_check is not None
        assert done.run.guest_check["bad_blocks"] == 0
    finally:
        guest.destroy()


@pytest.mark.thorough
def test_no_file_at_the_destination(stage: Lab) -> None:
    """libvirt makes no file to copy into without a storage pool, nor ever one to copy a part into.

    Which is why the lab makes the destination's.
    """
    guest = stage.boot(**SMALL, disk="local")
    enter = stage.rack.in_host(guest.other_host.name)
    try:
        namespaces.run([*enter, "rm", guest.spec.disk_path])
        for kind, words in (
            ("full", "no storage pool with matching target path"),
            ("incremental", "for incremental storage migration of disk 'vda' is not supported"),
        ):
            refused = migrate_recorded(guest, copy_storage=kind).run.error
            assert refused is not None
            assert words in refused.text
        pool = guest.other_host.connection.storagePoolCreateXML(
            f"<pool type='dir'><name>disks</name><target><path>{DISKS_AT_HOST}</path></target>"
            "</pool>"
        )
        try:
            done = arrived(migrate_recorded(guest, copy_storage="full"))
            assert done.run.guest_check is not None
            assert done.run.guest_check["bad_blocks"] == 0
        finally:
            pool.destroy()
    finally:
        guest.destroy()


@pytest.mark.thorough
def test_abort_on_error(stage: Lab) -> None:
    """A disk error during the copy, here a full file system, ends the migration."""
    source = stage.host_a
    enter = stage.rack.in_host(source.name)
    namespaces.run([*enter, "mkdir", "-p", DISKS_AT_HOST])
    namespaces.run([*enter, "mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", DISKS_AT_HOST])
    try:
        guest = stage.boot(**SMALL, disk="local", disk_mib_s=0)
        try:
            migration = start(
                guest,
                to=stage.host_b,
                plan=Plan(unsafe=True, abort_on_error=True, bandwidth_mib_s=8, deadline_s=30),
            )
            guest.set_workload(0, disk_mib_s=30)
            run = migration.wait(30)
            assert run.outcome is Outcome.FAILED
            assert guest.host is source
            domain = source.connection.lookupByUUIDString(guest.uuid)
            # Paused, by an error of its disk: virDomainState and virDomainPausedReason.
            assert domain.state() == [3, 5]
        finally:
            guest.destroy()
    finally:
        namespaces.run([*enter, "umount", "--lazy", DISKS_AT_HOST])
