"""``migrationlab plan``: stable text, one JSON object, exit status 2 with every reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.cli.plan import plan
from migrationlab.cli.plan_options import in_options
from migrationlab.plan.settings import Group, settings

PEER2PEER_TEXT = """\
peer2peer migration of web1 from host-a to host-b

flags            LIVE, PEER2PEER
migration URI    tcp://10.0.0.2:49152
                 QEMU of host-b listens there; host-a's libvirtd connects, its QEMU sends
connection URI   qemu+tls://host-b/system
                 libvirtd of host-b listens there; libvirtd of host-a connects

settings in force (list all with migrationlab plan --list)
  bandwidth_mib_s                  50 MiB/s
  max_downtime_ms                  200 ms
  deadline_s                       30 s

connections
  client               -> libvirtd of host-a    control       qemu:///system
  libvirtd of host-a   -> libvirtd of host-b    control       qemu+tls://host-b/system
  QEMU of host-a       -> QEMU of host-b        guest memory  tcp://10.0.0.2:49152

the same with virsh, on host-a
  virsh --connect qemu:///system migrate --live --p2p --domain web1 \
--desturi qemu+tls://host-b/system --migrateuri tcp://10.0.0.2:49152 --bandwidth 50

notes
  - virsh migrate cannot set the maximum downtime. While it runs, run in a second shell: \
virsh --connect qemu:///system migrate-setmaxdowntime web1 200
  - virsh migrate has no deadline (--timeout suspends the guest). To cancel it after 30 s, \
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


def test_missing_uris_are_filled_in() -> None:
    """Without URIs the lab's destination is named in both, and the text says so."""
    result = run("--mode", "normal")
    assert result.exit_code == 0
    assert "migration URI    tcp://host-b  (filled in)" in result.stdout
    assert "connection URI   qemu+ssh://root@host-b/system  (filled in)" in result.stdout
    assert "libvirtd of host-b listens there; the client connects" in result.stdout


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
        "settings": {},
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
        (["--copy-storage", "full", "--copy-disks", "vda,,vdb"], "copy_disks", None),
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
def test_impossible_plans_exit_with_2(
    arguments: list[str], field: str, suggestion: str | None
) -> None:
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
    option = f"--{field.replace('_', '-')}"
    reason = in_options(problem["reason"]).removeprefix(field).removeprefix(option)
    assert f"\n  {option}{reason}\n" in result.stderr
    assert f"Hint: {in_options(problem['hint'])}" in result.stderr


@pytest.mark.parametrize(
    ("python", "options"),
    [
        ("Give parallel=True, or leave it out.", "Give --parallel, or leave it out."),
        ("Give mode='peer2peer'.", "Give --mode peer2peer."),
        ("(copy_storage='full')", "(--copy-storage full)"),
        ("compression=('zlib',) or compression=()", "--compression zlib or --compression default"),
        ("compression=('zlib', 'zstd')", "--compression zlib,zstd"),
        ("say live=False", "say --no-live"),
        ("to see it, Plan(allow_unsafe_tcg=True).", "to see it, --allow-unsafe-tcg."),
        (
            "Leave live as it is, and max_downtime_ms.",
            "Leave live as it is, and --max-downtime-ms.",
        ),
        ("mode must be\nlive needs x, not live", "--mode must be\n--live needs x, not live"),
        ("vm.unprivileged_userfaultfd=1, --p2p, parallelism, --tls-destination",) * 2,
    ],
)
def test_settings_are_named_as_options(python: str, options: str) -> None:
    """What a hint says in Python's words, the command line says in its own."""
    assert in_options(python) == options


def test_problem_names_the_given_option() -> None:
    """Where two options say the same, the one that was left out is not blamed."""
    for option in ("disks-uri=tcp://node2:1", "postcopy-after-s=2", "suspend-after-s=2"):
        done = run(f"--{option}", "--no-live")
        assert f"\n  --{option.partition('=')[0]} " in done.stderr


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


def test_every_setting_has_an_option() -> None:
    """Each setting can be said on the command line, and its help stands under its group."""
    text = run("--help").stdout
    assert [line[:-1] for line in text.splitlines() if line[:-1] in list(Group)] == list(Group)
    for about in settings():
        assert f"--{about.name.replace('_', '-')}" in text


