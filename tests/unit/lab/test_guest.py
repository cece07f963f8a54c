"""Tests of guests: which are possible, and what their domain XML has."""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import math
import re
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import libvirt
import pytest
from defusedxml.ElementTree import fromstring

from migrationlab.errors import GuestError
from migrationlab.hosts.host import DomainState, Host
from migrationlab.lab import booted_spec, guest
from migrationlab.lab.beat_buffer import HEADER, RECORD, BeatBuffer
from migrationlab.lab.booted_spec import (
    BootedSpec,
    pages_per_second,
    require_machine,
    require_name,
)
from migrationlab.lab.guest import GuestBeats
from migrationlab.lab.guest_xml import NAMESPACE, QEMU_NAMESPACE, TRACED, domain_xml, spec_from
from migrationlab.lab.layout import LabFiles
from migrationlab.lab.service_program import Task
from migrationlab.plan.guest_spec import ClientSide, Rate

SPEC = BootedSpec(
    name="guest-7",
    number=7,
    memory_mib=256,
    working_set_mib=64,
    dirty_mib_s=40,
    pattern="random",
    accelerator="tcg",
    machine="pc-q35-10.0",
)
FASTEST = dataclasses.replace(SPEC, dirty_mib_s="max", accelerator="kvm")
PLACED = dataclasses.replace(
    FASTEST, dirty_ring=4096, vcpus=2, vcpu_pins="3,1", numa_node=0, huge_pages=True
)
WITH_DISK = dataclasses.replace(
    SPEC, disk="local", disk_mib=8, disk_mib_s=0.5, disk_cache="none", disk_queue_size=1024,
    persistent=True, cpu="EPYC",
)  # fmt: skip
WITH_CONTENT = dataclasses.replace(
    SPEC, incompressible=0.75, content="fixed", fill_mib=16, vcpus=2, writers=3, phases="1:2,0"
)
UUID = "6f1d4c1e-3b7a-4d67-9d0a-0a6b5c7d8e9f"


def command_line(spec: BootedSpec) -> dict[str, str]:
    """Return migrationlab's words of a guest's kernel command line, by name."""
    words = (fromstring(domain_xml(spec, UUID)).findtext("os/cmdline") or "").split()
    own = [word.removeprefix("migrationlab.") for word in words if word.startswith("migrationlab.")]
    return dict(word.split("=", 1) for word in own)


@pytest.mark.parametrize(
    ("rate", "pages"),
    [(0, 0), (1, 256), (0.5, 128), (40, 10240), (100_000, 25_600_000), ("max", -1)],
)
def test_workload_takes_rates_in_pages(rate: Rate, pages: int) -> None:
    """A rate in MiB/s becomes pages or blocks a second, and "max" becomes -1."""
    assert pages_per_second(rate) == pages


def test_possible_guests_are_accepted() -> None:
    """Values up to the limits are accepted, also memory for just the working set and the system."""
    SPEC.require_possible()
    FASTEST.require_possible()
    WITH_DISK.require_possible()
    dataclasses.replace(SPEC, working_set_mib=176).require_possible()
    dataclasses.replace(SPEC, working_set_mib=1, dirty_mib_s=0).require_possible()
    require_name("x" * 60)


@pytest.mark.parametrize("name", ["", "-", "a b", "a/../b", "<a>", "x" * 61, "é"])
def test_bad_names_are_refused(name: str) -> None:
    """A name that is no plain word of at most 60 letters is refused."""
    with pytest.raises(GuestError, match="letters, digits and hyphens") as caught:
        require_name(name)
    assert caught.value.hint


@pytest.mark.parametrize(
    "rate", [-1, -0.001, 100_001, math.inf, math.nan, "fast", "40", "", True, None, [40]]
)
def test_bad_dirty_rates_are_refused(rate: object) -> None:
    """The error of a rate that is negative, too large or no number says what is allowed."""
    message = r"dirty_mib_s must be a number from 0 to 100000 MiB/s or 'max' \(got "
    with pytest.raises(GuestError, match=message):
        dataclasses.replace(SPEC, dirty_mib_s=rate).require_possible()


