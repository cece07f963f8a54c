"""What only the newest libvirt and QEMU can do, on hosts of them; short, because CI is long."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from migration_helpers import arrived, migrate_recorded, postcopy, with_command_log
from migrationlab.hosts.monitor import ask_monitor
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.plan.qemu_own import UNOFFERED, USED
from migrationlab.plan.qemu_parameters import PARAMETERS

NEWEST = "trixie-backports"
pytestmark = [pytest.mark.lab(NEWEST), pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def traveller() -> Iterator[Guest]:
    """Give a guest with a local disk, between two hosts of the newest release."""
    with Lab(images=NEWEST, wire_mbit_s=None) as lab:
        small = {"memory_mib": 112, "working_set_mib": 8, "disk_mib": 8}
        yield with_command_log(lab).boot(**small, dirty_mib_s=0, disk="local", persistent=True)


def test_disk_is_copied_to_an_image_of_zeroes(traveller: Guest) -> None:
    """QEMU is told that the disk's image reads as zeroes, and the copy is right to the byte."""
    done = arrived(migrate_recorded(traveller, copy_storage="full", target_zero_disks=("vda",)))
    (mirror,) = done.source.all("blockdev-mirror")
    assert mirror["target-is-zero"] is True
    assert done.run.guest_check is not None
    assert done.run.guest_check["disk_blocks"] == traveller.spec.disk_mib * 256
    packages = done.run.source["packages"]
    assert packages["qemu-system-x86"].startswith("1:11.")
    assert packages["linux-image"].startswith("6.12.")


def test_table_has_all_that_qemu_has_for_a_migration(traveller: Guest) -> None:
    """What this QEMU has is a setting of a plan, libvirt's own, for labs, or not offered."""
    domain = traveller.host.domain(traveller.name)
    qemu = traveller.host.facts.qemu
    unoffered = {each.name for each in UNOFFERED if each.in_version(qemu)}
    capabilities = {
        each["capability"] for each in ask_monitor(domain, "query-migrate-capabilities")
    }
    parameters = set(ask_monitor(domain, "query-migrate-parameters"))
    assert {each.name for each in UNOFFERED if each.kind == "capability"} & capabilities == (
        capabilities - set(USED)
    )
    assert unoffered <= capabilities | parameters
    assert parameters <= unoffered | set(USED) | set(PARAMETERS)


@pytest.mark.thorough
@postcopy
def test_postcopy_goes_over_parallel_connections(traveller: Guest) -> None:
    """Post-copy after parallel pre-copy works from QEMU 10.1 on, and peer2peer."""
    done = arrived(
        migrate_recorded(
            traveller, mode="peer2peer", copy_storage="full", postcopy=True, parallel=True,
            postcopy_after_iteration=1,
        )
    )  # fmt: skip
    assert {"postcopy-ram", "multifd"} <= done.source.capabilities
    # QEMU counts how long the guest waited for its pages.
    faults = done.run.postcopy_faults()
    assert faults is not None
    assert len(faults.vcpu_blocked_ms) == traveller.spec.vcpus
    assert faults.histogram["faults"].sum() > 0
