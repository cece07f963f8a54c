"""A domain that knows nothing of the kit."""

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
    """Give the test driver's own host, on which one domain runs."""
    host = Host("test:///default")
    yield host
    host.close()


def test_what_a_run_says_of_it(default: Host) -> None:
    """A running domain is told by its name and memory; without KVM it is emulated."""
    domain = PlainDomain("test", default)
    record = domain.record()
    assert len(str(record.pop("xml_sha256"))) == 64
    assert record == {"name": "test", "memory_mib": 8192, "machine": ""}
    assert domain.accelerator == "tcg"
    assert domain.host is default
    assert repr(domain) == f"PlainDomain('test', {default!r})"


def test_what_nobody_knows_is_none(default: Host) -> None:
    """It has no beats, probe or check, and nobody knows its wire: None, no invented number."""
    domain = PlainDomain("test", default)
    assert domain.beat_source is None
    assert domain.echo_probe() is None
    assert domain.wire() is None
    assert domain.checked() is None


def test_its_machine_is_told(tmp_path: Path) -> None:
    """A domain's machine type is told where it has one."""
    node = tmp_path / "node.xml"
    node.write_text(NODE)
    host = Host(f"test://{node}")
    record = PlainDomain("web1", host).record()
    del record["xml_sha256"]
    assert record == {"name": "web1", "memory_mib": 512, "machine": "pc-q35-9.2"}
    host.close()


def test_whoever_may_not_read_its_passwords_gets_no_hash() -> None:
    """A connection that is denied the XML for another host leaves the hash out, and goes on."""
    host = Host("test:///default")
    full = host._connection
    host._connection = libvirt.openReadOnly("test:///default")
    assert PlainDomain("test", host).record()["xml_sha256"] is None
    full.close()
    host.close()


def test_an_unknown_domain_is_refused(default: Host) -> None:
    """A domain that the host does not have cannot be migrated."""
    with pytest.raises(GuestError, match="has no guest 'web9'"):
        PlainDomain("web9", default)


def test_a_domain_by_its_uuid(default: Host) -> None:
    """Asked for by its UUID, it is known by its name all the same."""
    uuid = PlainDomain("test", default).uuid
    assert PlainDomain(uuid, default).name == "test"


def test_a_domain_that_does_not_run() -> None:
    """One that is only defined is refused, but where a definition is what is wanted."""
    host = Host("test:///default")
    host.destroy("test")
    with pytest.raises(GuestError, match="is not running"):
        PlainDomain("test", host)
    facts = PlainDomain("test", host, inactive=True).facts()
    assert (facts.active, facts.persistent, facts.name) == (False, True, "test")
    host.connection.lookupByName("test").create()
    host.close()


def test_what_a_plan_is_judged_by(tmp_path: Path) -> None:
    """State, memory and disks come from libvirt and from the domain's XML."""
    node = tmp_path / "node.xml"
    disk = "<disk type='file'><source file='/a'/><target dev='vda'/></disk>"
    node.write_text(NODE.replace("<os>", f"<devices>{disk}</devices><os>"))
    host = Host(f"test://{node}")
    facts = PlainDomain("web1", host).facts()
    assert (facts.active, facts.memory_mib, facts.accelerator) == (True, 512, "tcg")
    assert facts.disks is not None
    assert [(each.target, each.source) for each in facts.disks] == [("vda", "/a")]
    host.close()


def test_a_domain_that_stands_still(default: Host) -> None:
    """That a guest is paused is a fact that plans are judged by."""
    assert PlainDomain("test", default).facts().paused is False
    domain = default.connection.lookupByName("test")
    domain.suspend()
    try:
        facts = PlainDomain("test", default).facts()
        assert (facts.active, facts.paused) == (True, True)
    finally:
        domain.resume()
