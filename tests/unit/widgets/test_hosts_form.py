"""The form for one's own hosts: who connects to whom as whom, the commands, and the widget."""

from __future__ import annotations

import html

import pytest
from click.testing import CliRunner

from migrationlab.cli import main
from migrationlab.errors import PlanError
from migrationlab.plan.plan import Mode
from migrationlab.widgets import HostsForm
from migrationlab.widgets.views.connection_checklist import ConnectionCheck, MigrationForm
from migrationlab.widgets.views.template import fill

NODE1, NODE2 = "qemu+ssh://root@node1/system", "qemu+ssh://root@node2/system"


def migration_form(**changes: object) -> MigrationForm:
    """Return a form for a migration from node1 to node2."""
    told = {"source_uri": NODE1, "destination_uri": NODE2, "domain": "web1"}
    return MigrationForm(**{**told, **changes})  # type: ignore[arg-type]


def test_modes_differ_in_who_connects_to_the_destination() -> None:
    """This machine connects in normal mode, the source's root in peer2peer; the rest is equal."""
    normal, peer2peer = migration_form().checks(), migration_form(mode=Mode.PEER2PEER).checks()
    assert [check.opened_by for check in normal] == ["this machine", "this machine", "node1"]
    assert [check.opened_by for check in peer2peer] == ["this machine", "node1", "node1"]
    assert peer2peer[1].identity == "root of node1, by ssh key, logged in as root"
    assert peer2peer[1].where == "node1, as root"
    assert normal[0] == peer2peer[0]
    assert normal[2] == peer2peer[2]
    assert normal[2].port == "49152 to 49215"
    assert normal[2].attempt == "nc -zv node2 49152"


@pytest.mark.parametrize(
    ("uri", "port", "identity"),
    [
        (NODE2, "ssh's, usually 22", "you, by ssh key, logged in as root"),
        ("qemu+ssh://node2:2222/system", "2222", "you, by ssh key, logged in under the same name"),
        ("qemu+libssh2://root@node2/system", "ssh's, usually 22", "ssh key"),
        ("qemu+tls://node2/system", "16514", "TLS client certificate"),
        ("qemu://node2/system", "16514", "TLS client certificate"),
        ("qemu+tcp://node2/system", "16509", "not encrypted"),
    ],
)
def test_each_transport_has_its_port_and_login(uri: str, port: str, identity: str) -> None:
    """Port and login are those of libvirt's transport."""
    check = migration_form(destination_uri=uri).checks()[1]
    assert check.port == port
    assert identity in check.identity
    assert check.uri == uri


def test_migration_uri_sets_address_and_port_of_memory() -> None:
    """The checklist has the address and the port of the migration URI."""
    told = migration_form(migration_uri="tcp://10.0.5.2:49160")
    memory = told.checks()[2]
    assert (memory.port, memory.attempt) == ("49160", "nc -zv 10.0.5.2 49160")
    assert memory.identity == "nobody: there is no login"
    assert all("10.0.5.2:49160" in " ".join(words) for _, words in told.commands())
    assert migration_form(migration_uri="unix:///run/check.sock").checks()[2].port == "a socket"
    # The destination says where, by its own name.
    chosen = migration_form(migration_uri="auto").checks()[2]
    assert (chosen.port, chosen.attempt) == ("49152 to 49215", "nc -zv node2 49152")


def test_source_may_be_this_machine() -> None:
    """A source URI without a host means this machine, whose libvirtd listens on a socket."""
    first, second, memory = migration_form(source_uri="qemu:///system").checks()
    assert (first.listener, first.port) == ("libvirtd of this machine", "a socket")
    assert second.opened_by == memory.opened_by == "this machine"


def test_commands_have_only_known_options() -> None:
    """Each option of the shown commands exists in the program that takes it."""
    told = migration_form(mode=Mode.PEER2PEER)
    (_, doctor), (_, migrate), (_, virsh) = told.commands()
    for line in (doctor, migrate):
        program, verb, *words = line
        assert program == "migrationlab"
        options = {word for word in words if word.startswith("--")}
        text = CliRunner().invoke(main, [verb, "--help"]).output
        assert all(option in text for option in options)
        assert NODE1 in words
        assert "web1" in words
    assert virsh == told.plan().virsh("web1", source_uri=NODE1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"destination_uri": "tcp://node2"}, "is a migration URI"),
        ({"destination_uri": ""}, "must be given"),
        ({"destination_uri": NODE1}, "same host"),
        ({"source_uri": "node1"}, "where the source's libvirtd is"),
        ({"source_uri": ""}, "must not be empty"),
        ({"domain": "a/b"}, "must be a guest's name"),
        ({"migration_uri": NODE2}, "is a libvirt connection URI"),
    ],
)
def test_impossible_form_reports_its_first_problem(changes: dict[str, object], words: str) -> None:
    """The text states the first problem, and the form derives nothing from wrong input."""
    told = migration_form(**changes)
    assert any(words in problem.reason for problem in told.problems())
    for derived in (told.plan, told.checks, told.commands):
        with pytest.raises(PlanError):
            derived()


def test_each_change_updates_the_form() -> None:
    """Each changed field updates drawing, checklist and commands, or shows the problem."""
    form = HostsForm()
    assert repr(form) == "HostsForm('web1', node1 to node2)"
    assert "<svg" in form.result.value
    assert "node1's libvirtd, by the connection URI qemu+ssh://root@node1/system" in (
        html.unescape(form.result.value)
    )
    assert "Each of these must work" in form.result.value
    assert "--p2p" not in form.result.value
    form.mode.value = Mode.PEER2PEER
    assert "--p2p" in form.result.value
    form.destination.value = "tcp://node2"
    assert "is a migration URI" in form.result.value
    assert "<table" not in form.result.value
    form.destination.value = "qemu+ssh://root@node3/system"
    form.domain.value = "<b>"
    assert "&lt;b&gt;" in form.result.value
    assert "<b>'" not in form.result.value


def test_saved_form_shows_drawing_and_checklist() -> None:
    """The notebook keeps the drawing as an image with its description, and the checklist."""
    bundle = HostsForm()._repr_mimebundle_()
    assert bundle["text/plain"] == "HostsForm('web1', node1 to node2)"
    assert "<img" in bundle["text/html"]
    assert "<svg" not in bundle["text/html"]
    assert "libvirtd of node2" in bundle["text/html"]


def test_texts_of_the_checklist_are_escaped() -> None:
    """Typed markup is shown as text, and the page never runs it."""
    check = ConnectionCheck("a<b", "c", "1", "d", "e", "f & g", "h")
    assert "a&lt;b" in fill("checklist.html", checks=[check])
    assert "f &amp; g" in fill("checklist.html", checks=[check])
