"""Explain with a running lab: real refusals have their cause, unknown ones the lab's logs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import libvirt
import pytest

from migrationlab.errors import HostError
from migrationlab.explain.explanation import NoticedBy
from migrationlab.hosts.connection import refusals
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab

PROGRAM = Path(sys.executable).with_name("migrationlab")


def explained(*words: str) -> tuple[int, dict[str, object]]:
    """Run the command as a user does; return its exit status and its JSON object."""
    done = subprocess.run(
        [PROGRAM, "explain", "--format", "json", *words],
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, json.loads(done.stdout)


@pytest.mark.lab
def test_logs_of_a_real_lab_are_shown(lab: Lab) -> None:
    """The logs of both libvirtds and of the last QEMU follow an unknown message."""
    guest = lab.boot(memory_mib=96, working_set_mib=4, dirty_mib_s=0)
    host = guest.host
    try:
        status, answer = explained("--lab", lab.name, "something that nobody ever said")
    finally:
        host.destroy(guest.name)
    assert status == 1
    tails = answer["tails"]
    assert isinstance(tails, list)
    assert {(tail["host"], tail["what"]) for tail in tails} >= {
        ("host-a", "libvirtd"),
        ("host-b", "libvirtd"),
        (host.name, f"QEMU of {guest.name}"),
    }
    assert all(tail["problem"] == "" for tail in tails)
    # At its start, each libvirtd reports something that the host does not have.
    assert all(tail["lines"] for tail in tails if tail["what"] == "libvirtd")


@pytest.mark.lab
@pytest.mark.parametrize(
    ("parameters", "flags", "cause", "who"),
    [
        (
            {"migrate_uri": "qemu+ssh://root@host-b/system"},
            0,
            "migration-uri-scheme-unsupported",
            NoticedBy.DESTINATION_DAEMON,
        ),
        ({"migrate_uri": "host-b"}, 0, "migration-uri-scheme-missing", None),
        ({"migrate_uri": "tcp://"}, 0, "migration-uri-host-missing", None),
        ({"migrate_uri": "10.0.0.1:49152"}, 0, "migration-uri-unparsable", None),
        ({"migrate_uri": "tcp://nowhere.invalid"}, 0, "name-unresolvable", NoticedBy.SOURCE_DAEMON),
        ({"no_such_parameter": 1}, 0, "parameter-unknown", None),
        ({"compression.xbzrle.cache": 65536}, 0, "parameter-without-feature", None),
        ({"compression": ["mt9"]}, libvirt.VIR_MIGRATE_COMPRESSED, "compression-unsupported", None),
        ({}, libvirt.VIR_MIGRATE_PEER2PEER, "api-not-for-peer2peer", NoticedBy.CLIENT),
        ({}, libvirt.VIR_MIGRATE_TUNNELLED, "tunnelled-needs-peer2peer", NoticedBy.CLIENT),
        ({}, libvirt.VIR_MIGRATE_OFFLINE, "offline-needs-persistent", None),
        ({}, 1 << 30, "flags-unknown", None),
    ],
)
def test_real_refusal_is_explained(
    lab: Lab,
    guest: Guest,
    parameters: dict[str, object],
    flags: int,
    cause: str,
    who: NoticedBy | None,
) -> None:
    """A refusal of the lab's libvirt is explained, and the guest stays where it is."""
    source, to = guest.host, lab.other(guest.host)
    domain = source.domain(guest.name)
    with pytest.raises(HostError) as caught, refusals():
        domain.migrate3(to.connection, parameters, flags | libvirt.VIR_MIGRATE_LIVE)
    found = caught.value.explanation
    assert found.id == cause, str(caught.value)
    if who is not None:
        assert found.noticed_by is who
    assert guest.host is source


@pytest.mark.lab
@pytest.mark.parametrize(
    ("uri", "cause", "who"),
    [
        ("qemu+ssh://localhost/system", "same-host", NoticedBy.CLIENT),
        (
            "qemu+foo://host-b/system",
            "connection-uri-transport-unknown",
            NoticedBy.SOURCE_DAEMON,
        ),
        (
            "qemu+tcp://nowhere.invalid/system",
            "libvirtd-name-unresolvable",
            NoticedBy.SOURCE_DAEMON,
        ),
        ("qemu+ssh://nowhere.invalid/system", "libvirtd-name-unresolvable", None),
        ("qemu+tcp://{source}/system", "same-host-uuid", NoticedBy.DESTINATION_DAEMON),
    ],
)
def test_refusal_of_the_source_is_explained(
    lab: Lab, guest: Guest, uri: str, cause: str, who: NoticedBy | None
) -> None:
    """In peer2peer a failed connection is explained as an error of the source's libvirtd."""
    source = guest.host
    domain = source.domain(guest.name)
    flags = libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_LIVE
    with pytest.raises(HostError) as caught, refusals():
        domain.migrateToURI3(uri.format(source=source.peer_name), {}, flags)
    found = caught.value.explanation
    assert found.id == cause, str(caught.value)
    if who is not None:
        assert found.noticed_by is who
    assert guest.host is source
