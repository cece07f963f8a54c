"""The steps of a downtime, read from what real QEMUs wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from migrationlab.capture import qemu_log

#: From the log of a guest on a lab host, Debian 13's QEMU 10.0.
LINES = """\
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
def log(tmp_path: Path) -> Path:
    """Give a guest's log."""
    path = tmp_path / "guest-1.log"
    path.write_text(LINES)
    return path


def told(log: Path | None, start: int = 0) -> list[str]:
    """Return the checkpoints of the rows."""
    return [json.loads(row[5])["checkpoint"] for row in qemu_log.checkpoints(log, start, "source")]


def test_every_checkpoint_is_found(log: Path) -> None:
    """Among libvirt's and QEMU's other lines all checkpoints are found, in order."""
    assert told(log) == [
        *("src-downtime-start", "src-vm-stopped", "src-iterable-saved"),
        *("src-non-iterable-saved", "src-downtime-end"),
    ]


def test_rows_have_the_moment_to_the_microsecond(log: Path) -> None:
    """A row's times are the line's, exactly; its side is the caller's."""
    stamp = 1795400622_074673000
    first = qemu_log.checkpoints(log, 0, "destination")[0]
    assert first[:5] == (stamp, stamp, "destination", "log", "downtime")


def test_only_what_came_since_is_read(log: Path) -> None:
    """A log can tell of earlier journeys, too, as after a failed one: they are not read."""
    assert told(log, len(LINES)) == []
    with log.open("a") as file:
        file.write(LINES)
    assert len(told(log, len(LINES))) == 5


def test_a_log_that_was_begun_anew_is_read_whole(log: Path) -> None:
    """libvirt can empty the log when a guest arrives: then all that it holds is new."""
    assert len(told(log, 10 * len(LINES))) == 5


def test_damaged_lines_are_left_out(log: Path) -> None:
    """A line cut off, strange bytes, and other trace events are no checkpoints."""
    with log.open("ab") as file:
        file.write(
            b"\xff98@1795400622.1:vmstate_downtime_checkpoint x\n"
            b"98@1795400622.080120:vmstate_downtime_save type=iterable id=ram\n"
            b"vmstate_downtime_checkpoint src-vm-stopped\n"
            b"98@1795400622.080120:vmstate_downtime_chec"
        )
    assert len(told(log)) == 5


def test_without_a_log_there_are_none(tmp_path: Path) -> None:
    """Where there is no log, or none that can be read, there are simply no checkpoints."""
    assert told(None) == told(tmp_path / "none.log") == told(tmp_path) == []


def test_the_log_lies_beside_the_daemons() -> None:
    """A guest's log is found from its daemon's; of a host whose log can't be read there is none."""
    found = qemu_log.path(Path("/lab/host-a/log/libvirtd.log"), "web1")
    assert found == Path("/lab/host-a/log/qemu/web1.log")
    assert qemu_log.path(None, "web1") is None
