"""The two URIs: every known mistake is named and corrected, and no valid URI is refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from migrationlab.errors import PlanError
from migrationlab.plan.problem import Problem
from migrationlab.plan.uri_parser import read_uri
from migrationlab.plan.uris import (
    ConnectionUri,
    MigrationUri,
    Mode,
    connection_notes,
    host_of,
    migration_notes,
    same_machine,
    validate_connection_uri,
    validate_host_name,
    validate_hosts,
    validate_migration_uri,
)

NORMAL, PEER2PEER = Mode.NORMAL, Mode.PEER2PEER
MODES = st.sampled_from(Mode)
# Text that looks like a URI finds more than text from anywhere.
PIECES = st.one_of(
    st.sampled_from(list("+:/@?#%&=[]é\x00\n")),
    st.sampled_from(["tcp", "qemu", "ssh", "tls", "unix", "ext", "://", "//", "system"]),
    st.sampled_from(["root", "host-b", "10.0.0.2", "[fd00::2]", "::1", "%eth0", "localhost"]),
    st.sampled_from(["49152", "0", "99999", "/system", "/session", "?socket=/s", "?command=/c"]),
)
URI_LIKE = st.lists(PIECES, max_size=9).map("".join)
ANY_TEXT = st.one_of(st.text(), URI_LIKE)


def only(problems: tuple[Problem, ...]) -> Problem:
    """Return the one problem that there should be."""
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    "uri",
    [
        "tcp://host-b",
        "tcp://host-b:49152",
        "tcp://host-b.example.org",
        "tcp://10.0.0.2:1",
        "tcp://[fd00::2]",
        "tcp://[fe80::2%eth0]:65535",
        "tcp:host-b",
        "tcp:host-b:49152",
        "tcp:[fd00::2]:49152",
        "tcp://host_b/",
        "rdma://host-b",
        "rdma://host-b:4444",
        "unix:///run/migrate.sock",
        "unix:/run/migrate.sock",
        f"unix:///{'x' * 106}",
    ],
)
def test_valid_migration_uris_are_accepted(uri: str, mode: Mode) -> None:
    """What libvirt accepts as a migration URI is not refused, in either mode."""
    assert validate_migration_uri(uri, mode) == ()


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    "uri",
    [
        "qemu+ssh://root@host-b/system",
        "qemu+ssh://host-b:2222/system?no_verify=1&keyfile=/root/.ssh/key",
        "qemu+tcp://host-b/system",
        "qemu+tcp://10.0.0.2:16509/system",
        "qemu+tls://host-b/system",
        "qemu://host-b/system",
        "qemu+libssh2://root@[fd00::2]/system",
        "qemu+SSH://root@host-b/system",
        "qemu+ssh://root@host-b/session",
        "qemu+unix:///system?socket=/run/lab/libvirt-sock",
        "qemu+ext://host-b/system?command=/usr/bin/reach",
    ],
)
def test_valid_connection_uris_are_accepted(uri: str, mode: Mode) -> None:
    """What libvirt can reach another host with is not refused, in either mode."""
    assert validate_connection_uri(uri, mode) == ()


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("uri", "reason", "suggestion"),
    [
        ("qemu+ssh://root@node2/system", "is a libvirt connection URI", "tcp://node2"),
        ("qemu+tcp://node2:16509/system", "is a libvirt connection URI", "tcp://node2"),
        ("qemu://node2/system", "is a libvirt connection URI", "tcp://node2"),
        ("xen+ssh://node2/", "is a libvirt connection URI", "tcp://node2"),
        ("qemu:///system", "is a libvirt connection URI", None),
        ("node2", "must begin with a scheme", "tcp://node2"),
        ("root@node2", "must begin with a scheme", "tcp://node2"),
        ("10.0.0.1:49152", "must begin with a scheme", "tcp://10.0.0.1:49152"),
        ("node2:49152", "must begin with a scheme", "tcp://node2:49152"),
        ("fd00::2", "must begin with a scheme", "tcp://[fd00::2]"),
        ("", "must not be empty", None),
        ("  ", "must not be empty", None),
        ("tpc://node2:49152", "scheme tcp, rdma or unix", "tcp://node2"),
        ("TCP://node2", "scheme tcp, rdma or unix", "tcp://node2"),
        ("http://node2/", "scheme tcp, rdma or unix", "tcp://node2"),
        ("rdma://", "must name the destination", None),
        ("rdma:node2", "must have // before", "tcp://node2"),
        ("unix://", "must have the absolute path", None),
        ("unix:run/m.sock", "must have the absolute path", "unix:///run/m.sock"),
        ("unix://node2/run/m.sock", "must have the absolute path", "unix:///run/m.sock"),
        (f"unix:///{'x' * 107}", "at most 107 characters", None),
        ("unix:///run/a?b", "a path of plain characters", None),
        ("tcp://", "must name the destination", None),
        ("tcp://:49152", "must name the destination", None),
        ("tcp:", "must name the destination", None),
        ("tcp:///node2", "must name the destination", None),
        ("tcp:/node2", "must have // before", "tcp://node2"),
        ("tcp:node2:0", "a port from 1 to 65535", "tcp://node2"),
        ("tcp://node2:65536", "a port from 1 to 65535", "tcp://node2"),
        ("tcp://node2:http", "a port from 1 to 65535", "tcp://node2"),
        ("tcp://node2:", "a port from 1 to 65535", "tcp://node2"),
        ("tcp://node2:-1", "a port from 1 to 65535", "tcp://node2"),
        ("tcp://fd00::2", "IPv6 address in brackets", "tcp://[fd00::2]"),
        ("tcp://[fd00::2", "must be a valid IPv6 address", None),
        ("tcp://[node2]", "must be a valid IPv6 address", "tcp://node2"),
        ("tcp://300.0.0.1", "must be a valid IPv4 address", None),
        ("tcp://node2,node3", "must be a host name", None),
        ("tcp://localhost", "leads the source host back to itself", None),
        ("tcp://127.0.0.2:49152", "leads the source host back to itself", None),
        ("tcp://[::1]", "leads the source host back to itself", None),
        ("tcp://0.0.0.0", "leads the source host back to itself", None),
        (" tcp://node2", "must not have a space", "tcp://node2"),
        ("tcp://node2\n", "must not have the character '\\n'", "tcp://node2"),
        ("tcp://nodé", "must not have the character '\\xe9'", None),
        ("tcp://node2/%zz", "which no URI parser accepts", "tcp://node2"),
        ("tcp://a@b@node2", "must not have 'a@b'", "tcp://node2"),
        ("tcp:node2/x", "in the old form", "tcp://node2"),
    ],
)
def test_mistakes_in_migration_uris_are_named(
    uri: str, reason: str, suggestion: str | None, mode: Mode
) -> None:
    """Each known mistake in a migration URI is named, with a URI that would work."""
    problem = only(validate_migration_uri(uri, mode))
    assert problem.field == "migration_uri"
    assert reason in problem.reason
    assert problem.suggestion == suggestion
    assert problem.hint.endswith(suggestion or "tcp://HOST or tcp://HOST:PORT")


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("uri", "reason", "suggestion"),
    [
        ("tcp://node2", "is a migration URI", "qemu+ssh://root@node2/system"),
        ("tcp://node2:49152", "is a migration URI", "qemu+ssh://root@node2/system"),
        ("tcp:node2", "is a migration URI", "qemu+ssh://root@node2/system"),
        ("tcp://node2/system", "is a migration URI", "qemu+tcp://node2/system"),
        ("rdma://node2", "is a migration URI", "qemu+ssh://root@node2/system"),
        ("unix:///run/migrate.sock", "is a migration URI", None),
        ("node2", "has no scheme", "qemu+ssh://root@node2/system"),
        ("admin@node2", "has no scheme", "qemu+ssh://admin@node2/system"),
        ("node2/system", "has no scheme", "qemu+ssh://root@node2/system"),
        ("", "must not be empty", None),
        ("ssh://root@node2/system", "must name libvirt's driver", "qemu+ssh://root@node2/system"),
        ("xen+ssh://root@node2/system", "not xen", "qemu+ssh://root@node2/system"),
        ("lxc:///system", "not lxc", None),
        ("kvm+ssh://root@node2/system", "not 'kvm'", "qemu+ssh://root@node2/system"),
        ("qeum+tcp://node2/system", "not 'qeum'", "qemu+tcp://node2/system"),
        ("http://node2/system", "not 'http'", "qemu+ssh://root@node2/system"),
        ("qemu+sssh://root@node2/system", "not 'sssh'", "qemu+ssh://root@node2/system"),
        ("qemu+lisbssh2://node2/system", "'lisbssh2'", "qemu+libssh2://node2/system"),
        ("qemu+://node2/system", "not ''", "qemu+ssh://node2/system"),
        ("qemu+tls:/desthost/system", "must have // before", "qemu+tls://desthost/system"),
        ("qemu+ssh:root@node2/system", "must have // before", "qemu+ssh://root@node2/system"),
        ("qemu:///system", "must name a host", None),
        ("qemu:/system", "must name a host", None),
        ("qemu+ssh:///system", "must name a host", None),
        ("qemu+unix:///system", "same host", None),
        ("qemu+unix://node2/system", "a Unix socket is on", "qemu+ssh://root@node2/system"),
        ("qemu+ext://node2/system", "must have a command", "qemu+ssh://root@node2/system"),
        ("qemu+ssh://node2:99999/system", "a port from 1 to 65535", "qemu+ssh://node2/system"),
        ("qemu+ssh://localhost/system", "Attempt to migrate guest to the same host", None),
        ("qemu+tcp://127.0.0.1/system", "Attempt to migrate guest to the same host", None),
        ("qemu+ssh://root@node2", "must end in /system", "qemu+ssh://root@node2/system"),
        ("qemu+ssh://root@node2/sytem", "not in '/sytem'", "qemu+ssh://root@node2/system"),
        ("qemu+ssh://root@no de2/system", "must not have a space", None),
        (
            "qemu+ssh://node2/system?x=%",
            "which no URI parser accepts",
            "qemu+ssh://root@node2/system",
        ),
        ("qemu+tcp://fd00::2/system", "IPv6 address in brackets", "qemu+tcp://[fd00::2]/system"),
    ],
)
def test_mistakes_in_connection_uris_are_named(
    uri: str, reason: str, suggestion: str | None, mode: Mode
) -> None:
    """Each known mistake in a connection URI is named, with a URI that would work."""
    problem = only(validate_connection_uri(uri, mode))
    assert problem.field == "connection_uri"
    assert reason in problem.reason
    assert problem.suggestion == suggestion
    assert problem.hint.endswith(suggestion or "qemu+ssh://root@HOST/system")


def test_wrong_kind_says_what_is_wanted() -> None:
    """A URI in the place of the other is a problem that says what it is and what must be there."""
    migration = only(validate_migration_uri("qemu+ssh://root@node2/system", PEER2PEER))
    assert "to which the source's libvirtd connects" in migration.reason
    assert "must be a migration URI, where the destination's QEMU listens" in migration.reason
    connection = only(validate_connection_uri("tcp://node2", NORMAL))
    assert "must be a connection URI, where the destination's libvirtd is" in connection.reason


def test_command_without_host_is_for_the_client_only() -> None:
    """The ext transport may name no host in normal mode; libvirt refuses it in peer2peer."""
    uri = "qemu+ext:///system?command=/usr/bin/reach"
    assert validate_connection_uri(uri, NORMAL) == ()
    assert "must name a host" in only(validate_connection_uri(uri, PEER2PEER)).reason


def test_destination_completes_suggestions() -> None:
    """If a URI names no usable host, the suggestion has the destination's name."""
    suggest = {
        uri: only(validate_connection_uri(uri, NORMAL, destination="node2")).suggestion
        for uri in ("qemu:///system", "qemu+tcp:///system", "qemu+unix:///system", "")
    }
    assert suggest == {
        "qemu:///system": "qemu+ssh://root@node2/system",
        "qemu+tcp:///system": "qemu+tcp://node2/system",
        "qemu+unix:///system": "qemu+ssh://root@node2/system",
        "": "qemu+ssh://root@node2/system",
    }
    problem = only(validate_migration_uri("tcp://localhost:49152", NORMAL, destination="fd00::2"))
    assert problem.suggestion == "tcp://[fd00::2]"


