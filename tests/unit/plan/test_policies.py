"""The named policies: the worked examples of their sources, options, and replayed real jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest

from migrationlab.errors import PlanError, UsageError
from migrationlab.plan.plan import Plan
from migrationlab.plan.policies import catalog
from migrationlab.plan.policies.action import Action, ActionKind
from migrationlab.plan.policies.driver import Imagined, PolicyDriver, imagined, replayed
from migrationlab.plan.policies.nova import Nova
from migrationlab.plan.policies.policy import Policy, PolicyGuest, Seen, allow
from migrationlab.plan.policies.rules import read_rules
from migrationlab.runs import store
from migrationlab.runs.run import Run
from paths import RECORDINGS

MIB = 1 << 20
GUEST = PolicyGuest(memory_bytes=2048 * MIB)
REAL = [*store.load_runs(RECORDINGS), *store.load_runs(RECORDINGS / "steered")]
DOWNTIME, CANCEL = ActionKind.SET_MAX_DOWNTIME, ActionKind.CANCEL
POSTCOPY, SUSPEND = ActionKind.START_POSTCOPY, ActionKind.SUSPEND

Done = list[tuple[float, ActionKind, int | None]]


def done(name: str, job: Imagined | None = None, until_s: float = 2000, **options: object) -> Done:
    """Return what a policy does for a guest that never converges."""
    found = imagined(catalog.make(name, options), job or Imagined(), until_s=until_s)
    return [(at_s, action.kind, action.value) for at_s, action in found]


def limits(found: Done) -> list[tuple[float, int | None]]:
    """Return the limits with their times."""
    return [(at_s, value) for at_s, kind, value in found if kind is DOWNTIME]


def steady(until_s: float, step_s: float = 0.1, **statistics: int) -> Iterator[Any]:
    """Yield the samples of a job whose statistics stay the same."""
    for number in range(1, round(until_s / step_s) + 1):
        yield round(number * step_s, 3), {"iteration": 2, **statistics}


def job(run: Run) -> list[tuple[float, Mapping[str, int]]]:
    """Return the samples of a real job."""
    found = []
    for row in run.job.to_dict("records"):
        now_s = (row.pop("time_ns") - run.called_ns) / 1e9
        found.append((now_s, {k: int(v) for k, v in row.items() if not pd.isna(v)}))
    return found


# --- OpenStack Nova ---------------------------------------------------------------------------


def test_nova_steps_for_two_gib() -> None:
    """Nova's defaults give the steps of its own function, and a timeout after 1600 s."""
    assert Nova().steps(2.0) == (
        (0, 50), (150, 95), (300, 140), (450, 185), (600, 230), (750, 275), (900, 320),
        (1050, 365), (1200, 410), (1350, 455), (1500, 500),
    )  # fmt: skip
    found = done("nova")
    assert limits(found)[:3] == [(0.5, 50), (150.5, 95), (300.5, 140)]
    assert found[-1] == (1600.5, CANCEL, None)


def test_nova_counts_two_gib_at_least_for_memory_and_each_disk() -> None:
    """A guest of 1 GiB has the steps of 2 GiB; a copied disk counts too."""
    assert done("nova", Imagined(memory_mib=1024)) == done("nova")
    policy = catalog.make("nova")
    with_disk = PolicyGuest(memory_bytes=1024 * MIB, copied_disks_bytes=(10 << 30,))
    found = list(replayed(policy, with_disk, steady(901, data_remaining_bytes=MIB)))
    assert [at_s for at_s, _ in found] == [0.5, 900.5]  # 12 GiB, 75 s each


def test_nova_forces_completion_at_the_poll_after_the_timeout() -> None:
    """force_complete switches to post-copy if permitted, and pauses the guest if not."""
    options = {"timeout_action": "force_complete"}
    assert done("nova", **options)[-1] == (1601.0, SUSPEND, None)
    assert done("nova", **options, permit_post_copy=True)[-1] == (1601.0, POSTCOPY, None)
    paused = PolicyGuest(memory_bytes=2048 * MIB, paused=True)
    policy = catalog.make("nova", {**options, "permit_post_copy": True})
    *_, (_, last) = replayed(policy, paused, steady(1610, data_remaining_bytes=MIB))
    assert last.kind is SUSPEND


def test_nova_without_a_timeout_never_ends() -> None:
    """A completion timeout of 0 is none."""
    assert done("nova", until_s=4000, completion_timeout_s=0)[-1] == (1500.5, DOWNTIME, 500)


