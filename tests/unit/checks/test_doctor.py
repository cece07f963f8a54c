"""The doctor: what it finds on this machine, and on machines that lack something.

A machine that lacks something is the ``healthy`` one with some answers replaced. Each replaced
answer is what the real program says; a comment gives its source.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from migrationlab.checks import machine as machine_module
from migrationlab.checks.diagnosis import Check, Diagnosis, Status
from migrationlab.checks.doctor import doctor
from migrationlab.checks.machine import Machine, run
from migrationlab.errors import LabError
from migrationlab.hosts.program import NOT_RUN, ProgramResult
from migrationlab.lab.accelerator import KvmVerdict

# By its path: as an attribute of its package, the name can be the command itself.
command_module = importlib.import_module("migrationlab.cli.doctor")

GIB = 1024**3
FINE = ProgramResult(0, "")
# What unshare says where the kernel's answer is EPERM, ENOSPC, or where it may not write the map
# of user ids. The last is Ubuntu 24.04's, as its users report it to containers' projects.
NOT_PERMITTED = "unshare: unshare failed: Operation not permitted"
NO_SPACE = "unshare: unshare failed: No space left on device"
NO_MAP = "unshare: write failed /proc/self/uid_map: Operation not permitted"

# util-linux 2.38, for an overlay on a file system that can be no part of one.
BAD_OVERLAY = (
    "mount: merged: wrong fs type, bad option, bad superblock on overlay, missing codepage or "
    "helper program, or other error."
)


def answers(words: Mapping[str, ProgramResult]) -> Callable[[Sequence[str]], ProgramResult]:
    """Return a ``run`` that gives the answer of the first key found in the command."""

    def answer(argv: Sequence[str]) -> ProgramResult:
        command = " ".join(argv)
        return next((said for key, said in words.items() if key in command), FINE)

    return answer


@pytest.fixture
def healthy(tmp_path: Path) -> Callable[..., Machine]:
    """Give a machine that lacks nothing; keywords replace its parts, ``says`` some answers."""
    for path, text in {
        "etc/subuid": "someone:100000:65536\nlearner:165536:65536\n",
        "etc/subgid": "learner:165536:65536\n",
        "proc/sys/user/max_user_namespaces": "96365\n",
        "proc/self/status": "Name:\tcat\nSeccomp:\t0\n",
        "dev/kvm": "",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    def machine(says: Mapping[str, ProgramResult] | None = None, **other: object) -> Machine:
        words = {**(says or {}), "import libvirt": ProgramResult(0, "[9000000, []]")}
        built = Machine(
            root=False,
            user="learner",
            system="Linux x86_64",
            files=tmp_path,
            cache=tmp_path / "cache",
            run=answers(words),
            which=lambda name: f"/usr/bin/{name}",
            userfaultfd=lambda: "",
            free_disk=lambda path: 50 * GIB,
            free_memory=lambda: 8 * GIB,
            cached=lambda release: release == "trixie",
            kvm_verdict=lambda: KvmVerdict(boots=True),
        )
        return replace(built, **other)

    return machine


def finding(machine: Machine, name: str) -> Check:
    """Return the one check of that name."""
    (check,) = (check for check in doctor(machine).checks if check.name == name)
    return check


def left_behind(temporary: Path) -> tuple[set[str], str, list[Path]]:
    """Return what a careless try would leave: interfaces, mounts, temporary files."""
    interfaces = {path.name for path in Path("/sys/class/net").iterdir()}
    return interfaces, Path("/proc/self/mounts").read_text(), list(temporary.iterdir())


def test_doctor_removes_what_it_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor removes the interfaces, mounts and files that it makes."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = left_behind(tmp_path)
    diagnosis = doctor(replace(Machine(), kvm_verdict=lambda: None))
    assert left_behind(tmp_path) == before
    names = [check.name for check in diagnosis.checks]
    assert len(names) == len(set(names))


def test_every_bad_finding_has_a_hint() -> None:
    """Every bad finding on this machine has a hint."""
    for check in doctor(replace(Machine(), kvm_verdict=lambda: None)).checks:
        assert check.status is Status.OK or check.hint, check


def test_healthy_machine_is_ok(healthy: Callable[..., Machine]) -> None:
    """Every check is good, as an ordinary user and as root."""
    for machine in (healthy(), healthy(root=True)):
        diagnosis = doctor(machine)
        assert {check.status for check in diagnosis.checks} == {Status.OK}
        assert diagnosis.verdict == "The lab can run here."


@pytest.mark.parametrize(
    ("words", "files", "cause", "hint"),
    [
        pytest.param(
            NO_MAP,
            {"kernel/apparmor_restrict_unprivileged_userns": "1\n"},
            "AppArmor",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
            id="ubuntu-24.04",
        ),
        pytest.param(
            NO_SPACE,
            {"user/max_user_namespaces": "0\n"},
            "user.max_user_namespaces is 0",
            "sysctl -w user.max_user_namespaces=",
            id="limit-of-user-namespaces",
        ),
        pytest.param(
            NO_SPACE,
            {"user/max_net_namespaces": "0\n"},
            "user.max_net_namespaces is 0",
            "sysctl -w user.max_net_namespaces=",
            id="limit-of-network-namespaces",
        ),
        pytest.param(
            NOT_PERMITTED,
            {"kernel/unprivileged_userns_clone": "0\n"},
            "the kernel forbids them",
            "sysctl -w kernel.unprivileged_userns_clone=1",
            id="debian-kernel-setting",
        ),
        pytest.param(
            NOT_PERMITTED,
            {"../self/status": "Name:\tcat\nSeccomp:\t2\nSeccomp_filters:\t1\n"},
            "seccomp",
            "--privileged",
            id="docker",
        ),
        # util-linux 2.38, for a user without a line in the file.
        pytest.param(
            'unshare: no line matching user "learner" in /etc/subuid: Success',
            {},
            "no sub-ids",
            "sub-ids",
            id="no-sub-ids",
        ),
        # util-linux 2.38, with the package uidmap removed.
        pytest.param(
            "unshare: failed to execute newuidmap: No such file or directory",
            {},
            "program is missing",
            "programs",
            id="no-newuidmap",
        ),
        pytest.param(NOT_PERMITTED, {}, "refuses", "Try on a machine", id="unknown"),
    ],
)
def test_cause_of_refused_namespaces_is_named(
    healthy: Callable[..., Machine],
    words: str,
    files: dict[str, str],
    cause: str,
    hint: str,
) -> None:
    """The failure names its cause and fix, and checks that need namespaces are not tried."""
    machine = healthy({"--mount-proc": ProgramResult(1, words)})
    for path, text in files.items():
        (machine.files / "proc/sys" / path).parent.mkdir(parents=True, exist_ok=True)
        (machine.files / "proc/sys" / path).write_text(text)
    check = finding(machine, "namespaces")
    assert check.status is Status.FAIL
    assert cause in check.detail
    assert words in check.detail
    assert hint in check.hint
    assert finding(machine, "netem").detail == "not tried: it needs namespaces"
    assert not doctor(machine).ok


def test_unshare_reports_the_limit_of_namespaces() -> None:
    """The message of unshare at a limit of 0 namespaces is the one that the doctor looks for."""
    machine = Machine()
    setting = "/proc/sys/user/max_user_namespaces"
    script = f"echo 0 > {setting} && unshare --user --map-root-user true"
    outer = ["unshare", "--user", "--map-root-user", "sh", "-c", script]
    if machine.run(["unshare", "--user", "--map-root-user", "true"]).status:
        pytest.skip("this machine forbids user namespaces")
    result = machine.run(outer)
    assert (result.status, result.complaint) == (1, NO_SPACE)


def test_hint_installs_missing_programs(healthy: Callable[..., Machine]) -> None:
    """The hint is a command that installs exactly the missing packages."""
    gone = {"mmdebstrap", "newuidmap", "newgidmap", "tc"}
    machine = healthy(which=lambda name: None if name in gone else f"/usr/bin/{name}")
    check = finding(machine, "programs")
    assert check.status is Status.FAIL
    assert all(name in check.detail for name in gone)
    assert check.hint.endswith(" iproute2 mmdebstrap uidmap")


def test_root_needs_no_sub_ids(healthy: Callable[..., Machine]) -> None:
    """Root needs no user namespace, so root needs neither sub-ids nor their programs."""
    machine = healthy(root=True, which=lambda name: None if "idmap" in name else name)
    assert finding(machine, "programs").status is Status.OK
    assert "sub-ids" not in [check.name for check in doctor(machine).checks]


@pytest.mark.parametrize("text", ["", "someone:100000:65536\n", "learner:165536:1000\n", "#\n"])
def test_too_few_sub_ids_fail(healthy: Callable[..., Machine], text: str) -> None:
    """The check fails without a line, with another user's line, a short range or a comment only."""
    machine = healthy()
    (machine.files / "etc/subgid").write_text(text)
    check = finding(machine, "sub-ids")
    assert check.status is Status.FAIL
    assert "/etc/subgid" in check.detail
    assert "/etc/subuid" not in check.detail


