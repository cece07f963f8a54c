"""Every fault for real: refused in libvirt's own words, explained, and fixed again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from migrationlab.cli import main
from migrationlab.errors import LabError, UsageError
from migrationlab.explain.explanation import explain
from migrationlab.hosts.host import Host
from migrationlab.lab import faults, namespaces
from migrationlab.lab.fault_cases import CASES, UNPRIVILEGED_USERFAULTFD
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.start import migrate
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome, Run

pytestmark = pytest.mark.lab("bookworm")

#: What libvirt 11.3 and QEMU 10.0 answer: the error's code, and words of its text.
ANSWERS = {
    "certificate-wrong-name": (9, "Certificate does not match the hostname host-"),
    "certificate-unknown-authority": (9, "The certificate hasn't got a known issuer"),
    "certificate-expired": (1, "The server certificate /etc/pki/qemu/server-cert.pem has expired"),
    "certificate-missing": (38, "Unable to read TLS confirmation"),
    "host-key-unknown": (38, "Host key verification failed."),
    "port-closed": (38, ":49152': No route to host"),
    "name-resolves-to-localhost": (1, "hostname on destination resolved to localhost"),
    "same-host-uuid": (1, "Attempt to migrate guest to the same host"),
    "cpu-model-missing": (1, "Unknown CPU model Nehalem-v1"),
    "disk-not-shared": (81, "Unsafe migration: Migration without shared storage is unsafe"),
    "cache-mode-unsafe": (81, "Unsafe migration: Migration may lead to data corruption"),
    "userfaultfd-refused": (1, "Userfaultfd not available: Operation not permitted"),
}
NEEDS_TWO_RELEASES = "cpu-model-missing"
#: Each is met like another one of the list.
RARELY_TRIED = (
    "certificate-wrong-name", "certificate-expired", "certificate-missing", "same-host-uuid",
    "cache-mode-unsafe", "disk-not-shared",
)  # fmt: skip


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Give a lab of this module's own, for faults."""
    with Lab() as own:
        yield own


@pytest.fixture(scope="module")
def guest(lab: Lab) -> Guest:
    """Give a guest without a fault."""
    return lab.boot("sound", memory_mib=128, working_set_mib=8, dirty_mib_s=5)


def hosts_of(lab: Lab, guest: Guest) -> list[Host]:
    """Return the hosts that have a guest's domain."""
    return [host for host in lab.hosts if guest.uuid in {domain.uuid for domain in host.domains()}]


def assert_refused(lab: Lab, case: faults.ActiveFault, guest: Guest, run: Run) -> None:
    """Check that a run into a fault was refused as expected, and left the guest intact."""
    code, words = ANSWERS[case.case.id]
    assert run.outcome is Outcome.FAILED
    assert run.error is not None
    assert words in run.error.text
    assert run.error.code == code
    explanation = explain(run.error.text, code=run.error.code, domain=run.error.domain)
    assert explanation.known
    assert explanation.id == case.expected
    assert hosts_of(lab, guest) == [case.source]
    assert guest.host is case.source
    assert guest.check().intact


def test_faults_are_described() -> None:
    """Each fault has its own name, a title, and what it breaks."""
    assert {case.id for case in CASES} == set(ANSWERS)
    for case in Lab.fault_cases():
        assert case.title
        assert case.broken.endswith(".")
        assert " at 0x" not in repr(case)


@pytest.mark.parametrize(
    "case_id",
    [
        pytest.param(name, marks=[pytest.mark.thorough] * (name in RARELY_TRIED))
        for name in ANSWERS
        if name != NEEDS_TWO_RELEASES
    ],
)
def test_fault_is_refused_and_fixed(lab: Lab, guest: Guest, case_id: str) -> None:
    """With the fault libvirt refuses the plan and the guest stays; after the fix the plan works."""
    may_all = UNPRIVILEGED_USERFAULTFD.exists() and UNPRIVILEGED_USERFAULTFD.read_text() != "0\n"
    if case_id == "userfaultfd-refused" and may_all:
        pytest.skip("this machine lets everybody use userfaultfd")
    source = guest.host
    with lab.broken(case_id, source=source) as case:
        assert lab.inspect()["broken"] == case_id
        moving = case.guest or guest
        run = migrate(moving, to=case.to, plan=case.plan, validate=False)
        assert_refused(lab, case, moving, run)
    assert lab.inspect()["broken"] is None
    assert [left.name for left in lab.guests] == ["sound"]
    plan = case.plan
    if plan.postcopy and namespaces.rootless():
        return  # an ordinary user has no post-copy, also without the fault
    run = migrate(guest, to=case.to, plan=plan)
    assert run.outcome is Outcome.COMPLETED, run.error
    assert hosts_of(lab, guest) == [case.to]


