"""The stream of steps: what a piece of work reports of itself."""

from __future__ import annotations

import pytest

from migrationlab.steps import Step, ignore, step


def test_work_is_reported_from_start_to_end() -> None:
    """Work that goes well is started, then done, and what happens between comes between."""
    heard: list[Step] = []
    with step(heard.append, "digging"):
        heard.append(Step("digging", "progress", "half", 0.5))
    assert heard == [
        Step("digging", "started"),
        Step("digging", "progress", "half", 0.5),
        Step("digging", "done"),
    ]


@pytest.mark.parametrize("error", [ValueError("too deep"), KeyboardInterrupt()])
def test_work_that_fails_says_so(error: BaseException) -> None:
    """Work that ends by an error or a Ctrl-C is failed, with its reason; the error goes on."""
    heard: list[Step] = []
    with pytest.raises(type(error)) as caught, step(heard.append, "digging"):
        raise error
    assert caught.value is error
    assert heard == [Step("digging", "started"), Step("digging", "failed", str(error))]


def test_nobody_needs_to_listen() -> None:
    """With the listener that ignores everything, work goes on as ever."""
    with step(ignore, "digging"):
        pass
