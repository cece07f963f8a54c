"""The explorer of error messages, without a browser and a lab; and the records it plays on."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from migrationlab.course import json_files
from migrationlab.course.attempts import (
    Attempt,
    AttemptStage,
    find_attempt,
    load_attempts,
    save_attempts,
)
from migrationlab.errors import LabError, StoreError, UsageError
from migrationlab.explain.explanation import Kind, NoticedBy, explain
from migrationlab.lab.fault_cases import CASES
from migrationlab.plan.uris import Mode
from migrationlab.widgets import ErrorExplorer
from migrationlab.widgets.views import failure_html
from migrationlab.widgets.views.log_excerpt import found_lines, log_excerpt

TIMEOUT_S = 10
RECORDED = load_attempts()
CLOSED = find_attempt(RECORDED, "port-closed", "peer2peer")


def guest(*, alive: bool = True) -> Any:
    """Return what the explorer asks of a guest."""
    return SimpleNamespace(lab=SimpleNamespace(alive=alive))


# --- what was recorded --------------------------------------------------------------------------


def test_each_fault_was_tried_in_each_mode() -> None:
    """The records have each fault of the lab in each mode; peer2peer refused each as expected."""
    assert {(met.case, met.mode) for met in RECORDED} == {
        (case.id, mode) for case in CASES for mode in Mode
    }
    for case in CASES:
        met = find_attempt(RECORDED, case.id, Mode.PEER2PEER)
        assert met.stage is AttemptStage.MIGRATING
        assert met.explanation is not None
        assert met.explanation.id == case.id
        assert (met.title, met.broken) == (case.title, case.broken)


def test_refused_migration_leaves_guest_on_source() -> None:
    """After each refused migration the guest was at the source with intact memory."""
    for met in RECORDED:
        assert met.found_at == ("host-b" if met.stage is AttemptStage.COMPLETED else "host-a")
        assert met.intact


def test_same_fault_is_reported_by_different_programs() -> None:
    """The client, the source's libvirtd or QEMU reports the faulty certificate."""
    case = "certificate-wrong-name"
    noticed = [
        find_attempt(RECORDED, case, mode, control).noticed_by
        for mode, control in (("normal", "tls"), ("peer2peer", "tls"), ("peer2peer", ""))
    ]
    assert noticed == [NoticedBy.CLIENT, NoticedBy.SOURCE_DAEMON, NoticedBy.QEMU]


def test_saved_attempts_can_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded file has the attempts that were saved; a damaged file is named."""
    monkeypatch.setattr(json_files, "find_data", lambda _name: tmp_path)
    save_attempts(RECORDED, tmp_path / "met.json")
    assert load_attempts("met") == RECORDED
    (tmp_path / "met.json").write_text('[{"case": "x"}]')
    with pytest.raises(StoreError, match=r"reading met\.json failed"):
        load_attempts("met")
    with pytest.raises(StoreError, match=r"none\.json"):
        load_attempts("none")


def test_missing_attempt_is_refused() -> None:
    """A case without a record is refused, and the error names the case."""
    with pytest.raises(UsageError, match="case must be a recorded attempt in normal mode"):
        find_attempt(RECORDED, "gremlins", "normal")


def test_reason_from_the_log_is_explained() -> None:
    """If only a log had the reason, migrationlab explains that reason."""
    hidden = dataclasses.replace(
        CLOSED, text="End of file while reading data: Input/output error", code=38, domain=7
    )
    assert hidden.explanation is not None
    assert hidden.explanation.id == "port-closed"
    assert "49152 to 49215" in hidden.explanation.fix


@pytest.mark.parametrize("met", RECORDED, ids=repr)
def test_logs_name_their_host_and_no_local_path(met: Attempt) -> None:
    """The recorded logs name their host, and no path of the recording machine."""
    for log in met.logs:
        assert log.where.startswith(("host-a, ", "host-b, "))
        assert log.lines
        assert not any("/.cache/" in line or "/home/" in line for line in log.lines)


# --- the explorer -------------------------------------------------------------------------------


def test_typed_message_is_explained_at_once() -> None:
    """Any typed text gets an explanation; an empty field asks for a message."""
    explorer = ErrorExplorer()
    assert explorer.explanation is None
    assert "Paste a message" in explorer.about.value
    explorer.message.value = CLOSED.text
    assert "port-closed" in explorer.explained.value
    explorer.message.value = "the moon <b>is</b> in the seventh house"
    assert "unknown" in explorer.explained.value
    assert "<b>is</b>" not in explorer.explained.value


def test_unknown_host_name_is_reported_by_who_connects() -> None:
    """An unknown name is the client's error in normal mode and the source's in peer2peer."""
    explorer = ErrorExplorer()
    explorer.message.value = "ssh: Could not resolve hostname node2: Name or service not known"
    noticed = []
    for mode in Mode:
        explorer.mode.value = mode
        assert explorer.explanation is not None
        noticed.append(explorer.explanation.noticed_by)
    assert noticed == [NoticedBy.CLIENT, NoticedBy.SOURCE_DAEMON]


def test_chosen_case_shows_its_record() -> None:
    """Each case and mode shows the message, its explanation, the guest's state and the logs."""
    explorer = ErrorExplorer()
    for met in RECORDED:
        if met.control:
            continue
        explorer.case.value, explorer.mode.value = met.case, met.mode
        assert explorer.message.value == met.text
        assert met.broken.partition("'")[0] in explorer.about.value
        assert f"Recorded: In {met.mode} mode" in explorer.about.value
        assert bool(explorer.logs.value) == bool(met.logs)
        if met.explanation is None:
            assert "no message to explain" in explorer.explained.value
        else:
            assert met.explanation.id in explorer.explained.value


