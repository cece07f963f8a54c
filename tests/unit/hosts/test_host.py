"""Hosts: errors and answers of a real libvirt, by its test driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import libvirt
import pytest

from migrationlab.errors import GuestError, HostError, UsageError
from migrationlab.hosts import host as hosts
from migrationlab.hosts.connection import open_connection, refusals, version_text
from migrationlab.hosts.facts import HostFacts
from migrationlab.hosts.host import Host
from migrationlab.hosts.shell import Shell

DOMAIN = "<domain type='test'><name>{}</name><memory unit='MiB'>64</memory>{}</domain>"
TYPE = "<os><type>hvm</type></os>"
NAMESPACE = "urn:test"
#: A node with one domain that has metadata, and one that has none.
NODE = "<node>{}{}</node>".format(
    DOMAIN.format("plain", TYPE),
    DOMAIN.format("marked", f"{TYPE}<metadata><t:mark xmlns:t='{NAMESPACE}'>x</t:mark></metadata>"),
)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Give a host of the test's own, with two running domains."""
    node = tmp_path / "node.xml"
    node.write_text(NODE)
    host = Host(f"test://{node}")
    yield host
    host.close()


@pytest.mark.parametrize(
    ("number", "text"),
    [(11_003_000, "11.3.0"), (10_000_013, "10.0.13"), (9_000_000, "9.0.0"), (2, "0.0.2")],
)
def test_versions_as_people_write_them(number: int, text: str) -> None:
    """libvirt's numbers become the three parts that people know."""
    assert version_text(number) == text


def test_versions_of_qemu_compare() -> None:
    """A later QEMU is greater, also where its text would not be."""
    old, new = (HostFacts("a", "9.0.0", version).qemu for version in ("9.2.0", "10.0.13"))
    assert old < new
    assert old >= (9, 0)


def test_a_refusal_keeps_libvirts_words() -> None:
    """Code, domain and text of a real libvirt error are kept, and so is the error itself."""
    connection = open_connection("test:///default")
    with pytest.raises(HostError) as caught, refusals("start it"):
        connection.lookupByName("nobody")
    error = caught.value
    assert error.code == libvirt.VIR_ERR_NO_DOMAIN
    assert error.domain == libvirt.VIR_FROM_TEST
    assert str(error).startswith("Domain not found")
    assert error.hint == "start it"
    assert isinstance(error.__cause__, libvirt.libvirtError)
    assert str(error) == error.__cause__.get_error_message()
    connection.close()


