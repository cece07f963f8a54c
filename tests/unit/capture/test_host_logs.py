"""What the logs of real libvirtds and QEMUs record of migrations."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from migrationlab.capture import host_logs
from migrationlab.capture.host_logs import Log
from migrationlab.capture.tcp_connections import Ports

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
    """Return a daemon's log."""
    path = tmp_path / "libvirtd.log"
    path.write_text(LINES)
    return path


def read_from(path: Path | None, start: int = 0) -> Log:
    """Return a log that had this length before."""
    log = Log(path)
    log.start = start
    return log


def details(log: Path, start: int = 0) -> list[tuple[str, str]]:
    """Return job and phase of each row."""
    found = [json.loads(row[5]) for row in host_logs.phases(read_from(log, start), "source")]
    return [(detail["job"], detail["phase"]) for detail in found]


def test_all_phases_are_found(log: Path) -> None:
    """Each phase is found once and in order, also if the daemon sets it twice in a row."""
    assert details(log) == [
        *(("out", name) for name in ("begin3", "perform3", "perform3_done", "confirm3")),
        *(("in", name) for name in ("prepare", "finish3")),
    ]


def test_phases_have_time_and_side(log: Path) -> None:
    """A phase has its line's time in milliseconds and the caller's side."""
    first = host_logs.phases(read_from(log), "destination")[0]
    moment = datetime.fromisoformat("2026-11-22T19:56:04.679+00:00")
    expected = int(moment.timestamp()) * 1_000_000_000 + 679_000_000
    assert first[:5] == (expected, expected, "destination", "log", "phase")


def test_phases_before_the_start_are_not_read(log: Path) -> None:
    """Only lines after the given length of the log are read."""
    before = Log(log).start
    assert before == len(LINES)
    assert details(log, before) == []
    with log.open("a") as file:
        file.write(LINES)
    assert len(details(log, before)) == 6
    assert len(details(log)) == 12


def test_damaged_and_incomplete_lines_are_skipped(log: Path) -> None:
    """Incomplete lines and lines with invalid bytes are skipped."""
    with log.open("ab") as file:
        file.write(
            b"\xff\xfe\n2026-11-22 19:56:09.001+0000: 51: debug : qemuDomainObjSetJobPhase:5"
        )
    assert len(details(log)) == 6


@pytest.mark.parametrize("path", [None, Path("/nowhere/libvirtd.log")])
def test_missing_log_has_no_phases(path: Path | None) -> None:
    """A log that does not exist or cannot be read has no phases."""
    assert Log(path).start == 0
    assert host_logs.phases(read_from(path), "source") == []


#: From the log of the source: in peer2peer over ssh the destination's QEMU could not
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
REPORTED = "End of file while reading data: : Input/output error"
REASON = (
    "internal error: unable to execute QEMU command 'migrate-incoming': Failed to bind socket: "
    "Cannot assign requested address"
)
FAILED = datetime.fromisoformat("2026-11-22T23:34:58+00:00").timestamp() * 1e9


def hidden(path: Path | None, *, start: int = 0, since_ns: float = FAILED) -> str | None:
    """Return the reason that the log has for the reported error."""
    return host_logs.hidden_reason(read_from(path, start), round(since_ns), REPORTED)


def test_hidden_reason_is_found(log: Path) -> None:
    """The hidden reason is the error that the same thread logged before the reported one."""
    log.write_text(LINES + HIDDEN)
    assert hidden(log) == REASON
    assert hidden(log, start=len(LINES)) == REASON


def test_answer_to_an_abort_is_no_reason(log: Path) -> None:
    """The destination's answer to the source's abort stands between the reason and its report."""
    lines = HIDDEN.splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if REASON in line)
    answer = lines[at].replace(REASON, host_logs.ABORTED)
    log.write_text("".join([*lines[: at + 1], answer, *lines[at + 1 :]]))
    assert hidden(log) == REASON
    log.write_text("".join([*lines[:at], answer, *lines[at + 1 :]]))
    assert hidden(log) == host_logs.ABORTED


def test_error_of_another_thread_is_no_reason(log: Path) -> None:
    """An error of another thread, or an old error, is not the hidden reason."""
    log.write_text(HIDDEN.replace(": 56: error : virNetClient", ": 57: error : virNetClient"))
    assert hidden(log) is None
    log.write_text(HIDDEN)
    assert hidden(log, since_ns=FAILED + 1.56e9) is None


def test_lost_connection_hides_no_reason(log: Path) -> None:
    """If the thread logged no other error, there is no hidden reason."""
    log.write_text("".join(x for x in HIDDEN.splitlines(True) if "virNetClientProgram" not in x))
    assert hidden(log) is None


def test_unreadable_log_is_empty(tmp_path: Path) -> None:
    """A log that cannot be read, here a folder, has no phases and no reasons."""
    assert host_logs.phases(read_from(tmp_path), "source") == []
    assert hidden(tmp_path) is None
    assert hidden(None) is None
    assert Log(tmp_path / "log" / "libvirtd.log").start == 0


def test_truncated_log_is_noticed(log: Path) -> None:
    """A log that logrotate truncated is read from its start, and the gap is reported."""
    start = Log(log).start
    assert not read_from(log, start).shrank()
    log.write_text(log.read_text().splitlines(keepends=True)[-1])
    assert read_from(log, start).shrank()
    assert details(log, start) == [("in", "finish3")]
    log.unlink()
    assert read_from(log, start).shrank()
    assert details(log, start) == []
    assert not read_from(None, 0).shrank()