# --- oVirt ------------------------------------------------------------------------------------


def test_ovirt_takes_one_step_a_pulse() -> None:
    """With iterations under 5 s, each pulse after the first takes one item of the schedule."""
    found = done("ovirt-minimal-downtime", Imagined(iteration_s=4))
    assert limits(found) == [(0, 100), (20, 150), (30, 200), (40, 300), (50, 400), (60, 500)]
    assert found[-1] == (70, CANCEL, None)


def test_ovirt_waits_for_iterations() -> None:
    """In a long iteration nothing happens, and the items wait for their iterations."""
    found = done("ovirt-minimal-downtime", Imagined(iteration_s=60), until_s=400)
    # The first pulse is in iteration 1; more than 1 iteration is done when iteration 3 runs.
    assert limits(found)[:2] == [(0, 100), (120, 150)]


def test_ovirt_schedules_end_differently() -> None:
    """Each schedule has its own last steps."""
    assert done("ovirt-suspend-workload")[-2:] == [(70, DOWNTIME, 5000), (80, CANCEL, None)]
    assert done("ovirt-post-copy") == [
        (0, DOWNTIME, 100), (20, DOWNTIME, 150), (30, DOWNTIME, 200), (40, POSTCOPY, None),
    ]  # fmt: skip
    large = [value for _, value in limits(done("ovirt-very-large-vms"))]
    assert large == [300, 400, 500, 700, 1000, 1500, 5000]


@pytest.mark.parametrize("fact", ["paused", "parallel"])
def test_ovirt_drops_postcopy_where_it_is_not_possible(fact: str) -> None:
    """For a paused guest, and with parallel connections, the schedule goes on to the end."""
    guest = PolicyGuest(memory_bytes=2048 * MIB, **{fact: True})
    policy = catalog.make("ovirt-post-copy")
    found = list(replayed(policy, guest, Imagined().samples(60)))
    assert found[-1][1].kind is CANCEL


def test_ovirt_legacy_downtimes_rise_exponentially() -> None:
    """The legacy steps are vdsm's: D/n + b^i, and the last one again after 42 iterations."""
    found = limits(done("ovirt-legacy"))
    assert [value for _, value in found] == [101, 104, 120, 189, 500, 500]


def test_ovirt_shares_the_link() -> None:
    """The bandwidth is the link divided by the migrations at once, 52 MiB/s if not known."""
    assert Plan(policy="ovirt-minimal-downtime").bandwidth_mib_s == 52
    options = {"link_mbit_s": 10_000}
    assert Plan(policy="ovirt-post-copy", policy_options=options).bandwidth_mib_s == 625
    assert Plan(policy="ovirt-suspend-workload", policy_options=options).bandwidth_mib_s == 1250


# --- KubeVirt ---------------------------------------------------------------------------------


def test_kubevirt_counts_two_gib_as_three() -> None:
    """T is 150 s for each begun 10^9 bytes: 450 s for 2 GiB."""
    assert done("kubevirt") == [(450.4, CANCEL, None)]


def test_kubevirt_may_disrupt_before_it_gives_up() -> None:
    """With disruption allowed it pauses the guest at T, and cancels at twice T."""
    found = done("kubevirt", allow_workload_disruption=True)
    assert found == [(450.4, SUSPEND, None), (900.4, CANCEL, None)]
    assert done("kubevirt", allow_post_copy=True) == [(450.4, POSTCOPY, None)]


def test_kubevirt_gives_up_without_progress() -> None:
    """The rest must become less from one look to the next within 150 s."""
    found = list(replayed(catalog.make("kubevirt"), GUEST, steady(300, data_remaining_bytes=MIB)))
    assert [(at_s, action.kind) for at_s, action in found] == [(150.8, CANCEL)]


def test_kubevirt_allows_vfio_a_long_downtime() -> None:
    """A guest with VFIO devices gets twice the timeout as its limit, 2000 s at most."""
    guest = PolicyGuest(memory_bytes=2048 * MIB, vfio=True)
    policy = catalog.make("kubevirt", {"allow_post_copy": True})
    (_, first), *_ = replayed(policy, guest, Imagined().samples(500))
    assert (first.kind, first.value) == (DOWNTIME, 900_000)


def test_downtime_ramp_rises_in_eight_steps() -> None:
    """VEP 291 with the ceiling 900 and iteration 3 at 25 s."""
    found = limits(done("kubevirt-downtime-ramp", Imagined(iteration_s=12.5)))
    values = [value for _, value in found]
    assert values == [150, 257, 364, 471, 578, 685, 792, 899, 900]
    times = [at_s for at_s, _ in found]
    assert times[:3] == [0.4, 25.2, 35.2]
    assert times[-1] == pytest.approx(95.2)