@pytest.mark.parametrize("rate", [-1, 1001, math.nan, "max", "1", True, None])
def test_bad_disk_rates_are_refused(rate: object) -> None:
    """A disk's rate is a number up to 1000; there is no "max"."""
    with pytest.raises(GuestError, match="disk_mib_s must be a number from 0 to 1000 MiB/s"):
        dataclasses.replace(SPEC, disk_mib_s=rate).require_possible()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"working_set_mib": 0}, "working_set_mib must be a whole number from 1 MiB (got 0)"),
        ({"working_set_mib": -5}, "working_set_mib must be a whole number from 1 MiB (got -5)"),
        ({"working_set_mib": 1.5}, "working_set_mib must be a whole number from 1 MiB (got 1.5)"),
        ({"working_set_mib": 177}, "memory_mib must be at least 257 for working_set_mib=177"),
        ({"memory_mib": 64}, "memory_mib must be at least 144 for working_set_mib=64 (got 64)"),
        ({"memory_mib": -1}, "memory_mib must be a whole number from 1 MiB (got -1)"),
        ({"memory_mib": 10**9}, "memory_mib must be at most the memory of this machine"),
        ({"memory_mib": True}, "memory_mib must be a whole number"),
        ({"pattern": "zigzag"}, "pattern must be 'sequential', 'random', 'hot-cold' or 'zipf'"),
        ({"fill_mib": 113}, "at least 257 for working_set_mib=64 and fill_mib=113 (got 256)"),
        ({"fill_mib": -1}, "fill_mib must be a whole number from 0 MiB (got -1)"),
        (
            {"memory_mib": 2148, "working_set_mib": 1024, "fill_mib": 1024},
            "memory_mib must be at least 2168 for working_set_mib=1024 and fill_mib=1024",
        ),
        ({"hot_memory_percent": 0}, "hot_memory_percent must be a number from 0.1 to 99.9 %"),
        ({"hot_writes_percent": 100}, "hot_writes_percent must be a number from 0.1 to 99.9 %"),
        ({"incompressible": 1.01}, "incompressible must be a number from 0 to 1 (got 1.01)"),
        ({"incompressible": math.nan}, "incompressible must be a number from 0 to 1 (got nan)"),
        ({"content": "ones"}, "content must be 'random', 'fixed' or 'zeros' (got 'ones')"),
        ({"vcpus": 0}, "vcpus must be a whole number from 1 to 8 (got 0)"),
        ({"vcpus": 9}, "vcpus must be a whole number from 1 to 8 (got 9)"),
        ({"writers": 0}, "writers must be a whole number from 1 to 16 or None (one for each"),
        ({"phases": "often"}, "phases must be SHARE:SECONDS,… such as"),
        ({"phases": "1:2,0:0"}, "phases must last at least 0.001 s each"),
        ({"phases": ",".join(["1:2"] * 17)}, "phases must be at most 16 (got 17)"),
        (
            {"phases": "0.5:2,0", "dirty_mib_s": "max"},
            'phases must have shares 0 and 1 only for dirty_mib_s="max"',
        ),
        ({"disk": "floppy"}, "disk must be 'local', 'shared' or None (no disk) (got 'floppy')"),
        ({"disk_mib": 0}, "disk_mib must be a whole number from 1 to 4096 MiB (got 0)"),
        ({"disk_mib": 4097}, "disk_mib must be a whole number from 1 to 4096 MiB (got 4097)"),
        ({"disk_mib": 8.0}, "disk_mib must be a whole number from 1 to 4096 MiB (got 8.0)"),
        ({"disk_cache": "big"}, "disk_cache must be 'writeback', 'none',"),
        ({"accelerator": "xen"}, "accelerator must be 'auto', 'kvm' or 'tcg' (got 'xen')"),
        ({"persistent": 1}, "persistent must be True or False (got 1)"),
        ({"cpu": "<a/>"}, "cpu must be a name that `virsh domcapabilities` lists"),
        (
            {"dirty_ring": 3000, "accelerator": "kvm"},
            "dirty_ring must be a power of two (got 3000)",
        ),
        (
            {"disk": "local", "disk_queue_size": 100},
            "disk_queue_size must be a power of two (got 100)",
        ),
        ({"dirty_ring": 512}, "dirty_ring must be a whole number from 1024 to 65536 or None"),
        (
            {"vcpu_pins": "0", "vcpus": 2, "accelerator": "kvm"},
            "vcpu_pins must have a processor for each of vcpus=2 (got '0')",
        ),
        ({"vcpu_pins": "0-3"}, "vcpu_pins must be processors such as"),
        ({"numa_node": -1}, "numa_node must be a whole number from 0 to 1023 or None (any)"),
        ({"huge_pages": 1}, "huge_pages must be True or False (got 1)"),
        ({"machine": "pc'"}, "machine must be a name that `virsh domcapabilities` lists"),
    ],
)
def test_impossible_guests_are_refused(changes: dict[str, object], message: str) -> None:
    """The error of a value that is not allowed has its field's name and what is allowed."""
    with pytest.raises(GuestError) as caught:
        dataclasses.replace(SPEC, **changes).require_possible()
    assert message in str(caught.value)
    assert caught.value.hint.startswith("Give ")


