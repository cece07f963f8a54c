"""Validation of plans agrees with libvirt, on real daemons with a real, tiny domain.

The daemons refuse every plan that has a problem, except for the rules that libvirt does not have.
Every plan without a problem completes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import SubElement, tostring

import libvirt
import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from migrationlab.hosts.host import Host
from migrationlab.lab import image, namespaces
from migrationlab.lab.lab import Lab
from migrationlab.lab.layout import GUESTS_AT_HOST
from migrationlab.migrate.libvirt_call import migration_call
from migrationlab.plan.plan import Plan
from migrationlab.plan.validation import RULES, Side, Situation, accepted_by, domain_facts

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

#: The images of the hosts, one after the other, and the number of generated plans. For others than
#: the default:
#: MIGRATIONLAB_IMAGES=bookworm,forky MIGRATIONLAB_PLANS=300.
IMAGES_TO_TRY = os.environ.get("MIGRATIONLAB_IMAGES", image.DEFAULT).split(",")
PLANS_TO_TRY = int(os.environ.get("MIGRATIONLAB_PLANS", "12"))
UUID = "6a7d1f0e-52c6-4d4e-9d52-1f6a5b1c7e01"
NAME = "tiny"
# Too small to boot anything, so that a migration of it takes half a second.
DOMAIN = f"""\
<domain type="qemu">
  <name>{NAME}</name>
  <uuid>{UUID}</uuid>
  <memory unit="MiB">16</memory>
  <vcpu>1</vcpu>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="qcow2"/>
      <source file="/var/tmp/tiny.qcow2"/>
      <target dev="vda" bus="virtio"/>
    </disk>
    <disk type="file" device="disk">
      <driver name="qemu" type="qcow2"/>
      <source file="/var/tmp/tiny-read.qcow2"/>
      <target dev="vdb" bus="virtio"/>
      <readonly/>
    </disk>
    <interface type="ethernet">
      <mac address="52:54:00:6a:7d:1f"/>
      <model type="virtio"/>
    </interface>
    <controller type="usb" model="none"/>
    <memballoon model="none"/>
  </devices>
</domain>
"""
IMAGES = """\
for image in tiny tiny-read; do qemu-img create -q -f qcow2 /var/tmp/$image.qcow2 1M; done
"""


CAP_SYS_RESOURCE = 24


def has_capability(number: int) -> bool:
    """Return whether this process has a capability."""
    status = Path("/proc/self/status").read_text()
    effective = re.search(r"^CapEff:\s*(\w+)", status, re.MULTILINE)
    assert effective is not None
    return bool(int(effective[1], 16) >> number & 1)


@dataclass
class TinyDomain:
    """The domain, wherever it runs, and what is known of the hosts."""

    lab: Lab
    host: Host

    @property
    def other(self) -> Host:
        """Return the host that it can migrate to."""
        return self.lab.other(self.host)

    def situation(self) -> Situation:
        """Return what a plan is validated with."""
        switch = Path("/proc/sys/vm/unprivileged_userfaultfd")
        source, destination = (
            Side(
                name=host.name,
                libvirt=host.facts.libvirt,
                qemu=host.facts.qemu,
                userfaultfd=os.geteuid() == 0 or switch.read_text().strip() == "1",
                # prlimit(2) asks for this in the machine's own user namespace.
                locks_memory=os.geteuid() == 0 and has_capability(CAP_SYS_RESOURCE),
            )
            for host in (self.host, self.other)
        )
        paused = self.domain().state()[0] == libvirt.VIR_DOMAIN_PAUSED
        facts = domain_facts(self.xml(), active=True, persistent=False, paused=paused)
        disks = tuple(replace(disk, shared=False) for disk in facts.disks or ())
        return Situation(source=source, destination=destination, domain=replace(facts, disks=disks))

    def domain(self) -> libvirt.virDomain:
        """Return the domain where it runs."""
        return self.host.connection.lookupByUUIDString(UUID)

    def xml(self) -> str:
        """Return its XML, fit to be sent with a plan."""
        flags = libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_MIGRATABLE
        text: str = self.domain().XMLDesc(flags)
        return text

    def try_it(self, plan: Plan) -> str | None:
        """Migrate by a plan without validation; return libvirt's refusal, None if it completes."""
        there: Any = plan.connection_uri
        if plan.mode == "normal":
            there = self.other.connection
        # A refusal in Perform leaves the domain with a job in normal mode, until the connection
        # that asked is closed.
        acting = self.host.new_connection()
        domain = acting.lookupByUUIDString(UUID)
        call = migration_call(domain, there, plan.parameters(), plan.flag_bits())
        try:
            call()
        except libvirt.libvirtError as error:
            return f"{error.get_error_code()}: {error.get_error_message()}"
        finally:
            acting.close()
            self.tidy()
        return None

    def tidy(self) -> None:
        """Make sure that the domain runs on one host only, and is defined on none."""
        running = []
        for host in self.lab.hosts:
            try:
                domain = host.connection.lookupByUUIDString(UUID)
            except libvirt.libvirtError:
                continue
            if domain.isPersistent():
                domain.undefine()
            active = [each.UUIDString() for each in host.connection.listAllDomains(1)]
            if UUID in active:
                running.append(host)
        (self.host,) = running
        if self.domain().state()[0] == libvirt.VIR_DOMAIN_PAUSED:
            self.domain().resume()