def test_options_make_the_plan(tmp_path: Path) -> None:
    """Switches, numbers, lists, words and files of XML arrive in the plan as what they are."""
    file = tmp_path / "there.xml"
    file.write_text("<domain/>")
    _, answer = run_json(
        "--no-live", "--parallel", "--compression", "zstd", "--zstd-level", "7",
        "--copy-storage", "full", "--copy-disks", "vda, vdb", "--deadline-s", "2.5",
        "--destination-xml", str(file),
    )  # fmt: skip
    assert answer["settings"] == {
        "live": False,
        "parallel": True,
        "compression": ["zstd"],
        "zstd_level": 7,
        "copy_storage": "full",
        "copy_disks": ["vda", "vdb"],
        "deadline_s": 2.5,
        "destination_xml": "<domain/>",
    }


def test_settings_in_force_are_shown() -> None:
    """The text shows each setting that was given, with its unit, and the deadline in any case."""
    result = run(
        "--postcopy", "--postcopy-after-iteration", "3", "--compression", "default",
        "--copy-storage", "full", "--migration-uri", "auto",
    )  # fmt: skip
    assert "\n  postcopy                         yes\n" in result.stdout
    assert "\n  postcopy_after_iteration         3 iterations\n" in result.stdout
    assert "\n  compression                      libvirt's default\n" in result.stdout
    assert "\n  deadline_s                       120 s\n" in result.stdout
    assert "migration URI    left to the destination's libvirtd" in result.stdout
    assert "guest memory and disks  chosen by the destination" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mode", "peer2peer", "--tunnelled"], "none: tunnelled"),
        (["--offline", "--persistent"], "none: offline"),
    ],
)
def test_plans_without_a_migration_uri(arguments: list[str], said: str) -> None:
    """A tunnelled and an offline plan say that there is no migration URI, and why."""
    result = run(*arguments)
    assert result.exit_code == 0
    assert f"migration URI    {said}\n" in result.stdout


def test_list() -> None:
    """The reference lists every setting, as text and as JSON, and nothing else is done."""
    result = run("--list", "--mode", "nonsense")
    assert result.exit_code == 0
    assert result.stdout.strip() == str(settings())
    listed = json.loads(run("--list", "--format", "json").stdout)
    assert [each["name"] for each in listed] == [about.name for about in settings()]
    (level,) = [each for each in listed if each["name"] == "zlib_level"]
    assert (level["parameter"], level["type"], level["low"], level["high"]) == (
        "compression.zlib.level", "int", 0, 9,
    )  # fmt: skip


def test_uri_of_another_host_gets_a_note() -> None:
    """A URI that names another host than --destination gets a note: they may be one host."""
    arguments = ["--destination", "node2", "--connection-uri", "qemu+tls://10.0.0.2/system"]
    status, answer = run_json(*arguments)
    assert status == 0
    assert answer["notes"][-1].startswith("--connection-uri names 10.0.0.2, but --destination is")
    _, answer = run_json("--connection-uri", "qemu+tls://10.0.0.2/system")
    assert not [note for note in answer["notes"] if "--destination" in note]


@pytest.mark.parametrize(
    ("option", "typed", "offered"),
    [
        ("--mode", "p", ["peer2peer"]),
        ("--copy-storage", "", ["full", "incremental"]),
        ("--compression", "", ["xbzrle", "zlib", "zstd", "default"]),
        ("--compression", "xbzrle,z", ["xbzrle,zlib", "xbzrle,zstd"]),
        ("--bandwidth-mib-s", "", []),
    ],
)
def test_completion(option: str, typed: str, offered: list[str]) -> None:
    """The shell completes the words that a setting has, in a list after each comma, too."""
    complete = ShellComplete(plan, {}, "migrationlab plan", "_X").get_completions
    assert [item.value for item in complete([option], typed)] == offered


def test_xml_files_are_completed_and_must_exist(tmp_path: Path) -> None:
    """XML comes from a file, which the shell completes; one that is not there is a problem."""
    (item,) = ShellComplete(plan, {}, "x", "_X").get_completions(["--destination-xml"], "dom")
    assert item.type == "file"
    status, answer = run_json(
        "--destination-xml", str(tmp_path / "none.xml"), "--bandwidth-mib-s", "x"
    )
    assert status == 2
    assert {problem["field"] for problem in answer["problems"]} == {
        "destination_xml", "bandwidth_mib_s",
    }  # fmt: skip


@given(
    options=st.fixed_dictionaries(
        {},
        optional={
            "--mode": st.sampled_from(["normal", "peer2peer", "x"]),
            "--compression": st.text(),
            "--copy-storage": st.text(),
            "--destination-xml": st.text(),
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
