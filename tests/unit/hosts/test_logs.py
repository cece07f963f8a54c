"""The ends of logs: which lines tell, and what happens where there are none."""

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


def test_what_tells_is_kept(log: Path) -> None:
    """Of libvirtd's log the complaints, of QEMU's what it said itself."""
    daemon, qemu = log_tails("host-a", log)
    assert (daemon.host, daemon.what, daemon.path) == ("host-a", "libvirtd", str(log))
    assert [line.rpartition(" : ")[2] for line in daemon.lines] == ["this", "and this"]
    assert qemu.what == "QEMU of web1"
    assert len(qemu.lines) == 2
    assert "load of migration failed" in qemu.lines[0]
    assert str(qemu).splitlines()[0].startswith("host-a, QEMU of web1 (")


def test_only_what_is_wanted(log: Path) -> None:
    """An explanation that points to one kind of log gets that kind."""
    assert [tail.what for tail in log_tails("a", log, [Log.SOURCE_DAEMON])] == ["libvirtd"]
    assert [tail.what for tail in log_tails("a", log, [Log.DESTINATION_QEMU])] == ["QEMU of web1"]
    assert log_tails("a", log, []) == ()


def test_few_lines(log: Path) -> None:
    """No more lines than asked for, the last ones."""
    daemon, _ = log_tails("host-a", log, lines=1)
    assert [line.rpartition(" : ")[2] for line in daemon.lines] == ["and this"]


def test_the_guest_that_wrote_last(log: Path) -> None:
    """Of several guests' logs the newest is shown: it is the one that moved."""
    newest = log.parent / "qemu" / "web2.log"
    newest.write_text("2026-11-22T18:36:17.000000Z qemu-system-x86_64: newer\n")
    later = (log.parent / "qemu" / "web1.log").stat().st_mtime + 10
    os.utime(newest, (later, later))
    assert log_tails("a", log, [Log.SOURCE_QEMU])[0].what == "QEMU of web2"


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    """A host without logs has no ends of them."""
    assert log_tails("a", tmp_path / "libvirtd.log") == ()


def test_a_log_that_cannot_be_read(tmp_path: Path) -> None:
    """What cannot be read is told, not raised: the explanation matters more."""
    folder = tmp_path / "libvirtd.log"
    folder.mkdir()
    (tail,) = log_tails("a", folder)
    assert tail.lines == ()
    assert "cannot be read" in str(tail)


def test_a_log_that_has_nothing_to_tell(tmp_path: Path) -> None:
    """A log without complaints says so."""
    path = tmp_path / "libvirtd.log"
    path.write_text(DAEMON.splitlines()[0])
    (tail,) = log_tails("a", path)
    assert "no warnings or errors" in str(tail)


def test_a_long_log_is_read_from_its_end(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the end is read, and a line that is cut there is left out."""
    monkeypatch.setattr(logs, "END_BYTES", len(DAEMON.splitlines()[-1]) + 20)
    daemon, _ = log_tails("host-a", log)
    assert [line.rpartition(" : ")[2] for line in daemon.lines] == ["and this"]


def test_bytes_that_are_no_text(log: Path) -> None:
    """Bytes that are no UTF-8 do no harm."""
    log.write_bytes(b"\xff\xfe\n" + DAEMON.encode())
    assert len(log_tails("a", log, [Log.SOURCE_DAEMON])[0].lines) == 2