@pytest.fixture(scope="module", params=IMAGES_TO_TRY)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Start the lab that this file's tests share."""
    with Lab(images=request.param) as shared:
        yield shared


@pytest.fixture(scope="module")
def tiny(lab: Lab) -> Iterator[TinyDomain]:
    """Give the tiny domain, running on a host of the lab."""
    for host in lab.hosts:
        namespaces.run([*lab.rack.in_host(host.name), "sh", "-euc", IMAGES])
    lab.host_a.create(DOMAIN)
    domain = TinyDomain(lab, lab.host_a)
    yield domain
    domain.host.destroy(domain.domain().name())


def filled(tiny: TinyDomain, values: dict[str, Any]) -> Plan:
    """Return the plan of drawn values, with the current destination in its place."""
    values = dict(values)
    there = tiny.other.peer_name
    words = {
        "socket": f"unix://{GUESTS_AT_HOST}/tiny.sock",
        "disk-socket": f"unix://{GUESTS_AT_HOST}/tiny-disks.sock",
        "disk-tcp": f"tcp://{there}:49300",
        "there": there,
    }
    for name in ("migration_uri", "disks_uri", "tls_destination"):
        values[name] = words.get(values.get(name), values.get(name))
    for name in ("destination_xml", "persistent_xml"):
        if name in values:
            values[name] = changed(tiny.xml(), values[name])
    plan = Plan(connection_uri=f"qemu+tcp://{there}/system", **values)
    return plan.filled(destination=there)


def changed(text: str, how: str) -> str:
    """Change a domain's XML in one way."""
    if how == "broken":
        return text[:-20]
    root = fromstring(text)
    edit: dict[str, Callable[[], object]] = {
        "same": lambda: None,
        "title": lambda: SubElement(root, "title").__setattr__("text", "moved"),
        "name": lambda: root.find("name").__setattr__("text", "another"),
        "uuid": lambda: root.find("uuid").__setattr__("text", UUID[:-1] + "2"),
        "no-uuid": lambda: root.remove(root.find("uuid")),
        "memory": lambda: root.find("memory").__setattr__("text", "20480"),
        "memory-unit": lambda: root.find("memory").set("unit", "KB"),
        "vcpu": lambda: root.find("vcpu").__setattr__("text", "2"),
        "machine": lambda: root.find("os/type").set("machine", "pc-i440fx-7.2"),
        "alias": lambda: root.find("os/type").set("machine", "pc"),
        "type": lambda: root.set("type", "kvm"),
        "serial": lambda: SubElement(root.find("devices/disk"), "serial").__setattr__("text", "x"),
        "target": lambda: root.find("devices/disk/target").set("dev", "vdz"),
        "no-disk": lambda: root.find("devices").remove(root.find("devices/disk")),
        "cache": lambda: root.find("devices/disk/driver").set("cache", "none"),
        "mac": lambda: root.find("devices/interface/mac").set("address", "52:54:00:00:00:01"),
        "no-mac": lambda: root.find("devices/interface").remove(root.find("devices/interface/mac")),
        "model": lambda: root.find("devices/interface/model").set("type", "e1000"),
        "rng": lambda: root.find("devices").append(
            fromstring('<rng model="virtio"><backend model="random">/dev/urandom</backend></rng>')
        ),
        "access": lambda: SubElement(root.find("devices/disk"), "readonly"),
    }
    edit[how]()
    return tostring(root, encoding="unicode")


