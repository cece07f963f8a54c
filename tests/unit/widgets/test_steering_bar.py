"""The buttons that steer a migration, pressed beside a fake migration."""

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
    """Return a migration in its second iteration that may switch to post-copy."""
    made = FakeMigration(lambda outcome: make_run(outcome=outcome), plan=Plan(postcopy=True))
    made.told = told("running")
    return made


def beside(migration: FakeMigration) -> SteeringBar:
    """Return a bar that is shown beside a migration."""
    bar = SteeringBar()
    bar.show(migration)  # type: ignore[arg-type]
    return bar


def test_postcopy_button_needs_the_setting(migration: FakeMigration) -> None:
    """Without the setting the button is off, and a text states which setting to tick."""
    migration.plan = Plan()
    bar = beside(migration)
    assert bar.postcopy_button.disabled
    assert not bar.suspend_button.disabled
    assert "tick Post-copy" in bar.note.value


def test_buttons_are_off_until_the_migration_runs(migration: FakeMigration) -> None:
    """Every button is off without a migration and while its connections are made."""
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
def test_press_acts_and_reports(
    migration: FakeMigration,
    name: str,
    typed: dict[str, str],
    asked: tuple[object, ...],
    said: str,
) -> None:
    """Each button calls its method of the migration, and the page shows the result."""
    bar = beside(migration)
    for field, text in typed.items():
        getattr(bar, field).value = text
    answered = says(bar.message, said)
    getattr(bar, name).click()
    assert answered.wait(TIMEOUT_S)
    assert migration.steered == [asked]
    assert 'role="status"' in bar.message.value


def test_bandwidth_in_postcopy_is_the_postcopy_limit(migration: FakeMigration) -> None:
    """Post-copy has its own limit, and the usual limit would have no effect."""
    migration.told = told("post-copy")
    bar = beside(migration)
    bar.bandwidth.value = "30"
    answered = says(bar.message, "is 30 MiB/s")
    bar.bandwidth_button.click()
    assert answered.wait(TIMEOUT_S)
    assert migration.steered == [("bandwidth", 30, True)]


@pytest.mark.parametrize("text", ["", "soon", "0.5"])
def test_limit_that_is_no_number_is_refused(migration: FakeMigration, text: str) -> None:
    """Wrong text never reaches the migration, and the page explains the problem."""
    bar = beside(migration)
    bar.downtime.value = text
    answered = says(bar.message, "must be a whole number of ms")
    bar.downtime_button.click()
    assert answered.wait(TIMEOUT_S)
    assert migration.steered == []


def test_refusal_is_shown_and_button_works_again(
    migration: FakeMigration,
) -> None:
    """The page shows the refusal with its hint, and the next press acts."""
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


def test_next_migration_starts_without_old_messages(migration: FakeMigration) -> None:
    """The next migration does not show the messages about the migration before."""
    bar = beside(migration)
    answered = says(bar.message, "is paused")
    bar.suspend_button.click()
    assert answered.wait(TIMEOUT_S)
    bar.show(None)
    assert "is paused" in bar.message.value
    bar.show(FakeMigration(migration.runs))  # type: ignore[arg-type]
    assert bar.message.value == ""