@pytest.mark.parametrize(
    ("key", "words", "name", "status", "hint"),
    [
        # gcc without libc6-dev.
        (
            "gcc",
            "try.c:1:10: fatal error: stdio.h: No such file or directory",
            "compiler",
            Status.FAIL,
            "libc6-dev",
        ),
        # iproute2 6.1, where /dev/net/tun is of mode 0600 and the user is not root.
        ("tuntap", "open: Permission denied", "tap", Status.FAIL, "chmod 0666"),
        ("tuntap", "open: No such file or directory", "tap", Status.FAIL, "modprobe tun"),
        # iproute2 6.1, on a kernel built without the module in question.
        ("type bridge", "Error: Unknown device type.", "links", Status.FAIL, "bridge"),
        ("tbf", "Error: Specified qdisc kind is unknown.", "wire rate", Status.FAIL, "sch_tbf"),
        ("netem", "Error: Specified qdisc kind is unknown.", "netem", Status.WARN, "sch_netem"),
        (
            "overlay",
            BAD_OVERLAY,
            "overlayfs",
            Status.FAIL,
            "XDG_CACHE_HOME",
        ),
    ],
)
def test_refused_try_has_message_and_fix(
    healthy: Callable[..., Machine], key: str, words: str, name: str, status: Status, hint: str
) -> None:
    """The finding of a refused try has the message and a fix; only what the lab needs fails."""
    machine = healthy({key: ProgramResult(2, words)})
    check = finding(machine, name)
    assert check.status is status
    assert words in check.detail
    assert hint in check.hint
    assert doctor(machine).ok is (status is Status.WARN)


