"""The hash that domains of the same kind share."""

from __future__ import annotations

import re

import pytest

from migrationlab.hosts.domain_xml import xml_sha256

XML = """\
<domain type='kvm' id='7'>
  <name>web1</name>
  <uuid>6f2a1c7e-55a9-4e21-9d6a-2f7d24a3b001</uuid>
  <genid>43dc0cf8-809b-4adb-9bea-a9abb5f3d90e</genid>
  <title>The first</title>
  <metadata><m:guest xmlns:m='urn:x'>1</m:guest></metadata>
  <memory unit='KiB'>524288</memory>
  <os>
    <type arch='x86_64' machine='pc-q35-9.2'>hvm</type>
    <nvram>/var/lib/libvirt/qemu/nvram/web1_VARS.fd</nvram>
    <cmdline>quiet migrationlab.rate=10 oops=panic</cmdline>
  </os>
  <cpu mode='custom' match='exact'><model fallback='allow'>qemu64</model></cpu>
  <devices>
    <disk type='file'><source file='/disks/web1.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <interface type='network'><mac address='52:54:00:11:0b:01'/><source network='web'/></interface>
    <graphics type='vnc' port='5901' autoport='yes'/>
  </devices>
  <seclabel type='dynamic' model='dac'><label>+107:+107</label></seclabel>
</domain>
"""

SAME = [
    (r"web1", "web2"),
    (r"id='7'", ""),
    (r"2f7d24a3b001", "2f7d24a3b002"),
    (r"<genid>.*</genid>", ""),
    (r"The first", "The second"),
    (r"<metadata>.*</metadata>", "<metadata/>"),
    (r"0b:01", "0b:02"),
    (r"5901", "5902"),
    (r"\+107:\+107", "+108:+108"),
    (r"rate=10", "rate=20"),
    (r"\n *", ""),
    (r"type='file'", 'type="file"'),
    (r"mode='custom' match='exact'", "match='exact' mode='custom'"),
]
OTHER = [
    (r"524288", "524289"),
    (r"type='kvm'", "type='qemu'"),
    (r"q35-9.2", "q35-10.0"),
    (r"qemu64", "qemu32"),
    (r"bus='virtio'", "bus='sata'"),
    (r"<graphics.*/>", ""),
    (r"oops=panic", ""),
    (r"network='web'", "network='lan'"),
    (r"/disks/web1.qcow2", "/disks/web1b.qcow2"),
]


@pytest.mark.parametrize(("part", "instead"), SAME)
def test_identity_does_not_change_the_hash(part: str, instead: str) -> None:
    """Names, ids, ports, labels, the workload and the layout of the XML do not change the hash."""
    changed = re.sub(part, instead, XML)
    assert changed != XML
    assert xml_sha256(changed) == xml_sha256(XML)


@pytest.mark.parametrize(("part", "instead"), OTHER)
def test_hardware_changes_the_hash(part: str, instead: str) -> None:
    """Memory, machine type, CPU and devices change the hash."""
    changed = re.sub(part, instead, XML)
    assert changed != XML
    assert xml_sha256(changed) != xml_sha256(XML)


def test_only_whole_words_are_the_name() -> None:
    """The hash of a guest called "d" keeps the "d" of its disk's name vda."""
    one = XML.replace("web1", "d")
    assert xml_sha256(one) == xml_sha256(XML)
    assert xml_sha256(one.replace("vda", "va")) != xml_sha256(one)


def test_domain_without_name_has_hash() -> None:
    """A domain without name and UUID has a hash."""
    assert xml_sha256("<domain type='kvm'/>") != xml_sha256("<domain type='qemu'/>")