def test_command_line_has_the_workloads_settings() -> None:
    """The kernel command line has everything that guest-init.sh passes to the workload."""
    assert command_line(SPEC) == {
        "guest": "7",
        "pages": "16384",
        "fill_pages": "0",
        "rate": "10240",
        "pattern": "random",
        "hot_pages": "100000",
        "hot_writes": "900000",
        "noise": "32",
        "fresh": "1",
        "huge": "0",
        "writers": "1",
        "phases": "",
        "address": "10.22.0.107/24",
        "observer": "10.22.0.1",
        "beat_port": "7007",
        "control_port": "7008",
    }
    assert command_line(FASTEST)["rate"] == "-1"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"content": "zeros"}, {"noise": "0"}),
        ({"incompressible": 1, "content": "fixed"}, {"noise": "63", "fresh": "0"}),
        ({"incompressible": 0.25}, {"noise": "16", "fresh": "1"}),
        ({"vcpus": 4}, {"writers": "4"}),
        ({"vcpus": 4, "writers": 2}, {"writers": "2"}),
        ({"huge_pages": True}, {"huge": "1"}),
        ({"fill_mib": 100}, {"fill_pages": "25600"}),
        ({"phases": "1:2,0.25:0.5,0"}, {"phases": "1000000:2000,250000:500,0"}),
        ({"hot_memory_percent": 2.5}, {"hot_pages": "25000"}),
    ],
)
def test_workload_takes_the_choices(changes: dict[str, object], words: dict[str, str]) -> None:
    """Each choice for the workload is on the kernel command line in the workload's own units."""
    spec = dataclasses.replace(SPEC, **changes)
    spec.require_possible()
    line = command_line(spec)
    assert {name: line[name] for name in words} == words


@pytest.mark.parametrize(
    "given", [{"dirty_ring": 4096}, {"vcpu_pins": "0"}, {"numa_node": 0}], ids=repr
)
def test_what_only_kvm_has_is_refused_without_it(given: dict[str, object]) -> None:
    """The refusal comes before the boot: of TCG that was asked for, and of TCG that was chosen."""
    ((name, value),) = given.items()
    message = f"{name} must be left out for a guest without KVM (got {value!r})"
    with pytest.raises(GuestError, match=re.escape(message)) as asked:
        dataclasses.replace(SPEC, **given).require_possible()
    assert asked.value.hint.startswith(f"Leave out {name}, or boot where `migrationlab doctor`")
    dataclasses.replace(SPEC, **given, accelerator="auto").require_possible()
    with pytest.raises(GuestError, match=re.escape(message)):
        require_machine(dataclasses.replace(SPEC, **given))


def test_guest_is_placed_only_on_what_the_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor or a NUMA node that is not there is refused before the boot."""
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr(booted_spec, "NODES", tmp_path)
    (tmp_path / "node0").mkdir()
    require_machine(PLACED)
    with pytest.raises(GuestError, match=r"processors of this machine, 0 to 3 \(got '1,4'\)"):
        require_machine(dataclasses.replace(PLACED, vcpu_pins="1,4"))
    with pytest.raises(GuestError, match=r"must be a node of this machine \(got 1\)"):
        require_machine(dataclasses.replace(PLACED, numa_node=1))


def test_placement_is_in_the_xml() -> None:
    """libvirt's own schema accepts it, and a guest without it has none of these elements."""
    text = domain_xml(PLACED, UUID)
    domain = fromstring(text)
    pins = [(pin.get("vcpu"), pin.get("cpuset")) for pin in domain.findall("cputune/vcpupin")]
    assert pins == [("0", "3"), ("1", "1")]
    assert domain.find("numatune/memory").attrib == {"mode": "strict", "nodeset": "0"}
    assert domain.find("features/kvm/dirty-ring").attrib == {"state": "on", "size": "4096"}
    plain = fromstring(domain_xml(FASTEST, UUID))
    assert not any(plain.findall(each) for each in ("cputune", "numatune", "features/kvm"))
    with contextlib.closing(libvirt.open("test:///default")) as connection:
        connection.defineXMLFlags(
            text.replace("type='kvm'", "type='test'").replace('type="kvm"', 'type="test"'),
            libvirt.VIR_DOMAIN_DEFINE_VALIDATE,
        )