def test_missing_kvm_warns(healthy: Callable[..., Machine]) -> None:
    """Without /dev/kvm the lab runs under TCG, and the finding says so."""
    machine = healthy()
    (machine.files / "dev/kvm").unlink()
    check = finding(machine, "kvm")
    assert check.status is Status.WARN
    assert "no /dev/kvm" in check.detail


@pytest.mark.parametrize(
    ("opens", "detail"),
    [(True, "by a group, which a rootless libvirtd gives up"), (False, "cannot open /dev/kvm")],
)
def test_kvm_by_group_has_its_own_finding(
    healthy: Callable[..., Machine], opens: bool, detail: str
) -> None:
    """A /dev/kvm that the user can open only by a group has its own finding."""
    refused = ProgramResult(2, "sh: 1: cannot open /dev/kvm: Permission denied")
    # Not by the file's mode: for root, as whom these tests may run, every file opens.
    machine = healthy({"setpriv": refused}, opens=lambda path: opens)
    check = finding(machine, "kvm")
    assert check.status is Status.WARN
    assert detail in check.detail
    assert "setfacl -m u:learner:rw" in check.hint


@pytest.mark.parametrize(
    ("verdict", "status", "detail"),
    [
        (KvmVerdict(boots=True), Status.OK, "a guest boots with it"),
        (None, Status.OK, "the first lab tries"),
        (KvmVerdict(boots=False, reason="no boot within 6 s"), Status.WARN, "no boot within 6 s"),
    ],
)
def test_kvm_finding_is_the_result_of_a_boot(
    healthy: Callable[..., Machine], verdict: KvmVerdict | None, status: Status, detail: str
) -> None:
    """The finding on KVM is the result of a boot, not of opening /dev/kvm."""
    check = finding(healthy(kvm_verdict=lambda: verdict), "kvm")
    assert check.status is status
    assert detail in check.detail


def test_failed_kvm_boot_is_a_finding(healthy: Callable[..., Machine]) -> None:
    """A failed boot with KVM becomes a finding, and the doctor and the lab continue."""

    def trial() -> KvmVerdict:
        raise LabError("the program gcc is missing", hint="run `make setup`")

    check = finding(healthy(kvm_verdict=trial), "kvm")
    assert check.status is Status.WARN
    assert "gcc is missing" in check.detail
    assert check.hint == "run `make setup`"


def test_forbidden_userfaultfd_warns(
    healthy: Callable[..., Machine],
) -> None:
    """If vm.unprivileged_userfaultfd is 0 the kernel returns EPERM, and the doctor warns."""
    machine = healthy(userfaultfd=lambda: "Operation not permitted")
    assert finding(machine, "userfaultfd").status is Status.WARN
    assert doctor(machine).ok