def test_source_host_is_refused() -> None:
    """A URI that names the source host is refused, and the suggestion names the destination."""
    problem = only(
        validate_migration_uri("tcp://Host-A.:49152", NORMAL, source="host-a", destination="host-b")
    )
    assert "not the source host host-a" in problem.reason
    assert problem.suggestion == "tcp://host-b"
    problem = only(validate_connection_uri("qemu+tcp://host-a/system", PEER2PEER, source="host-a"))
    assert problem.suggestion is None


def test_two_faults_are_two_problems() -> None:
    """Independent faults are all reported."""
    problems = validate_connection_uri("qemu+ssh://root@node2:99999/sytem", NORMAL)
    assert len(problems) == 2
    assert {problem.suggestion for problem in problems} == {"qemu+ssh://root@node2/system"}


def test_parsed_uris_are_written_as_they_were() -> None:
    """A valid URI is taken apart and put together again."""
    migration = MigrationUri.parse("tcp:[fd00::2]:49152")
    assert migration == MigrationUri(host="fd00::2", port=49152)
    assert str(migration) == "tcp://[fd00::2]:49152"
    text = "qemu+ssh://root@node2:2222/system?no_verify=1"
    connection = ConnectionUri.parse(text, PEER2PEER)
    assert connection == ConnectionUri(
        transport="ssh", user="root", host="node2", port=2222, query="no_verify=1"
    )
    assert str(connection) == text


