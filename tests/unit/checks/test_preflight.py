"""The preflight of two hosts, with libvirt's test driver and a fake shell."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from migrationlab.checks import capabilities, releases
from migrationlab.checks import domain as domains
from migrationlab.checks.capabilities import Capabilities, Requirements
from migrationlab.checks.diagnosis import Check, Status
from migrationlab.checks.preflight import CONNECT, gives_up_s, preflight
from migrationlab.cli import main
from migrationlab.hosts.facts import HostFacts
from migrationlab.hosts.host import Host
from migrationlab.hosts.shell import Shell
from migrationlab.plan.plan import Plan
from migrationlab.runs.release_matrix import TriedMigration, append

MACHINES = frozenset({"q35", "pc-q35-9.2", "pc-q35-10.0"})
#: What programs say on a host where all is well.
WELL = {
    "getent ahosts node2": "10.0.0.2 STREAM node2",
    "getent ahosts node1": "10.0.0.1 STREAM node1",
    "timeout": "/dev/tcp/node2/49152: Connection refused;1",
    "virsh": "node2",
    "id -u": "0",
    "stat": "nfs",
    "test": "",
    "cat /proc/sys/net/ipv4/tcp_retries2": "8",
}

Make = Callable[..., tuple[Host, Host]]


def shell(directory: Path, answers: Mapping[str, str]) -> Shell:
    """Give a shell whose program answers by the first words that fit, or is missing."""
    directory.mkdir(exist_ok=True)
    cases = ""
    for words, answer in answers.items():
        said, _, status = answer.partition(";")
        stream = "1" if status in ("", "0") else "2"
        cases += f'"{words}"*) echo "{said}" >&{stream}; exit {status or 0} ;;\n'
    program = directory / "shell"
    loop = '[ "$1" = sh ] && exec "$@"\n'  # the clock
    program.write_text(f'#!/bin/sh\n{loop}case "$*" in\n{cases}esac\nexit 127\n')
    program.chmod(0o700)
    return Shell((str(program),))


def _rest(changes: Mapping[str, str] | None) -> dict[str, str]:
    return {words: said for words, said in WELL.items() if words not in (changes or {})}


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Give a maker of two hosts, healthy except for what a test changes."""
    with ExitStack() as opened:

        def hosts(
            source: Mapping[str, str] | None = None,
            destination: Mapping[str, str] | None = None,
            *,
            shells: bool = True,
            offered: Mapping[str, object] | None = None,
            versions: tuple[str, str] = ("11.3.0", "10.0.2"),
        ) -> tuple[Host, Host]:
            made = []
            for number, changes in ((1, source), (2, destination)):
                way = shell(tmp_path / f"node{number}", {**(changes or {}), **_rest(changes)})
                host = Host(
                    "test:///default",
                    name=f"node{number}",
                    peer_uri=f"qemu+ssh://root@node{number}/system",
                    shell=way,
                )
                if not shells:
                    host.shell = None
                opened.enter_context(closing(host))
                host._facts = HostFacts(f"node{number}", "11.3.0", "10.0.2")
                made.append(host)
            made[1]._facts = HostFacts("node2", *versions)
            there = {"uuid": "u-2", "machines": MACHINES, **(offered or {})}
            found = {
                made[0]: Capabilities("u-1", "x86_64", "EPYC", MACHINES),
                made[1]: Capabilities(**{"arch": "x86_64", "cpu_model": "EPYC", **there}),
            }
            monkeypatch.setattr(capabilities, "capabilities", found.__getitem__)
            return made[0], made[1]

        yield hosts


def found(name: str, *arguments: object, **settings: object) -> Check:
    """Return one check of a preflight."""
    checks = preflight(*arguments, **settings).checks  # type: ignore[arg-type]
    return next(check for check in checks if check.name == name)


def test_healthy_hosts_are_ok(make: Make) -> None:
    """Every check of healthy hosts is good and says what it found."""
    diagnosis = preflight(*make(source={"timeout": ";0"}))
    assert {check.name: check.status for check in diagnosis.checks} == dict.fromkeys(
        ["source", "destination", "rights", "identity", "versions", "machine types", "name",
         "own name", "ports", "peer2peer", "clocks", "TCP"],
        Status.OK,
    )  # fmt: skip
    assert diagnosis.verdict == "A migration can work."
    assert "for node1, node2 is 10.0.0.2" in str(diagnosis)


