"""Every setting of a plan changes what it should in a real migration.

The settings of disks and of post-copy have separate files. ``settings_coverage.py`` names the test
of every setting.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from migration_helpers import (
    ADDRESSES,
    MIB,
    Migrated,
    arrived,
    migrate_recorded,
    with_command_log,
    xml_of,
)
from migrationlab.errors import PlanError
from migrationlab.hosts.monitor import ask_monitor
from migrationlab.lab import namespaces
from migrationlab.lab.booted_spec import BootedSpec
from migrationlab.lab.guest import Guest
from migrationlab.lab.guest_xml import domain_xml
from migrationlab.lab.lab import Lab
from migrationlab.lab.layout import GUESTS_AT_HOST, HOST_NAMES
from migrationlab.migrate.start import migrate
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def stage() -> Iterator[Lab]:
    """Give a lab for the tests of this file."""
    with Lab(wire_mbit_s=None) as lab:
        yield with_command_log(lab)


@pytest.fixture(scope="module")
def mover(stage: Lab) -> Guest:
    """Give a small guest without a disk, which the tests of this file migrate back and forth."""
    return stage.boot("mover", memory_mib=112, working_set_mib=16, dirty_mib_s=0)


@pytest.fixture
def guest(mover: Guest) -> Guest:
    """Give that guest, with a workload that writes no memory."""
    mover.set_workload(0)
    return mover


# --- what QEMU gets, and its effect -----------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Case:
    """Settings, and their effect.

    Attributes:
        settings: The settings of the plan.
        dirty_mib_s: How fast the guest writes during the migration.
        capabilities: What is on at the source.
        both: What is on at both sides.
        parameters: What the source's QEMU gets.
        effect: Whether the effect is seen from outside.
    """

    settings: Mapping[str, Any]
    dirty_mib_s: float = 0
    capabilities: frozenset[str] = frozenset()
    both: frozenset[str] = frozenset()
    parameters: Mapping[str, Any]
    effect: Callable[[Migrated], object] = lambda _: True


def is_slowed(done: Migrated) -> bool:
    """Return whether memory came no faster than 40 MiB/s."""
    job = done.run.completed_job
    seconds = (int(job["time_elapsed"]) - int(job["downtime"])) / 1000
    return int(job["memory_processed"]) / seconds < 44 * MIB


def has_three_channels(done: Migrated) -> bool:
    """Return whether memory went over three channels, rather than over one connection."""
    (incoming,) = done.destination.all("migrate-incoming")
    port = incoming["uri"].rpartition(":")[2]
    # Three channels, and the main one.
    return sum(socket.endswith(f":{port}") for socket in done.sockets) == 4


def is_compressed(done: Migrated) -> bool:
    """Return whether much less was sent than the guest's memory has."""
    return int(done.run.completed_job["memory_processed"]) < 40 * MIB


def sent_differences(done: Migrated) -> bool:
    """Return whether some pages were sent as differences only."""
    return int(done.run.completed_job["compression_pages"]) > 0


def is_throttled(done: Migrated) -> bool:
    """Return whether the guest was slowed down by at least what was set."""
    throttle = done.run.job["throttle_percent"].dropna()
    return bool((throttle >= 50).all()) and len(throttle) > 0


