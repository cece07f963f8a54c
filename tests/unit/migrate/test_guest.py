"""A domain that migrationlab did not make."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from migrationlab.errors import GuestError
from migrationlab.hosts.host import Host
from migrationlab.migrate.guest import PlainDomain

NODE = """\
<node>
  <domain type='test'>
    <name>web1</name><memory unit='MiB'>512</memory>
    <os><type machine='pc-q35-9.2'>hvm</type></os>
  </domain>
</node>
"""


@pytest.fixture
def default() -> Iterator[Host]:
    """Give the test driver's host, with one running domain."""
    host = Host("test:///default")
    yield host
    host.close()


def test_record_has_name_memory_and_hash(default: Host) -> None:
    """The record of a running domain has name, memory and hash; without KVM it is emulated."""
    domain = PlainDomain("test", default)
    record = domain.record()
    assert len(str(record.pop("xml_sha256"))) == 64
    assert record == {"name": "test", "memory_mib": 8192, "machine": ""}
    assert domain.accelerator == "tcg"
    assert domain.host is default
    assert repr(domain) == f"PlainDomain('test', {default!r})"


def test_unknown_facts_are_none(default: Host) -> None:
    """A plain domain's beats, probe, wire and check are None, not invented numbers."""
    domain = PlainDomain("test", default)
    assert domain.beat_source is None
    assert domain.echo_probe() is None
    assert domain.wire() is None
    assert domain.checked() is None


def test_record_has_machine_type(tmp_path: Path) -> None:
    """The record has the machine type of a domain that names one."""
    node = tmp_path / "node.xml"
    node.write_text(NODE)
    host = Host(f"test://{node}")
    record = PlainDomain("web1", host).record()
    del record["xml_sha256"]
    assert record == {"name": "web1", "memory_mib": 512, "machine": "pc-q35-9.2"}
    host.close()


def test_read_only_connection_gets_no_hash() -> None:
    """The record has no hash if the connection may not read passwords."""
    host = Host("test:///default")
    full = host._connection
    host._connection = libvirt.openReadOnly("test:///default")
    assert PlainDomain("test", host).record()["xml_sha256"] is None
    full.close()
    host.close()


def test_unknown_domain_is_refused(default: Host) -> None:
    """A domain that the host does not have is refused."""
    with pytest.raises(GuestError, match="has no guest 'web9'"):
        PlainDomain("web9", default)


def test_domain_by_uuid_has_its_name(default: Host) -> None:
    """The record of a domain that is given by UUID has its name."""
    uuid = PlainDomain("test", default).uuid
    assert PlainDomain(uuid, default).name == "test"


def test_stopped_domain_needs_inactive() -> None:
    """A stopped domain is refused, except for an offline migration."""
    host = Host("test:///default")
    host.destroy("test")
    with pytest.raises(GuestError, match="is not running"):
        PlainDomain("test", host)
    facts = PlainDomain("test", host, inactive=True).facts()
    assert (facts.active, facts.persistent, facts.name) == (False, True, "test")
    host.connection.lookupByName("test").create()
    host.close()


def test_facts_have_state_memory_and_disks(tmp_path: Path) -> None:
    """State, memory and disks come from libvirt and the domain's XML."""
    node = tmp_path / "node.xml"
    disk = "<disk type='file'><source file='/a'/><target dev='vda'/></disk>"
    node.write_text(NODE.replace("<os>", f"<devices>{disk}</devices><os>"))
    host = Host(f"test://{node}")
    facts = PlainDomain("web1", host).facts()
    assert (facts.active, facts.memory_mib, facts.accelerator) == (True, 512, "tcg")
    assert facts.disks is not None
    assert [(each.target, each.source) for each in facts.disks] == [("vda", "/a")]
    host.close()


def test_facts_say_whether_the_domain_is_paused(default: Host) -> None:
    """The facts for the validation say whether the domain is paused."""
    assert PlainDomain("test", default).facts().paused is False
    domain = default.connection.lookupByName("test")
    domain.suspend()
    try:
        facts = PlainDomain("test", default).facts()
        assert (facts.active, facts.paused) == (True, True)
    finally:
        domain.resume()