def test_hosts_without_shell_give_warnings(make: Make) -> None:
    """Without a shell the checks of names, ports and logins are warnings."""
    diagnosis = preflight(*make(shells=False))
    unknown = [check for check in diagnosis.checks if check.status is Status.WARN]
    assert [check.name for check in unknown] == ["name", "own name", "ports", "peer2peer", "TCP"]
    assert all(check.hint for check in unknown)
    assert "as far as is known" in diagnosis.verdict


def test_source_without_programs_gives_warnings(make: Make) -> None:
    """If the source lacks the programs, the checks that need them are warnings."""
    lacking = dict.fromkeys(["getent", "timeout", "virsh"], "not found;127")
    diagnosis = preflight(*make(source=lacking))
    states = {check.name: check.status for check in diagnosis.checks}
    for name in ("name", "own name", "ports", "peer2peer"):
        assert states[name] is Status.WARN


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ("4", Status.OK, "after about 10 s"),
        ("15", Status.WARN, "can hang for about 15 min (net.ipv4.tcp_retries2: 8 on node1, 15"),
        ("no such file;1", Status.WARN, "node2 does not tell net.ipv4.tcp_retries2"),
        ("many", Status.WARN, "node2 does not tell"),
    ],
)
def test_patient_tcp_warns(make: Make, answer: str, status: Status, words: str) -> None:
    """The longer of both hosts counts: the kernel's default is a quarter of an hour."""
    sides = {"cat /proc/sys/net/ipv4/tcp_retries2": answer}
    hosts = (
        make(destination=sides, source=sides) if status is Status.OK else make(destination=sides)
    )
    check = found("TCP", *hosts)
    assert check.status is status
    assert words in check.detail
    assert status is Status.OK or "sysctl" in check.hint


def test_give_up_time_is_the_kernels() -> None:
    """924.6 s is the figure of Linux' ip-sysctl.rst for 15."""
    assert gives_up_s(15) == pytest.approx(924.6)
    assert gives_up_s(10**6) == gives_up_s(255)


def test_same_uuid_fails(make: Make) -> None:
    """Two connections to one host, or two hosts with the same UUID, fail the check."""
    check = found("identity", *make(offered={"uuid": "u-1"}))
    assert check.status is Status.FAIL
    assert "host_uuid" in check.hint


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        (("9.0.0", "10.0.2"), "from libvirt 11.3.0 to 9.0.0"),
        (("11.3.0", "7.2.22"), "from QEMU 10.0.2 to 7.2.22"),
    ],
)
def test_older_destination_warns(make: Make, versions: tuple[str, str], words: str) -> None:
    """The warning names a libvirt or QEMU that is older at the destination."""
    check = found("versions", *make(versions=versions))
    assert check.status is Status.WARN
    assert words in check.detail