def test_parsing_a_bad_uri_raises() -> None:
    """Parsing refuses what validation refuses, with the same hint."""
    with pytest.raises(PlanError, match="is a libvirt connection URI") as caught:
        MigrationUri.parse("qemu+ssh://root@node2/system")
    assert caught.value.hint.endswith("tcp://node2")
    with pytest.raises(PlanError, match="is a migration URI"):
        ConnectionUri.parse("tcp://node2")


def test_password_is_not_repeated() -> None:
    """A password in a URI is refused, and the message does not show it."""
    problem = only(validate_connection_uri("qemu+ssh://root:s3cret@node2/system", NORMAL))
    assert "must not have a password" in problem.reason
    assert "root:***@node2" in problem.reason
    assert "s3cret" not in problem.reason + problem.hint


@pytest.mark.parametrize(
    ("uri", "options", "changed"),
    [
        ("qemu+ssh://root@[fd00::2]:22/system", {}, "qemu+ssh://root@[fd00::2]:22/system?a=b%20c"),
        ("qemu:///system?x=%2Fk&a=1;y", {"x": "/k", "a": "1", "y": ""},
         "qemu:///system?x=/k&a=b%20c&y="),
    ],
)  # fmt: skip
def test_options_of_a_uri(uri: str, options: dict[str, str], changed: str) -> None:
    """The options of a URI are read and replaced; the rest of it stays."""
    parts = read_uri(uri)
    assert parts.options == options
    assert parts.with_options({**options, "a": "b c"}) == changed