@pytest.mark.thorough
def test_cpu_model_of_newer_libvirt_is_refused() -> None:
    """A guest whose CPU model only the newer libvirt knows stays on the newer host."""
    with Lab(images=("trixie", "bookworm")) as lab, lab.broken(NEEDS_TWO_RELEASES) as case:
        assert case.guest is not None
        run = migrate(case.guest, to=case.to, plan=case.plan, validate=False)
        assert_refused(lab, case, case.guest, run)


@pytest.mark.parametrize("case_id", ["certificate-wrong-name", "certificate-unknown-authority"])
def test_control_connection_hides_the_reason(lab: Lab, guest: Guest, case_id: str) -> None:
    """Over qemu+tls all bad certificates have one message; the source's log has the reason."""
    why = {
        "certificate-wrong-name": "owner does not match the hostname",
        "certificate-unknown-authority": "The certificate hasn't got a known issuer",
    }
    source = guest.host
    assert source.log is not None
    length = source.log.stat().st_size
    with lab.broken(case_id, source=source) as case:
        uri = f"qemu+tls://{case.to.name}/system"
        run = migrate(guest, to=case.to, plan=Plan(mode="peer2peer", connection_uri=uri))
        assert run.error is not None
        assert run.error.text == "authentication failed: Failed to verify peer's certificate"
        explanation = explain(run.error.text, code=run.error.code, domain=run.error.domain)
        assert explanation.id == "certificate-not-verified"
    assert why[case_id] in source.log.read_text()[length:]


@pytest.mark.thorough
def test_cached_shared_disk_migrates_without_the_fault(lab: Lab) -> None:
    """Without the fault a guest with a cached shared disk migrates; QEMU drops its cache."""
    cached = lab.boot(
        "cached",
        memory_mib=128,
        working_set_mib=8,
        disk="shared",
        disk_mib=4,
        disk_cache="writeback",
    )
    try:
        run = migrate(cached, to=cached.other_host, plan=Plan(mode="peer2peer"))
        assert run.outcome is Outcome.COMPLETED, run.error
        assert cached.check().intact
    finally:
        cached.destroy()


def test_exception_in_the_body_fixes_the_lab(lab: Lab, guest: Guest) -> None:
    """An exception in the body of the with statement fixes the lab."""
    source = guest.host
    with pytest.raises(ZeroDivisionError), lab.broken("host-key-unknown", source=source):
        1 / 0  # noqa: B018
    assert faults.switched_on(lab) is None
    argv = [*lab.rack.in_host(source.name), "cat", "/root/.ssh/known_hosts"]
    assert namespaces.run(argv) == lab.files.known_hosts.read_text()


def test_failed_switch_on_is_undone(lab: Lab) -> None:
    """A fault is undone if its guest does not boot, and the error is the guest's."""

    def boot(*words: object, **settings: object) -> Guest:
        raise LabError("it did not come up")

    with pytest.raises(LabError, match="it did not come up"):
        faults.switch_on(lab, "cache-mode-unsafe", source=None, boot=boot)
    assert faults.switched_on(lab) is None
    argv = [*lab.rack.in_host("host-a"), "cat", "/etc/libvirt/qemu.conf"]
    assert "capability_filters" not in namespaces.run(argv)


def test_second_fault_is_refused(lab: Lab) -> None:
    """A second fault is refused while one is on, and the first stays on."""
    with lab.broken("port-closed"):
        with pytest.raises(UsageError, match="port-closed is switched on already") as caught:
            faults.switch_on(lab, "host-key-unknown", source=None, boot=lab.boot)
        assert "lab mend" in caught.value.hint
        assert lab.inspect()["broken"] == "port-closed"
    assert faults.fix(lab) is None