def test_versions_name_what_they_lack_and_what_is_recorded(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check names the settings that need newer hosts, and the recorded migrations."""
    versions = {
        "source_libvirt": "11.3.0", "source_qemu": "10.0.2",
        "destination_libvirt": "12.8.0", "destination_qemu": "11.1.2",
    }  # fmt: skip
    tried = TriedMigration(
        source="trixie", destination="forky", booted_on="trixie", mode="normal",
        machine="pc-q35-10.0", run_id="r", outcome="failed", intact=None, downtime_ms=None,
        total_ms=900.0, explanation="virtqueue-size", error="x", destination_log="",
        versions=versions,
    )  # fmt: skip
    append(tmp_path / "matrix.jsonl", tried)
    monkeypatch.setattr(releases, "RECORD", tmp_path / "matrix.jsonl")
    check = found("versions", *make(versions=("12.8.0", "11.1.2")))
    assert "they cannot use" in check.detail
    assert "target_zero_disks" in check.detail
    assert "postcopy with parallel" in check.detail
    assert "booted on trixie, 0 of 1 worked (virtqueue-size)" in check.detail
    same = found("versions", *make())
    assert "recorded" not in same.detail


def test_machine_types_of_source_only_warn(make: Make) -> None:
    """The warning names the missing machine types and the newest common one."""
    check = found("machine types", *make(offered={"machines": frozenset({"pc-q35-9.2"})}))
    assert check.status is Status.WARN
    assert "only the source has pc-q35-10.0; pc-q35-9.2" in check.detail
    check = found("machine types", *make(offered={"machines": frozenset({"virt-9.2"})}))
    assert check.status is Status.FAIL


def test_other_architecture_fails(make: Make) -> None:
    """A guest does not migrate to another architecture."""
    check = found("machine types", *make(offered={"arch": "aarch64"}))
    assert check.status is Status.FAIL
    assert "aarch64" in check.detail


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (";2", "cannot resolve node2"),
        ("127.0.1.1 STREAM node2", "resolves node2 to itself: 127.0.1.1"),
        ("::1 STREAM node2", "resolves node2 to itself: ::1"),
        ("10.0.0.1 STREAM node2", "resolves node2 to itself: 10.0.0.1"),
    ],
)
def test_wrong_name_on_the_source_fails(make: Make, answer: str, words: str) -> None:
    """A destination's name that the source cannot resolve fails, and no port is tried."""
    hosts = make(source={"getent ahosts node2": answer})
    check = found("name", *hosts)
    assert check.status is Status.FAIL
    assert words in check.detail
    assert "tcp://ADDRESS" in check.hint
    assert found("ports", *hosts).status is Status.WARN


def test_hostname_as_localhost_fails_for_auto_uri_only(make: Make) -> None:
    """A hostname like localhost fails only if the destination chooses the migration URI."""
    hosts = make()
    hosts[1]._facts = HostFacts("localhost.localdomain", "11.3.0", "10.0.2")
    assert found("own name", *hosts).status is Status.WARN
    check = found("own name", *hosts, plan=Plan(migration_uri="auto"))
    assert check.status is Status.FAIL
    assert "localhost.localdomain" in check.detail
    assert "hostnamectl" in check.hint


def test_hostname_that_is_loopback_at_home_is_ok(make: Make) -> None:
    """Debian's /etc/hosts maps a host's own name to 127.0.1.1: libvirt sends the name."""
    hosts = make(destination={"getent ahosts node2": "127.0.1.1 STREAM node2"})
    assert found("own name", *hosts, plan=Plan(migration_uri="auto")).status is Status.OK


def test_auto_uri_is_the_destinations_hostname(make: Make) -> None:
    """For the migration URI "auto" the source looks up the destination's hostname."""
    check = found("name", *make(), plan=Plan(migration_uri="auto"))
    assert check.status is Status.OK
    assert "node2 is 10.0.0.2" in check.detail


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("x: /dev/tcp/node2/49152: No route to host;1", "49152 (No route to host)"),
        (";124", "no answer in 3 s"),
    ],
)
def test_closed_ports_fail(make: Make, answer: str, words: str) -> None:
    """A port that a firewall refuses or drops fails, and the finding names the port."""
    check = found("ports", *make(source={"timeout": answer}))
    assert check.status is Status.FAIL
    assert words in check.detail


def test_refused_port_warns(make: Make) -> None:
    """A refused connection warns, because a firewall may have reset it."""
    check = found("ports", *make())
    assert check.status is Status.WARN
    assert "node2 refuses node1 at port 49152 and 49215" in check.detail
    assert "firewall" in check.detail


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": "peer2peer", "tunnelled": True}, "tunnelled"),
        ({"offline": True, "persistent": True}, "offline"),
        ({"migration_uri": "unix:///run/x"}, "a Unix socket"),
    ],
)
def test_unneeded_ports_are_not_tried(make: Make, settings: dict[str, object], words: str) -> None:
    """A closed port that the migration does not use is not tried."""
    hosts = make(source={"timeout": "No route to host;1"})
    check = found("ports", *hosts, plan=Plan.from_dict(settings))
    assert (check.status, check.detail) == (Status.OK, f"not needed: {words}")


def test_plan_is_validated_without_a_domain(make: Make) -> None:
    """An impossible plan fails the preflight also without a domain."""
    check = found("plan", *make(), plan=Plan(tunnelled=True))
    assert check.status is Status.FAIL
    assert "tunnelled=True needs mode='peer2peer'" in check.detail


def test_port_of_the_plan_is_tried(make: Make) -> None:
    """The preflight tries the host and the port of the plan's migration URI."""
    tried = r"timeout 3 bash -c : <\"/dev/tcp/\$1/\$2\" bash 10.9.9.9 5555"
    hosts = make(source={tried: "No route to host;1"})
    check = found("ports", *hosts, plan=Plan(migration_uri="tcp://10.9.9.9:5555"))
    assert "10.9.9.9: 5555 (No route to host)" in check.detail


