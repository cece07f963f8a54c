"""Phases, iterations and downtimes of a fake with known answers, and of real recordings.

``tests/recordings`` holds recordings of real migrations between two libvirt daemons, written by
``runs.store``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from migrationlab.analysis.timeline import PHASES, Timeline
from migrationlab.runs import store
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.schema import frame
from paths import RECORDINGS

MakeRun = Callable[..., Run]
MS = 1_000_000
REAL = list(store.load_runs(RECORDINGS))
#: By what each of them shows.
STEERED = {
    str(run.outcome)
    if run.outcome is not Outcome.COMPLETED
    else next(
        name
        for name in (
            *("postcopy", "downtime_steps", "suspend_after_iteration", "tunnelled"),
            *("paused", "copy_storage", "offline"),
        )
        if getattr(run.plan, name)
    ): run
    for run in store.load_runs(RECORDINGS / "steered")
}

real_runs = pytest.mark.parametrize("run", REAL, ids=repr)
steered_runs = pytest.mark.parametrize("run", STEERED.values(), ids=STEERED)
real_completed = pytest.mark.parametrize(
    "run", [run for run in REAL if run.outcome is Outcome.COMPLETED], ids=repr
)


def spans(line: Timeline) -> dict[str, tuple[str, float | None]]:
    """Return each phase's state and duration."""
    return {
        row.phase: (row.state, None if np.isnan(row.duration_ms) else row.duration_ms)
        for row in line.phases.itertuples()
    }


def without(run: Run, *origins: str) -> Run:
    """Return the run without these records."""
    events = run.events
    return dataclasses.replace(run, events=events[~events["origin"].isin(origins)])


def check_phases(line: Timeline) -> None:
    """Phases stand in order, touch each other, are never negative, and lie within the call."""
    assert line.phases["phase"].tolist() == list(PHASES)
    known = line.phases.dropna(subset=["start_ns"])
    unknown = line.phases[line.phases["start_ns"].isna()]
    if not len(known):
        assert (unknown["state"] == "unknown").all()
        return
    assert known["start_ns"].min() >= line.called_ns
    assert known["end_ns"].iloc[-1] == line.returned_ns
    assert known["start_ns"].iloc[1:].tolist() == known["end_ns"].iloc[:-1].tolist()
    assert (known["duration_ms"] >= 0).all()
    assert unknown["state"].isin(["missing", "not reached"]).all()


# --- the fake, whose answers are known ---------------------------------------------------------


@pytest.mark.parametrize("mode", ["normal", "peer2peer"])
def test_log_shows_all_five_phases_in_both_modes(make_run: MakeRun, mode: str) -> None:
    """The daemons go through the same five phases in both modes."""
    line = make_run(mode=mode).timeline()
    check_phases(line)
    assert spans(line)["Begin"] == ("complete", 8.0)
    assert spans(line)["Prepare"] == ("complete", 312.0)
    assert spans(line)["Finish"] == ("complete", 5.0)
    assert spans(line)["Confirm"] == ("complete", 208.0)
    assert set(line.phases["basis"]) == {"log"}


def test_events_alone_show_all_phases_but_begin(make_run: MakeRun) -> None:
    """Without a daemon's log, Begin is missing and its time is in Prepare's row."""
    line = make_run(with_log=False).timeline()
    check_phases(line)
    assert set(line.phases["basis"]) == {"events"}
    assert spans(line)["Begin"] == ("missing", None)
    assert spans(line)["Prepare"] == ("complete", 320.0)
    assert spans(line)["Finish"] == ("complete", 5.0)
    assert spans(line)["Confirm"] == ("complete", 209.0)


def test_libvirts_events_alone_do_not_measure_the_stop(make_run: MakeRun) -> None:
    """Events without a stamp give phases and iterations, but no event downtime."""
    line = make_run(with_log=False, with_qemu=False).timeline()
    check_phases(line)
    assert spans(line)["Finish"][1] == pytest.approx(330.0)
    assert line.downtime_event_ms is None
    assert line.downtime_network_ms == pytest.approx(341.0)
    assert set(line.iterations["basis"]) == {"libvirt"}
    assert line.throughput_bytes_per_s is None