XML = [
    "same", "title", "name", "uuid", "no-uuid", "memory", "memory-unit", "vcpu", "machine",
    "alias", "type", "serial", "target", "no-disk", "cache", "mac", "no-mac", "model", "rng",
    "access", "broken",
]  # fmt: skip
ON = st.just(True)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "mode": st.just("peer2peer"),
    "migration_uri": st.sampled_from(["auto", "socket"]),
    "listen_address": st.just("0.0.0.0"),
    "tunnelled": ON,
    "graphics_uri": st.just("vnc://console.example:5900"),
    "live": st.just(False),
    "offline": ON,
    "persistent": ON,
    "undefine_source": ON,
    "paused": ON,
    "destination_name": st.sampled_from(["renamed", NAME]),
    "destination_xml": st.sampled_from(XML),
    "persistent_xml": st.sampled_from(["same", "title", "broken"]),
    "bandwidth_mib_s": st.sampled_from([1000, 0, 1 << 50]),
    "compression": st.lists(st.sampled_from(["xbzrle", "zlib", "zstd", "lz4"]), max_size=2).map(
        tuple
    ),
    "xbzrle_cache_bytes": st.sampled_from([65536, 100_000, 1024]),
    "zlib_level": st.sampled_from([0, 9, 10, -1]),
    "zstd_level": st.sampled_from([0, 20, 21, -1]),
    "parallel": ON,
    "parallel_connections": st.sampled_from([1, 3, 0, 256, -1]),
    "zerocopy": ON,
    "auto_converge": ON,
    "auto_converge_initial_percent": st.sampled_from([1, 99, 0, 100, -1]),
    "auto_converge_increment_percent": st.sampled_from([1, 99, 0, 100, -1]),
    "switchover_bandwidth_mib_s": st.sampled_from([1000, 0]),
    "postcopy": ON,
    "postcopy_bandwidth_mib_s": st.sampled_from([1000, 0]),
    "copy_storage": st.sampled_from(["full", "incremental"]),
    "copy_disks": st.sampled_from([("vda",), ("vdb",), ("vdx",), ("vda", "vdx")]),
    "detect_zeroes_disks": st.sampled_from([("vda",), ("vdx",)]),
    "target_zero_disks": st.sampled_from([("vda",), ("vdx",)]),
    "disks_port": st.sampled_from([49301, 0, 70000]),
    "disks_uri": st.sampled_from(["disk-tcp", "disk-socket", "tcp://", "http://h:1", "x"]),
    "synchronous_writes": ON,
    "tls": ON,
    "tls_destination": st.just("there"),
    "change_protection": ON,
    "unsafe": ON,
    "abort_on_error": ON,
    "rdma_pin_all": ON,
}
# Settings that need each other are rarely drawn together.
COMPANIES: list[dict[str, Any]] = [
    {"unsafe": True},
    {},
    {"unsafe": True, "mode": "peer2peer"},
    {"unsafe": True, "mode": "peer2peer", "tunnelled": True},
    {"unsafe": True, "parallel": True},
    {"unsafe": True, "parallel": True, "compression": ("zlib",)},
    {"unsafe": True, "parallel": True, "compression": ("zstd",)},
    {"unsafe": True, "compression": ("xbzrle",)},
    {"unsafe": True, "parallel": True, "zerocopy": True},
    {"unsafe": True, "auto_converge": True},
    {"unsafe": True, "postcopy": True},
    {"unsafe": True, "migration_uri": "socket"},
    {"unsafe": True, "destination_xml": "same"},
    {"offline": True, "persistent": True},
    {"copy_storage": "full"},
    {"copy_storage": "incremental", "mode": "peer2peer"},
    {"copy_storage": "full", "migration_uri": "socket", "disks_uri": "disk-socket"},
]
DRAWN = st.lists(st.sampled_from(sorted(VALUES)), max_size=3, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: VALUES[name] for name in names})
)
PLANS = st.builds(lambda company, drawn: company | drawn, st.sampled_from(COMPANIES), DRAWN)


