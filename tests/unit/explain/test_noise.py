"""Whole logs of a host: what every log has is no cause, and does not hide one."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import yaml

from migrationlab.explain.explanation import Kind, causes, explain

HERE = Path(__file__).parent
NOISE: list[str] = yaml.safe_load((HERE / "noise.yaml").read_text("utf-8"))
MESSAGES: list[dict[str, str]] = yaml.load(
    (HERE / "messages.yaml").read_text("utf-8"), yaml.CSafeLoader
)
CALM = [f"Mar 04 02:10:{at:02} node-a CRON[1{at}]: (root) CMD (true)" for at in range(12)]
#: Shows that a log is about a migration, and says nothing of its end.
BEGUN = "Mar 04 02:10:13 node-a logger: the migration of web to node-b begins"
REFUSED = "unsupported configuration: Unable to find security driver for model selinux"
CLAIMS = (Kind.CAUSE, Kind.GENERAL, Kind.CANDIDATES)


def test_ordinary_line_names_no_cause() -> None:
    """A line that logs of healthy hosts have is not named as the reason of a migration's end."""
    assert len(NOISE) > 140
    found = {line: explain("\n".join([*CALM, line, BEGUN])) for line in NOISE}
    assert {line: each.id for line, each in found.items() if each.kind in CLAIMS} == {}


def at_second(line: str, second: int) -> str:
    """Return a line with another time of that day."""
    minutes, seconds = divmod(second, 60)
    return re.sub(r"(04[ T])\d\d:\d\d:\d\d", rf"\g<1>02:{minutes:02}:{seconds:02}", line, count=1)


def busy_log(reason: str, number: random.Random) -> str:
    """Return a log of four minutes with a line somewhere in it."""
    lines = [at_second(number.choice(NOISE), 2 * at) for at in range(120)]
    place = number.randrange(30, 110)
    lines.insert(place, at_second(reason, 2 * place))
    return "\n".join(lines)


@pytest.mark.parametrize(
    "before",
    [
        "2026-03-04 02:10:00.123 7 ERROR nova.virt.libvirt.driver [-] Live Migration failure: ",
        "error: ",
    ],
)
def test_reported_reason_is_found_in_noise(before: str) -> None:
    """What virsh or a management layer reports as the end leads, whatever the daemons logged."""
    number = random.Random(17)
    kinds = {cause.id: cause.kind for cause in causes()}
    reasons = [each for each in MESSAGES if kinds[each["id"]] is Kind.CAUSE]
    reasons = [each for each in reasons if explain(each["text"]).id == each["id"]][::4]
    assert len(reasons) > 50
    log = {each["text"]: busy_log(before + each["text"], number) for each in reasons}
    expected = {each["text"]: each["id"] for each in reasons}
    assert {text: explain(each).id for text, each in log.items()} == expected


def test_daemons_line_in_a_log_without_a_migration_is_no_proof() -> None:
    """A daemon logs for all its callers: its line counts if the log is about a migration."""
    line = f"Mar 04 02:10:12 node-a libvirtd[811]: {REFUSED}"
    alone, begun = explain("\n".join([*CALM, line])), explain("\n".join([*CALM, line, BEGUN]))
    assert (alone.id, alone.kind) == ("security-driver-differs", Kind.SIDE)
    assert "belongs to the failed migration" in alone.fix
    assert (begun.id, begun.kind) == ("security-driver-differs", Kind.CAUSE)
    assert explain(line).kind is Kind.CAUSE


def test_of_two_reasons_of_a_daemon_neither_is_claimed() -> None:
    """Two reasons that a daemon logged may be of two guests; a thread that migrates decides."""
    head = "2026-03-04 02:10:{:02}.100+0000: {}: error : {}:1 : {}"
    missing = "Cannot access storage file '/vms/b.qcow2': No such file or directory"
    two = [head.format(1, 811, "x", missing), head.format(3, 812, "x", REFUSED), BEGUN]
    assert explain("\n".join([*CALM, *two])).kind is Kind.SIDE
    two[1] = head.format(3, 812, "qemuMigrationDstPrepareAny", REFUSED)
    found = explain("\n".join([*CALM, *two]))
    assert (found.id, found.kind) == ("security-driver-differs", Kind.CAUSE)


def test_server_of_ssh_says_nothing_of_a_migration() -> None:
    """What sshd logs of its clients is no failure of a connection of libvirt."""
    line = "Mar 04 02:10:12 node-a sshd[71]: Connection closed by 192.0.2.9 port 50122 [preauth]"
    assert explain(line).kind is Kind.SIDE
    assert explain(line.replace("sshd[71]: ", "virsh: Cannot recv data: ")).kind is Kind.CAUSE
