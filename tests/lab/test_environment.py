"""What a run records of its environment: hosts, domain, wire, code, and load."""

from __future__ import annotations

import dataclasses
import os

import libvirt
import pytest

from migrationlab.errors import UsageError
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.start import migrate
from migrationlab.runs import environment

pytestmark = pytest.mark.lab


def test_both_directions_are_one_environment(lab: Lab, guest: Guest) -> None:
    """Two runs of a guest in both directions have the same environment, and can be pooled."""
    runs = [migrate(guest, to=guest.other_host) for _ in range(2)]
    environment.require_same(runs)
    assert runs[0].environment_id == runs[1].environment_id
    assert runs[0].guest["xml_sha256"] == runs[1].guest["xml_sha256"]
    for run in runs:
        for host in (run.source, run.destination):
            # The lab's hosts are this machine.
            assert host["kernel"] == os.uname().release
            assert host["cpus"] == run.environment["cpus"]
            assert host["cpu_model"] == run.environment["cpu_model"]
            assert host["memory_mib"] == run.environment["memory_mib"]
        assert 0 < run.environment["cpu_busy_percent"] <= 100
    other = dataclasses.replace(runs[1], environment={**runs[1].environment, "kernel": "6.1.0"})
    with pytest.raises(UsageError, match=r"machine\.kernel"):
        environment.require_same([runs[0], other])


@pytest.mark.thorough
def test_guests_of_one_kind_share_a_hash(lab: Lab, guest: Guest) -> None:
    """Name, address and workload do not change a guest's hash, but its size does."""
    like = lab.boot("of-a-kind", memory_mib=192, working_set_mib=16, dirty_mib_s=5)
    try:
        assert like.record()["xml_sha256"] == guest.record()["xml_sha256"]
        # What is hashed does not change with a start or a move.
        xml = like.host.connection.lookupByName(like.name).XMLDesc(
            libvirt.VIR_DOMAIN_XML_MIGRATABLE
        )
        assert "<alias" not in xml
    finally:
        like.destroy()
    larger = lab.boot("larger", memory_mib=160, working_set_mib=16, dirty_mib_s=5)
    try:
        assert larger.record()["xml_sha256"] != guest.record()["xml_sha256"]
    finally:
        larger.destroy()


def test_runs_record_the_measured_wire(lab: Lab, guest: Guest) -> None:
    """A run records the wire's measured rate as long as the wire has the same settings."""
    before = lab.wire.settings
    try:
        lab.wire.set(200)
        assert guest.wire()["measured_mbit_s"] is None
        check = lab.measure_wire()
        # Of 1,514 bytes of a frame 1,448 are payload: 95.6 %.
        assert check.payload_mbit_s == pytest.approx(200 * 1448 / 1514, rel=0.03)
        assert guest.wire()["measured_mbit_s"] == check.payload_mbit_s
        lab.wire.set(100)
        assert guest.wire()["measured_mbit_s"] is None
        lab.wire.set(200)
        assert guest.wire()["measured_mbit_s"] == check.payload_mbit_s
    finally:
        lab.wire.set(before.rate_mbit_s)


def test_slow_wire_is_measured_within_seconds(lab: Lab) -> None:
    """The measurement drops unsent data, which would occupy a slow wire for minutes."""
    before = lab.wire.settings
    try:
        lab.wire.set(0.5)
        check = lab.measure_wire()
        assert 0 < check.payload_mbit_s <= 0.5
        assert check.counted_s < 5
    finally:
        lab.wire.set(before.rate_mbit_s)
    assert lab.measure_wire().payload_mbit_s > 100