@pytest.mark.parametrize(
    ("answer", "status", "detail"),
    [
        # The dynamic linker, for a binding built against newer headers than the library here.
        (
            ProgramResult(
                1, "/lib/x86_64-linux-gnu/libvirt.so.0: version `LIBVIRT_9.0.0' not found"
            ),
            Status.FAIL,
            "`LIBVIRT_9.0.0' not found",
        ),
        (
            ProgramResult(0, '[11003000, ["VIR_MIGRATE_PARAM_COMPRESSION_ZSTD_LEVEL"]]'),
            Status.WARN,
            "older headers: no VIR_MIGRATE_PARAM_COMPRESSION_ZSTD_LEVEL",
        ),
        (
            ProgramResult(0, '[9000000, ["VIR_MIGRATE_PARAM_COMPRESSION_ZSTD_LEVEL"]]'),
            Status.OK,
            "libvirt 9.0.0",
        ),
    ],
)
def test_binding_is_compared_with_the_library(
    healthy: Callable[..., Machine], answer: ProgramResult, status: Status, detail: str
) -> None:
    """The binding may lack a constant only if the library is older than that constant."""
    check = finding(healthy(run=answers({"import libvirt": answer})), "libvirt")
    assert check.status is status
    assert detail in check.detail


def test_full_disk_fails_only_without_image(healthy: Callable[..., Machine]) -> None:
    """A full disk fails the check without an image, and gives a warning with an image."""
    full = healthy(free_disk=lambda path: GIB)
    assert finding(full, "disk").status is Status.WARN
    assert finding(replace(full, cached=lambda release: False), "disk").status is Status.FAIL


def test_little_memory_warns(healthy: Callable[..., Machine]) -> None:
    """Less memory than two daemons and a migrating guest need is a warning."""
    assert finding(healthy(free_memory=lambda: GIB // 2), "memory").status is Status.WARN


def test_unusable_cache_fails(healthy: Callable[..., Machine]) -> None:
    """A cache folder of another user or a read-only one fails with its own hint."""

    def foreign(release: str) -> bool:
        raise LabError("/x is not a folder of this user's alone", hint="look who made it")

    def read_only(release: str) -> bool:
        raise OSError(30, "Read-only file system", "/x")

    assert finding(healthy(cached=foreign), "images").hint == "look who made it"
    assert "XDG_CACHE_HOME" in finding(healthy(cached=read_only), "images").hint


def test_system_without_lab_can_read_runs(healthy: Callable[..., Machine]) -> None:
    """The hint for a system that cannot run the lab says that it can read recorded runs."""
    check = finding(healthy(system="Darwin arm64"), "system")
    assert check.status is Status.FAIL
    assert "recorded runs" in check.hint


def test_try_that_cannot_run_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing program and a passed time limit are results."""
    missing = run(["no-such-program"])
    assert (missing.status, missing.complaint) == (NOT_RUN, "no-such-program: not found")
    monkeypatch.setattr(machine_module, "TRY_LIMIT_S", 0.05)
    assert run(["tail", "-f", "/dev/null"]).status == NOT_RUN


def test_programs_in_sbin_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor finds tc in sbin, which is not in an ordinary user's PATH on Debian."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    if not any(Path(folder, "tc").exists() for folder in ("/usr/sbin", "/sbin")):
        pytest.skip("tc is not in sbin here")
    assert run(["tc", "-V"]).status == 0
    assert Machine().which("tc")


MIXED = Diagnosis(
    (
        Check("good", Status.OK, "fine"),
        Check("poor", Status.WARN, "a < b", "do this"),
        Check("bad", Status.FAIL, "broken", "do that"),
    )
)


def test_table_has_findings_hints_and_verdict() -> None:
    """Each line has status, name and finding, with the hint below; the verdict is last."""
    assert str(MIXED).splitlines() == [
        "ok    good  fine",
        "warn  poor  a < b",
        "            → do this",
        "fail  bad   broken",
        "            → do that",
        "",
        "The lab cannot run here yet. Fix: bad.",
    ]


def test_diagnosis_as_repr_html_and_json() -> None:
    """The repr is one line, the HTML is escaped, and JSON keeps the plain values."""
    assert repr(MIXED) == "Diagnosis(not ok, 3 checks, 1 warned, 1 failed)"
    assert "a &lt; b" in MIXED._repr_html_()
    assert json.loads(json.dumps(MIXED.to_dict())) == MIXED.to_dict()
    assert Diagnosis(MIXED.checks[:2]).verdict == "The lab can run here, without poor."


@pytest.mark.parametrize(("checks", "status"), [(2, 0), (3, 1)])
def test_command_exits_with_the_verdict(
    monkeypatch: pytest.MonkeyPatch, checks: int, status: int
) -> None:
    """Exit status 0 means that the lab can run; JSON and text say the same."""
    diagnosis = Diagnosis(MIXED.checks[:checks])
    monkeypatch.setattr(command_module, "examine", lambda: diagnosis)
    text = CliRunner().invoke(command_module.doctor)
    assert (text.exit_code, text.output) == (status, f"{diagnosis}\n")
    found = CliRunner().invoke(command_module.doctor, ["--format", "json"])
    assert (found.exit_code, json.loads(found.output)) == (status, diagnosis.to_dict())
