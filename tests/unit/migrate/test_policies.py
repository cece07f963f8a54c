"""What a plan has the kit do by itself: the decisions, with a clock of the test's own."""

from __future__ import annotations

import pandas as pd
import pytest

from migrationlab.migrate.policies import Action, ActionKind, Policies, downtime_steps
from migrationlab.plan.plan import Plan
from migrationlab.runs import store
from migrationlab.runs.run import Outcome, Run
from paths import RECORDINGS

REAL = [*store.load_runs(RECORDINGS), *store.load_runs(RECORDINGS / "steered")]
PAGE = 4096
MIB = 1 << 20


def sample(sent_mib: float, dirty_mib_s: float, iteration: int = 2) -> dict[str, int]:
    """Return a job's statistics."""
    return {
        "iteration": iteration,
        "data_processed_bytes": round(sent_mib * MIB),
        "dirty_rate_pages_s": round(dirty_mib_s * MIB / PAGE),
        "page_size_bytes": PAGE,
    }


def played(run: Run, policies: Policies) -> list[tuple[float, Action]]:
    """Give a real run's samples to policies; return what they want, and when."""
    found = []
    for row in run.job.to_dict("records"):
        now_s = (row.pop("time_ns") - run.called_ns) / 1e9
        known = {name: int(value) for name, value in row.items() if not pd.isna(value)}
        found += [(now_s, action) for action in policies.sampled(known, now_s)]
    return found


# --- the deadline -----------------------------------------------------------------------------


def test_the_deadline_comes_once_and_ends_everything() -> None:
    """At the deadline it is told, and nothing is wanted any more after it."""
    policies = Policies(Plan(deadline_s=5, suspend_after_s=6))
    assert policies.next_s == 5
    assert policies.iteration_began(1, 4.9) == ()
    assert policies.time_passed(5.0) == (Action(ActionKind.DEADLINE, "deadline_s"),)
    assert policies.next_s is None
    assert policies.time_passed(9.0) == ()
    assert policies.iteration_began(7, 9.1) == ()


def test_the_deadline_stands_before_the_first_pass_and_in_postcopy() -> None:
    """It counts from the call, whatever the migration has come to."""
    assert Policies(Plan(deadline_s=1)).time_passed(1.5)[0].kind is ActionKind.DEADLINE
    policies = Policies(Plan(deadline_s=3, postcopy=True, postcopy_after_s=1))
    policies.iteration_began(1, 0.5)
    policies.switchover()
    assert policies.next_s == 3
    assert policies.time_passed(3)[0].kind is ActionKind.DEADLINE


# --- switches ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "kind"), [(ActionKind.START_POSTCOPY, "postcopy"), (ActionKind.SUSPEND, "suspend")]
)
def test_after_a_pass_is_when_the_next_begins(act: ActionKind, kind: str) -> None:
    """After two passes means at the start of the third, once."""
    field = f"{kind}_after_iteration"
    policies = Policies(Plan(postcopy=kind == "postcopy", **{field: 2}))  # type: ignore[arg-type]
    assert policies.iteration_began(1, 0.5) == ()
    assert policies.iteration_began(2, 0.9) == ()
    assert policies.iteration_began(3, 1.2) == (Action(act, field),)
    assert policies.iteration_began(4, 1.4) == ()


def test_a_pass_that_only_a_sample_tells_of_counts_too() -> None:
    """Where libvirt's events are late or lost, the job's statistics stand in for them."""
    policies = Policies(Plan(postcopy=True, postcopy_after_iteration=1))
    assert policies.sampled(sample(1, 0, iteration=1), 0.5) == ()
    assert policies.sampled(sample(9, 0, iteration=2), 0.9)[0].kind is ActionKind.START_POSTCOPY


@pytest.mark.parametrize(
    ("act", "kind"), [(ActionKind.START_POSTCOPY, "postcopy"), (ActionKind.SUSPEND, "suspend")]
)
def test_after_a_time_waits_for_the_first_pass(act: ActionKind, kind: str) -> None:
    """Before it libvirt refuses to switch, so an earlier time means with the first pass."""
    field = f"{kind}_after_s"
    policies = Policies(Plan(postcopy=kind == "postcopy", **{field: 1.0}))  # type: ignore[arg-type]
    assert policies.time_passed(1.5) == ()
    assert policies.iteration_began(1, 2.0) == (Action(act, field),)
    again = Policies(Plan(postcopy=kind == "postcopy", **{field: 1.0}))  # type: ignore[arg-type]
    assert again.iteration_began(1, 0.4) == ()
    assert again.next_s == 1.0
    assert again.time_passed(1.0) == (Action(act, field),)


def test_whichever_of_pass_and_time_comes_first() -> None:
    """A plan with both switches once, and says by which."""
    plan = Plan(postcopy=True, postcopy_after_iteration=1, postcopy_after_s=5)
    policies = Policies(plan)
    policies.iteration_began(1, 0.5)
    assert policies.iteration_began(2, 2.0) == (
        Action(ActionKind.START_POSTCOPY, "postcopy_after_iteration"),
    )
    assert policies.time_passed(6.0) == ()