def test_downtime_ramp_keeps_the_timeout() -> None:
    """The ramp changes no timeout."""
    assert done("kubevirt-downtime-ramp")[-1] == (450.4, CANCEL, None)


# --- stall detection --------------------------------------------------------------------------

#: Seconds, and MiB that are left when an iteration begins.
RESTS = ((20, 900), (30, 400), (40, 210), (50, 205), (60, 200), (70, 198), (80, 202))


def stalling(rests: tuple[tuple[int, int], ...], rate_mib_s: int, until_s: int) -> Iterator[Any]:
    """Yield the samples of a job whose iterations begin at given times with given rests."""
    for tick in range(1, until_s * 10 + 1):
        now_s = tick / 10
        begun = [rest for at, rest in rests if at <= now_s] or [2048]
        yield (
            now_s,
            {
                "iteration": 1 + sum(at <= now_s for at, _ in rests),
                "data_remaining_bytes": begun[-1] * MIB,
                "memory_bps": rate_mib_s * MIB,
            },
        )


def stalled(rate_mib_s: int, until_s: int = 200, **options: object) -> list[tuple[float, Action]]:
    """Return what stall detection does in such a job."""
    policy = catalog.make("kubevirt-stall-detection", options)
    return list(replayed(policy, GUEST, stalling(RESTS, rate_mib_s, until_s)))


def test_stall_is_found_at_80_s_and_the_rest_is_too_long() -> None:
    """202 MiB are above 201.6; at 117 MiB/s they would take 1726 ms, more than 1.5 times 900."""
    ((at_s, action),) = stalled(117)
    assert (at_s, action.kind) == (80, CANCEL)
    assert action.why == "stalled: 202 MiB left, 1726 ms expected"


def test_stall_gets_the_limit_that_it_needs() -> None:
    """At 160 MiB/s 1262 ms are expected: the limit becomes 900, and has 60 s to act."""
    found = [(at_s, action.kind, action.value) for at_s, action in stalled(160)]
    assert found[0] == (80, DOWNTIME, 900)
    assert found[1][1] is CANCEL
    assert 140 < found[1][0] < 141


def test_stall_switches_to_postcopy_where_it_may() -> None:
    """Where post-copy is allowed, the rest's length does not matter."""
    ((at_s, action),) = stalled(117, allow_post_copy=True)
    assert (at_s, action.kind) == (80, POSTCOPY)


def test_stall_without_post_copy_takes_the_longest_limit() -> None:
    """Where only disruption is allowed, the limit becomes QEMU's largest."""
    (at_s, action), *_ = stalled(117, allow_workload_disruption=True)
    assert (at_s, action.kind, action.value) == (80, DOWNTIME, 2_000_000)


def test_progress_is_no_stall() -> None:
    """While each iteration leaves clearly less, nothing is done before the timeout."""
    rests = tuple((10 * n, round(2000 * 0.9**n)) for n in range(1, 40))
    policy = catalog.make("kubevirt-stall-detection")
    assert list(replayed(policy, GUEST, stalling(rests, 117, 390))) == []


def test_stall_waits_for_a_rest_near_the_best() -> None:
    """A rest far above the best one is not sent; the next near one is."""
    rests = ((10, 400), (20, 100), (60, 300), (65, 250), (70, 102))
    policy = catalog.make("kubevirt-stall-detection")
    (at_s, action), *_ = replayed(policy, GUEST, stalling(rests, 117, 75))
    assert (at_s, action.kind, action.value) == (70, DOWNTIME, 900)


# --- Proxmox, CloudStack, virsh, Ganeti -------------------------------------------------------


def test_proxmox_doubles_the_limit_fifteen_times() -> None:
    """The limit doubles up to QEMU's largest, about every six iterations."""
    found = limits(done("proxmox"))
    values = [value for _, value in found]
    assert values == [*(100 * 2**n for n in range(15)), 2_000_000]
    assert found[1][0] == 30


def test_proxmox_counts_rises_only() -> None:
    """A rest that only shrinks is no reason to double."""
    falling = (
        (float(n), {"iteration": 1, "data_remaining_bytes": (99 - n) * MIB,
                    "data_processed_bytes": n * MIB}) for n in range(1, 40)
    )  # fmt: skip
    found = list(replayed(catalog.make("proxmox", {"xbzrle": False}), GUEST, falling))
    assert found == []