def test_ipv6_is_in_the_kernel_only_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a guest has both addresses, and needs a machine that has IPv6."""
    spec = dataclasses.replace(SPEC, ip="ipv6")
    line = command_line(spec)
    assert (line["address"], line["address6"]) == ("10.22.0.107/24", "fd22::107/64")
    assert line["observer"] == "fd22::1"
    for each, disabled in ((SPEC, True), (spec, False)):
        words = fromstring(domain_xml(each, UUID)).findtext("os/cmdline").split()
        assert ("ipv6.disable=1" in words) is disabled
    monkeypatch.setattr(booted_spec, "IPV6", Path("/nowhere"))
    with pytest.raises(GuestError, match="ip must be 'ipv4' on this machine"):
        require_machine(spec)
    require_machine(SPEC)


def test_guest_has_its_processors() -> None:
    """A guest has its virtual processors; the kernel leaves out the support of several for one."""
    for vcpus in (1, 4):
        domain = fromstring(domain_xml(dataclasses.replace(SPEC, vcpus=vcpus), UUID))
        assert domain.findtext("vcpu") == str(vcpus)
        assert ("nosmp" in domain.findtext("os/cmdline").split()) is (vcpus == 1)


def test_domain_xml_follows_the_accelerator() -> None:
    """A TCG guest has a CPU that any host can emulate; a KVM guest has its host's."""
    emulated, native = fromstring(domain_xml(SPEC, UUID)), fromstring(domain_xml(FASTEST, UUID))
    assert emulated.get("type") == "qemu"
    assert emulated.findtext("cpu/model") == "qemu64"
    assert native.get("type") == "kvm"
    assert native.find("cpu").get("mode") == "host-model"


@pytest.mark.parametrize("mode", ["host-model", "host-passthrough", "maximum"])
def test_cpu_is_a_mode_or_a_model(mode: str) -> None:
    """A name of a mode of libvirt's is a mode in the XML; any other name is a model."""
    by_mode = fromstring(domain_xml(dataclasses.replace(SPEC, cpu=mode), UUID)).find("cpu")
    assert by_mode.attrib == {"mode": mode}
    by_model = fromstring(domain_xml(WITH_DISK, UUID)).find("cpu")
    assert by_model.attrib == {"mode": "custom", "match": "exact"}
    assert by_model.findtext("model") == "EPYC"


@pytest.mark.parametrize(
    ("kind", "form", "path"),
    [
        ("local", "qcow2", "/var/lib/migrationlab/disks/guest-7.qcow2"),
        ("shared", "raw", "/var/lib/migrationlab/guests/guest-7.raw"),
    ],
)
def test_disk_is_in_the_xml(kind: str, form: str, path: str) -> None:
    """A disk's file, format, cache mode and queue are in the XML, its rate on the command line."""
    spec = dataclasses.replace(WITH_DISK, disk=kind)
    disk = fromstring(domain_xml(spec, UUID)).find("devices/disk")
    assert disk.find("source").get("file") == path
    assert disk.find("driver").attrib == {
        "name": "qemu", "type": form, "cache": "none", "queue_size": "1024",
    }  # fmt: skip
    assert disk.find("target").attrib == {"dev": "vda", "bus": "virtio"}
    assert command_line(spec)["disk_rate"] == "128"


def test_guest_without_a_disk_has_none() -> None:
    """Without a disk neither the XML nor the command line names one."""
    assert fromstring(domain_xml(SPEC, UUID)).find("devices/disk") is None
    assert "disk_rate" not in command_line(SPEC)


def test_guests_have_unique_addresses() -> None:
    """Each guest has its own name, address, MAC address and console file."""
    other = dataclasses.replace(SPEC, name="guest-150", number=150)
    one, two = fromstring(domain_xml(SPEC, UUID)), fromstring(domain_xml(other, UUID))
    for path, attribute in [
        ("devices/interface/mac", "address"),
        ("devices/serial/source", "path"),
    ]:
        assert one.find(path).get(attribute) != two.find(path).get(attribute)
    assert two.find("devices/interface/mac").get("address") == "52:54:00:11:0b:96"
    assert command_line(other)["address"] == "10.22.0.250/24"


