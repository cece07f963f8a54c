"""The stream of steps that a piece of work reports."""

from __future__ import annotations

import pytest

from migrationlab.steps import Step, ignore, step


def test_work_is_reported_from_start_to_end() -> None:
    """Work is started, then done, with its progress in between."""
    heard: list[Step] = []
    with step(heard.append, "digging"):
        heard.append(Step("digging", "progress", "half", 0.5))
    assert heard == [
        Step("digging", "started"),
        Step("digging", "progress", "half", 0.5),
        Step("digging", "done"),
    ]


@pytest.mark.parametrize("error", [ValueError("too deep"), KeyboardInterrupt()])
def test_failed_work_is_reported(error: BaseException) -> None:
    """An error or a Ctrl-C becomes a failed step with its reason, and goes on."""
    heard: list[Step] = []
    with pytest.raises(type(error)) as caught, step(heard.append, "digging"):
        raise error
    assert caught.value is error
    assert heard == [Step("digging", "started"), Step("digging", "failed", str(error))]


def test_default_listener_discards_steps() -> None:
    """Work goes on without a listener."""
    with step(ignore, "digging"):
        pass
