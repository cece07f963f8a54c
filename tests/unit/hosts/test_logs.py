"""The ends of logs: which lines are useful, and what happens without a log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from migrationlab.explain.explanation import Log
from migrationlab.hosts import logs
from migrationlab.hosts.logs import log_tails

DAEMON = """\
2026-11-22 18:36:15.123+0000: 42: debug : qemuMigrationSrcRun:1 : not this
2026-11-22 18:36:15.124+0000: 42: warning : qemuDomainObjTaintMsg:1 : Domain id=1 is tainted: x
2026-11-22 18:36:15.125+0000: 42: warning : virSomething:1 : this
2026-11-22 18:36:15.126+0000: 42: error : virSomething:1 : and this
"""
QEMU = """\
2026-11-22 18:36:15.123+0000: starting up libvirt version: 11.3.0, qemu version: 10.0.13
LC_ALL=C \\
/usr/bin/qemu-system-x86_64 \\
-name guest=web1 \\
-msg timestamp=on

2026-11-22T18:36:16.000000Z qemu-system-x86_64: load of migration failed: Invalid argument
2026-11-22 18:36:16.200+0000: shutting down, reason=crashed
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Give a host's libvirtd log, with QEMU's logs beside it."""
    path = tmp_path / "libvirtd.log"
    path.write_text(DAEMON)
    (tmp_path / "qemu").mkdir()
    (tmp_path / "qemu" / "web1.log").write_text(QEMU)
    return path


def test_useful_lines_are_kept(log: Path) -> None:
    """The ends keep warnings and errors of libvirtd's log, and QEMU's own lines of QEMU's log."""
    daemon, qemu = log_tails("host-a", log)
    assert (daemon.host, daemon.what, daemon.path) == ("host-a", "libvirtd", str(log))
    assert [line.rpartition(" : ")[2] for line in daemon.lines] == ["this", "and this"]
    assert qemu.what == "QEMU of web1"
    assert len(qemu.lines) == 2
    assert "load of migration failed" in qemu.lines[0]
    assert str(qemu).splitlines()[0].startswith("host-a, QEMU of web1 (")


def test_only_wanted_logs_are_read(log: Path) -> None:
    """An explanation that points to one kind of log gets the ends of that kind only."""
    assert [tail.what for tail in log_tails("a", log, [Log.SOURCE_DAEMON])] == ["libvirtd"]
    assert [tail.what for tail in log_tails("a", log, [Log.DESTINATION_QEMU])] == ["QEMU of web1"]
    assert log_tails("a", log, []) == ()


def test_number_of_lines_is_limited(log: Path) -> None:
    """The ends have at most the requested number of lines, and these are the last ones."""
    daemon, _ = log_tails("host-a", log, lines=1)
    assert [line.rpartition(" : ")[2] for line in daemon.lines] == ["and this"]


def test_newest_guest_log_is_read(log: Path) -> None:
    """If several guests have logs, the newest log is read."""
    newest = log.parent / "qemu" / "web2.log"
    newest.write_text("2026-11-22T18:36:17.000000Z qemu-system-x86_64: newer\n")
    later = (log.parent / "qemu" / "web1.log").stat().st_mtime + 10
    os.utime(newest, (later, later))
    assert log_tails("a", log, [Log.SOURCE_QEMU])[0].what == "QEMU of web2"


def test_missing_log_gives_nothing(tmp_path: Path) -> None:
    """A host without logs has no ends of logs."""
    assert log_tails("a", tmp_path / "libvirtd.log") == ()


def test_unreadable_log_is_reported(tmp_path: Path) -> None:
    """A log that cannot be read is reported and raises no error."""
    folder = tmp_path / "libvirtd.log"
    folder.mkdir()
    (tail,) = log_tails("a", folder)
    assert tail.lines == ()
    assert "cannot be read" in str(tail)


def test_log_without_complaints_says_so(tmp_path: Path) -> None:
    """The end of a log without warnings and errors says that there are none."""
    path = tmp_path / "libvirtd.log"
    path.write_text(DAEMON.splitlines()[0])
    (tail,) = log_tails("a", path)
    assert "no warnings or errors" in str(tail)


def test_long_log_is_read_from_its_end(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the end of a long log is read, without its first, cut line."""
    monkeypatch.setattr(logs, "END_BYTES", len(DAEMON.splitlines()[-1]) + 20)
    daemon, _ = log_tails("host-a", log)
    assert [line.rpartition(" : ")[2] for line in daemon.lines] == ["and this"]


def test_undecodable_bytes_are_replaced(log: Path) -> None:
    """Bytes that are not UTF-8 are replaced."""
    log.write_bytes(b"\xff\xfe\n" + DAEMON.encode())
    assert len(log_tails("a", log, [Log.SOURCE_DAEMON])[0].lines) == 2