def test_proxmox_gives_xbzrle_a_tenth_of_the_memory() -> None:
    """The cache is a tenth of the memory, rounded up to a power of two."""
    cache = [value for _, kind, value in done("proxmox") if kind is not DOWNTIME]
    assert cache == [256 * MIB]


def test_cloudstack_pauses_and_then_never_cancels() -> None:
    """With pauseafter the guest is paused at the next look, and the wait counts no more."""
    found = done("cloudstack", until_s=4000, downtime_ms=500, pause_after_ms=60_000)
    assert found == [(1, DOWNTIME, 500), (60.1, SUSPEND, None)]
    assert done("cloudstack", until_s=4000) == [(3600.1, CANCEL, None)]


def test_virsh_acts_once_by_its_timeout() -> None:
    """--timeout suspends the guest, or switches to post-copy, at the poll after it."""
    assert done("virsh", timeout_s=60) == [(60.5, SUSPEND, None)]
    assert done("virsh", timeout_s=60, timeout_action="postcopy") == [(60.5, POSTCOPY, None)]
    assert done("virsh") == done("libvirt") == []


def test_virsh_switches_when_iteration_2_begins() -> None:
    """--postcopy-after-precopy acts at the event of iteration 2."""
    assert done("virsh", postcopy_after_precopy=True) == [(5, POSTCOPY, None)]


def test_ganeti_never_changes_its_limits() -> None:
    """30 ms and 32 MiB/s from the start; post-copy after the first iteration if allowed."""
    assert done("ganeti") == [(0, DOWNTIME, 30)]
    assert done("ganeti", postcopy_ram=True)[-1] == (5, POSTCOPY, None)
    assert Plan(policy="ganeti").bandwidth_mib_s == 32


# --- policies of one's own --------------------------------------------------------------------


def test_table_of_rules_is_a_policy(tmp_path: Path) -> None:
    """Rules of a TOML file: double the limit every 10 s, give up after 60 s without progress."""
    path = tmp_path / "mine.toml"
    path.write_text(
        '[[rules]]\ndo = "set_max_downtime"\nfactor = 2\nat_most = 2000\nafter_iteration = 3\n'
        'every_s = 10\n[[rules]]\ndo = "cancel"\nwithout_progress_s = 60\n',
        encoding="utf-8",
    )
    options = read_rules(path)
    found = done("rules", **options)
    assert limits(found) == [(15, 600), (25, 1200), (35, 2000)]
    assert found[-1][1] is CANCEL
    assert Plan(policy="rules", policy_options=options).problems() == ()


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ([], "a list of rules"),
        (["cancel"], "must be a table"),
        ([{"after_s": 3}], "must say what to do"),
        ([{"do": "set_max_downtime"}], "must have value or factor"),
        ([{"do": "cancel", "value": 3}], "no value and no factor"),
        ([{"do": "explode"}], "do must be"),
        ([{"do": "cancel", "after_x": 3}], "no option 'after_x'"),
        ([{"do": "set_bandwidth", "factor": 2}], "not factor"),
    ],
)
def test_wrong_rule_is_a_problem(rules: list[Any], why: str) -> None:
    """A rule that cannot work is a problem of the plan, and says why."""
    (problem,) = Plan(policy="rules", policy_options={"rules": rules}).problems()
    assert why in problem.reason
    assert problem.rule == "policy-options"