def check_agreement(tiny: TinyDomain, values: dict[str, Any]) -> None:
    """Check that validation and libvirt agree about a plan."""
    plan = filled(tiny, values)
    accepted = accepted_by(tiny.host.facts.libvirt)
    problems = [
        problem
        for problem in plan.problems(
            source=tiny.host.peer_name,
            destination=tiny.other.peer_name,
            situation=tiny.situation(),
        )
        if problem.rule not in accepted
    ]
    refusal = tiny.try_it(plan)
    if problems:
        assert refusal is not None, f"libvirt accepted {plan}, which has {problems}"
    else:
        assert refusal is None, f"libvirt refused {plan}: {refusal}"


#: A plan for each rule that libvirt has, and what libvirt 11.3 answers to it. The rules of RDMA
#: need its hardware: here libvirt refuses all three for the domain's missing memory limit.
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "tunnelled=True needs mode=peer2peer": ({"tunnelled": True}, "without using peer2peer flag"),
    "migration_uri excludes tunnelled=True": (
        {"mode": "peer2peer", "tunnelled": True, "migration_uri": "tcp://host-b"},
        "migration URI is not supported by tunnelled migration",
    ),
    "listen_address excludes tunnelled=True": (
        {"mode": "peer2peer", "tunnelled": True, "listen_address": "0.0.0.0"},
        "listen address is not supported by tunnelled migration",
    ),
    "disks_port excludes tunnelled=True": (
        {"mode": "peer2peer", "tunnelled": True, "disks_port": 49300},
        "disk port address is not supported by tunnelled migration",
    ),
    "tls=True excludes tunnelled=True": (
        {"mode": "peer2peer", "tunnelled": True, "tls": True, "tls_destination": "there"},
        "TLS handshake failed",
    ),
    "parallel=True excludes tunnelled=True": (
        {"mode": "peer2peer", "tunnelled": True, "parallel": True},
        "mutually exclusive",
    ),
    "postcopy=True excludes tunnelled=True": (
        {"mode": "peer2peer", "tunnelled": True, "postcopy": True},
        "post-copy is not supported with tunnelled migration",
    ),
    "copy_storage excludes tunnelled=True": (
        {"mode": "peer2peer", "tunnelled": True, "copy_storage": "full"},
        "non-shared storage is not supported with tunnelled migration",
    ),
    "offline=True excludes tunnelled=True": (
        {"mode": "peer2peer", "tunnelled": True, "offline": True, "persistent": True},
        "tunnelled offline migration does not make sense",
    ),
    "postcopy=True needs live=True": ({"postcopy": True, "live": False}, "non-live or paused"),
    "postcopy=True excludes offline=True": (
        {"postcopy": True, "offline": True, "persistent": True},
        "non-live or paused",
    ),
    "postcopy=True excludes paused=True": (
        {"postcopy": True, "paused": True},
        "non-live or paused",
    ),
    "postcopy_resume=True needs postcopy=True": (
        {"postcopy_resume": True},
        "requires post-copy to be enabled",
    ),
    "offline=True needs persistent=True": ({"offline": True}, "with the persistent flag set"),
    "copy_storage excludes offline=True": (
        {"offline": True, "persistent": True, "copy_storage": "full"},
        "offline migration cannot handle non-shared storage",
    ),
    "zerocopy=True needs parallel=True": (
        {"zerocopy": True},
        "only available for parallel migration",
    ),
    "zerocopy=True excludes compression": (
        {"zerocopy": True, "parallel": True, "compression": ("zstd",)},
        "only available for non-compressed non-TLS multifd",
    ),
    "zerocopy=True excludes tls=True": (
        {"zerocopy": True, "parallel": True, "tls": True},
        "only available for non-compressed non-TLS multifd",
    ),
    "synchronous_writes=True needs copy_storage": (
        {"synchronous_writes": True},
        "is required by flag",
    ),
    "copy_disks needs copy_storage": ({"copy_disks": ("vda",)}, "MIGRATE_DISKS' requires"),
    "detect_zeroes_disks needs copy_storage": (
        {"detect_zeroes_disks": ("vda",)},
        "DETECT_ZEROES' requires",
    ),
    "target_zero_disks needs copy_storage": (
        {"target_zero_disks": ("vda",)},
        "TARGET_ZERO' requires|parameter 'migrate_disks_target_zero' not supported",
    ),
    "disks_port excludes disks_uri": (
        {"copy_storage": "full", "disks_port": 49300, "disks_uri": "disk-tcp"},
        "Both port and URI requested for disk migration",
    ),
    "migration_uri=unix: needs disks_uri if copy_storage or copy_disks": (
        {"copy_storage": "full", "migration_uri": "socket"},
        "NBD URI must be supplied",
    ),
    "disks_uri=unix: excludes tls=True if copy_storage": (
        {"copy_storage": "full", "disks_uri": "disk-socket", "tls": True},
        "NBD migration with TLS is not supported over UNIX socket",
    ),
    "listen_address excludes migration_uri=unix:": (
        {"migration_uri": "socket", "listen_address": "0.0.0.0"},
        "Usage of listen-address is forbidden",
    ),
    "tls=True needs tls_destination if migration_uri=unix:": (
        {"migration_uri": "socket", "tls": True},
        "Explicit destination hostname is required for TLS",
    ),
    "compression must name each method once": (
        {"compression": ("xbzrle", "xbzrle")},
        "is specified twice",
    ),
    "compression=xbzrle excludes parallel=True": (
        {"compression": ("xbzrle",), "parallel": True},
        "isn't supported with parallel migration",
    ),
    "compression=zlib|zstd needs parallel=True": (
        {"compression": ("zstd",)},
        "is only supported with parallel migration",
    ),
    "compression must name only one of zlib and zstd": (
        {"compression": ("zlib", "zstd"), "parallel": True},
        "Only one compression method",
    ),
    "compression must name a method with parallel=True": (
        {"compression": (), "parallel": True},
        "No compression algorithm selected",
    ),
    "xbzrle_cache_bytes needs compression=xbzrle": (
        {"compression": (), "xbzrle_cache_bytes": 65536},
        "Turn xbzrle compression on",
    ),
    "zlib_level needs compression=zlib": (
        {"parallel": True, "compression": ("zstd",), "zlib_level": 3},
        "Turn zlib compression on",
    ),
    "zstd_level needs compression=zstd": (
        {"parallel": True, "compression": ("zlib",), "zstd_level": 3},
        "Turn zstd compression on",
    ),
    "xbzrle_cache_bytes must be a power of two": (
        {"compression": ("xbzrle",), "xbzrle_cache_bytes": 100_000},
        "a power of two no less than the target page size",
    ),
    "auto_converge_initial_percent needs auto_converge=True": (
        {"auto_converge_initial_percent": 30},
        "Turn auto convergence on",
    ),
    "auto_converge_increment_percent needs auto_converge=True": (
        {"auto_converge_increment_percent": 30},
        "Turn auto convergence on",
    ),
    "parallel_connections needs parallel=True": (
        {"parallel_connections": 2},
        "Turn parallel migration on",
    ),
    "postcopy-parallel": (
        {"postcopy": True, "parallel": True},
        "Postcopy is not yet compatible with multifd",
    ),
    "value-unknown": ({"compression": ("lz4",)}, "Unsupported compression method 'lz4'"),
    "disk-unknown": (
        {"copy_storage": "full", "copy_disks": ("vdx",)},
        "disk target vdx not found",
    ),
    "copy-disk-unfit": (
        {"copy_storage": "full", "copy_disks": ("vdb",)},
        "Cannot migrate empty or read-only disk vdb",
    ),
    "disk-not-shared": ({"unsafe": False}, "Migration without shared storage is unsafe"),
    "rdma-hard-limit": ({"migration_uri": "rdma://host-b"}, "no memory hard limit set"),
}