#: Lines that libvirt 11.3 wrote at the source of a peer2peer migration that copied a disk.
PORT_LINES = """\
2026-11-23 01:38:23.137+0000: 57: debug : qemuMigrationSrcPerformPeer2Peer:6111 : sconn=0x7f18, \
uri=tcp://host-b, nbdPort=0, nbdURI=<null>, flags=0x43
2026-11-23 01:38:23.766+0000: 57: debug : qemuMigrationSrcPerformPeer2Peer3:5894 : Perform3 \
0x7f1808001730 uri=tcp://host-b:49152
2026-11-23 01:38:23.767+0000: 57: debug : qemuMigrationSrcPerformNative:5358 : driver=0x7f17cc, \
vm=0x7f17f8003740, uri=tcp://host-b:49152, cookiein=<qemu-migration>
  <nbd port='49153'>
    <disk target='vda' capacity='33554432'/>
  </nbd>
"""


def test_sources_log_shows_the_ports(tmp_path: Path) -> None:
    """The source's log tells the port for memory from the port for disks."""
    log = tmp_path / "libvirtd.log"
    earlier = PORT_LINES.replace("4915", "4917")
    log.write_text(earlier + PORT_LINES)
    found = host_logs.ports(read_from(log, len(earlier)))
    assert found == Ports(memory=frozenset({49152}), storage=frozenset({49153}))
    assert host_logs.ports(Log(tmp_path / "none")) == host_logs.ports(Log(None)) == Ports()


#: From the log of a guest on a lab host, Debian 13's QEMU 10.0.
QEMU_LINES = """\
-incoming defer \\
-trace 'vmstate_downtime_checkpoin*' \\
-msg timestamp=on
2026-11-23 02:23:41.424+0000: Domain id=2 is tainted: custom-argv
2026-11-23 02:23:42.016+0000: initiating migration
98@1795400622.074673:vmstate_downtime_checkpoint src-downtime-start
98@1795400622.075695:vmstate_downtime_checkpoint src-vm-stopped
98@1795400622.079043:vmstate_downtime_checkpoint src-iterable-saved
98@1795400622.080097:vmstate_downtime_checkpoint src-non-iterable-saved
98@1795400622.080120:vmstate_downtime_checkpoint src-downtime-end
2026-11-23 02:23:42.784+0000: shutting down, reason=migrated
2026-11-23T02:23:42.784757Z qemu-system-x86_64: terminating on signal 15 from pid 54 (libvirtd)
"""


@pytest.fixture
def guest_log(tmp_path: Path) -> Path:
    """Return a guest's log."""
    path = tmp_path / "guest-1.log"
    path.write_text(QEMU_LINES)
    return path


def checkpoints_of(log: Path | None, start: int = 0) -> list[str]:
    """Return the checkpoints of the rows."""
    return [
        json.loads(row[5])["checkpoint"]
        for row in host_logs.checkpoints(read_from(log, start), "source")
    ]


def test_every_checkpoint_is_found(guest_log: Path) -> None:
    """All checkpoints are found in order among other lines of libvirt and QEMU."""
    assert checkpoints_of(guest_log) == [
        *("src-downtime-start", "src-vm-stopped", "src-iterable-saved"),
        *("src-non-iterable-saved", "src-downtime-end"),
    ]


def test_checkpoints_are_exact_to_the_microsecond(guest_log: Path) -> None:
    """A checkpoint has its line's time in microseconds and the caller's side."""
    stamp = 1795400622_074673000
    first = host_logs.checkpoints(read_from(guest_log), "destination")[0]
    assert first[:5] == (stamp, stamp, "destination", "log", "downtime")


def test_checkpoints_before_the_start_are_not_read(guest_log: Path) -> None:
    """Checkpoints of earlier migrations in the log are not read."""
    assert checkpoints_of(guest_log, len(QEMU_LINES)) == []
    with guest_log.open("a") as file:
        file.write(QEMU_LINES)
    assert len(checkpoints_of(guest_log, len(QEMU_LINES))) == 5


def test_shorter_log_is_read_from_its_beginning(guest_log: Path) -> None:
    """A log that libvirt emptied at the guest's arrival is read from its start."""
    assert len(checkpoints_of(guest_log, 10 * len(QEMU_LINES))) == 5


def test_damaged_lines_are_no_checkpoints(guest_log: Path) -> None:
    """Incomplete lines, invalid bytes and other trace events are skipped."""
    with guest_log.open("ab") as file:
        file.write(
            b"\xff98@1795400622.1:vmstate_downtime_checkpoint x\n"
            b"98@1795400622.080120:vmstate_downtime_save type=iterable id=ram\n"
            b"vmstate_downtime_checkpoint src-vm-stopped\n"
            b"98@1795400622.080120:vmstate_downtime_chec"
        )
    assert len(checkpoints_of(guest_log)) == 5


def test_missing_log_has_no_checkpoints(tmp_path: Path) -> None:
    """A log that does not exist or cannot be read has no checkpoints."""
    assert (
        checkpoints_of(None)
        == checkpoints_of(tmp_path / "none.log")
        == checkpoints_of(tmp_path)
        == []
    )


def test_qemus_log_is_beside_the_daemons() -> None:
    """The path of QEMU's log follows from the path of the daemon's log, or is None."""
    found = host_logs.qemu_log(Path("/lab/host-a/log/libvirtd.log"), "web1")
    assert found == Path("/lab/host-a/log/qemu/web1.log")
    assert host_logs.qemu_log(None, "web1") is None