def test_edited_message_is_no_longer_the_case() -> None:
    """Editing a case's message deselects the case and hides the facts about its guest."""
    explorer = ErrorExplorer()
    explorer.case.value = CLOSED.case
    explorer.message.value = f"{CLOSED.text}."
    assert explorer.case.value == ""
    assert "Recorded" not in explorer.about.value
    assert explorer.explanation is not None
    assert explorer.explanation.id == "port-closed"


def test_explorer_without_a_guest_breaks_nothing() -> None:
    """With records alone the button is off, and starting does nothing."""
    explorer = ErrorExplorer()
    explorer.case.value = CLOSED.case
    explorer.start()
    assert explorer.wait(0)
    assert explorer.attempts == ()


def test_fault_is_tried_in_its_own_thread() -> None:
    """While the lab is broken the button is off and a second press does nothing."""
    begun, go_on = threading.Event(), threading.Event()
    asked: list[tuple[str, Mode]] = []

    def try_fault(_lab: object, _guest: object, case: str, *, mode: Mode) -> Attempt:
        asked.append((case, mode))
        begun.set()
        assert go_on.wait(TIMEOUT_S)
        return dataclasses.replace(CLOSED, text=f"{CLOSED.text}, today")

    explorer = ErrorExplorer(guest(), try_fault=try_fault)
    assert explorer.break_button.disabled
    explorer.case.value = CLOSED.case
    assert not explorer.break_button.disabled
    explorer.break_button.click()
    assert begun.wait(TIMEOUT_S)
    assert explorer.break_button.disabled
    explorer.mode.value = Mode.NORMAL
    assert explorer.break_button.disabled
    explorer.mode.value = Mode.PEER2PEER
    explorer.break_button.click()
    go_on.set()
    assert explorer.wait(TIMEOUT_S)
    assert asked == [(CLOSED.case, Mode.PEER2PEER)]
    assert len(explorer.attempts) == 1
    assert explorer.message.value.endswith("today")
    assert "Your own: In peer2peer mode" in explorer.about.value
    assert "fixed again" in explorer.status.value
    assert not explorer.break_button.disabled
    explorer.close()


@pytest.mark.parametrize(
    ("alive", "said"), [(True, "out of order"), (False, "Run the cell with mig.Lab")]
)
def test_error_of_the_lab_is_shown_with_its_hint(alive: bool, said: str) -> None:
    """An error of the lab is shown with its hint; for a lab that is down it names a cell."""

    def try_fault(*_args: object, **_more: object) -> Attempt:
        raise LabError("out of order", hint="mend it")

    explorer = ErrorExplorer(guest(alive=alive), try_fault=try_fault)
    explorer.case.value = CLOSED.case
    explorer.start()
    assert explorer.wait(TIMEOUT_S)
    assert said in explorer.status.value
    assert 'role="status"' in explorer.status.value
    assert not explorer.break_button.disabled


def test_closed_explorer_breaks_nothing() -> None:
    """A press after closing does nothing."""
    explorer = ErrorExplorer(guest(), try_fault=cast("Any", None))
    explorer.case.value = CLOSED.case
    explorer.close()
    explorer.start()
    assert explorer.wait(0)


def test_saved_explorer_shows_its_text() -> None:
    """Without a kernel the notebook shows the text, and the repr has no memory address."""
    explorer = ErrorExplorer()
    explorer.case.value = CLOSED.case
    bundle = explorer._repr_mimebundle_()
    assert (
        bundle["text/plain"] == repr(explorer) == f"ErrorExplorer({len(RECORDED)} recorded, 0 own)"
    )
    assert "port-closed" in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_lost_or_damaged_guest_is_reported() -> None:
    """The sentence about the guest states that the guest is lost or damaged."""
    lost = dataclasses.replace(CLOSED, found_at=None, intact=None)
    assert "found on no host, and its memory could not be checked" in failure_html.outcome(lost)
    assert "DAMAGED" in failure_html.outcome(dataclasses.replace(CLOSED, intact=False))