def test_nothing_is_wanted_once_the_guest_has_left() -> None:
    """Once it stands still, or runs over there, no step and no divergence matters; else it does."""
    plan = Plan(
        postcopy=True, max_downtime_ms=400, downtime_steps=4, downtime_step_s=1,
        abort_when_diverging_s=1,
    )  # fmt: skip
    policies = Policies(plan)
    policies.iteration_began(1, 0.5)
    policies.switchover()
    for now_s in range(2, 9):
        assert policies.sampled(sample(now_s, 500), now_s) == ()
    policies.switchover(began=False)
    assert policies.time_passed(9) == (Action(ActionKind.CANCEL, "abort_when_diverging_s"),)


# --- downtime in steps ------------------------------------------------------------------------


def test_steps_are_novas() -> None:
    """The example that stands in Nova's own downtime_steps: 10 steps of 90 s to 400 ms."""
    plan = Plan(max_downtime_ms=400, downtime_steps=10, downtime_step_s=90)
    assert downtime_steps(plan) == tuple(
        zip(
            range(0, 901, 90),
            (40, 76, 112, 148, 184, 220, 256, 292, 328, 364, 400),
            strict=True,
        )
    )


def test_without_steps_the_limit_is_there_from_the_beginning() -> None:
    """And QEMU's own where the plan names none."""
    assert downtime_steps(Plan(max_downtime_ms=400)) == ((0.0, 400),)
    assert downtime_steps(Plan()) == ()


def test_steps_come_at_their_times_and_late_ones_are_left_out() -> None:
    """Each is wanted once; of several that are due only the last means anything."""
    policies = Policies(Plan(max_downtime_ms=400, downtime_steps=4, downtime_step_s=1))
    assert policies.iteration_began(1, 0.2) == ()
    assert policies.next_s == 1
    assert policies.time_passed(1.0) == (
        Action(ActionKind.SET_MAX_DOWNTIME, "downtime_steps", 175),
    )
    assert policies.time_passed(1.5) == ()
    assert policies.time_passed(3.5) == (
        Action(ActionKind.SET_MAX_DOWNTIME, "downtime_steps", 325),
    )
    assert policies.time_passed(4.0) == (
        Action(ActionKind.SET_MAX_DOWNTIME, "downtime_steps", 400),
    )
    assert policies.time_passed(99) == ()


def test_a_step_never_lowers_what_is_allowed() -> None:
    """A limit that the user has set meanwhile stays until a step goes beyond it."""
    policies = Policies(Plan(max_downtime_ms=400, downtime_steps=4, downtime_step_s=1))
    policies.iteration_began(1, 0.2)
    policies.downtime_allowed(330)
    assert policies.time_passed(3.2) == ()
    assert policies.time_passed(4.0) == (
        Action(ActionKind.SET_MAX_DOWNTIME, "downtime_steps", 400),
    )


# --- divergence -------------------------------------------------------------------------------


def test_a_rate_above_the_throughput_for_so_long_is_divergence() -> None:
    """The time counts from when it shows, and the cancel comes once."""
    policies = Policies(Plan(abort_when_diverging_s=2))
    wanted = []
    for tick in range(100):
        now_s = tick / 10
        wanted += [(now_s, a) for a in policies.sampled(sample(now_s * 100, 120), now_s)]
    # A window of a second is needed first.
    assert wanted == [(3.0, Action(ActionKind.CANCEL, "abort_when_diverging_s"))]


def test_a_rate_below_the_throughput_is_none() -> None:
    """Nor is one that falls below it now and then for long enough in between."""
    policies = Policies(Plan(abort_when_diverging_s=2))
    for tick in range(100):
        now_s = tick / 10
        rate = 50 if tick % 15 == 0 else 120
        assert policies.sampled(sample(now_s * 100, rate), now_s) == ()


def test_the_first_pass_is_no_divergence() -> None:
    """In it QEMU tells no dirty rate."""
    policies = Policies(Plan(abort_when_diverging_s=1))
    for tick in range(100):
        assert policies.sampled(sample(tick, 0, iteration=1), tick / 10) == ()


def test_real_migrations_that_converged_are_let_go_on() -> None:
    """Played to the policy, no real migration that completed would have been cancelled."""
    converged = [run for run in REAL if run.outcome is Outcome.COMPLETED]
    assert len(converged) >= 5
    for run in converged:
        assert played(run, Policies(Plan(abort_when_diverging_s=2))) == []


def test_a_real_migration_that_got_nowhere_is_ended() -> None:
    """Played to the policy, a real one that diverged is cancelled, and not before its time."""
    (run,) = (run for run in REAL if run.outcome is Outcome.DIVERGED)
    ((now_s, action),) = played(run, Policies(Plan(abort_when_diverging_s=2)))
    assert action == Action(ActionKind.CANCEL, "abort_when_diverging_s")
    # As long as the first pass took, two seconds, and the window.
    assert now_s > 3
    assert played(run, Policies(Plan(abort_when_diverging_s=60))) == []


def test_real_passes_switch_where_the_real_one_did() -> None:
    """Played to the policy, a real post-copy migration is switched by the same sample or event."""
    (run,) = (run for run in REAL if run.plan.postcopy and run.outcome is Outcome.COMPLETED)
    line = run.timeline()
    (switched_ns,) = line.steering["time_ns"]
    policies = Policies(run.plan)
    for row in line.iterations.itertuples():
        wanted = policies.iteration_began(row[1], (row.start_ns - run.called_ns) / 1e9)
        if wanted:
            break
    assert wanted == (Action(ActionKind.START_POSTCOPY, "postcopy_after_iteration"),)
    assert 0 <= switched_ns - row.start_ns < 100_000_000