def test_own_class_is_a_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered class is a policy like the others."""
    monkeypatch.setattr(catalog, "_KNOWN", dict(catalog._KNOWN))

    @catalog.register
    @dataclass(kw_only=True)
    class Mine(Policy):
        name: ClassVar[str] = "mine"

        def polled(self, seen: Seen) -> Iterator[Action]:
            if seen.now_s == 7:
                yield allow(700, "lucky")

    assert done("mine", until_s=20) == [(7, DOWNTIME, 700)]
    assert Plan(policy="mine").problems() == ()
    with pytest.raises(UsageError, match="name must be a new name"):
        catalog.register(Nova)


# --- plans and options ------------------------------------------------------------------------


def test_unknown_policy_suggests_the_nearest() -> None:
    """An unknown policy, and an unknown option, are problems with the nearest name."""
    (problem,) = Plan(policy="kubvirt").problems()
    assert problem.field == "policy"
    assert problem.hint.startswith("Use kubevirt.")
    (problem,) = Plan(policy="nova", policy_options={"downtimems": 5}).problems()
    assert problem.hint.startswith("Use downtime_ms.")


def test_option_out_of_range_is_a_problem() -> None:
    """An option has the range of its source."""
    (problem,) = Plan(policy="nova", policy_options={"downtime_steps": 2}).problems()
    assert problem.reason.startswith("downtime_steps must be a whole number from 3")


@pytest.mark.parametrize(
    "other",
    [{"max_downtime_ms": 5}, {"suspend_after_s": 5}, {"abort_when_diverging_s": 5},
     {"offline": True}],
)  # fmt: skip
def test_policy_excludes_what_it_decides(other: dict[str, Any]) -> None:
    """A plan with a named policy has no second policy."""
    fields = {problem.field for problem in Plan(policy="nova", **other).problems()}
    assert "policy" in fields


def test_policy_adds_its_settings_unless_the_plan_has_its_own() -> None:
    """oVirt's auto-convergence comes with its policy; the plan's own bandwidth stays."""
    plan = Plan(policy="ovirt-minimal-downtime", bandwidth_mib_s=10)
    assert plan.auto_converge
    assert plan.bandwidth_mib_s == 10
    assert Plan.from_dict(plan.to_dict()) == plan


@pytest.mark.parametrize("name", [name for name in catalog.names() if name != "rules"])
def test_every_policy_makes_a_valid_plan(name: str) -> None:
    """Each policy alone can work, says what it does and where that is from."""
    assert Plan(policy=name).problems() == ()
    about = catalog.about(name)
    assert about["meaning"].endswith(".")
    assert about["source"]
    assert all(option["meaning"].endswith(".") for option in about["options"])


def test_plan_with_options_is_a_value() -> None:
    """Equal options make equal plans, and cannot be changed."""
    one, other = (Plan(policy="nova", policy_options={"downtime_ms": 900}) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one.to_dict()["policy_options"] == {"downtime_ms": 900}
    assert Plan(policy="nova", policy_options={}) == Plan(policy="nova")
    with pytest.raises(PlanError, match="must be a plain value"):
        Plan(policy="nova", policy_options={"downtime_ms": float("nan")})


# --- real jobs --------------------------------------------------------------------------------


@pytest.mark.parametrize("run", REAL, ids=lambda run: run.run_id)
def test_virsh_switches_in_real_jobs_when_iteration_2_is_seen(run: Run) -> None:
    """In each recorded job the switch comes with the first sample of iteration 2, or never."""
    policy = catalog.make("virsh", {"postcopy_after_precopy": True})
    found = [at_s for at_s, _ in replayed(policy, GUEST, job(run))]
    seconds = [now_s for now_s, statistics in job(run) if statistics.get("iteration") == 2]
    skipped = not seconds
    assert found == ([] if skipped else [seconds[0]])


@pytest.mark.parametrize("run", REAL, ids=lambda run: run.run_id)
@pytest.mark.parametrize("name", [name for name in catalog.names() if name != "rules"])
def test_every_policy_replays_real_jobs(run: Run, name: str) -> None:
    """Times rise, a limit is one of QEMU's, and what ends a migration comes once."""
    found = list(replayed(catalog.make(name), GUEST, job(run)))
    times = [at_s for at_s, _ in found]
    assert times == sorted(times)
    values = [action.value for _, action in found if action.kind is DOWNTIME]
    assert all(value is not None and 1 <= value <= 2_000_000 for value in values)
    assert sum(action.kind is CANCEL for _, action in found) <= 1


def test_nova_acts_in_real_jobs_at_its_first_poll() -> None:
    """In a job of more than half a second Nova lowers the limit to 50 ms at once."""
    for run in REAL:
        samples = job(run)
        found = list(replayed(catalog.make("nova"), GUEST, samples))
        long = any(now_s >= 0.5 and statistics.get("iteration") for now_s, statistics in samples)
        assert [action.value for _, action in found] == ([50] if long else [])


def test_driver_looks_at_nothing_before_the_first_iteration() -> None:
    """Without an iteration there is no look, as libvirt has no statistics then."""
    driver = PolicyDriver(catalog.make("nova"), GUEST)
    assert driver.time_passed(5) == []
    assert driver.next_s is None
    driver.sampled({"data_remaining_bytes": 1})
    assert driver.iterated(1, 5.1) == []
    assert driver.next_s == 0.5
    assert [action.value for action in driver.time_passed(5.1)] == [50]
    assert driver.next_s == 5.6
