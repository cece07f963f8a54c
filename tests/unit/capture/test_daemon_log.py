"""The phases of migrations, read from what real libvirtds wrote."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from migrationlab.capture import daemon_log

#: From the log of a lab host, Debian 13's libvirtd 11.3.0: a guest left by a normal migration
#: and came back by a peer2peer one. Between the lines stood others of the same kinds.
LINES = """\
2026-11-22 19:55:48.550+0000: 66: info : libvirt version: 11.3.0, package: 11.3.0-3+deb13u3 (Debian)
2026-11-22 19:55:48.550+0000: 66: info : hostname: host-a
2026-11-22 19:56:04.679+0000: 51: debug : qemuDomainObjStartJobPhase:594 : Starting phase 'begin3' \
of 'migration out' job
2026-11-22 19:56:04.679+0000: 51: debug : qemuDomainObjSetJobPhase:564 : Setting 'migration out' \
phase to 'begin3'
2026-11-22 19:56:04.682+0000: 51: debug : qemuMigrationCookieFormat:1485 : cookielen=1013 \
cookie=<qemu-migration>
  <name>guest-1</name>
  <hostname>host-a</hostname>
2026-11-22 19:56:05.158+0000: 52: debug : qemuDomainObjSetJobPhase:564 : Setting 'migration out' \
phase to 'perform3'
2026-11-22 19:56:06.026+0000: 52: debug : qemuDomainObjSetJobPhase:564 : Setting 'migration out' \
phase to 'perform3_done'
2026-11-22 19:56:06.129+0000: 51: debug : qemuDomainObjSetJobPhase:564 : Setting 'migration out' \
phase to 'confirm3'
2026-11-22 19:56:06.135+0000: 51: debug : qemuDomainObjSetJobPhase:564 : Setting 'migration out' \
phase to 'confirm3'
2026-11-22 19:56:06.966+0000: 51: debug : qemuDomainObjSetJobPhase:564 : Setting 'migration in' \
phase to 'prepare'
2026-11-22 19:56:08.432+0000: 52: debug : qemuDomainObjSetJobPhase:564 : Setting 'migration in' \
phase to 'finish3'
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Give a daemon's log."""
    path = tmp_path / "libvirtd.log"
    path.write_text(LINES)
    return path


def details(log: Path, start: int = 0) -> list[tuple[str, str]]:
    """Return job and phase of each row."""
    found = [json.loads(row[5]) for row in daemon_log.phases(log, start, "source")]
    return [(detail["job"], detail["phase"]) for detail in found]


def test_all_phases_are_found(log: Path) -> None:
    """Each phase is found once, in order, also where the daemon names it twice running."""
    assert details(log) == [
        *(("out", name) for name in ("begin3", "perform3", "perform3_done", "confirm3")),
        *(("in", name) for name in ("prepare", "finish3")),
    ]


def test_rows_have_the_moment_and_the_side(log: Path) -> None:
    """A row's times are the line's, to the millisecond and exactly; its side is the caller's."""
    first = daemon_log.phases(log, 0, "destination")[0]
    moment = datetime.fromisoformat("2026-11-22T19:56:04.679+00:00")
    expected = int(moment.timestamp()) * 1_000_000_000 + 679_000_000
    assert first[:5] == (expected, expected, "destination", "log", "phase")


def test_only_what_came_since_is_read(log: Path) -> None:
    """From the length that the log had, only what was added since is read."""
    before = daemon_log.size(log)
    assert before == len(LINES)
    assert details(log, before) == []
    with log.open("a") as file:
        file.write(LINES)
    assert len(details(log, before)) == 6
    assert len(details(log)) == 12


def test_damaged_bytes_and_a_line_cut_off_do_no_harm(log: Path) -> None:
    """A log read while it is written may end in the middle of a line, or hold strange bytes."""
    with log.open("ab") as file:
        file.write(
            b"\xff\xfe\n2026-11-22 19:56:09.001+0000: 51: debug : qemuDomainObjSetJobPhase:5"
        )
    assert len(details(log)) == 6


