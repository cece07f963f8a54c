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
from migrationlab.cli.plan_options import in_options, in_virsh
from migrationlab.errors import UsageError
from migrationlab.plan.settings import Group, settings

PEER2PEER_TEXT = """\
peer2peer migration of web1 from host-a to host-b

flags            LIVE, PEER2PEER
migration URI    tcp://10.0.0.2:49152
                 QEMU of host-b listens there; libvirtd of host-a connects
connection URI   qemu+tls://host-b/system
                 libvirtd of host-b listens there; libvirtd of host-a connects

settings in force (list all with migrationlab plan --list)
  bandwidth_mib_s                  50 MiB/s
  max_downtime_ms                  200 ms
  deadline_s                       30 s

connections
  client               -> libvirtd of host-a    control       qemu:///system
  libvirtd of host-a   -> libvirtd of host-b    control       qemu+tls://host-b/system
  libvirtd of host-a   -> QEMU of host-b        guest memory  tcp://10.0.0.2:49152

the same with virsh, on host-a
  virsh --connect qemu:///system migrate --live --p2p --domain web1 \
--desturi qemu+tls://host-b/system --migrateuri tcp://10.0.0.2:49152 --bandwidth 50

notes
  - virsh migrate cannot set the maximum downtime. While it runs, run in a second shell: \
virsh --connect qemu:///system migrate-setmaxdowntime web1 200
  - virsh migrate has no deadline (--timeout suspends the guest, and a signal INT does not \
cancel). To cancel it, run in a second shell after 30 s: \
virsh --connect qemu:///system domjobabort web1
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


def test_plan_as_text() -> None:
    """The text of a plan has all its parts and is stable."""
    result = run(
        "--mode", "peer2peer", "--domain", "web1", "--migration-uri", "tcp://10.0.0.2:49152",
        "--connection-uri", "qemu+tls://host-b/system", "--bandwidth-mib-s", "50",
        "--max-downtime-ms", "200", "--deadline-s", "30",
    )  # fmt: skip
    assert result.exit_code == 0
    assert result.stdout == PEER2PEER_TEXT
    assert result.stderr == ""


def test_programs_in_a_uri_are_shown() -> None:
    """A program that a connection URI names is shown, with its name decoded."""
    result = run("--mode", "normal", "--connection-uri", "qemu+ssh://b/system?command=/ev%69l")
    assert "runs the program /evil" in result.stdout


def test_missing_uris_are_filled_in() -> None:
    """Without URIs both URIs name the lab's destination, and the text says so."""
    result = run("--mode", "normal")
    assert result.exit_code == 0
    assert "migration URI    tcp://host-b  (filled in)" in result.stdout
    assert "connection URI   qemu+ssh://root@host-b/system  (filled in)" in result.stdout
    assert "libvirtd of host-b listens there; the client connects" in result.stdout


def test_filled_uri_follows_the_given_one() -> None:
    """A missing URI gets the host of the URI that is given."""
    _, answer = run_json("--connection-uri", "qemu+tcp://node2/system")
    assert answer["migration_uri"] == "tcp://node2"
    _, answer = run_json("--migration-uri", "tcp://[fd00::2]:49152")
    assert answer["connection_uri"] == "qemu+ssh://root@[fd00::2]/system"
    _, answer = run_json("--migration-uri", "tcp://10.0.0.2", "--destination", "node2")
    assert answer["connection_uri"] == "qemu+ssh://root@node2/system"


def test_plan_as_json() -> None:
    """The JSON of a valid plan has all keys, and the virsh command is the line of the text."""
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
                "who": "source libvirtd",
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
    """An impossible plan exits with 2; text and JSON have the reason and the fix."""
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
def test_hints_name_settings_as_options(python: str, options: str) -> None:
    """A hint names a setting by its command-line option, not by its Python name."""
    assert in_options(python) == options


def test_problem_names_the_given_option() -> None:
    """If two options mean the same, the problem names the one that was given."""
    for option in ("disks-uri=tcp://node2:1", "postcopy-after-s=2", "suspend-after-s=2"):
        done = run(f"--{option}", "--no-live")
        assert f"\n  --{option.partition('=')[0]} " in done.stderr


def test_every_problem_is_listed() -> None:
    """One answer lists the problems of mode, URIs and numbers together."""
    _, answer = run_json(
        "--mode", "p2p", "--deadline-s", "x", "--connection-uri", "node2",
        "--bandwidth-mib-s", "0",
    )  # fmt: skip
    fields = [problem["field"] for problem in answer["problems"]]
    assert fields == ["mode", "deadline_s", "connection_uri", "bandwidth_mib_s"]
    assert answer["mode"] == "p2p"
    assert answer["flags"] == []


def test_every_setting_has_an_option() -> None:
    """Each setting has an option, and the help lists the option in the setting's group."""
    text = run("--help").stdout
    assert [line[:-1] for line in text.splitlines() if line[:-1] in list(Group)] == list(Group)
    for about in settings():
        assert f"--{about.name.replace('_', '-')}" in text


