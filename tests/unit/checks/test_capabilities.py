"""What hosts offer and guests require, read from their XML."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrationlab.checks import capabilities
from migrationlab.checks.capabilities import FAMILIES, Capabilities, Requirements
from migrationlab.errors import GuestError, HostError
from migrationlab.hosts.host import Host
from migrationlab.hosts.virtqueues import VirtioDevice

CAPABILITIES = """\
<capabilities>
  <host><uuid>u-1</uuid><cpu><arch>x86_64</arch><model>EPYC</model></cpu></host>
  <guest><os_type>hvm</os_type><arch name='i686'><machine>isapc</machine></arch></guest>
  <guest><os_type>hvm</os_type><arch name='x86_64'>
    <machine canonical='pc-q35-9.2'>q35</machine>
    <machine>pc-q35-10.0</machine>
    <domain type='qemu'/>
    <domain type='kvm'><machine>pc-i440fx-9.2</machine></domain>
  </arch></guest>
</capabilities>
"""

DOMAIN = """\
<domain type='kvm'>
  <name>web1</name><memory unit='KiB'>524288</memory>
  <os><type arch='x86_64' machine='pc-q35-9.2'>hvm</type></os>
  <cpu mode='host-passthrough'/>
  <devices>
    <disk type='file' device='disk'><source file='/a.img'/><target dev='vda'/></disk>
    <interface type='bridge'><source bridge='br0'/></interface>
    <interface type='network'><source network='default' bridge='virbr0'/></interface>
    <interface type='direct'><source dev='eno1' mode='bridge'/></interface>
    <interface type='user'/>
    <hostdev type='pci' mode='subsystem'/>
  </devices>
</domain>
"""


def test_capabilities_are_read() -> None:
    """UUID, CPU and machine types with aliases are read for the host's own architecture."""
    found = Capabilities.parse(CAPABILITIES)
    assert (found.uuid, found.arch, found.cpu_model) == ("u-1", "x86_64", "EPYC")
    assert found.machines == {"q35", "pc-q35-9.2", "pc-q35-10.0", "pc-i440fx-9.2"}


def test_newest_machine_type_has_highest_number() -> None:
    """10.0 is newer than 9.2; the first family with a machine type counts, and aliases do not."""
    machines = Capabilities.parse(CAPABILITIES).machines
    assert capabilities.newest(machines, FAMILIES) == "pc-q35-10.0"
    assert capabilities.newest(machines, ["virt-", "pc-i440fx-"]) == "pc-i440fx-9.2"
    assert capabilities.newest(frozenset({"q35", "pc"}), FAMILIES) is None


def test_requirements_are_read() -> None:
    """Machine type, CPU, disks, bridges, networks and devices are read."""
    found = Requirements.parse(DOMAIN)
    assert (found.virt, found.arch, found.machine) == ("kvm", "x86_64", "pc-q35-9.2")
    assert found.cpu_mode == "host-passthrough"
    assert "host-passthrough" in found.cpu
    assert found.facts.disks is not None
    assert [disk.target for disk in found.facts.disks] == ["vda"]
    assert (found.bridges, found.networks) == (("br0", "eno1"), ("default",))
    assert found.devices == ("pci",)
    assert found.facts.memory_mib == 512


def test_virtio_devices_are_read_with_what_they_ask_for() -> None:
    """A device has its alias if the domain runs, and the lengths that its driver element has."""
    found = Requirements.parse("""<domain type='qemu'><name>a</name><devices>
      <disk type='file'><driver name='qemu' queue_size='1024'/><target dev='vda' bus='virtio'/>
        <alias name='virtio-disk0'/></disk>
      <disk type='file'><target dev='sda' bus='sata'/><alias name='sata0-0-0'/></disk>
      <interface type='user'><model type='virtio'/><driver rx_queue_size='512' queues='2'/>
        </interface>
      <interface type='user'><model type='vmxnet3'/></interface>
    </devices></domain>""")
    assert set(found.virtio) == {
        VirtioDevice("virtio-disk0", "virtio-blk", (("queue-size", "1024"),)),
        VirtioDevice("virtio-net-0", "virtio-net", (("rx_queue_size", "512"),)),
    }


def test_plain_domain_requires_little() -> None:
    """A domain without CPU and devices requires none."""
    found = Requirements.parse("<domain type='qemu'><name>a</name></domain>")
    assert (found.cpu, found.cpu_mode, found.machine) == ("", "", "")
    assert not found.bridges + found.networks + found.devices


def test_real_host_is_asked(tmp_path: Path) -> None:
    """The answers of a real libvirt are read, and a missing answer is an error."""
    host = Host("test:///default")
    assert capabilities.capabilities(host).arch == "i686"
    assert capabilities.networks(host) == {"default"}
    assert capabilities.free_memory_mib(host) >= 0
    required = capabilities.requirements(host, "test")
    assert required.facts.name == "test"
    with pytest.raises(GuestError):
        capabilities.requirements(host, "nobody")
    with pytest.raises(HostError):
        capabilities.missing_features(host, required)
    host.close()
