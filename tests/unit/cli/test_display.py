"""The display of steps: lines in a log, and a live table on a real terminal."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Sequence

import pytest

from migrationlab.cli.display import SHOWN, StepDisplay
from migrationlab.steps import Step

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[Step]], list[str]]:
    """Give what shows steps on a real terminal, and returns the lines written there."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def show(steps: Sequence[Step]) -> list[str]:
        controller, terminal = os.openpty()
        with os.fdopen(terminal, "w") as stream, monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", stream)
            with StepDisplay() as shown:
                for step in steps:
                    shown(step)
        said = b""
        # Once the terminal is closed and all has been read, reading is EIO.
        with contextlib.suppress(OSError), os.fdopen(controller, "rb", buffering=0) as screen:
            while True:
                said += screen.read(65536)
        return CONTROL.sub("", said.decode()).splitlines()

    return show


def test_log_has_one_line_per_step(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal the start and the end of each step are one line, with the duration."""
    with StepDisplay() as shown:
        shown(Step("booting", "started"))
        shown(Step("booting", "progress", "kernel", 0.5))
        shown(Step("booting", "done"))
        shown(Step("building", "started"))
        shown(Step("building", "failed", "no way to [fd00:100:2::1]"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.sub(r"\d+\.\d s", "0.0 s", captured.err).splitlines() == [
        "booting …",
        "booting: done in 0.0 s",
        "building …",
        "building: failed in 0.0 s (no way to [fd00:100:2::1])",
    ]


def test_log_is_neither_wrapped_nor_coloured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal a long line is not wrapped and has no colour codes."""
    monkeypatch.setenv("COLUMNS", "20")
    with StepDisplay() as shown:
        shown(Step("a long name " * 10, "started"))
    assert capsys.readouterr().err == "a long name " * 10 + " …\n"


def test_terminal_shows_running_steps(
    on_a_terminal: Callable[[Sequence[Step]], list[str]],
) -> None:
    """A terminal shows a row for each step, with its progress, and a tick when the step is done."""
    *_, first, second = on_a_terminal(
        [
            Step("booting", "started"),
            Step("booting", "progress", "waits for beats"),
            Step("booting", "done"),
            Step("migrating", "started"),
            Step("migrating", "progress", "12 MiB left", 0.5),
        ]
    )
    assert "✓ booting" in first
    assert "migrating" in second
    assert "12 MiB left" in second


def test_terminal_shows_failed_steps(
    on_a_terminal: Callable[[Sequence[Step]], list[str]],
) -> None:
    """A terminal shows a failed step with its reason and without a tick."""
    *_, row = on_a_terminal([Step("booting", "started"), Step("booting", "failed", "no answer")])
    assert "failed: no answer" in row
    assert "✓" not in row


def test_terminal_shows_text_unchanged(
    on_a_terminal: Callable[[Sequence[Step]], list[str]],
) -> None:
    """A text in square brackets, such as an IPv6 address, is shown and not read as mark-up."""
    what = "connecting to [fd00:100:2::1]"
    said = "sh said [/bin/x]: no [bold]"
    *_, row = on_a_terminal([Step(what, "started"), Step(what, "failed", said)])
    assert what in row
    assert said in row


def test_step_without_start_is_ignored(
    on_a_terminal: Callable[[Sequence[Step]], list[str]],
) -> None:
    """The progress of a step that never started is ignored."""
    lines = on_a_terminal([Step("booting", "progress", "kernel"), Step("waiting", "started")])
    assert not [line for line in lines if "booting" in line]


def test_terminal_keeps_newest_finished_steps() -> None:
    """The display drops the oldest finished steps to keep the running steps visible."""
    shown = StepDisplay()
    shown._progress.disable = False  # as on a terminal
    for number in range(20):
        shown(Step(f"block {number}", "started"))
        shown(Step(f"block {number}", "done"))
    shown(Step("block 20", "started"))
    rows = [task.description for task in shown._progress.tasks]
    assert rows == [f"block {number}" for number in range(20 - SHOWN, 21)]
