"""Hosts: errors and answers of a real libvirt, from its test driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
    """Give a host with two running domains."""
    node = tmp_path / "node.xml"
    node.write_text(NODE)
    host = Host(f"test://{node}")
    yield host
    host.close()


@pytest.mark.parametrize(
    ("number", "text"),
    [(11_003_000, "11.3.0"), (10_000_013, "10.0.13"), (9_000_000, "9.0.0"), (2, "0.0.2")],
)
def test_version_number_becomes_text(number: int, text: str) -> None:
    """A version number of libvirt becomes a text of three parts."""
    assert version_text(number) == text


def test_qemu_versions_compare_as_numbers() -> None:
    """10.0 is newer than 9.2, although its text sorts before it."""
    old, new = (HostFacts("a", "9.0.0", version).qemu for version in ("9.2.0", "10.0.13"))
    assert old < new
    assert old >= (9, 0)


def test_refusal_keeps_libvirts_words() -> None:
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


def test_other_errors_pass_through() -> None:
    """An error that is not libvirt's is raised unchanged."""
    with pytest.raises(ZeroDivisionError), refusals():
        _ = 1 // 0


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("qemu+unix:///system?socket=/nowhere/sock", "/nowhere/sock"),
        ("qemu+tcp://127.0.0.1:1/system", "127.0.0.1:1"),
    ],
)
def test_unreachable_daemon_is_an_error(
    uri: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A wrong URI gives an error with a hint, and libvirt prints nothing."""
    with pytest.raises(HostError, match=words) as caught:
        open_connection(uri)
    assert uri in caught.value.hint
    assert caught.value.code is not None
    assert capfd.readouterr().err == ""


def test_empty_uri_is_refused() -> None:
    """An empty URI is refused, because libvirt would choose a host itself."""
    with pytest.raises(UsageError, match=r"uri must be a connection URI \(got \'\'\)") as caught:
        Host("")
    assert "qemu+ssh://" in caught.value.hint


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "$(id)", "a b", "a\nb", "", "é" * 300])
def test_reported_hostname_must_be_a_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that reports another text than a host name as its name is refused."""
    monkeypatch.setattr("libvirt.virConnect.getHostname", lambda _self: name)
    with pytest.raises(HostError, match="must be a host name"):
        Host("test:///default")


def test_host_has_name_uris_and_versions(host: Host) -> None:
    """A host has its hostname, its versions, and an ssh URI with that hostname for other hosts."""
    hostname = host.connection.getHostname()
    assert host.name == host.facts.hostname == hostname
    assert host.peer_uri == f"qemu+ssh://root@{hostname}/system"
    assert host.peer_name == hostname
    assert repr(host) == f"Host({hostname!r}, {host.uri!r})"
    assert host.facts.libvirt_version == version_text(libvirt.getVersion())
    assert host.facts is host.facts
    assert "<capabilities>" in host.capabilities()


def test_host_has_cpus_and_memory(host: Host) -> None:
    """CPUs and memory are libvirt's figures; without a shell the kernel is not known.

    This driver of libvirt's counts memory in one way only.
    """
    host.shell = None
    _arch, memory_mib, cpus, *_ = host.connection.getInfo()
    assert (host.facts.memory_mib, host.facts.cpus) == (memory_mib, cpus)
    assert host.facts.kernel is None


def test_cpu_model_comes_from_kernel_or_libvirt(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a shell the CPU model is libvirt's closest model."""
    xml = "<capabilities><host><cpu><model>EPYC-Rome</model></cpu></host></capabilities>"
    monkeypatch.setattr(host, "capabilities", lambda: xml)
    host.shell = None
    assert host.facts.cpu_model == "EPYC-Rome"
    asked = Host(host.uri, shell=Shell(("printf", "6.1.0\\nmodel name : Example CPU", "--")))
    assert (asked.facts.kernel, asked.facts.cpu_model) == ("6.1.0", "Example CPU")
    asked.close()


def test_given_name_and_peer_uri_are_kept() -> None:
    """A host has the name and the peer URI that were given."""
    host = Host("test:///default", name="left", peer_uri="qemu+tls://node1.example/system")
    assert host.name == "left"
    assert host.peer_name == "node1.example"
    host.close()


def test_new_connection_reaches_the_same_host(host: Host) -> None:
    """A new connection reaches the same host, also by another URI."""
    routed = Host("test:///default", route=lambda uri: uri.replace("qemu+ssh://b/system", host.uri))
    for connection in (host.new_connection(), routed.new_connection("qemu+ssh://b/system")):
        assert {domain.name() for domain in connection.listAllDomains()} == {"plain", "marked"}
        connection.close()
    assert host.domain_names() == ["marked", "plain"]
    routed.close()


def test_domains_have_state_and_metadata(host: Host) -> None:
    """Each running domain has its state and its metadata, if any."""
    host.domain("plain").suspend()
    found = {domain.name: domain for domain in host.domains(NAMESPACE)}
    assert (found["plain"].paused, found["plain"].moving) == (True, False)
    assert found["plain"].metadata is None
    assert found["marked"].paused is False
    assert found["marked"].metadata == "<mark>x</mark>"
    assert {domain.metadata for domain in host.domains()} == {None}


def test_unknown_guest_is_refused(host: Host) -> None:
    """The error names the guest, and the hint names the guests that run there."""
    with pytest.raises(GuestError, match="has no guest 'nobody'") as caught:
        host.domain("nobody")
    assert caught.value.hint == "Choose one that runs there: marked, plain"


def test_stopped_guest_is_refused(host: Host) -> None:
    """The hint for a stopped guest says how to start it."""
    host.destroy("plain")
    with pytest.raises(GuestError, match="is not running") as caught:
        host.domain("plain")
    assert f"virsh --connect {host.uri} start plain" in caught.value.hint


def test_destroying_a_missing_domain_is_no_error(host: Host) -> None:
    """A missing domain counts as destroyed; a stopped one cannot be destroyed."""
    host.destroy("nobody")
    host.destroy("plain")
    with pytest.raises(HostError) as caught:
        host.destroy("plain")
    assert caught.value.code == libvirt.VIR_ERR_OPERATION_INVALID


def test_domain_is_created(host: Host) -> None:
    """A transient domain starts at once; wrong XML is refused by the host."""
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
def test_peer_uri_has_no_client_parameters(
    monkeypatch: pytest.MonkeyPatch, uri: str, peer: str
) -> None:
    """The URI for other hosts has no key and no program of this machine."""
    opened: list[str] = []

    def open_here(asked: str) -> libvirt.virConnect:
        opened.append(asked)
        return libvirt.open("test:///default")

    monkeypatch.setattr(hosts, "open_connection", open_here)
    host = Host(uri)
    assert host.peer_uri == peer
    # This process connects with its own key, by the neighbours' URI too.
    for asked in (None, peer, "test+tcp://node1/default"):
        host.new_connection(asked).close()
    assert opened == [uri, uri, uri, "test+tcp://node1/default"]
    host.close()


def test_domain_is_found_by_uuid(host: Host) -> None:
    """A domain is found by its UUID, and an unknown UUID is refused."""
    uuid = host.domain("plain").UUIDString()
    assert host.domain(uuid).name() == "plain"
    with pytest.raises(GuestError, match="has no guest"):
        host.domain("00000000-0000-4000-8000-000000000000")


def test_defined_domain_is_found_on_request(host: Host) -> None:
    """A defined domain that does not run is found with inactive=True."""
    host.destroy("plain")
    assert host.domain("plain", inactive=True).name() == "plain"


def test_broken_connection_is_reopened(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to reconnect; after reconnect() the host's facts are read again."""

    class Broken:
        def isAlive(self) -> int:  # noqa: N802 - libvirt's name
            return 0

        def getLibVersion(self) -> int:  # noqa: N802 - libvirt's name
            return 0

        def close(self) -> None:
            pass

    broken = Broken()
    before = host.facts
    monkeypatch.setattr(host, "_connection", broken)
    with pytest.raises(HostError, match=f"connection to {host.name} is broken") as caught:
        host.domain_names()
    assert "host.reconnect()" in caught.value.hint
    host.reconnect()
    assert host.domain_names() == ["marked", "plain"]
    assert host.facts == before
    assert host.facts is not before


def test_failed_reconnect_keeps_the_old_connection(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reconnect that fails leaves the old connection in use."""
    monkeypatch.setattr(host, "uri", "test:///nowhere/node.xml")
    with pytest.raises(HostError):
        host.reconnect()
    assert host.domain_names() == ["marked", "plain"]


def test_shell_follows_from_uri() -> None:
    """A host's shell follows from its connection URI, or is the given one."""
    plain, given = Host("test:///default"), Host("test:///default", shell=Shell(("enter",)))
    assert plain.shell == Shell()
    assert given.shell == Shell(("enter",))
    for each in (plain, given):
        each.close()


def test_persistent_domain_is_found_until_forgotten(host: Host) -> None:
    """A persistent domain is found also while it does not run, until its definition is removed."""
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


def test_refused_persistent_domain_is_not_defined(host: Host) -> None:
    """A domain that cannot be defined or started leaves no definition."""
    before = {domain.name for domain in host.domains(inactive=True)}
    with pytest.raises(HostError):
        host.create("<domain/>", persistent=True)
    assert {domain.name for domain in host.domains(inactive=True)} == before
