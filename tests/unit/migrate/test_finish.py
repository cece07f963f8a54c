"""The end of a migration: what a run says of its error, and of a guest that does not run."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from migrationlab.errors import HostError
from migrationlab.explain import explain
from migrationlab.migrate.finish import (
    HIDING,
    is_paused_as_planned,
    rate_missed_of,
    run_error,
)
from migrationlab.migrate.record import MigrationRecord
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome
from migrationlab.runs.schema import frame

MS = 1_000_000
#: As in ``tests/unit/capture/test_daemon_log.py``.
TEXT = "End of file while reading data: : Input/output error"
REASON = (
    "internal error: unable to execute QEMU command 'migrate-incoming': Failed to bind socket: "
    "Cannot assign requested address"
)


def record(
    *, reason: str | None = None, plan: Plan | None = None, outcome: Outcome = Outcome.FAILED
) -> MigrationRecord:
    """Give a migration that is over, whose source's log has a reason or none."""
    others: dict[str, Any] = dict.fromkeys(("guest", "about", "destination", "machine", "wire"))
    others |= dict.fromkeys(("call", "control", "undo", "downtime_limit_ms"))
    return MigrationRecord(
        **others,
        name="guest-1",
        uuid="",
        connections=(),
        source=SimpleNamespace(name="host-a"),  # type: ignore[arg-type]
        recorder=SimpleNamespace(  # type: ignore[arg-type]
            hidden_reason=lambda text, since_ns: reason if (text, since_ns) == (TEXT, 5) else None
        ),
        plan=plan or Plan(),
        called_ns=5,
        returned_ns=6,
        outcome=outcome,
    )


def test_hidden_reason_is_explained_and_quoted() -> None:
    """If the source's log has the hidden reason, the run explains it and keeps both texts."""
    migration = record(reason=REASON)
    found = run_error(migration, HostError(TEXT, code=HIDING[0], domain=HIDING[1]))
    assert (found.text, found.code, found.domain) == (TEXT, 38, 7)
    assert found.explanation == explain(REASON).id != "host-lost"
    assert found.hint == explain(REASON).fix
    assert len(migration.warnings) == 1
    assert REASON in migration.warnings[0]


def test_unknown_hidden_reason_has_no_id() -> None:
    """A hidden reason without an explanation is quoted and has no id."""
    migration = record(reason="the moon is full")
    found = run_error(migration, HostError(TEXT, code=38, domain=7))
    assert found.explanation is None
    assert "the moon is full" in migration.warnings[0]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (HostError(TEXT, code=38, domain=7), None),
        (HostError("operation failed: whatever", code=9, domain=10), REASON),
    ],
)
def test_error_that_hides_nothing_is_kept(error: HostError, reason: str | None) -> None:
    """An error that hides no reason, or without a reason in the log, is unchanged."""
    migration = record(reason=reason)
    found = run_error(migration, error)
    assert migration.warnings == []
    assert found.hint == error.hint
    known = explain(str(error), code=error.code, domain=error.domain)
    assert found.explanation == (known.id if known.known else None)


@pytest.mark.parametrize(
    ("plan", "outcome", "destination", "planned"),
    [
        (Plan(paused=True), Outcome.COMPLETED, "paused", True),
        (Plan(paused=True), Outcome.COMPLETED, "absent", False),
        (Plan(paused=True), Outcome.FAILED, "paused", False),
        (Plan(), Outcome.COMPLETED, "paused", False),
        (Plan(offline=True, persistent=True), Outcome.COMPLETED, "shut off", True),
    ],
)
def test_guest_paused_as_planned_is_no_warning(
    plan: Plan, outcome: Outcome, destination: str, planned: bool
) -> None:
    """A guest that the plan leaves paused gives no warning; a lost guest gives one."""
    states = {"source": "absent", "destination": destination}
    assert is_paused_as_planned(record(plan=plan, outcome=outcome), states) is planned


@pytest.mark.parametrize(("asked", "told"), [(50, True), (40, False)])
def test_rate_that_a_guest_does_not_reach_is_a_warning(asked: float, told: bool) -> None:
    """It counts until memory is sent; the guest may write less after that."""
    rows = (
        {"arrival_ns": at * MS, "sequence": at, "guest_ns": at * MS,
         "writes": round(min(at, 1000) * 40 * 256 / 1000)}
        for at in range(2000)
    )  # fmt: skip
    passed = {"time_ns": 1000 * MS, "received_ns": 1000 * MS, "side": "source",
              "origin": "qemu", "name": "MIGRATION_PASS", "detail": "{}"}  # fmt: skip
    frames = {"beats": frame("beats", rows), "events": frame("events", [passed])}
    migration = dataclasses.replace(record(), about={"dirty_mib_s": asked}, called_ns=500 * MS)
    words = ("The guest was asked for 50 MiB/s, and reached 40.0 MiB/s.",)
    assert rate_missed_of(migration, frames) == (words if told else ())