def test_peer2peer_needs_the_sources_login(make: Make) -> None:
    """A missing login from the source fails in peer2peer and warns in normal mode."""
    hosts = make(source={"virsh": "error: Host key verification failed.;1"})
    check = found("peer2peer", *hosts)
    assert check.status is Status.WARN
    assert "Only peer2peer needs it" in check.hint
    check = found("peer2peer", *hosts, plan=Plan(mode="peer2peer"))
    assert check.status is Status.FAIL
    assert "Host key verification failed." in check.detail
    assert check.hint


def test_peer2peer_by_another_user_warns(make: Make) -> None:
    """A login as another user than the source's libvirtd gives a warning."""
    check = found("peer2peer", *make(source={"id -u": "1000"}))
    assert check.status is Status.WARN
    assert "as user 1000" in check.detail


def test_unreachable_host_fails() -> None:
    """If one host is unreachable, the check fails and the other host is still examined."""
    diagnosis = preflight("qemu+unix:///system?socket=/nowhere", "test:///default")
    assert [(check.name, check.status) for check in diagnosis.checks] == [
        ("source", Status.FAIL),
        ("destination", Status.OK),
    ]
    assert not diagnosis.ok
    assert diagnosis.verdict == "Migration blocked. Fix: source."


def test_unknown_domain_fails(make: Make) -> None:
    """The finding says that the host has no domain of that name."""
    check = found("domain", *make(), domain="nobody")
    assert check.status is Status.FAIL
    assert "has no guest 'nobody'" in check.detail


DOMAIN = """\
<domain type='qemu'>
  <name>test</name><memory unit='MiB'>{memory}</memory>
  <os><type arch='x86_64' machine='{machine}'>hvm</type></os>
  <devices>{devices}</devices>
</domain>
"""
DISK = "<disk type='{}'><source {}='/a.img'/><target dev='vda'/>{}</disk>"


@pytest.fixture
def check(make: Make) -> Callable[..., Check]:
    """Give one check of a domain that a test describes."""

    def examine(
        name: str,
        *,
        devices: str = "",
        machine: str = "pc-q35-9.2",
        memory: int = 1,
        plan: Plan | None = None,
        **settings: dict[str, str],
    ) -> Check:
        source, destination = make(**settings)
        required = Requirements.parse(
            DOMAIN.format(devices=devices, machine=machine, memory=memory)
        )
        pair = domains.HostPair(
            source,
            destination,
            (plan or Plan()).filled(destination="node2"),
            capabilities.capabilities(source),
            capabilities.capabilities(destination),
        )
        return domains._CHECKS[name](pair, required)

    return examine


def test_missing_machine_type_fails(check: Callable[..., Check]) -> None:
    """A machine type that the destination lacks fails, and the hint has a common one."""
    assert check("machine type").status is Status.OK
    bad = check("machine type", machine="pc-q35-11.0")
    assert bad.status is Status.FAIL
    assert "pc-q35-10.0" in bad.hint


@pytest.mark.parametrize(
    ("disk", "destination", "status", "words"),
    [
        (DISK.format("file", "file", ""), {}, Status.OK, "both hosts have /a.img"),
        (DISK.format("file", "file", ""), {"stat": "x;1"}, Status.FAIL, "node2 has no /a.img"),
        (DISK.format("file", "file", ""), {"stat": "xfs"}, Status.FAIL, "not shared storage"),
        (DISK.format("file", "file", "<readonly/>"), {"stat": "xfs"}, Status.OK, "read only"),
        (DISK.format("block", "dev", ""), {}, Status.WARN, "whether it is the same"),
        (DISK.format("network", "name", ""), {"stat": "x;1"}, Status.OK, "on the network"),
        ("<disk type='file' device='cdrom'><target dev='sda'/></disk>", {}, Status.OK, "no disk"),
    ],
)
def test_disk_must_be_on_both_hosts(
    check: Callable[..., Check],
    disk: str,
    destination: dict[str, str],
    status: Status,
    words: str,
) -> None:
    """A disk on both hosts is good; a missing disk fails, and an uncertain one warns."""
    found_ = check("storage", devices=disk, destination=destination)
    assert (found_.status, words in found_.detail) == (status, True), found_


def test_copied_disk_may_be_missing(check: Callable[..., Check]) -> None:
    """A disk that the plan copies may be missing at the destination."""
    disk = DISK.format("file", "file", "")
    missing = {"stat": "x;1"}
    plan = Plan(copy_storage="full")
    assert check("storage", devices=disk, destination=missing, plan=plan).status is Status.OK
    other = Plan(copy_storage="full", copy_disks=("vdb",))
    assert check("storage", devices=disk, destination=missing, plan=other).status is Status.FAIL