def test_a_uri_that_is_not_validated_has_its_parts() -> None:
    """Any URI shows driver, transport, host and port, also one that no plan could use."""
    parts = read_uri("qemu+TLS://localhost:16514/system")
    assert (parts.driver, parts.transport, parts.hostname) == ("qemu", "tls", "localhost")
    assert parts.port_number == 16514
    assert read_uri("test:///default").transport == ""
    assert read_uri("tcp://node2:none").port_number is None


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        (migration_notes("tcp://node2"), ""),
        (migration_notes("tcp:node2"), "old form of tcp://node2"),
        (migration_notes("tcp://root@node2/system"), "libvirt ignores the rest"),
        (migration_notes("tcp://node2:16509"), "that of libvirtd (tcp)"),
        (connection_notes("qemu+tls://node2/system", NORMAL), ""),
        (connection_notes("qemu+ssh://node2/system", NORMAL), ""),
        (connection_notes("qemu://node2/system", NORMAL), "libvirt uses TLS"),
        (connection_notes("qemu+tcp://node2/system", NORMAL), "not encrypted"),
        (connection_notes("qemu+ssh://node2/system", PEER2PEER), "of its own user"),
        (connection_notes("qemu+tls://node2/session", NORMAL), "a user's own libvirtd"),
    ],
)
def test_notes(notes: tuple[str, ...], expected: str) -> None:
    """What is valid but surprising is noted, and nothing else."""
    assert len(notes) == (1 if expected else 0)
    assert expected in "".join(notes)


