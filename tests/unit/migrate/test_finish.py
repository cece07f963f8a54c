"""The end of a migration: what a run says of its error, and of a guest that does not run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from migrationlab.errors import HostError
from migrationlab.explain import explain
from migrationlab.migrate.finish import HIDING, Ending
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome

#: As in ``test_daemonlog``.
TOLD = "End of file while reading data: : Input/output error"
REASON = (
    "internal error: unable to execute QEMU command 'migrate-incoming': Failed to bind socket: "
    "Cannot assign requested address"
)


def ending(
    *,
    error: HostError | None = None,
    reason: str | None = None,
    plan: Plan | None = None,
    outcome: Outcome = Outcome.FAILED,
) -> Ending:
    """Give an ending of a migration whose source's log has a reason, or none."""
    others: dict[str, Any] = dict.fromkeys(("subject", "record", "destination", "uuid"))
    others |= dict.fromkeys(("limit_ms", "wire", "environment"))
    return Ending(
        **others,
        source=SimpleNamespace(name="host-a"),  # type: ignore[arg-type]
        recorder=SimpleNamespace(  # type: ignore[arg-type]
            hidden_reason=lambda told, since_ns: reason if (told, since_ns) == (TOLD, 5) else None
        ),
        plan=plan or Plan(),
        called_ns=5,
        returned_ns=6,
        outcome=outcome,
        error=error,
    )


def test_the_hidden_reason_is_explained_and_quoted() -> None:
    """Where the source's log has the real reason, the run explains that and keeps both texts."""
    error, warnings = HostError(TOLD, code=HIDING[0], domain=HIDING[1]), list[str]()
    record = ending(reason=REASON)._error_record(error, warnings)
    assert (record.text, record.code, record.domain) == (TOLD, 38, 7)
    assert record.explanation == explain(REASON).id != "host-lost"
    assert record.hint == explain(REASON).fix
    assert len(warnings) == 1
    assert REASON in warnings[0]


def test_a_hidden_reason_that_nobody_knows_has_no_id() -> None:
    """A reason that cannot be explained is quoted all the same, and nothing is made up for it."""
    error, warnings = HostError(TOLD, code=38, domain=7), list[str]()
    record = ending(reason="the moon is full")._error_record(error, warnings)
    assert record.explanation is None
    assert "the moon is full" in warnings[0]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (HostError(TOLD, code=38, domain=7), None),
        (HostError("operation failed: whatever", code=9, domain=10), REASON),
    ],
)
def test_what_hides_nothing_is_kept(error: HostError, reason: str | None) -> None:
    """Without a reason in the log, or with an error that hides none, the error is what it is."""
    warnings: list[str] = []
    record = ending(reason=reason)._error_record(error, warnings)
    assert warnings == []
    assert record.hint == error.hint
    known = explain(str(error), code=error.code, domain=error.domain)
    assert record.explanation == (known.id if known.known else None)


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
def test_a_guest_that_stands_still_as_planned_is_no_warning(
    plan: Plan, outcome: Outcome, destination: str, planned: bool
) -> None:
    """Left paused as the plan has it, a guest is where it should be; lost, it is not."""
    states = {"source": "absent", "destination": destination}
    assert ending(plan=plan, outcome=outcome)._stands_as_planned(states) is planned
