"""``migrationlab plan``: stable text, one JSON object, exit status 2 with every reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.cli.plan import plan

PEER2PEER_TEXT = """\
peer2peer migration of web1 from host-a to host-b

flags            LIVE, PEER2PEER
migration URI    tcp://10.0.0.2:49152
                 where QEMU of host-b listens; dialled by host-a: its libvirtd connects, \
its QEMU sends
connection URI   qemu+tls://host-b/system
                 where libvirtd of host-b is; dialled by libvirtd of host-a
bandwidth        50 MiB/s at most
maximum downtime 200 ms
deadline         30 s, then it is cancelled

who talks to whom
  client               -> libvirtd of host-a    control       qemu:///system
  libvirtd of host-a   -> libvirtd of host-b    control       qemu+tls://host-b/system
  QEMU of host-a       -> QEMU of host-b        guest memory  tcp://10.0.0.2:49152

the same with virsh, on host-a
  virsh --connect qemu:///system migrate --live --p2p --domain web1 \
--desturi qemu+tls://host-b/system --migrateuri tcp://10.0.0.2:49152 --bandwidth 50

notes
  - virsh migrate cannot set the maximum downtime; while it runs, in a second shell: \
virsh --connect qemu:///system migrate-setmaxdowntime web1 200
  - virsh migrate has no deadline (--timeout suspends the guest): to cancel after 30 s \
put timeout --signal=INT 30 before it.
"""


def run(*arguments: str) -> Result:
    """Run the command; what is not an exit is a bug."""
    result = CliRunner().invoke(plan, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def run_json(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the command for JSON; give exit status and object."""
    result = run(*arguments, "--format", "json")
    return result.exit_code, json.loads(result.stdout)


def test_text() -> None:
    """The text says everything that is asked of it, in words that do not change."""
    result = run(
        "--mode", "peer2peer", "--domain", "web1", "--migration-uri", "tcp://10.0.0.2:49152",
        "--connection-uri", "qemu+tls://host-b/system", "--bandwidth-mib-s", "50",
        "--max-downtime-ms", "200", "--deadline-s", "30",
    )  # fmt: skip
    assert result.exit_code == 0
    assert result.stdout == PEER2PEER_TEXT
    assert result.stderr == ""


def test_left_out_uris_are_filled_in() -> None:
    """Without URIs the lab's destination is named in both, and the text says so."""
    result = run("--mode", "normal")
    assert result.exit_code == 0
    assert "migration URI    tcp://host-b  (filled in)" in result.stdout
    assert "connection URI   qemu+ssh://root@host-b/system  (filled in)" in result.stdout
    assert "where libvirtd of host-b is; dialled by the client" in result.stdout


def test_filled_uri_follows_the_given_one() -> None:
    """The URI that was left out names the host of the one that was given."""
    _, answer = run_json("--connection-uri", "qemu+tcp://node2/system")
    assert answer["migration_uri"] == "tcp://node2"
    _, answer = run_json("--migration-uri", "tcp://[fd00::2]:49152")
    assert answer["connection_uri"] == "qemu+ssh://root@[fd00::2]/system"
    _, answer = run_json("--migration-uri", "tcp://10.0.0.2", "--destination", "node2")
    assert answer["connection_uri"] == "qemu+ssh://root@node2/system"


def test_json() -> None:
    """A good plan's object has all keys, and virsh as the one line of the text."""
    status, answer = run_json("--mode", "normal", "--domain", "web 1", "--destination", "node2")
    assert status == 0
    assert answer.pop("notes")
    assert answer == {
        "valid": True,
        "problems": [],
        "mode": "normal",
        "flags": ["LIVE"],
        "migration_uri": "tcp://node2",
        "connection_uri": "qemu+ssh://root@node2/system",
        "talks": [
            {
                "who": "client",
                "to": "source libvirtd",
                "about": "control",
                "uri": "qemu:///system",
            },
            {
                "who": "client",
                "to": "destination libvirtd",
                "about": "control",
                "uri": "qemu+ssh://root@node2/system",
            },
            {
                "who": "source QEMU",
                "to": "destination QEMU",
                "about": "guest memory",
                "uri": "tcp://node2",
            },
        ],
        "virsh": "virsh --connect qemu:///system migrate --live --domain 'web 1' "
        "--desturi qemu+ssh://root@node2/system --migrateuri tcp://node2",
    }