CASES = {
    "bandwidth_mib_s": Case(
        settings={"bandwidth_mib_s": 40}, parameters={"max-bandwidth": 40 * MIB}, effect=is_slowed
    ),
    "max_downtime_ms": Case(settings={"max_downtime_ms": 77}, parameters={"downtime-limit": 77}),
    "switchover_bandwidth_mib_s": Case(
        settings={"switchover_bandwidth_mib_s": 90},
        parameters={"avail-switchover-bandwidth": 90 * MIB},
    ),
    "compression-default": Case(
        settings={"compression": ()}, both=frozenset({"xbzrle"}), parameters={}
    ),
    "compression-xbzrle": Case(
        settings={
            "compression": ("xbzrle",),
            "xbzrle_cache_bytes": 32 * MIB,
            "bandwidth_mib_s": 60,
            "max_downtime_ms": 3,
        },
        dirty_mib_s=20,
        both=frozenset({"xbzrle"}),
        parameters={"xbzrle-cache-size": 32 * MIB},
        effect=sent_differences,
    ),
    "compression-zlib": Case(
        settings={"parallel": True, "compression": ("zlib",), "zlib_level": 2},
        both=frozenset({"multifd"}),
        parameters={"multifd-compression": "zlib", "multifd-zlib-level": 2},
        effect=is_compressed,
    ),
    "compression-zstd": Case(
        settings={"parallel": True, "compression": ("zstd",), "zstd_level": 3},
        both=frozenset({"multifd"}),
        parameters={"multifd-compression": "zstd", "multifd-zstd-level": 3},
        effect=is_compressed,
    ),
    "parallel": Case(
        settings={"parallel": True, "parallel_connections": 3, "bandwidth_mib_s": 60},
        both=frozenset({"multifd"}),
        parameters={"multifd-channels": 3},
        effect=has_three_channels,
    ),
    "auto_converge": Case(
        settings={
            "auto_converge": True,
            "auto_converge_initial_percent": 50,
            "auto_converge_increment_percent": 30,
            "bandwidth_mib_s": 32,
            # The rest never becomes so small unless the guest is slowed down.
            "max_downtime_ms": 60,
        },
        dirty_mib_s=50,
        capabilities=frozenset({"auto-converge"}),
        parameters={"cpu-throttle-initial": 50, "cpu-throttle-increment": 30},
        effect=is_throttled,
    ),
    "graphics_uri": Case(
        settings={"graphics_uri": "spice://10.1.2.3:5901"},
        parameters={},
        effect=lambda done: (
            done.source.all("client_migrate_info")
            == [{"protocol": "spice", "hostname": "10.1.2.3", "port": 5901, "tls-port": -1}]
        ),
    ),
}


#: Each is like another case.
RARELY_TRIED = ("compression-default", "compression-zlib")


@pytest.mark.thorough
def test_qemus_own_parameters(guest: Guest) -> None:
    """QEMU's own parameters reach the QEMU that reads them, and the next plan's guest has none."""
    guest.set_workload(50)
    own = {"max-cpu-throttle": 60, "announce-rounds": 3}
    done = arrived(
        migrate_recorded(
            guest,
            auto_converge=True,
            auto_converge_initial_percent=50,
            auto_converge_increment_percent=30,
            bandwidth_mib_s=32,
            # With so little throttling it never ends by itself.
            max_downtime_ms=20,
            suspend_after_iteration=8,
            qemu_parameters=own,
        )
    )
    assert done.source.parameters["max-cpu-throttle"] == 60
    assert done.run.job["throttle_percent"].max() <= 60
    assert any("max-cpu-throttle=60, announce-rounds=3" in each for each in done.run.warnings)
    assert parameters_of(guest)["announce-rounds"] == 3
    guest.set_workload(0)
    done = arrived(migrate_recorded(guest))
    assert not any("parameters" in each for each in done.run.warnings)
    assert parameters_of(guest)["announce-rounds"] == 5


def parameters_of(guest: Guest) -> Any:
    """Return what a guest's QEMU has for its next migration."""
    return ask_monitor(guest.host.domain(guest.name), "query-migrate-parameters")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=[pytest.mark.thorough] * (name in RARELY_TRIED))
        for name, case in CASES.items()
    ],
)
def test_reaches_qemu(guest: Guest, case: Case) -> None:
    """Capabilities and parameters reach the right QEMUs, and have their effect."""
    guest.set_workload(case.dirty_mib_s)
    done = arrived(migrate_recorded(guest, **case.settings))
    assert case.capabilities | case.both <= done.source.capabilities
    assert case.both <= done.destination.capabilities
    assert case.parameters.items() <= done.source.parameters.items()
    assert case.effect(done)


def test_nothing_is_on_by_default(guest: Guest) -> None:
    """Without settings QEMU gets no limit, one connection, and none of the capabilities above."""
    done = arrived(migrate_recorded(guest))
    known = set[str]().union(*(case.capabilities | case.both for case in CASES.values()))
    assert not known & (done.source.capabilities | done.destination.capabilities)
    assert done.source.parameters["max-bandwidth"] > 1 << 60
    assert "multifd-channels" not in done.source.parameters
    assert "client_migrate_info" not in done.source