def test_every_rule_of_libvirt_is_tested() -> None:
    """This file tests each of libvirt's rules between settings, except those of RDMA."""
    untested = {rule.name for rule in RULES if not rule.accepted} - set(BROKEN)
    assert untested == {
        "parallel=True excludes migration_uri=rdma:",
        "postcopy=True excludes migration_uri=rdma:",
        "compression excludes migration_uri=rdma:",
    }


@pytest.mark.parametrize("rule", BROKEN)
def test_libvirt_refuses_what_breaks_its_rules(tiny: TinyDomain, rule: str) -> None:
    """A plan that breaks a rule has a problem, and libvirt refuses the plan."""
    values, answer = BROKEN[rule]
    plan = filled(tiny, {"unsafe": True, **values})
    assert rule in {problem.rule for problem in plan.problems(situation=tiny.situation())}
    refusal = tiny.try_it(plan)
    if rule in accepted_by(tiny.host.facts.libvirt):
        assert refusal is None
        return
    assert refusal is not None
    assert any(each in refusal for each in answer.split("|"))


@pytest.mark.parametrize("how", XML)
def test_libvirt_refuses_the_same_changes_of_xml(tiny: TinyDomain, how: str) -> None:
    """libvirt refuses XML that changes what the guest sees, and accepts other XML."""
    check_agreement(tiny, {"unsafe": True, "destination_xml": how})