def test_shared_disk_must_not_be_copied(check: Callable[..., Check]) -> None:
    """A plan that copies a shared disk fails, because the disk is copied onto itself."""
    plan = Plan(copy_storage="full")
    for disk in (DISK.format("file", "file", ""), DISK.format("network", "name", "")):
        bad = check("storage", devices=disk, plan=plan)
        assert (bad.status, "onto itself" in bad.detail) == (Status.FAIL, True)
    local = check("storage", devices=disk.replace("network", "block"), plan=plan)
    assert local.status is Status.OK


def test_networks_must_have_the_same_names(check: Callable[..., Check]) -> None:
    """The domain's bridges and networks must exist at the destination under the same names."""
    card = "<interface type='bridge'><source bridge='br0'/></interface>"
    assert check("networks").status is Status.OK
    assert check("networks", devices=card).status is Status.OK
    bad = check("networks", devices=card, destination={"test": ";1"})
    assert (bad.status, "lacks br0" in bad.detail) == (Status.FAIL, True)
    net = "<interface type='network'><source network='{}'/></interface>"
    assert check("networks", devices=net.format("default")).status is Status.OK
    bad = check("networks", devices=net.format("blue"))
    assert (bad.status, "network blue" in bad.detail) == (Status.FAIL, True)


def test_host_device_fails(check: Callable[..., Check]) -> None:
    """A domain with a device of its host fails, because it cannot migrate."""
    bad = check("devices", devices="<hostdev type='pci' mode='subsystem'/>")
    assert bad.status is Status.FAIL
    assert check("devices").status is Status.OK


def test_little_memory_warns(check: Callable[..., Check]) -> None:
    """The check of free memory does not count the kernel's reclaimable cache."""
    assert check("memory", memory=1 << 30).status is Status.WARN


@pytest.mark.parametrize("field", ["migration_uri", "auto"])
def test_names_are_arguments_of_programs(make: Make, tmp_path: Path, field: str) -> None:
    """A name from outside is never text of a command: a hostile one runs nothing."""
    made = tmp_path / "made"
    hostile = f"x;touch${{IFS}}{made}"
    source, destination = make()
    source.shell = Shell()  # this machine
    if field == "auto":
        destination._facts = HostFacts(hostile, "11.3.0", "10.0.2")
    plan = Plan(migration_uri="auto" if field == "auto" else f"tcp://{hostile}")
    ports = found("ports", source, destination, plan=plan)
    assert (ports.status, "does not resolve" in ports.detail) == (Status.WARN, True)
    assert found("name", source, destination, plan=plan).status is Status.FAIL
    assert not made.exists()


def test_bash_connects_to_its_arguments() -> None:
    """The real bash connects to the name and the port that it gets as arguments."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = ("127.0.0.1", str(server.getsockname()[1]))
        assert Shell().run(*CONNECT, *place).status == 0
    assert Shell().run(*CONNECT, *place).text.endswith("Connection refused")


def test_odd_answers_about_addresses_are_left_out(make: Make) -> None:
    """A line of getent's without an address is left out; it is no address of the name."""
    hosts = make(source={"getent ahosts node2": "\n;0", "getent ahosts node1": "10.0.0.1"})
    assert found("name", *hosts).status is Status.FAIL


def test_doctor_command_exits_1_on_failure() -> None:
    """If a check fails, `doctor --from --to` prints the findings and exits with 1."""
    words = ["doctor", "--from", "test:///default", "--to", "test:///default"]
    done = CliRunner().invoke(main, [*words, "--domain", "nobody", "--format", "json"])
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert answer["ok"] is False
    assert {"identity", "domain"} <= {check["name"] for check in answer["checks"]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "test:///default"], "must be given together"),
        (["--to", "test:///default"], "must be given together"),
        (["--domain", "web1"], "--from and --to must be given with --domain"),
        (["--from", "test:///default", "--to", "test:///default", "--mode", "direct"], "'direct'"),
        (["--from", "node1", "--to", "test:///default"], "--from must be a connection URI"),
    ],
)
def test_incomplete_doctor_command_is_refused(words: list[str], said: str) -> None:
    """The error of an incomplete doctor command names the missing option."""
    done = CliRunner().invoke(main, ["doctor", *words])
    assert done.exit_code == 2
    assert said in done.stderr
    assert "hint:" in done.stderr
