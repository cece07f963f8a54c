"""The buttons that steer, pressed beside a migration that only says it is one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from migrationlab.errors import UsageError
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Run
from migrationlab.widgets.steering_bar import SteeringBar
from panel_fakes import TIMEOUT_S, FakeMigration, says, told


@pytest.fixture
def migration(make_run: Callable[..., Run]) -> FakeMigration:
    """Give a migration in its second iteration that may switch to post-copy."""
    made = FakeMigration(lambda outcome: make_run(outcome=outcome), plan=Plan(postcopy=True))
    made.told = told("running")
    return made


def beside(migration: FakeMigration) -> SteeringBar:
    """Give a bar that is shown beside a migration."""
    bar = SteeringBar()
    bar.show(migration)  # type: ignore[arg-type]
    return bar


def test_switching_to_postcopy_needs_it_among_the_settings(migration: FakeMigration) -> None:
    """Where it was not ticked the button stays off, and words say what to tick."""
    migration.plan = Plan()
    bar = beside(migration)
    assert bar.postcopy_button.disabled
    assert not bar.suspend_button.disabled
    assert "tick Post-copy" in bar.note.value


def test_nothing_can_be_pressed_before_it_runs(migration: FakeMigration) -> None:
    """While connections are made, and where nothing runs, every button is off."""
    migration.told = told("starting")
    for bar in (SteeringBar(), beside(migration)):
        assert bar.postcopy_button.disabled
        assert bar.suspend_button.disabled
        assert bar.downtime_button.disabled
        assert bar.bandwidth_button.disabled


@pytest.mark.parametrize(
    ("name", "typed", "asked", "said"),
    [
        ("postcopy_button", {}, ("postcopy",), "Switched to post-copy"),
        ("suspend_button", {}, ("suspend",), "is paused"),
        ("downtime_button", {"downtime": "700"}, ("downtime", 700), "is 700 ms"),
        ("bandwidth_button", {"bandwidth": "9"}, ("bandwidth", 9, False), "is 9 MiB/s"),
        ("bandwidth_button", {}, ("bandwidth", None, False), "without limit"),
    ],
)
def test_a_press_is_done_and_answered(
    migration: FakeMigration,
    name: str,
    typed: dict[str, str],
    asked: tuple[object, ...],
    said: str,
) -> None:
    """Each button asks the migration for its own deed, and says what came of it."""
    bar = beside(migration)
    for field, text in typed.items():
        getattr(bar, field).value = text
    answered = says(bar.message, said)
    getattr(bar, name).click()
    assert answered.wait(TIMEOUT_S)
    assert migration.steered == [asked]
    assert 'role="status"' in bar.message.value


def test_in_postcopy_the_bandwidth_is_that_of_postcopy(migration: FakeMigration) -> None:
    """It has a limit of its own, and the usual one would have no effect."""
    migration.told = told("post-copy")
    bar = beside(migration)
    bar.bandwidth.value = "30"
    answered = says(bar.message, "is 30 MiB/s")
    bar.bandwidth_button.click()
    assert answered.wait(TIMEOUT_S)
    assert migration.steered == [("bandwidth", 30, True)]


@pytest.mark.parametrize("text", ["", "soon", "0.5"])
def test_a_limit_that_is_no_number_is_refused_in_words(migration: FakeMigration, text: str) -> None:
    """What is typed wrongly never reaches the migration."""
    bar = beside(migration)
    bar.downtime.value = text
    answered = says(bar.message, "must be a whole number of ms")
    bar.downtime_button.click()
    assert answered.wait(TIMEOUT_S)
    assert migration.steered == []


def test_a_refusal_is_reported_with_its_hint_and_the_button_works_again(
    migration: FakeMigration,
) -> None:
    """What libvirt or migrationlab refuses is on the page, and the next press is done."""
    migration.refusal = UsageError("the migration is over", hint="wait() gives <its> run")
    bar = beside(migration)
    refused = says(bar.message, "Not done: the migration is over")
    bar.suspend_button.click()
    assert refused.wait(TIMEOUT_S)
    assert "wait() gives &lt;its&gt; run" in bar.message.value
    migration.refusal = None
    done = says(bar.message, "is paused")
    bar.suspend_button.click()
    assert done.wait(TIMEOUT_S)


def test_what_was_said_of_the_last_migration_goes_with_it(migration: FakeMigration) -> None:
    """The next migration begins without the answers to the one before."""
    bar = beside(migration)
    answered = says(bar.message, "is paused")
    bar.suspend_button.click()
    assert answered.wait(TIMEOUT_S)
    bar.show(None)
    assert "is paused" in bar.message.value
    bar.show(FakeMigration(migration.runs))  # type: ignore[arg-type]
    assert bar.message.value == ""