# --- a whole log --------------------------------------------------------------------------------

LOG = """\
2026-03-02 08:11:40.100+0000: 812: info : hostname: host-a
2026-03-02 08:12:31.007+0000: 811: error : virNetSocketReadWire:1791 : End of file while reading data: Input/output error
2026-03-02 08:13:01.007+0000: 811: warning : one
2026-03-02 08:13:01.107+0000: 811: warning : and
2026-03-02 08:13:01.207+0000: 811: warning : gap
2026-03-02 08:13:02.007+0000: 811: warning : two
2026-03-02 08:13:03.007+0000: 811: warning : three
2026-03-02 08:15:10.300+0000: 815: error : virNetSocketNewConnectTCP:411 : Unable to resolve address 'b<i>' service '16509': Name or service not known
2026-03-02 08:15:10.301+0000: 815: error : doPeer2PeerMigrate:2700 : operation failed: Failed to connect to remote libvirt URI qemu+tcp://compute-7/system
2026-03-02 08:16:00.001+0000: 811: warning : four
"""  # noqa: E501


def uploaded(text: str, *, size: int | None = None) -> tuple[dict[str, Any]]:
    """Return what the page sends for a file."""
    content = text.encode()
    size = len(content) if size is None else size
    when = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
    file = {"name": "libvirtd.log", "size": size, "type": "", "last_modified": when}
    return ({**file, "content": memoryview(content)},)


def test_log_is_shown_with_its_culprit() -> None:
    """The culprit's line is marked, the lines around are numbered, and what followed is listed."""
    explorer = ErrorExplorer()
    explorer.message.value = LOG
    shown = explorer.explained.value
    assert explorer.explanation is not None
    assert (explorer.explanation.id, explorer.explanation.line) == ("libvirtd-name-unresolvable", 8)
    assert "<mark>►     8  2026-03-02 08:15:10.300" in shown
    assert "<b>·     9  2026-03-02 08:15:10.301" in shown
    assert "     7  2026" in shown
    assert "three" in shown
    assert ": gap" not in shown
    assert "\n        …\n" in shown
    assert "b&lt;i&gt;" in shown
    assert "<i>" not in shown
    steps = shown[shown.index("<ol") : shown.index("</ol>")]
    assert steps.index("the line that the answer rests on") < steps.index("line 9")
    assert steps.index("line 9") < steps.index("line 2")
    assert "says only that something ended: it is not the reason" in steps


def test_a_message_of_one_line_has_no_excerpt() -> None:
    """A short message is read in its field."""
    explorer = ErrorExplorer()
    explorer.message.value = CLOSED.text
    assert "<mark>" not in explorer.explained.value


@pytest.mark.parametrize("padding", [0, 3000])
def test_uploaded_log_is_explained(padding: int) -> None:
    """A file takes the place of the message, also if it is too long for a field."""
    explorer = ErrorExplorer()
    explorer.message.value = CLOSED.text
    filler = "2026-03-02 08:10:00.001+0000: 811: warning : ordinary\n" * padding
    explorer.upload.value = uploaded(filler + LOG)
    assert explorer.wait(TIMEOUT_S)
    assert explorer.message.value == ""
    assert "libvirtd.log" in explorer.about.value
    assert explorer.explanation is not None
    assert explorer.explanation.line == padding + 8
    assert f"({padding + 11} lines)" in explorer.explained.value
    explorer.message.value = CLOSED.text
    assert "libvirtd.log" not in explorer.about.value
    assert explorer.explanation is not None
    assert explorer.explanation.id == "port-closed"


def test_too_large_a_file_is_refused() -> None:
    """A file above the limit is not read; the message says what to do instead."""
    explorer = ErrorExplorer()
    explorer.upload.value = uploaded("x", size=9 * 1024 * 1024)
    assert "at most 8 MiB (got 9437184 bytes)" in explorer.explained.value
    assert "migrationlab explain - &lt; FILE" in explorer.explained.value


def test_a_log_that_only_says_where_it_failed_says_so() -> None:
    """An after-effect is no culprit, and its line says that something earlier is the cause."""
    found = explain("a\nb\nerror: operation failed: domain is no longer running\nc")
    assert found.kind is Kind.AFTER_EFFECT
    assert "it is an after-effect: its cause was said earlier" in found_lines(found)[0].role
    assert found_lines(explain("the moon")) == []
    assert log_excerpt(None) == ""