def test_options_make_the_plan(tmp_path: Path) -> None:
    """Switches, numbers, lists, words and XML files become values of the plan."""
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
    """The text shows each given setting with its unit, and always the deadline."""
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
def test_tunnelled_and_offline_plans_have_no_migration_uri(arguments: list[str], said: str) -> None:
    """A tunnelled plan and an offline plan say why they have no migration URI."""
    result = run(*arguments)
    assert result.exit_code == 0
    assert f"migration URI    {said}\n" in result.stdout


def test_list_has_every_setting() -> None:
    """The option --list prints every setting as text or as JSON, and no plan."""
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
    """A URI with another host than --destination gets a note, because both may be one host."""
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
def test_tab_completes_values_of_settings(option: str, typed: str, offered: list[str]) -> None:
    """Tab completion offers the allowed values of a setting, also after each comma of a list."""
    complete = ShellComplete(plan, {}, "migrationlab plan", "_X").get_completions
    assert [item.value for item in complete([option], typed)] == offered


def test_xml_files_are_completed_and_must_exist(tmp_path: Path) -> None:
    """Tab completion offers XML files, and a missing file is a problem."""
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
def test_any_argument_exits_without_traceback(options: dict[str, str], output_format: str) -> None:
    """With any argument the command exits with 0 or 2 and prints no traceback."""
    arguments = [f"{option}={value}" for option, value in options.items()]
    assert run(*arguments, "--format", output_format).exit_code in (0, 2)


LINE = "virsh migrate --live --compressed --comp-methods zstd web qemu+ssh://192.0.2.18/system"
FIXED = (
    "virsh --connect qemu:///system migrate --live --compressed --parallel --domain web --desturi "
    "qemu+ssh://192.0.2.18/system --comp-methods zstd"
)


def test_a_virsh_line_is_judged_and_mended() -> None:
    """A line that cannot work is refused in virsh's words, with the line that would work."""
    result = run("--virsh", LINE)
    assert result.exit_code == 2
    assert "  --compressed --comp-methods zstd needs --parallel: only" in result.stderr
    assert result.stderr.endswith(f"what would work instead\n  {FIXED}\n")
    again = run("--virsh", FIXED)
    assert again.exit_code == 0
    assert f"the same with virsh\n  {FIXED}\n" in again.stdout
    assert "deadline" not in again.stdout


@pytest.mark.parametrize(
    ("python", "virsh"),
    [
        ("Set parallel=True, or drop zerocopy=True.", "Set --parallel, or drop --zerocopy."),
        ("copy_storage='incremental' and live=False", "--copy-storage-inc and no --live"),
        ("compression=('zstd',), tls=True", "--compressed --comp-methods zstd, --tls"),
        ("leave out copy_storage.", "leave out --copy-storage-all or --copy-storage-inc."),
        ("live, downtime_steps=9, mode='peer2peer'", "live, downtime_steps=9, --p2p"),
    ],
)  # fmt: skip
def test_hints_name_settings_as_options_of_virsh(python: str, virsh: str) -> None:
    """A hint about a virsh line names its options."""
    assert in_virsh(python) == virsh


def test_a_virsh_line_as_json() -> None:
    """The object of a call has the keys of a plan, and those of a call."""
    status, answer = run_json("--virsh", LINE)
    assert status == 2
    _, plain = run_json("--mode", "normal")
    assert set(answer) == {*plain, "form", "domain", "source_uri", "instead"}
    assert (answer["form"], answer["domain"], answer["instead"]) == ("virsh", "web", FIXED)
    assert (answer["virsh"], answer["talks"]) == (None, [])
    status, answer = run_json("--virsh", FIXED)
    assert (status, answer["virsh"], answer["instead"]) == (0, FIXED, None)


def test_virsh_on_the_destination_as_text() -> None:
    """The client's own libvirtd is named as the destination's."""
    line = "virsh -c qemu+ssh://node1/system migrate --live web qemu:///system"
    result = run("--virsh", line)
    assert result.exit_code == 0
    assert result.stdout.startswith("normal migration of web from node1 to the destination\n")
    assert "client               -> libvirtd of node1     control       qemu+ssh://node1" in (
        result.stdout
    )


def test_flags_are_judged_from_standard_input() -> None:
    """A list of flags has no URIs: they are filled in, and the domain is the option's."""
    flags = "VIR_MIGRATE_LIVE, VIR_MIGRATE_PEER2PEER, VIR_MIGRATE_TUNNELLED"
    arguments = ["--virsh", "-", "--domain", "web1", "--destination", "node2", "--format", "json"]
    result = CliRunner().invoke(plan, arguments, input=flags)
    answer = json.loads(result.stdout)
    assert (answer["valid"], answer["form"], answer["domain"]) == (True, "flags", "web1")
    assert answer["connection_uri"] == "qemu+ssh://root@node2/system"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--virsh", "virsh list"], "must be a virsh migrate line or the flags"),
        (
            ["--virsh", LINE, "--tls", "--bandwidth-mib-s", "5"],
            "(got --tls, --bandwidth-mib-s besides",
        ),
    ],
)
def test_a_call_that_is_none_is_refused(arguments: list[str], reason: str) -> None:
    """Another text, or settings besides, are a wrong call of the command."""
    with pytest.raises(UsageError) as refused:
        run(*arguments)
    assert reason in str(refused.value)
