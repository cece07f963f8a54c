"""Workloads of substance: several processors, contents and patterns survive a migration intact."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import migrationlab as mig
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab

pytestmark = pytest.mark.lab

PAGES_PER_MIB = 256
PLAN = mig.Plan(mode="peer2peer", parallel=True, compression=("zstd",))


@pytest.fixture(scope="module")
def busy(lab: Lab) -> Iterator[Guest]:
    """Boot a guest with two processors and three writers, half of whose memory is only filled."""
    guest = lab.boot(
        "busy", memory_mib=160, working_set_mib=16, fill_mib=16, dirty_mib_s=10, vcpus=2, writers=3,
        incompressible=1, pattern="zipf", huge_pages=True,
    )  # fmt: skip
    yield guest
    guest.destroy()


def test_pages_of_all_writers_arrive_intact(busy: Guest) -> None:
    """After a migration each page of each writer, and each filled page, holds what was written.

    The run has the workload that the guest was booted with.
    """
    assert "KiB of memory in huge pages" in busy.console()
    run = mig.migrate(busy, to=busy.other_host, plan=PLAN)
    assert run.outcome is mig.Outcome.COMPLETED
    assert run.guest_check is not None
    assert run.guest_check["intact"]
    assert run.guest_check["pages"] == 32 * PAGES_PER_MIB
    asked = {"incompressible": 1, "content": "random", "vcpus": 2, "writers": 3, "fill_mib": 16}
    assert {name: run.guest[name] for name in asked} == asked
    # 32 MiB cannot be sent in less: nearly nothing of a page compresses.
    assert run.summary()["transferred_bytes"] > 30 << 20


def test_pattern_changes_for_every_writer(busy: Guest) -> None:
    """Every writer takes a new pattern and rate, and a damaged page of the last one is found."""
    busy.set_workload("max", "hot-cold")
    assert busy.check().intact
    busy.set_workload(0, "random", incompressible=0.25, content="fixed")
    assert busy.check().intact
    for page in (16 * PAGES_PER_MIB - 1, 32 * PAGES_PER_MIB - 1):
        busy.spoil(page)
    assert busy.check().bad_pages == 2


@pytest.mark.thorough
def test_nearly_zero_pages_compress(lab: Lab) -> None:
    """A guest of zeros sends a small part of the memory that it wrote."""
    guest = lab.boot("zeros", memory_mib=160, working_set_mib=32, dirty_mib_s=1, content="zeros")
    try:
        run = mig.migrate(guest, to=guest.other_host, plan=PLAN)
        assert run.guest_check is not None
        assert run.guest_check["intact"]
        assert run.summary()["transferred_bytes"] < 30 << 20
    finally:
        guest.destroy()


@pytest.mark.thorough
def test_guest_over_ipv6_is_measured_like_any_other(lab: Lab) -> None:
    """Beats, pings, requests and the migration stream go over IPv6."""
    guest = lab.boot("six", memory_mib=160, working_set_mib=16, dirty_mib_s=10, ip="ipv6")
    try:
        run = mig.migrate(guest, to=lab.host_b, plan=mig.Plan(migration_uri="tcp://[fd11::2]"))
    finally:
        guest.destroy()
    assert (run.outcome, run.error, run.guest["ip"]) == (mig.Outcome.COMPLETED, None, "ipv6")
    assert run.timeline().network_basis == "beats"
    assert run.guest_check is not None
    assert run.guest_check["intact"]
    assert run.echoes["arrival_ns"].notna().sum() > 10
    assert len(run.memory_writes)