def test_cancelled_run_is_cut_short_in_perform(make_run: MakeRun) -> None:
    """Perform is cut short, and the rollback is not taken for a completion."""
    run = make_run(outcome="cancelled")
    line = run.timeline()
    check_phases(line)
    assert {phase: state for phase, (state, _) in spans(line).items()} == {
        "Begin": "complete",
        "Prepare": "complete",
        "Perform": "cut short",
        "Finish": "rolled back",
        "Confirm": "rolled back",
    }
    line = without(run, "log").timeline()
    check_phases(line)
    assert [state for state, _ in spans(line).values()] == [
        "missing",
        "complete",
        "cut short",
        "not reached",
        "not reached",
    ]


def test_failure_in_prepare_does_not_reach_perform(recording: type[Any]) -> None:
    """If the destination refuses, Prepare is cut short and Perform not reached."""
    made = recording(outcome="failed")
    run = made.build()
    log = run.events.query("origin == 'log'")
    kept = log[~log["detail"].str.contains("perform3|finish3")]
    line = dataclasses.replace(run, events=kept).timeline()
    check_phases(line)
    assert [state for state, _ in spans(line).values()] == [
        "complete",
        "cut short",
        "not reached",
        "not reached",
        "rolled back",
    ]


@pytest.mark.parametrize("lost", ["prepare", "perform3", "perform3_done", "confirm3"])
def test_lost_line_of_the_log_is_a_missing_phase(make_run: MakeRun, lost: str) -> None:
    """The missing phase's time stays in the row before, so the sum is right."""
    run = make_run()
    events = run.events
    line = dataclasses.replace(
        run, events=events[~events["detail"].str.contains(f'"phase": "{lost}"', regex=False)]
    ).timeline()
    check_phases(line)
    states = [state for state, _ in spans(line).values()]
    # finish3 at the destination stands in for perform3_done.
    assert states.count("missing") == (0 if lost == "perform3_done" else 1)


def test_repeated_lines_and_any_order_change_nothing(make_run: MakeRun) -> None:
    """The daemons log a phase more than once, and rows come from several threads."""
    run = make_run()
    events = pd.concat([run.events, run.events.tail(20)]).sample(frac=1, random_state=4)
    assert spans(dataclasses.replace(run, events=events).timeline()) == spans(run.timeline())


def test_clock_set_back_during_the_call_gives_no_negative_time(make_run: MakeRun) -> None:
    """CLOCK_REALTIME can be set; phases are short then, but never negative."""
    run = make_run()
    line = dataclasses.replace(run, returned_ns=run.called_ns - 5 * MS).timeline()
    assert line.call_ms == 0
    assert (line.phases["duration_ms"].dropna() >= 0).all()


def test_iterations_end_at_the_next_one_and_at_the_stop(make_run: MakeRun) -> None:
    """QEMU's extra iteration after STOP has its own row, with the guest not running."""
    line = make_run().timeline()
    iterations = line.iterations
    assert iterations["iteration"].tolist() == [1, 2, 3]
    assert iterations["guest_running"].tolist() == [True, True, False]
    assert iterations["end_ns"].iloc[0] == iterations["start_ns"].iloc[1]
    assert iterations["end_ns"].iloc[1] == line.stop_ns
    assert iterations["end_ns"].iloc[2] == line.completed_ns
    assert iterations["duration_ms"].iloc[0] == pytest.approx(150 / 112 * 1000)


@pytest.mark.parametrize("outcome", ["completed", "cancelled"])
def test_first_iteration_without_an_event_begins_at_active(make_run: MakeRun, outcome: str) -> None:
    """QEMU 11.1.3 sends its first MIGRATION_PASS for pass 2, and libvirt follows it."""
    run = make_run(outcome=outcome)
    first = run.events["detail"].isin(['{"pass": 1}', '{"iteration": 1}'])
    assert first.sum() == 2
    newer = dataclasses.replace(run, events=run.events[~first])
    assert_frame_equal(newer.timeline().iterations, run.timeline().iterations)