# --- connections ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [pytest.param("normal", marks=pytest.mark.thorough), "peer2peer"])
def test_who_connects_to_the_destination(guest: Guest, mode: str) -> None:
    """The source's libvirtd connects to the destination's in peer2peer only."""
    uri = f"qemu+tcp://{guest.other_host.name}/system"
    done = arrived(migrate_recorded(guest, mode=mode, connection_uri=uri, bandwidth_mib_s=60))
    libvirt = f"{ADDRESSES[guest.host.name]}:16509"
    assert (libvirt in done.sockets) is (mode == "peer2peer")


def test_where_qemu_listens(guest: Guest) -> None:
    """QEMU listens on the address and port of the plan, and memory goes there."""
    name = guest.other_host.name
    address = ADDRESSES[name]
    done = arrived(
        migrate_recorded(
            guest,
            migration_uri=f"tcp://{name}:49200",
            listen_address=address,
            bandwidth_mib_s=60,
        )
    )
    (incoming,) = done.destination.all("migrate-incoming")
    assert incoming["uri"] == f"tcp:{address}:49200"
    assert f"{address}:49200" in done.sockets


@pytest.mark.parametrize("mode", [pytest.param("normal", marks=pytest.mark.thorough), "peer2peer"])
def test_auto_leaves_the_uri_to_the_destination(guest: Guest, mode: str) -> None:
    """With "auto" the destination's libvirtd chooses address and port, and tells the source."""
    done = arrived(migrate_recorded(guest, mode=mode, migration_uri="auto", bandwidth_mib_s=60))
    assert "migrate_uri" not in done.run.plan.parameters()
    (incoming,) = done.destination.all("migrate-incoming")
    port = incoming["uri"].rpartition(":")[2]
    assert incoming["uri"] == f"tcp:[::]:{port}"
    assert f"{ADDRESSES[guest.host.name]}:{port}" in done.sockets


@pytest.mark.parametrize("mode", [pytest.param("normal", marks=pytest.mark.thorough), "peer2peer"])
def test_memory_goes_over_a_unix_socket(guest: Guest, mode: str) -> None:
    """Over a Unix socket that both hosts see, no memory goes through the network."""
    source = guest.host
    path = f"{GUESTS_AT_HOST}/memory.sock"
    assert source.counters is not None
    before = source.counters.sent_bytes()
    done = arrived(migrate_recorded(guest, mode=mode, migration_uri=f"unix://{path}"))
    assert source.counters.sent_bytes() - before < 2 * MIB
    assert int(done.run.completed_job["memory_processed"]) > 20 * MIB
    (incoming,) = done.destination.all("migrate-incoming")
    assert incoming["uri"] == f"unix:{path}"


def test_tunnelled_memory_uses_no_port(guest: Guest) -> None:
    """Tunnelled memory goes through the two libvirtds: to a descriptor, to no port."""
    done = arrived(migrate_recorded(guest, mode="peer2peer", tunnelled=True, bandwidth_mib_s=60))
    (incoming,) = done.destination.all("migrate-incoming")
    assert incoming["uri"].startswith("fd:")
    ports = {int(socket.rpartition(":")[2]) for socket in done.sockets}
    assert not [port for port in ports if 49152 <= port <= 49215]


def test_rdma_is_refused(guest: Guest) -> None:
    """Validation refuses RDMA here, and so does libvirt without validation."""
    settings = {"migration_uri": f"rdma://{guest.other_host.name}", "rdma_pin_all": True}
    with pytest.raises(PlanError, match="hard_limit"):
        migrate_recorded(guest, **settings)
    run = migrate(guest, to=guest.other_host, plan=Plan(**settings), validate=False)
    assert run.outcome is Outcome.FAILED
    assert run.error is not None
    assert "cannot start RDMA migration with no memory hard limit set" in run.error.text