@pytest.mark.parametrize(
    ("arguments", "field", "suggestion"),
    [
        (["--mode", "p2p"], "mode", None),
        (["--migration-uri", "qemu+ssh://root@node2/system"], "migration_uri", "tcp://node2"),
        (["--migration-uri", ""], "migration_uri", "tcp://host-b"),
        (["--migration-uri", "tcp://localhost"], "migration_uri", "tcp://host-b"),
        (["--migration-uri", "tcp://host-a"], "migration_uri", "tcp://host-b"),
        (["--connection-uri", "tcp://node2"], "connection_uri", "qemu+ssh://root@node2/system"),
        (
            ["--mode", "peer2peer", "--connection-uri", "qemu+unix:///system"],
            "connection_uri",
            "qemu+ssh://root@host-b/system",
        ),
        (["--bandwidth-mib-s", "-5"], "bandwidth_mib_s", None),
        (["--bandwidth-mib-s", "fast"], "bandwidth_mib_s", None),
        (["--max-downtime-ms", "0.5"], "max_downtime_ms", None),
        (["--deadline-s", "nan"], "deadline_s", None),
        (["--deadline-s", "soon"], "deadline_s", None),
        (["--domain", ""], "domain", None),
        (["--source", "host-b"], "destination", None),
        (["--source", "node1", "--destination", "node1"], "destination", None),
        (["--destination", "localhost"], "destination", None),
        (["--destination", "a b"], "destination", None),
        (["--source", ""], "source", None),
    ],
)
def test_bad_plans(arguments: list[str], field: str, suggestion: str | None) -> None:
    """What cannot work exits with 2, and both formats say why and what to do."""
    status, answer = run_json(*arguments)
    assert status == 2
    assert answer["valid"] is False
    assert answer["virsh"] is None
    assert answer["talks"] == []
    (problem,) = answer["problems"]
    assert (problem["field"], problem["suggestion"]) == (field, suggestion)
    assert problem["reason"]
    assert problem["hint"]

    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"--{field.replace('_', '-')}: {problem['reason']}" in result.stderr
    assert f"Hint: {problem['hint']}" in result.stderr


def test_every_problem_is_listed() -> None:
    """Mode, URIs and numbers are judged together, so that one answer is enough."""
    _, answer = run_json(
        "--mode", "p2p", "--deadline-s", "x", "--connection-uri", "node2",
        "--bandwidth-mib-s", "0",
    )  # fmt: skip
    fields = [problem["field"] for problem in answer["problems"]]
    assert fields == ["mode", "deadline_s", "connection_uri", "bandwidth_mib_s"]
    assert answer["mode"] == "p2p"
    assert answer["flags"] == []


@given(
    options=st.fixed_dictionaries(
        {},
        optional={
            "--mode": st.sampled_from(["normal", "peer2peer", "x"]),
            "--migration-uri": st.text(),
            "--connection-uri": st.text(),
            "--bandwidth-mib-s": st.text(),
            "--deadline-s": st.text(),
            "--domain": st.text(),
            "--source": st.text(),
            "--destination": st.text(),
        },
    ),
    output_format=st.sampled_from(["text", "json"]),
)
def test_never_a_traceback(options: dict[str, str], output_format: str) -> None:
    """Whatever is given, the command answers with 0 or 2."""
    arguments = [f"{option}={value}" for option, value in options.items()]
    assert run(*arguments, "--format", output_format).exit_code in (0, 2)