def test_last_iteration_of_a_cancelled_run_ends_with_it(make_run: MakeRun) -> None:
    """Without a stop, QEMU's status ``cancelled`` ends the iteration."""
    run = make_run(outcome="cancelled")
    line = run.timeline()
    assert line.iterations["end_ns"].iloc[-1] == run.called_ns + 4002 * MS
    assert line.iterations["guest_running"].all()


def test_event_downtime_is_from_stop_to_resume(make_run: MakeRun) -> None:
    """The downtime is exact to the microsecond of QEMU's stamps."""
    line = make_run(downtime_ms=336.98).timeline()
    assert line.downtime_event_ms == pytest.approx(336.98)


def test_pause_by_the_user_is_not_the_migrations_stop(recording: type[Any]) -> None:
    """Of several stops at the source, the last is the migration's."""
    made = recording(downtime_ms=100.0)
    made.event(900, "source", "qemu", "STOP")
    made.event(1100, "source", "qemu", "RESUME")
    assert made.build().timeline().downtime_event_ms == pytest.approx(100.0)


def test_rolled_back_stop_is_measured_at_the_source(recording: type[Any]) -> None:
    """A migration that fails while the guest is paused has a downtime too."""
    made = recording(outcome="failed")
    made.event(3000, "source", "qemu", "STOP")
    made.event(3250, "source", "qemu", "RESUME")
    assert made.build().timeline().downtime_event_ms == pytest.approx(250.0)


def test_other_clock_is_corrected_and_noted(make_run: MakeRun) -> None:
    """Three seconds between the hosts' clocks do not show as three seconds of downtime."""
    run = make_run()
    events = run.events
    other = (events["origin"] == "qemu") & (events["side"] == "destination")
    events.loc[other, "time_ns"] += 3000 * MS
    line = dataclasses.replace(run, events=events).timeline()
    assert line.downtime_event_ms == pytest.approx(330.0, abs=1.0)
    assert "destination's clock differs from this machine's by 3.0" in line.notes[0]