@pytest.mark.parametrize("name", ["", "a b", "-x", "root@node2", "10.0.0.300", "x" * 64, "a..b"])
def test_names_that_no_host_can_have(name: str) -> None:
    """A name that no URI can have is refused as a host's name."""
    assert only(validate_host_name(name, "source")).field == "source"


def test_same_host_twice() -> None:
    """Source and destination must differ, however they are written."""
    assert validate_hosts("host-a", "host-b") == ()
    assert validate_hosts(None, None) == ()
    for source, destination in (("host-a", "HOST-A."), ("fd00::2", "fd00:0::2")):
        problem = only(validate_hosts(source, destination))
        assert problem.field == "destination"
        assert "Attempt to migrate guest to the same host" in problem.reason
    assert "every machine calls itself" in only(validate_hosts("host-a", "127.0.0.1")).reason
    assert same_machine("localhost", "::1")


def test_unknown_mode_names_the_nearest() -> None:
    """An unknown mode is a plan error whose hint has the closest mode."""
    for text in ("p2p", "peer-2-peer", "Peer2Peer"):
        with pytest.raises(PlanError, match="mode must be normal or peer2peer") as caught:
            Mode(text)
        assert caught.value.hint == "Write mode='peer2peer'."
    with pytest.raises(PlanError) as caught:
        Mode("xyz")
    assert caught.value.hint == "Write mode='normal'."


@given(text=ANY_TEXT, mode=MODES)
@example(text="tcp://[fe80::1%\x00]", mode=NORMAL)
@example(text="\ud800", mode=NORMAL)
@example(text="[" * 5000, mode=NORMAL)
def test_validation_never_raises(text: str, mode: Mode) -> None:
    """Any text gets an answer on printable lines, and parses exactly if it is valid."""
    validated = (
        (validate_migration_uri(text, mode), lambda: MigrationUri.parse(text)),
        (validate_connection_uri(text, mode), lambda: ConnectionUri.parse(text, mode)),
    )
    for problems, parse in validated:
        for problem in problems:
            assert (problem.reason + problem.hint).isprintable()
        if problems:
            with pytest.raises(PlanError):
                parse()
        else:
            assert host_of(text) == parse().host
    validate_host_name(text, "source")
    validate_hosts(text, text)


@given(text=ANY_TEXT, mode=MODES, destination=st.sampled_from([None, "node2", "host-a", "::1"]))
def test_suggestions_are_good(text: str, mode: Mode, destination: str | None) -> None:
    """Every suggested URI is valid, in the same mode and for the same hosts."""
    for validate in (validate_migration_uri, validate_connection_uri):
        for problem in validate(text, mode, source="host-a", destination=destination):
            if problem.suggestion is not None:
                assert validate(problem.suggestion, mode, source="host-a") == ()


@given(text=URI_LIKE, mode=MODES)
def test_parsing_again_changes_nothing(text: str, mode: Mode) -> None:
    """A parsed URI, written out and parsed again, is the same."""
    if not validate_migration_uri(text, mode):
        migration = MigrationUri.parse(text)
        assert MigrationUri.parse(str(migration)) == migration
    if not validate_connection_uri(text, mode):
        connection = ConnectionUri.parse(text, mode)
        assert ConnectionUri.parse(str(connection), mode) == connection