def test_unknown_fault_is_refused(lab: Lab) -> None:
    """An unknown fault is refused with the known ones."""
    with pytest.raises(UsageError, match=r"fault must be one of .* \(got 'gremlins'\)") as caught:
        lab.broken("gremlins").__enter__()
    assert "port-closed" in str(caught.value)


def test_source_of_another_lab_is_refused(lab: Lab) -> None:
    """A fault between hosts of another lab is refused."""
    other = Host("test:///default")
    with pytest.raises(UsageError, match="source must be a host of this lab"):
        lab.broken("port-closed", source=other).__enter__()
    other.close()
    assert faults.switched_on(lab) is None


def test_fault_that_a_lab_cannot_have_is_refused(lab: Lab) -> None:
    """The hint of a fault that needs another lab says which one."""
    with pytest.raises(UsageError, match="switching cpu-model-missing on failed") as caught:
        lab.broken("cpu-model-missing").__enter__()
    assert 'images=("trixie", "bookworm")' in caught.value.hint
    assert faults.switched_on(lab) is None


def call(*words: str) -> Result:
    """Run a verb of the command in this process."""
    return CliRunner().invoke(main, ["lab", *words])


def test_one_command_breaks_and_another_fixes_the_lab(lab: Lab, guest: Guest) -> None:
    """One process breaks the lab and prints how to meet the fault; another one fixes the lab."""
    source = guest.host
    options = ["--name", lab.name, "--format", "json"]
    done = call("break", "port-closed", "--source", source.name, *options)
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["case"] == "port-closed"
    assert (answer["source"], answer["guest"]) == (source.name, None)
    assert answer["virsh"][:4] == ["virsh", "--connect", source.uri, "migrate"]
    try:
        run = migrate(
            guest, to=guest.other_host, plan=Plan.from_dict(answer["plan"]), validate=False
        )
        assert run.error is not None
        assert ANSWERS["port-closed"][1] in run.error.text
    finally:
        argv = [sys.executable, "-m", "migrationlab.cli", "lab", "mend", *options]
        other = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert json.loads(other.stdout) == {"mended": "port-closed", "undone": []}
    assert call("mend", "--name", lab.name).stdout == f"lab {lab.name} has no fault\n"
    run = migrate(guest, to=guest.other_host, plan=Plan.from_dict(answer["plan"]))
    assert run.outcome is Outcome.COMPLETED, run.error


@pytest.mark.thorough
def test_command_line_shows_what_to_do(lab: Lab) -> None:
    """The text says what is broken, how to meet the fault, and how to fix it."""
    done = call("break", "disk-not-shared", "--name", lab.name)
    try:
        assert done.exit_code == 0, done.stderr
        assert "A guest for it, disk-not-shared, runs on host-a." in done.stdout
        assert "virsh --connect" in done.stdout
        assert f"migrationlab lab mend --name {lab.name}" in done.stdout
        assert "fault: disk-not-shared" in call("inspect", lab.name).stdout
    finally:
        assert call("mend", "--name", lab.name).stdout == "disk-not-shared is fixed\n"
    assert "disk-not-shared" not in {guest.name for guest in lab.guests}


def test_command_line_lists_the_cases() -> None:
    """The list of faults says what each one breaks."""
    cases = json.loads(call("broken", "--format", "json").stdout)["cases"]
    assert {case["id"] for case in cases} == set(ANSWERS)
    assert call("broken").stdout.count("\n    ") == len(ANSWERS)


def test_command_line_refuses_unknown_names(lab: Lab) -> None:
    """An unknown fault, host or lab is refused without a traceback."""
    for words, text in (
        (["break", "gremlins", "--name", lab.name], "(got 'gremlins')"),
        (
            ["break", "port-closed", "--name", lab.name, "--source", "host-c"],
            "--source must be host-a or host-b",
        ),
        (["mend", "--name", "nobody"], "no lab 'nobody' is up"),
    ):
        done = call(*words)
        assert done.exit_code == 2
        assert text in done.stderr
        assert "Traceback" not in done.stderr