def test_qemu_logs_its_downtime() -> None:
    """QEMU logs events that match a pattern; a QEMU without such events ignores the pattern."""
    words = fromstring(domain_xml(SPEC, UUID)).findall(f"{{{QEMU_NAMESPACE}}}commandline/")
    assert [word.get("value") for word in words] == ["-trace", TRACED]
    assert fnmatch.fnmatchcase("vmstate_downtime_checkpoint", TRACED)
    assert not fnmatch.fnmatchcase("vmstate_downtime_save", TRACED)
    assert TRACED.endswith("*")


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        FASTEST,
        WITH_DISK,
        WITH_CONTENT,
        dataclasses.replace(SPEC, dirty_mib_s=0.25, pattern="sequential"),
    ],
)
def test_spec_is_read_from_libvirts_metadata(spec: BootedSpec, tmp_path: Path) -> None:
    """The spec of a guest is read, unchanged, from the domain's metadata."""
    domain = fromstring(domain_xml(spec, UUID))
    # libvirt's test driver keeps a domain's metadata, but knows none of its devices.
    domain.set("type", "test")
    for name in ("devices", "cpu", "features", "os"):
        domain.remove(domain.find(name))
    domain.append(ET.fromstring("<os><type>hvm</type></os>"))
    node = tmp_path / "node.xml"
    node.write_text(f"<node>{ET.tostring(domain, encoding='unicode')}</node>")
    host = Host(f"test://{node}")
    (found,) = host.domains(NAMESPACE)
    assert (found.name, found.uuid, found.active) == (spec.name, UUID, True)
    assert found.metadata is not None
    assert spec_from(found.metadata) == spec
    host.close()


def test_spec_is_read_from_a_real_daemons_metadata() -> None:
    """The spec is read from the metadata of a real guest, as libvirtd 11.3 returned it."""
    found = spec_from(
        '<guest>{"name": "guest-1", "number": 1, "memory_mib": 160, "working_set_mib": 16, '
        '"dirty_mib_s": 10, "pattern": "sequential", "accelerator": "tcg", '
        '"machine": "pc-q35-10.0"}</guest>'
    )
    assert found.name == "guest-1"
    assert found.working_set_mib == 16
    assert found.disk is None
    assert found.number == 1
    # It was booted before its pages could hold anything else.
    assert (found.content, found.incompressible) == ("zeros", 0)


def test_beats_are_of_one_guest(tmp_path: Path) -> None:
    """From the buffer of all guests, only the guest's own beats are read, as signed numbers."""
    path = tmp_path / "ring"
    with path.open("wb") as file:
        file.write((4).to_bytes(8, "little").ljust(HEADER, b"\0"))
        for number in range(8):
            for value in (1000 + number, 7 + number % 2, number // 2, 10 * number, 100 * number):
                file.write(value.to_bytes(RECORD["sequence"].itemsize, "little"))
    beats = GuestBeats(BeatBuffer(path), 7)
    assert beats.place() == 4
    frame = beats.read(0)
    assert list(frame.columns) == ["arrival_ns", "sequence", "guest_ns", "writes"]
    assert set(frame.dtypes.astype(str)) == {"int64"}
    assert frame.to_numpy().tolist() == [[1000, 0, 0, 0], [1002, 1, 20, 200]]
    assert beats.read(4).empty
    # No beat arrived lately: these arrived in 1970.
    assert beats.place(back_s=1) == 4


class Unused:
    """A connection that nobody calls."""


@pytest.mark.parametrize(
    ("side", "network"), [("outside", "lan"), ("source", "host-b"), ("destination", "host-a")]
)
def test_clients_and_pings_are_on_the_side_that_the_spec_says(
    side: ClientSide, network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest runs on the second host: that one is the source, the first the destination."""
    state = DomainState(
        "guest-7", paused=False, moving=False, metadata=None, uuid=UUID, active=True
    )
    hosts = [
        SimpleNamespace(name=name, find=lambda _, found=found: found, connection=Unused())
        for name, found in (("host-a", None), ("host-b", state))
    ]
    lab: Any = SimpleNamespace(hosts=hosts, files=LabFiles(tmp_path), images=("trixie",))
    lab.other = lambda host: next(each for each in hosts if each is not host)
    asked: list[str] = []

    def opened(broker: Path, network: str, *kind: int) -> socket.socket:
        asked.append(network)
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def load(task: Task, version: str) -> Any:
        asked.append(task.network)
        return SimpleNamespace(start=lambda: None)

    monkeypatch.setattr(guest, "open_socket", opened)
    monkeypatch.setattr(guest, "ServiceLoad", load)
    monkeypatch.setattr(
        guest.service_image, "ensure", lambda *_: SimpleNamespace(version="1"), raising=True
    )
    served = dataclasses.replace(SPEC, service="nginx", client_side=side)
    moving = guest.Guest(lab, served, UUID)
    moving.echo_probe().stop()
    moving.service_load()
    assert asked == [network, network]