@pytest.mark.parametrize("path", [None, Path("/nowhere/libvirtd.log")])
def test_without_a_log_there_are_no_phases(path: Path | None) -> None:
    """Where there is no log that this process may read, there are simply no phases."""
    assert daemon_log.size(path) == 0
    assert daemon_log.phases(path, 0, "source") == []


#: From the log of the source, likewise: in peer2peer over ssh the destination's QEMU could not
#: listen where the plan said, and hanging up failed besides. Some lines between were left out.
HIDDEN = """\
2026-11-22 23:34:58.868+0000: 56: debug : qemuMigrationSrcPerformPeer2Peer3:5828 : Prepare3 \
0x7fcb60004e90
2026-11-22 23:34:58.868+0000: 56: debug : qemuDomainObjEnterRemote:5035 : Entering remote \
(vm=0x7fcb5c5b3100 name=guest-1)
2026-11-22 23:34:59.554+0000: 56: error : virNetClientProgramDispatchError:170 : internal error: \
unable to execute QEMU command 'migrate-incoming': Failed to bind socket: Cannot assign requested \
address
2026-11-22 23:34:59.554+0000: 56: debug : qemuDomainObjExitRemote:5046 : Exited remote \
(vm=0x7fcb5c5b3100 name=guest-1)
2026-11-22 23:34:59.568+0000: 56: error : virNetSocketReadWire:1778 : End of file while reading \
data: : Input/output error
2026-11-22 23:34:59.569+0000: 56: debug : qemuMigrationSrcRestoreDomainState:270 : \
driver=0x55844cde3750, vm=0x7fcb5c5b3100, pre-mig-state=running, state=running, reason=migrated
"""
TOLD = "End of file while reading data: : Input/output error"
REASON = (
    "internal error: unable to execute QEMU command 'migrate-incoming': Failed to bind socket: "
    "Cannot assign requested address"
)
FAILED = datetime.fromisoformat("2026-11-22T23:34:58+00:00").timestamp() * 1e9


def hidden(path: Path | None, *, start: int = 0, since_ns: float = FAILED) -> str | None:
    """Return the reason that the log has for what was told."""
    return daemon_log.hidden_reason(path, start, round(since_ns), TOLD)


def test_a_hidden_reason_is_found(log: Path) -> None:
    """What the thread met before the error that it told of is the reason of the failure."""
    log.write_text(LINES + HIDDEN)
    assert hidden(log) == REASON
    assert hidden(log, start=len(LINES)) == REASON


def test_another_threads_error_is_no_reason(log: Path) -> None:
    """What another thread met, or this one too long ago, has nothing to do with it."""
    log.write_text(HIDDEN.replace(": 56: error : virNetClient", ": 57: error : virNetClient"))
    assert hidden(log) is None
    log.write_text(HIDDEN)
    assert hidden(log, since_ns=FAILED + 1.56e9) is None


def test_a_lost_connection_hides_nothing(log: Path) -> None:
    """Where the thread met no other error, the one that it told of is the reason."""
    log.write_text("".join(x for x in HIDDEN.splitlines(True) if "virNetClientProgram" not in x))
    assert hidden(log) is None


def test_a_log_that_cannot_be_read_does_no_harm(tmp_path: Path) -> None:
    """A log that refuses to be read, as a folder does, has no phases and no reasons."""
    assert daemon_log.phases(tmp_path, 0, "source") == []
    assert hidden(tmp_path) is None
    assert hidden(None) is None
    assert daemon_log.size(tmp_path / "log" / "libvirtd.log") == 0


def test_a_log_that_was_cut_meanwhile_is_told_of(log: Path) -> None:
    """A log that logrotate cut is shorter than it was: what it has is read, and the gap known."""
    start = daemon_log.size(log)
    assert not daemon_log.shrank(log, start)
    log.write_text(log.read_text().splitlines(keepends=True)[-1])
    assert daemon_log.shrank(log, start)
    assert details(log, start) == [("in", "finish3")]
    log.unlink()
    assert daemon_log.shrank(log, start)
    assert details(log, start) == []
    assert not daemon_log.shrank(None, 0)