def beats_of(run: Run, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Timeline:
    """Return the timeline with other beats."""
    return dataclasses.replace(run, beats=change(run.beats)).timeline()


def test_no_beat_is_lost_while_the_guest_is_paused(make_run: MakeRun) -> None:
    """The network downtime includes the time after resume, and no beat is lost in it."""
    line = make_run().timeline()
    assert line.downtime_network_ms == pytest.approx(341.0)
    assert (line.beats_lost, line.beats_lost_in_silence) == (0, 0)
    assert line.network_jitter_ms == pytest.approx(1.8)


def test_lost_beats_are_counted_in_the_silence(make_run: MakeRun) -> None:
    """Beats that the network lost after the resume lengthen the silence, and are counted."""
    run = make_run()
    resumed = run.timeline().silent_until_ns
    assert resumed is not None
    line = beats_of(
        run,
        lambda beats: beats[
            (beats["arrival_ns"] < resumed) | (beats["arrival_ns"] >= resumed + 40 * MS)
        ],
    )
    assert line.downtime_network_ms == pytest.approx(381.0, abs=1.5)
    assert line.beats_lost_in_silence == 40
    assert line.beats_lost == 40


def test_loss_elsewhere_is_no_downtime(make_run: MakeRun) -> None:
    """A longer gap long before the stop is not the network downtime."""
    run = make_run()
    line = beats_of(
        run,
        lambda beats: beats[
            ~beats["arrival_ns"].between(run.called_ns + 100 * MS, run.called_ns + 900 * MS)
        ],
    )
    assert line.downtime_network_ms == pytest.approx(341.0)
    assert line.beats_lost == pytest.approx(800, abs=1)
    assert line.beats_lost_in_silence == 0


def test_duplicate_or_late_beat_does_not_end_the_silence(make_run: MakeRun) -> None:
    """A copy of an old beat that arrives in the silence does not split it."""
    run = make_run()
    stop = run.timeline().stop_ns
    assert stop is not None

    def echo(beats: pd.DataFrame) -> pd.DataFrame:
        copies = beats[beats["arrival_ns"] < stop].tail(3)
        return pd.concat([beats, copies.assign(arrival_ns=stop + 100 * MS)])

    line = beats_of(run, echo)
    assert line.downtime_network_ms == pytest.approx(341.0)
    assert line.beats_lost == 0


def test_beats_out_of_order_are_not_lost(make_run: MakeRun) -> None:
    """Two reordered beats change neither the count nor the downtime."""
    run = make_run()

    def swap(beats: pd.DataFrame) -> pd.DataFrame:
        beats.loc[[500, 501], "sequence"] = beats.loc[[501, 500], "sequence"].to_numpy()
        return beats

    line = beats_of(run, swap)
    assert line.beats_lost == 0
    assert line.downtime_network_ms == pytest.approx(341.0)


@pytest.mark.parametrize("side", ["before", "after"])
def test_silence_without_an_end_is_unknown(make_run: MakeRun, side: str) -> None:
    """If no beat arrived on one side of the stop, the downtime is unknown, with a note."""
    run = make_run()
    stop = run.timeline().stop_ns
    assert stop is not None
    line = beats_of(
        run, lambda b: b[b["arrival_ns"] > stop] if side == "before" else b[b["arrival_ns"] < stop]
    )
    assert line.downtime_network_ms is None
    assert side in line.notes[0]


def test_too_few_beats_give_no_jitter(make_run: MakeRun) -> None:
    """Of 50 gaps the 99th percentile would be the maximum."""
    run = make_run()
    line = beats_of(run, lambda b: b[b["arrival_ns"] > run.called_ns - 50 * MS])
    assert line.network_jitter_ms is None


def test_throughput_follows_its_formula(make_run: MakeRun) -> None:
    """Throughput is libvirt's bytes divided by the time from QEMU's active to completed."""
    line = make_run(wire_mib_s=100.0).timeline()
    assert line.throughput_bytes_per_s == pytest.approx(100 * 1024 * 1024, rel=1e-6)
    assert line.wire_bytes is not None
    assert line.transferred_bytes is not None
    assert line.wire_bytes / line.transferred_bytes == pytest.approx(1.04, rel=0.05)


def test_job_that_fell_back_to_zero_keeps_its_maximum(make_run: MakeRun) -> None:
    """After an abort libvirt can report zeros; the sent bytes keep their maximum."""
    run = make_run(outcome="cancelled")
    job = run.job
    after = job.tail(1).assign(
        time_ns=run.returned_ns, data_processed_bytes=0, time_elapsed_ms=0, iteration=0
    )
    line = dataclasses.replace(run, job=pd.concat([job, after])).timeline()
    known = run.timeline()
    assert (line.total_ms, line.transferred_bytes, line.iteration_count) == (
        known.total_ms,
        known.transferred_bytes,
        known.iteration_count,
    )
    assert line.throughput_bytes_per_s == known.throughput_bytes_per_s


def test_timeline_has_a_one_line_repr(make_run: MakeRun) -> None:
    """The repr gives the main numbers and no memory address."""
    assert repr(make_run().timeline()) == "Timeline(2698 ms, 3 iterations, downtime 330.0 ms)"
    cancelled = make_run(outcome="cancelled").timeline()
    assert repr(cancelled).endswith("downtime unknown)")


# --- real recordings ---------------------------------------------------------------------------


def test_there_are_recordings_of_both_modes_and_of_failures() -> None:
    """The other tests mean something only while recordings of each kind exist."""
    assert {str(run.plan.mode) for run in REAL} == {"normal", "peer2peer"}
    elsewhere = {Outcome.GUEST_LOST, Outcome.UNRESOLVED}  # test_replay has them
    assert {run.outcome for run in (*REAL, *STEERED.values())} == set(Outcome) - elsewhere
    assert len(STEERED) == 9


@real_runs
def test_real_phases_are_contiguous(run: Run) -> None:
    """The phases have no gaps, with and without the daemons' logs."""
    check_phases(run.timeline())
    check_phases(without(run, "log").timeline())
    check_phases(without(run, "log", "qemu").timeline())


@real_completed
def test_real_phases_agree_by_log_and_by_events(run: Run) -> None:
    """Where log and events both tell of a boundary, they do so within 60 ms of each other.

    The log's perform3_done comes after QEMU's completed, by the time libvirt takes to notice.
    """
    by_log, by_events = run.timeline().phases, without(run, "log").timeline().phases
    assert by_log["state"].tolist() == ["complete"] * 5
    assert by_events["state"].tolist() == ["missing"] + ["complete"] * 4
    apart = (by_log["start_ns"] - by_events["start_ns"]).iloc[2:].astype("float64").abs() / MS
    assert apart.max() < 60


@real_completed
def test_real_downtimes_agree_with_each_other(run: Run) -> None:
    """libvirt and QEMU measure the same stop; the network downtime is longer."""
    line = run.timeline()
    assert line.downtime_event_ms is not None
    assert line.downtime_network_ms is not None
    assert line.downtime_reported_ms == pytest.approx(line.downtime_event_ms, abs=30)
    assert line.downtime_network_ms > line.downtime_event_ms - 1
    assert line.beats_lost_in_silence == 0
    assert line.silent_from_ns is not None
    assert line.stop_ns is not None
    assert line.silent_from_ns < line.stop_ns + 5 * MS
    assert line.notes == ()


@real_completed
def test_real_iterations_cover_the_sending(run: Run) -> None:
    """From active to completed there is always one iteration, and their numbers have no gap."""
    line = run.timeline()
    iterations = line.iterations
    assert iterations["iteration"].tolist() == list(range(1, len(iterations) + 1))
    assert (iterations["duration_ms"] >= 0).all()
    assert iterations["guest_running"].tolist() == [True] * (len(iterations) - 1) + [False]
    assert line.active_ns is not None
    assert abs(iterations["start_ns"].iloc[0] - line.active_ns) < 20 * MS
    assert iterations["end_ns"].iloc[-1] == line.completed_ns


@real_completed
def test_real_wire_agrees_with_libvirt(run: Run) -> None:
    """The bytes of the interface and of libvirt agree within 10 %."""
    line = run.timeline()
    assert line.wire_bytes is not None
    assert line.transferred_bytes is not None
    assert 1.0 <= line.wire_bytes / line.transferred_bytes < 1.1


@real_runs
def test_real_incomplete_run_has_one_phase_cut_short(run: Run) -> None:
    """An incomplete run has one phase that is cut short; a completed run has none."""
    states = run.timeline().phases["state"].tolist()
    assert states.count("cut short") == (0 if run.outcome is Outcome.COMPLETED else 1)


@steered_runs
def test_phases_of_steered_runs_are_contiguous(run: Run) -> None:
    """The phases have no gaps whatever a plan does, with and without the daemons' logs."""
    if run.plan.offline:
        return  # its phases lie within a millisecond, which is as fine as the log tells
    check_phases(run.timeline())
    check_phases(without(run, "log").timeline())
    check_phases(without(run, "log", "qemu").timeline())


def test_postcopy_has_a_short_downtime_and_a_long_finish() -> None:
    """The guest switches over while most of its memory is still to come."""
    line = STEERED["postcopy"].timeline()
    assert line.postcopy_ns is not None
    assert line.postcopy_ms is not None
    assert line.downtime_event_ms is not None
    assert line.downtime_event_ms < 200 < line.postcopy_ms
    finish = spans(line)["Finish"]
    assert finish[0] == "complete"
    assert finish[1] == pytest.approx(line.postcopy_ms, abs=80)
    # libvirt's own number ends when the source had sent the devices.
    assert line.downtime_reported_ms is not None
    assert line.downtime_reported_ms < line.downtime_event_ms
    assert line.downtime_network_ms is not None
    assert line.downtime_network_ms > line.downtime_event_ms
    assert line.throughput_bytes_per_s == pytest.approx(117e6, rel=0.1)
    by_events = without(STEERED["postcopy"], "log", "qemu").timeline()
    assert by_events.resume_ns == pytest.approx(line.resume_ns, abs=20 * MS)
    assert spans(by_events)["Finish"][1] == pytest.approx(finish[1], abs=80)


def test_interrupted_postcopy_is_cut_short_in_finish() -> None:
    """The guest ran at the destination, and the rest of its memory never followed."""
    run = STEERED["interrupted"]
    line = run.timeline()
    assert spans(line)["Finish"][0] == "cut short"
    assert line.postcopy_ns is not None
    assert line.postcopy_ms is None
    assert line.resume_ns is not None
    assert run.domain_states == {"source": "paused", "destination": "running"}
    assert run.error is not None
    assert run.error.explanation
    by_events = without(run, "log").timeline()
    check_phases(by_events)
    assert by_events.phases["state"].tolist() == [
        *("missing", "complete", "complete", "cut short", "not reached")
    ]


def test_steering_is_in_the_timeline() -> None:
    """Each step of the policy has its value, its time and its cause."""
    run = STEERED["downtime_steps"]
    done = run.timeline().steering
    assert done["name"].tolist() == ["set_max_downtime"] * 3
    assert set(done["by"]) == {"downtime_steps"}
    assert done["value"].tolist() == [500, 700, 900]
    assert ((done["time_ns"] - run.called_ns) / 1e9).tolist() == pytest.approx(
        [0.5, 1.0, 1.5], abs=0.1
    )
    assert run.downtime_requested_ms == 900


def test_suspended_guest_is_paused_from_its_suspension() -> None:
    """QEMU's last STOP is the suspension by migrationlab; libvirt reports the same downtime."""
    line = STEERED["suspend_after_iteration"].timeline()
    (suspended_ns,) = line.steering["time_ns"]
    assert line.stop_ns == pytest.approx(suspended_ns, abs=20 * MS)
    assert line.downtime_event_ms == pytest.approx(line.downtime_reported_ms, abs=30)
    assert not line.iterations["guest_running"].iloc[-2:].any()


def test_guest_left_paused_has_no_end_of_its_downtime() -> None:
    """The guest stopped and does not run again: there is a note and no downtime."""
    run = STEERED["paused"]
    line = run.timeline()
    assert line.stop_ns is not None
    assert line.resume_ns is None
    assert line.downtime_event_ms is None
    assert "left paused" in line.notes[0]
    assert spans(line)["Confirm"][0] == "complete"
    # Without the log, libvirt's SUSPENDED/PAUSED tells where Confirm begins.
    assert spans(without(run, "log").timeline())["Confirm"][0] == "complete"


def test_offline_migration_has_no_perform() -> None:
    """An offline migration sends nothing, so Perform is left out, not missing."""
    line = STEERED["offline"].timeline()
    assert spans(line)["Perform"] == ("left out", None)
    assert [state for state, _ in spans(line).values()].count("complete") == 4
    assert line.transferred_bytes is None
    assert line.total_ms is None


def test_copied_storage_is_in_the_job() -> None:
    """The disk's bytes have their own columns; blocks written meanwhile are sent again."""
    run = STEERED["copy_storage"]
    job = run.job
    assert job["disk_total_bytes"].iloc[0] == 32 * 1024 * 1024
    assert job["disk_total_bytes"].is_monotonic_increasing
    assert job["disk_remaining_bytes"].iloc[-1] == 0
    assert job["disk_processed_bytes"].max() == job["disk_total_bytes"].max()


# --- clocks and echoes ------------------------------------------------------------------------


def moved(run: Run, by_ns: int) -> pd.DataFrame:
    """Return a run's events with the destination's clock ahead by so much."""
    events = run.events
    other = (events["origin"] == "qemu") & (events["side"] == "destination")
    events.loc[other, "time_ns"] += by_ns
    return events


def offsets(**sides: tuple[float, float] | None) -> dict[str, Any]:
    """Return a run's clock: offset and error of each side, in milliseconds."""
    return {
        side: value and {"offset_ms": value[0], "error_ms": value[1], "method": "ssh"}
        for side, value in sides.items()
    }


def test_measured_offset_is_subtracted(make_run: MakeRun) -> None:
    """A clock that is 20 ms ahead adds 20 ms to the downtime unless its offset was measured."""
    run = make_run()
    clock = offsets(source=(0.0, 0.0), destination=(20.0, 0.4))
    spoilt = dataclasses.replace(run, events=moved(run, 20 * MS))
    assert spoilt.timeline().downtime_event_ms == pytest.approx(350.0)
    line = dataclasses.replace(spoilt, clock=clock).timeline()
    assert line.downtime_event_ms == pytest.approx(330.0)
    assert line.notes == ()


def test_large_clock_error_gives_a_note(make_run: MakeRun) -> None:
    """If the error of both clocks is above 1 ms, a note says how much."""
    clock = offsets(source=(0.0, 0.8), destination=(0.0, 0.7))
    line = dataclasses.replace(make_run(), clock=clock).timeline()
    assert line.notes == ("The error of the event downtime is 1.5 ms: that of the hosts' clocks.",)


def test_downtime_across_an_unknown_clock_is_withheld(make_run: MakeRun) -> None:
    """If one clock is unknown there is no event downtime; stop and resume stay known."""
    clock = offsets(source=(0.0, 0.0), destination=None)
    run = dataclasses.replace(make_run(), clock=clock)
    line = run.timeline()
    assert line.downtime_event_ms is None
    assert line.stop_ns is not None
    assert line.resume_ns is not None
    assert any("withheld" in note for note in line.notes)
    assert line.downtime_network_ms == pytest.approx(341.0)


def test_stop_and_resume_on_one_host_need_no_clock(recording: type[Any]) -> None:
    """A rolled back stop is measured at the source alone."""
    made = recording(outcome="failed")
    made.event(3000, "source", "qemu", "STOP")
    made.event(3250, "source", "qemu", "RESUME")
    run = dataclasses.replace(made.build(), clock=offsets(source=None, destination=None))
    assert run.timeline().downtime_event_ms == pytest.approx(250.0)


def test_echoes_replace_beats(make_run: MakeRun) -> None:
    """Without beats, answers give the network downtime; lost requests are not lost beats."""
    run = make_run()
    beats = run.beats
    stop = run.timeline().stop_ns
    assert stop is not None
    echoes = pd.DataFrame(
        {
            "sequence": range(len(beats)),
            "sent_ns": beats["arrival_ns"] - 100_000,
            "arrival_ns": beats["arrival_ns"].astype("Int64"),
        }
    )
    lost = echoes["sequence"].isin(range(200, 210))
    echoes.loc[lost, "arrival_ns"] = pd.NA
    by_echoes = dataclasses.replace(run, beats=beats.iloc[:0], echoes=echoes).timeline()
    assert (run.timeline().network_basis, by_echoes.network_basis) == ("beats", "echoes")
    assert by_echoes.downtime_network_ms == run.timeline().downtime_network_ms
    assert by_echoes.network_jitter_ms is not None
    assert (by_echoes.beats_lost, by_echoes.beats_lost_in_silence) == (None, None)
    nothing = dataclasses.replace(run, beats=beats.iloc[:0]).timeline()
    assert nothing.network_basis is None
    assert nothing.downtime_network_ms is None


@real_runs
def test_fake_has_only_what_real_recordings_have(run: Run, make_run: MakeRun) -> None:
    """Each event, side and fact of the fake is in some real recording."""
    fake = make_run(mode=str(run.plan.mode), outcome=str(run.outcome))
    every = frame("events", []).iloc[:0]
    every = pd.concat([every, *(real.events for real in REAL)])
    seen = set(every[["side", "origin", "name"]].itertuples(index=False, name=None))
    made = set(fake.events[["side", "origin", "name"]].itertuples(index=False, name=None))
    assert made <= seen
    assert set(fake.source) == set(run.source)
    assert set(fake.environment) <= set(run.environment)
