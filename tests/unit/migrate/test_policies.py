"""The decisions of a plan's policies, with a clock of the test's own."""

from __future__ import annotations

import pandas as pd
import pytest

from migrationlab.migrate.policies import Policies
from migrationlab.plan.downtime_steps import downtime_steps
from migrationlab.plan.plan import Plan
from migrationlab.plan.policies.action import Action, ActionKind
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
    """Give a real run's samples to policies; return the actions and their times."""
    found = []
    for row in run.job.to_dict("records"):
        now_s = (row.pop("time_ns") - run.called_ns) / 1e9
        known = {name: int(value) for name, value in row.items() if not pd.isna(value)}
        found += [(now_s, action) for action in policies.sampled(known, now_s)]
    return found


# --- the deadline -----------------------------------------------------------------------------


def test_deadline_comes_once_and_ends_everything() -> None:
    """The deadline comes once, and no decision follows it."""
    policies = Policies(Plan(deadline_s=5, suspend_after_s=6))
    assert policies.next_s == 5
    assert policies.iteration_began(1, 4.9) == ()
    assert policies.time_passed(5.0) == (Action(ActionKind.DEADLINE, "deadline_s"),)
    assert policies.next_s is None
    assert policies.time_passed(9.0) == ()
    assert policies.iteration_began(7, 9.1) == ()


def test_deadline_counts_from_the_call() -> None:
    """The deadline counts from the call: before the first iteration and in post-copy too."""
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
def test_action_after_an_iteration_comes_when_the_next_begins(act: ActionKind, kind: str) -> None:
    """An action after two iterations comes once, at the start of the third."""
    field = f"{kind}_after_iteration"
    policies = Policies(Plan(postcopy=kind == "postcopy", **{field: 2}))  # type: ignore[arg-type]
    assert policies.iteration_began(1, 0.5) == ()
    assert policies.iteration_began(2, 0.9) == ()
    assert policies.iteration_began(3, 1.2) == (Action(act, field),)
    assert policies.iteration_began(4, 1.4) == ()


def test_iteration_in_a_sample_counts() -> None:
    """The job's statistics replace libvirt's events if these are late or lost."""
    policies = Policies(Plan(postcopy=True, postcopy_after_iteration=1))
    assert policies.sampled(sample(1, 0, iteration=1), 0.5) == ()
    assert policies.sampled(sample(9, 0, iteration=2), 0.9)[0].kind is ActionKind.START_POSTCOPY


@pytest.mark.parametrize(
    ("act", "kind"), [(ActionKind.START_POSTCOPY, "postcopy"), (ActionKind.SUSPEND, "suspend")]
)
def test_time_waits_for_the_first_iteration(act: ActionKind, kind: str) -> None:
    """An earlier time means the first iteration, because libvirt refuses an earlier switch."""
    field = f"{kind}_after_s"
    policies = Policies(Plan(postcopy=kind == "postcopy", **{field: 1.0}))  # type: ignore[arg-type]
    assert policies.time_passed(1.5) == ()
    assert policies.iteration_began(1, 2.0) == (Action(act, field),)
    again = Policies(Plan(postcopy=kind == "postcopy", **{field: 1.0}))  # type: ignore[arg-type]
    assert again.iteration_began(1, 0.4) == ()
    assert again.next_s == 1.0
    assert again.time_passed(1.0) == (Action(act, field),)


def test_first_of_iteration_and_time_counts() -> None:
    """A plan with an iteration and a time switches once, at the earlier, and names the reason."""
    plan = Plan(postcopy=True, postcopy_after_iteration=1, postcopy_after_s=5)
    policies = Policies(plan)
    policies.iteration_began(1, 0.5)
    assert policies.iteration_began(2, 2.0) == (
        Action(ActionKind.START_POSTCOPY, "postcopy_after_iteration"),
    )
    assert policies.time_passed(6.0) == ()


def test_nothing_is_due_after_the_switchover() -> None:
    """After the switchover no step of the limit and no divergence is due."""
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


def test_steps_are_those_of_nova() -> None:
    """The steps are those of Nova's example: 10 steps of 90 s to 400 ms."""
    plan = Plan(max_downtime_ms=400, downtime_steps=10, downtime_step_s=90)
    assert downtime_steps(plan) == tuple(
        zip(
            range(0, 901, 90),
            (40, 76, 112, 148, 184, 220, 256, 292, 328, 364, 400),
            strict=True,
        )
    )


def test_limit_without_steps_counts_from_the_beginning() -> None:
    """A limit without steps is in force from the start; a plan without a limit sets none."""
    assert downtime_steps(Plan(max_downtime_ms=400)) == ((0.0, 400),)
    assert downtime_steps(Plan()) == ()


def test_steps_come_at_their_times() -> None:
    """Each step is due once; if several are due, only the last one counts."""
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


def test_step_never_lowers_the_limit() -> None:
    """A limit of the user stays in force until a step is higher."""
    policies = Policies(Plan(max_downtime_ms=400, downtime_steps=4, downtime_step_s=1))
    policies.iteration_began(1, 0.2)
    policies.downtime_allowed(330)
    assert policies.time_passed(3.2) == ()
    assert policies.time_passed(4.0) == (
        Action(ActionKind.SET_MAX_DOWNTIME, "downtime_steps", 400),
    )


# --- divergence -------------------------------------------------------------------------------


def test_dirty_rate_above_throughput_is_divergence() -> None:
    """The time of divergence counts from its first sample, and the cancel comes once."""
    policies = Policies(Plan(abort_when_diverging_s=2))
    wanted = []
    for tick in range(100):
        now_s = tick / 10
        wanted += [(now_s, a) for a in policies.sampled(sample(now_s * 100, 120), now_s)]
    # A window of a second is needed first.
    assert wanted == [(3.0, Action(ActionKind.CANCEL, "abort_when_diverging_s"))]


def test_dirty_rate_below_throughput_is_no_divergence() -> None:
    """A dirty rate that is sometimes below the throughput is no divergence."""
    policies = Policies(Plan(abort_when_diverging_s=2))
    for tick in range(100):
        now_s = tick / 10
        rate = 50 if tick % 15 == 0 else 120
        assert policies.sampled(sample(now_s * 100, rate), now_s) == ()


def test_first_iteration_is_no_divergence() -> None:
    """The first iteration is no divergence, because QEMU reports no dirty rate in it."""
    policies = Policies(Plan(abort_when_diverging_s=1))
    for tick in range(100):
        assert policies.sampled(sample(tick, 0, iteration=1), tick / 10) == ()


def test_real_completed_migrations_are_not_cancelled() -> None:
    """The policy cancels none of the recorded migrations that completed."""
    converged = [run for run in REAL if run.outcome is Outcome.COMPLETED]
    assert len(converged) >= 5
    for run in converged:
        assert played(run, Policies(Plan(abort_when_diverging_s=2))) == []


def test_real_diverging_migration_is_cancelled() -> None:
    """The policy cancels a recorded migration that diverged, and not before the plan's time."""
    (run,) = (run for run in REAL if run.outcome is Outcome.DIVERGED)
    ((now_s, action),) = played(run, Policies(Plan(abort_when_diverging_s=2)))
    assert action == Action(ActionKind.CANCEL, "abort_when_diverging_s")
    # As long as the first iteration took, two seconds, and the window.
    assert now_s > 3
    assert played(run, Policies(Plan(abort_when_diverging_s=60))) == []


def test_real_iterations_switch_where_the_real_run_did() -> None:
    """The policy switches a recorded post-copy migration at the sample or event of the real run."""
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
