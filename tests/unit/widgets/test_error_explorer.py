"""The explorer of error messages, without a browser and a lab; and the records it plays on."""

from __future__ import annotations

import dataclasses
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
from migrationlab.explain.explanation import NoticedBy
from migrationlab.lab.fault_cases import CASES
from migrationlab.plan.uris import Mode
from migrationlab.widgets import ErrorExplorer
from migrationlab.widgets.views import failure_html

TIMEOUT_S = 10
RECORDED = load_attempts()
CLOSED = find_attempt(RECORDED, "port-closed", "peer2peer")


def guest(*, alive: bool = True) -> Any:
    """Give what the explorer asks of a guest."""
    return SimpleNamespace(lab=SimpleNamespace(alive=alive))


# --- what was recorded --------------------------------------------------------------------------


def test_each_fault_was_tried_in_each_mode() -> None:
    """The records have all cases of the lab, and in peer2peer each was refused as its name says."""
    assert {(met.case, met.mode) for met in RECORDED} == {
        (case.id, mode) for case in CASES for mode in Mode
    }
    for case in CASES:
        met = find_attempt(RECORDED, case.id, Mode.PEER2PEER)
        assert met.stage is AttemptStage.MIGRATING
        assert met.explanation is not None
        assert met.explanation.id == case.id
        assert (met.title, met.broken) == (case.title, case.broken)


def test_a_refused_guest_goes_on_at_the_source() -> None:
    """Of all that was refused the guest was found where it had been, and whole."""
    for met in RECORDED:
        assert met.found_at == ("host-b" if met.stage is AttemptStage.COMPLETED else "host-a")
        assert met.intact


def test_one_fault_is_noticed_by_whoever_meets_it() -> None:
    """A certificate is refused by the client, by the source's libvirtd, or by QEMU."""
    case = "certificate-wrong-name"
    noticed = [
        find_attempt(RECORDED, case, mode, control).noticed_by
        for mode, control in (("normal", "tls"), ("peer2peer", "tls"), ("peer2peer", ""))
    ]
    assert noticed == [NoticedBy.CLIENT, NoticedBy.SOURCE_DAEMON, NoticedBy.QEMU]


def test_what_is_saved_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file gives back the attempts that were written to it; a damaged one is named."""
    monkeypatch.setattr(json_files, "find_data", lambda _name: tmp_path)
    save_attempts(RECORDED, tmp_path / "met.json")
    assert load_attempts("met") == RECORDED
    (tmp_path / "met.json").write_text('[{"case": "x"}]')
    with pytest.raises(StoreError, match=r"reading met\.json failed"):
        load_attempts("met")
    with pytest.raises(StoreError, match=r"none\.json"):
        load_attempts("none")


def test_an_attempt_that_was_not_made_is_not_found() -> None:
    """A case that was not met is refused by name."""
    with pytest.raises(UsageError, match="no attempt with gremlins in normal mode"):
        find_attempt(RECORDED, "gremlins", "normal")


def test_a_reason_that_the_message_hides_is_reported() -> None:
    """Where migrationlab had the reason from a log, the explanation is that of the reason."""
    hidden = dataclasses.replace(
        CLOSED, text="End of file while reading data: Input/output error", code=38, domain=7
    )
    assert hidden.explanation is not None
    assert hidden.explanation.id == "port-closed"
    assert "49152 to 49215" in hidden.explanation.fix


@pytest.mark.parametrize("met", RECORDED, ids=repr)
def test_logs_name_their_host_and_no_path_of_a_machine(met: Attempt) -> None:
    """What is kept of the logs says whose it is, and nothing of where the lab stood."""
    for log in met.logs:
        assert log.where.startswith(("host-a, ", "host-b, "))
        assert log.lines
        assert not any("/.cache/" in line or "/home/" in line for line in log.lines)


# --- the explorer -------------------------------------------------------------------------------


def test_a_typed_message_is_explained_at_once() -> None:
    """Whatever is typed is explained, unknown text too, and an empty field asks for some."""
    explorer = ErrorExplorer()
    assert explorer.explanation is None
    assert "Paste a message" in explorer.about.value
    explorer.message.value = CLOSED.text
    assert "port-closed" in explorer.explained.value
    explorer.message.value = "the moon <b>is</b> in the seventh house"
    assert "unknown" in explorer.explained.value
    assert "<b>is</b>" not in explorer.explained.value


def test_who_connects_depends_on_the_mode() -> None:
    """A name that is not known: the client's business in normal mode, the source's in peer2peer."""
    explorer = ErrorExplorer()
    explorer.message.value = "ssh: Could not resolve hostname node2: Name or service not known"
    noticed = []
    for mode in Mode:
        explorer.mode.value = mode
        assert explorer.explanation is not None
        noticed.append(explorer.explanation.noticed_by)
    assert noticed == [NoticedBy.CLIENT, NoticedBy.SOURCE_DAEMON]


def test_a_chosen_case_shows_what_was_recorded() -> None:
    """The message, what it means, what became of the guest and the logs of each case and mode."""
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


def test_a_changed_message_is_ones_own() -> None:
    """Typing into a case's message leaves the case, and the facts about its guest."""
    explorer = ErrorExplorer()
    explorer.case.value = CLOSED.case
    explorer.message.value = f"{CLOSED.text}."
    assert explorer.case.value == ""
    assert "Recorded" not in explorer.about.value
    assert explorer.explanation is not None
    assert explorer.explanation.id == "port-closed"


def test_without_a_guest_nothing_can_be_broken() -> None:
    """On records alone there is no button that works, and starting does nothing."""
    explorer = ErrorExplorer()
    explorer.case.value = CLOSED.case
    explorer.start()
    assert explorer.wait(0)
    assert explorer.attempts == ()


def test_broken_for_real_in_a_thread_of_its_own() -> None:
    """The button gives way while the lab is broken, a second press does nothing, then it's told."""
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
def test_a_lab_that_fails_is_reported(alive: bool, said: str) -> None:
    """An error of the lab is shown with its hint; a lab that is down, with the cell to run."""

    def try_fault(*_args: object, **_more: object) -> Attempt:
        raise LabError("out of order", hint="mend it")

    explorer = ErrorExplorer(guest(alive=alive), try_fault=try_fault)
    explorer.case.value = CLOSED.case
    explorer.start()
    assert explorer.wait(TIMEOUT_S)
    assert said in explorer.status.value
    assert 'role="status"' in explorer.status.value
    assert not explorer.break_button.disabled


def test_a_closed_explorer_breaks_nothing() -> None:
    """After closing, a press that comes late does nothing."""
    explorer = ErrorExplorer(guest(), try_fault=cast("Any", None))
    explorer.case.value = CLOSED.case
    explorer.close()
    explorer.start()
    assert explorer.wait(0)


def test_saved_notebooks_show_what_it_says() -> None:
    """Without a kernel there is the text, and the repr has no address."""
    explorer = ErrorExplorer()
    explorer.case.value = CLOSED.case
    bundle = explorer._repr_mimebundle_()
    assert (
        bundle["text/plain"] == repr(explorer) == f"ErrorExplorer({len(RECORDED)} recorded, 0 own)"
    )
    assert "port-closed" in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_a_guest_that_is_lost_or_damaged_is_named() -> None:
    """The sentence about the guest hides nothing."""
    lost = dataclasses.replace(CLOSED, found_at=None, intact=None)
    assert "found on no host, and its memory could not be checked" in failure_html.outcome(lost)
    assert "DAMAGED" in failure_html.outcome(dataclasses.replace(CLOSED, intact=False))