def test_paused_guest_has_no_postcopy(tiny: TinyDomain) -> None:
    """A paused guest cannot migrate with post-copy, and libvirt refuses it."""
    tiny.domain().suspend()
    check_agreement(tiny, {"unsafe": True, "postcopy": True})
    tiny.domain().suspend()
    check_agreement(tiny, {"unsafe": True})


@pytest.mark.parametrize(
    "values",
    [
        {
            "parallel": True, "parallel_connections": 3, "compression": ("zstd",),
            "zstd_level": 5, "bandwidth_mib_s": 500, "switchover_bandwidth_mib_s": 500,
            "destination_name": "renamed", "listen_address": "0.0.0.0", "persistent": True,
            "undefine_source": True, "graphics_uri": "vnc://console.example:5900",
            "change_protection": True, "abort_on_error": True, "unsafe": True,
        },
        {
            "mode": "peer2peer", "copy_storage": "full", "copy_disks": ("vda",),
            "detect_zeroes_disks": ("vda",), "synchronous_writes": True, "disks_port": 49302,
            "paused": True,
        },
        {
            "copy_storage": "incremental", "disks_uri": "disk-tcp", "parallel": True,
            "compression": ("zlib",), "zlib_level": 1,
        },
        {
            "compression": ("xbzrle",), "xbzrle_cache_bytes": 65536, "auto_converge": True,
            "auto_converge_initial_percent": 10, "auto_converge_increment_percent": 10,
            "suspend_after_s": 30, "tls": True, "tls_destination": "there", "unsafe": True,
        },
        {
            "postcopy": True, "postcopy_bandwidth_mib_s": 500, "postcopy_after_iteration": 1,
            "postcopy_after_s": 30, "migration_uri": "auto", "unsafe": True,
        },
        {"mode": "peer2peer", "tunnelled": True, "unsafe": True},
    ],
    ids=["parallel", "disks", "zlib", "xbzrle", "postcopy", "tunnelled"],
)  # fmt: skip
def test_virsh_command_of_a_plan_migrates(
    tiny: TinyDomain, lab: Lab, values: dict[str, Any]
) -> None:
    """The virsh command of a valid plan, run on the source host, migrates the domain."""
    plan, source, to = filled(tiny, values), tiny.host, tiny.other
    if plan.problems(situation=tiny.situation()):
        pytest.skip("this machine lacks the rights for it")
    line = plan.virsh(tiny.domain().name())
    namespaces.run([*lab.rack.in_host(source.name), *line], timeout_s=60)
    tiny.tidy()
    assert tiny.host is to


@settings(
    max_examples=PLANS_TO_TRY,
    derandomize="MIGRATIONLAB_PLANS" not in os.environ,  # --hypothesis-seed gives other plans
    database=None,
    deadline=None,
    phases=[Phase.generate],  # shrinking would double the migrations
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(values=PLANS)
def test_validation_agrees_with_libvirt(tiny: TinyDomain, values: dict[str, Any]) -> None:
    """libvirt refuses generated plans with a problem, and completes the others."""
    # Both without a name for the certificate crash the source's libvirtd 11.3.
    assume(not {"tunnelled", "tls"} <= values.keys() or "tls_destination" in values)
    check_agreement(tiny, values)