def test_other_errors_are_nobodys_refusal() -> None:
    """What is not libvirt's error goes through as it is."""
    with pytest.raises(ZeroDivisionError), refusals():
        _ = 1 // 0


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("qemu+unix:///system?socket=/nowhere/sock", "/nowhere/sock"),
        ("qemu+tcp://127.0.0.1:1/system", "127.0.0.1:1"),
    ],
)
def test_a_daemon_that_is_not_there(
    uri: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A URI that leads nowhere is an error with a hint, and libvirt prints nothing besides."""
    with pytest.raises(HostError, match=words) as caught:
        open_connection(uri)
    assert uri in caught.value.hint
    assert caught.value.code is not None
    assert capfd.readouterr().err == ""


def test_a_host_needs_a_uri() -> None:
    """Without a URI libvirt would choose a host by itself: the kit does not."""
    with pytest.raises(UsageError, match=r"uri must be a connection URI \(got \'\'\)") as caught:
        Host("")
    assert "qemu+ssh://" in caught.value.hint


def test_a_host_knows_itself(host: Host) -> None:
    """A host has its own name and versions; others reach it by ssh to that name."""
    hostname = host.connection.getHostname()
    assert host.name == host.facts.hostname == hostname
    assert host.peer_uri == f"qemu+ssh://root@{hostname}/system"
    assert host.peer_name == hostname
    assert repr(host) == f"Host({hostname!r}, {host.uri!r})"
    assert host.facts.libvirt_version == version_text(libvirt.getVersion())
    assert host.facts is host.facts
    assert "<capabilities>" in host.capabilities()


def test_a_host_knows_its_machine(host: Host) -> None:
    """Processors and memory are what libvirt says; without a shell nobody tells of a kernel.

    This driver of libvirt's counts memory in one way only.
    """
    host.shell = None
    _arch, memory_mib, cpus, *_ = host.connection.getInfo()
    assert (host.facts.memory_mib, host.facts.cpus) == (memory_mib, cpus)
    assert host.facts.kernel is None


def test_the_kernel_names_the_processors(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can ask the kernel, libvirt's nearest model stands in for its name."""
    xml = "<capabilities><host><cpu><model>EPYC-Rome</model></cpu></host></capabilities>"
    monkeypatch.setattr(host, "capabilities", lambda: xml)
    host.shell = None
    assert host.facts.cpu_model == "EPYC-Rome"
    asked = Host(host.uri, shell=Shell(("printf", "6.1.0\\nmodel name : Example CPU", "--")))
    assert (asked.facts.kernel, asked.facts.cpu_model) == ("6.1.0", "Example CPU")
    asked.close()


def test_a_host_can_be_called_and_reached_otherwise() -> None:
    """A name, and a URI for others, are kept as they are given."""
    host = Host("test:///default", name="left", peer_uri="qemu+tls://node1.example/system")
    assert host.name == "left"
    assert host.peer_name == "node1.example"
    host.close()


def test_more_connections_lead_to_the_same_host(host: Host) -> None:
    """A new connection is one of its own, to the same host, by whichever URI leads there."""
    routed = Host("test:///default", route=lambda uri: uri.replace("qemu+ssh://b/system", host.uri))
    for connection in (host.new_connection(), routed.new_connection("qemu+ssh://b/system")):
        assert {domain.name() for domain in connection.listAllDomains()} == {"plain", "marked"}
        connection.close()
    assert host.domain_names() == ["marked", "plain"]
    routed.close()


def test_domains_are_told_with_state_and_metadata(host: Host) -> None:
    """Each running domain is told with whether it stands still, and with its metadata if any."""
    host.domain("plain").suspend()
    found = {domain.name: domain for domain in host.domains(NAMESPACE)}
    assert (found["plain"].paused, found["plain"].moving) == (True, False)
    assert found["plain"].metadata is None
    assert found["marked"].paused is False
    assert found["marked"].metadata == "<mark>x</mark>"
    assert {domain.metadata for domain in host.domains()} == {None}


def test_an_unknown_guest_is_the_callers_mistake(host: Host) -> None:
    """A guest that the host does not have is named, and the hint has those it has."""
    with pytest.raises(GuestError, match="has no guest 'nobody'") as caught:
        host.domain("nobody")
    assert caught.value.hint == "choose one that runs there: marked, plain"


def test_a_guest_that_does_not_run(host: Host) -> None:
    """A guest that is defined but off is told apart, and the hint says how to start it."""
    host.destroy("plain")
    with pytest.raises(GuestError, match="is not running") as caught:
        host.domain("plain")
    assert f"virsh --connect {host.uri} start plain" in caught.value.hint


def test_destroying_what_is_not_there_is_no_error(host: Host) -> None:
    """A domain that is gone already is as good as destroyed; one that is off cannot be."""
    host.destroy("nobody")
    host.destroy("plain")
    with pytest.raises(HostError) as caught:
        host.destroy("plain")
    assert caught.value.code == libvirt.VIR_ERR_OPERATION_INVALID


def test_a_domain_is_created(host: Host) -> None:
    """A transient domain starts at once; XML that is none is the host's refusal."""
    host.create(DOMAIN.format("new", TYPE))
    assert "new" in host.domain_names()
    with pytest.raises(HostError) as caught:
        host.create("<domain/>")
    assert caught.value.domain == libvirt.VIR_FROM_DOMAIN


@pytest.mark.parametrize(
    ("uri", "peer"),
    [
        ("test+ssh://root@node1/default", "test+ssh://root@node1/default"),
        (
            "test+ssh://root@node1/default?keyfile=/k&command=/c&proxy=netcat&known_hosts=/h",
            "test+ssh://root@node1/default?proxy=netcat",
        ),
    ],
)
def test_what_is_the_diallers_own_is_not_for_its_neighbours(
    monkeypatch: pytest.MonkeyPatch, uri: str, peer: str
) -> None:
    """A key or a program of this machine means nothing to other machines that dial the host."""
    opened: list[str] = []

    def open_here(asked: str) -> libvirt.virConnect:
        opened.append(asked)
        return libvirt.open("test:///default")

    monkeypatch.setattr(hosts, "open_connection", open_here)
    host = Host(uri)
    assert host.peer_uri == peer
    # By the neighbours' URI too this process dials with its own key.
    for asked in (None, peer, "test+tcp://node1/default"):
        host.new_connection(asked).close()
    assert opened == [uri, uri, uri, "test+tcp://node1/default"]
    host.close()


def test_a_domain_by_its_uuid(host: Host) -> None:
    """A UUID is as good as a name; one that no domain has is unknown as a name is."""
    uuid = host.domain("plain").UUIDString()
    assert host.domain(uuid).name() == "plain"
    with pytest.raises(GuestError, match="has no guest"):
        host.domain("00000000-0000-4000-8000-000000000000")


def test_a_domain_that_is_only_defined(host: Host) -> None:
    """Who asks for domains that do not run gets them."""
    host.destroy("plain")
    assert host.domain("plain", inactive=True).name() == "plain"


def test_a_broken_connection_says_so(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that broke is told with its mend, and mended; facts are asked anew."""
    broken = SimpleNamespace(isAlive=lambda: 0, close=lambda: None)
    before = host.facts
    monkeypatch.setattr(host, "_connection", broken)
    with pytest.raises(HostError, match=f"connection to {host.name} is broken") as caught:
        host.domain_names()
    assert "host.reconnect()" in caught.value.hint
    host.reconnect()
    assert host.domain_names() == ["marked", "plain"]
    assert host.facts == before
    assert host.facts is not before


def test_a_host_that_is_gone_for_good(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no new connection can be had, the old one is left as it was."""
    monkeypatch.setattr(host, "uri", "test:///nowhere/node.xml")
    with pytest.raises(HostError):
        host.reconnect()
    assert host.domain_names() == ["marked", "plain"]


def test_its_shell_is_what_its_uri_shows() -> None:
    """A host runs programs where its URI leads, or as it is told."""
    plain, told = Host("test:///default"), Host("test:///default", shell=Shell(("enter",)))
    assert plain.shell == Shell()
    assert told.shell == Shell(("enter",))
    for each in (plain, told):
        each.close()


def test_a_persistent_domain_is_created_found_and_forgotten(host: Host) -> None:
    """A persistent domain is found also while it does not run, until it is forgotten."""
    host.create(DOMAIN.format("kept", TYPE), persistent=True)
    uuid = next(domain.uuid for domain in host.domains() if domain.name == "kept")
    found = host.find(uuid)
    assert found is not None
    assert (found.name, found.active, found.paused) == ("kept", True, False)
    host.destroy("kept")
    assert "kept" not in host.domain_names()
    assert "kept" in [domain.name for domain in host.domains(inactive=True)]
    found = host.find(uuid)
    assert found is not None
    assert not found.active
    host.create(DOMAIN.format("other", TYPE), persistent=True)
    host.forget(uuid)
    assert host.find(uuid) is None
    host.forget(uuid)


def test_a_persistent_domain_that_cannot_start_is_not_left_defined(host: Host) -> None:
    """What a host refuses to define or start is not there afterwards."""
    before = {domain.name for domain in host.domains(inactive=True)}
    with pytest.raises(HostError):
        host.create("<domain/>", persistent=True)
    assert {domain.name for domain in host.domains(inactive=True)} == before
