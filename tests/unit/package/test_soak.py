"""How a soak judges a guest after a migration."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from bench import soak
from migrationlab.errors import LabError


@dataclass
class FakeGuest:
    """A guest that is found paused, silent, intact or damaged, one after the other."""

    states: list[str] = field(default_factory=list)

    @property
    def paused(self) -> bool:
        """Return whether it is paused now."""
        if self.states[0] == "paused":
            return bool(self.states.pop(0))
        return False

    def check(self) -> FakeGuest:
        """Compare the pages."""
        if self.states[0] == "silent":
            self.states.pop(0)
            raise LabError("the guest does not answer")
        return self

    @property
    def intact(self) -> bool:
        """Return whether they are as written."""
        return self.states[0] == "intact"


@pytest.fixture(autouse=True)
def _no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak.time, "sleep", lambda _: None)


@pytest.mark.parametrize(
    ("last", "damaged"), [("intact", []), ("damaged", ["the 570th"])], ids=["intact", "damaged"]
)
def test_guest_has_time_to_run_again(last: str, damaged: list[str]) -> None:
    """After a fault a guest can be paused and silent for a while on a busy machine."""
    result = soak.Result(seed=1)
    guest = FakeGuest(["paused", "silent", "silent", last])
    assert soak.judge_guest(result, guest, "the 570th") is None
    assert result.damaged == damaged


@pytest.mark.parametrize(("state", "said"), [("paused", "paused"), ("silent", "does not answer")])
def test_guest_that_stays_silent_is_lost(
    monkeypatch: pytest.MonkeyPatch, state: str, said: str
) -> None:
    """The soak goes on with another guest, and says why."""
    monkeypatch.setattr(soak, "SETTLE_S", -1.0)
    found = soak.judge_guest(soak.Result(seed=1), FakeGuest([state, "intact"]), "the 570th")
    assert found is not None
    assert said in found


def test_weights_tell_a_library_from_a_leak() -> None:
    """A library that is loaded once makes the process larger, and is no growth."""
    weight = soak.weigh()
    assert 0 < weight["MiB in the heap"] < weight["MiB"]
    assert 0 < weight["MiB of files"] < weight["MiB"]
    assert weight["modules"] > 100
    assert weight["threads"] >= 1