def may_lock(lab: Lab, mib: int) -> bool:
    """Return whether libvirtd may let a process lock so much memory."""
    _, most = resource.prlimit(lab.rack.hosts[HOST_NAMES[0]], resource.RLIMIT_MEMLOCK)
    status = Path(f"/proc/{lab.rack.hosts[HOST_NAMES[0]]}/status").read_text()
    (effective,) = re.findall(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    # CAP_SYS_RESOURCE (linux/capability.h); in a user namespace it lifts no limit.
    lifts = bool(int(effective, 16) >> 24 & 1) and not namespaces.rootless()
    return lifts or most == resource.RLIM_INFINITY or most >= mib * MIB


def test_zerocopy(stage: Lab, guest: Guest) -> None:
    """Zero-copy works if so much memory can be locked; otherwise libvirt refuses it."""
    done = migrate_recorded(guest, parallel=True, zerocopy=True)
    assert "zero-copy-send" in done.source.capabilities
    if may_lock(stage, guest.spec.memory_mib):
        arrived(done)
    else:
        assert done.run.outcome is Outcome.FAILED
        assert done.run.error is not None
        assert "cannot limit locked memory of process" in done.run.error.text
        assert guest.check().intact


# --- the domain on both hosts -----------------------------------------------------------------


def test_without_live_the_guest_is_paused_first(guest: Guest) -> None:
    """Without live the guest is paused before its memory is sent."""
    done = arrived(migrate_recorded(guest, live=False))
    order = [name for name, _ in done.source.commands if name in ("stop", "migrate")]
    assert order[:2] == ["stop", "migrate"]


def test_paused_guest_stays_paused(guest: Guest) -> None:
    """With paused the guest arrives intact and paused, and runs after a resume."""
    done = migrate_recorded(guest, paused=True)
    assert done.run.outcome is Outcome.COMPLETED
    assert guest.host.name == done.run.destination["name"]
    assert guest.paused
    assert "cont" not in done.destination
    guest.resume()
    assert not guest.paused
    assert guest.check().intact


def test_destination_name_renames_the_guest(stage: Lab, guest: Guest) -> None:
    """A guest that is renamed at the destination has its new name until the next renaming."""
    arrived(migrate_recorded(guest, destination_name="elsewhere"))
    assert guest.name == "elsewhere"
    assert stage.guest("elsewhere").uuid == guest.uuid
    assert "mover" not in [known.name for known in stage.guests]
    assert guest.check().intact
    arrived(migrate_recorded(guest, destination_name="mover", mode="peer2peer"))
    assert stage.guest("mover").host is guest.host


def test_destination_xml_changes_the_host_side(stage: Lab, guest: Guest) -> None:
    """What the XML for the destination changes is changed there, and only there."""
    usual = xml_of(guest, 8)
    changed = usual.replace("mover.console", "mover-elsewhere.console")
    arrived(migrate_recorded(guest, destination_xml=changed))
    assert "mover-elsewhere.console" in xml_of(guest, 0)
    assert (stage.files.guests / "mover-elsewhere.console").exists()
    arrived(migrate_recorded(guest, destination_xml=usual))
    assert "mover-elsewhere.console" not in xml_of(guest, 0)


def test_offline_moves_the_definition_only(stage: Lab) -> None:
    """An offline migration moves the definition of a guest that does not run."""
    spec = BootedSpec(
        name="asleep", number=99, memory_mib=96, working_set_mib=4, dirty_mib_s=0,
        pattern="sequential", accelerator="tcg", machine=stage.machine, persistent=True,
    )  # fmt: skip
    guest = Guest(stage, spec, str(uuid4()))
    stage.host_a.connection.defineXML(domain_xml(spec, guest.uuid))
    try:
        assert guest.host is stage.host_a
        done = migrate_recorded(
            guest, offline=True, live=False, persistent=True, undefine_source=True
        )
        assert done.run.error is None
        assert done.run.outcome is Outcome.COMPLETED
        assert "migrate" not in done.source
        assert stage.host_a.find(guest.uuid) is None
        there = stage.host_b.find(guest.uuid)
        assert there is not None
        assert not there.active
        assert guest.host is stage.host_b
    finally:
        guest.clear()


def test_change_protection(guest: Guest) -> None:
    """The source's domain is locked from the Begin phase on, not only while memory is sent."""
    done = arrived(migrate_recorded(guest, change_protection=True))
    phases = [line.rpartition("phase to ")[2] for line in done.log if "phase to '" in line]
    assert phases[0] == "'begin3'"
