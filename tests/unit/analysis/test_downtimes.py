"""How far off each downtime may be: of made-up silences with exact times, and of real ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from migrationlab.analysis.beats import (
    ClockStep,
    Silence,
    check_clock,
    clock_steps,
    duplicates,
    jitter_ms,
    lost,
    reordered,
    silence_around,
    silent_at_end,
)
from migrationlab.analysis.downtimes import KINDS, GuestClock, downtimes, guest_clock
from migrationlab.analysis.events import MS, Clocks
from migrationlab.analysis.switchover import Switchover
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.schema import frame
from migrationlab.runs.store import load_runs
from paths import DATA, RECORDINGS

REAL = [
    run
    for run in [*load_runs(RECORDINGS), *load_runs(DATA / "runs")]
    if run.outcome is Outcome.COMPLETED
]
CALLED = 1_500 * MS
STOP, RESUME = 2_000, 2_300
SAME_CLOCK = Clocks({}, {"source": 0, "destination": 0}, ())


def beats(*, late: float = 0.0, jump_at: int | None = None, jump_ms: int = 0) -> pd.DataFrame:
    """Give a second of beats, a call, 300 ms of standstill, and beats again.

    Args:
        late: For how long, in ms, the network holds back each twentieth beat and what follows.
        jump_at: The ms at which this machine's clock is set.
        jump_ms: By how much.
    """
    times = [at for at in range(400, 3_000) if not STOP <= at < RESUME]
    rows = []
    for sequence, at in enumerate(times):
        seen = at + max(late - sequence % 20, 0.0)
        if jump_at is not None and at >= jump_at:
            seen += jump_ms
        rows.append(
            {
                "arrival_ns": round(seen * MS),
                "sequence": sequence,
                "guest_ns": sequence * MS,  # its clock stands still with it
                "writes": 0,
            }
        )
    return frame("beats", rows)


def stopped(**changes: Any) -> Switchover:
    """Return a switchover of 300 ms."""
    known = {"stop_ns": STOP * MS, "resume_ns": RESUME * MS, "event_ms": 300.0, "error_ns": 0}
    return Switchover(**(known | changes))


def table(heard: pd.DataFrame, **changes: Any) -> pd.DataFrame:
    """Give the downtimes of these beats, by kind."""
    quiet = silence_around(heard, STOP * MS, RESUME * MS)
    given: dict[str, Any] = {
        "requested_ms": 300,
        "reported_ms": 304,
        "switchover": stopped(),
        "clocks": SAME_CLOCK,
        "silence": quiet,
        "arrivals": heard,
        "basis": "beats",
        "called_ns": CALLED,
        "guest": guest_clock(heard, quiet),
        "postcopy": False,
    }
    return downtimes(**(given | changes)).set_index("kind")


def test_each_kind_has_its_figure_its_bounds_and_its_method() -> None:
    """A limit is exact, libvirt's figure sure to 1 ms, the events' to a microsecond."""
    found = table(beats())
    assert tuple(found.index) == KINDS
    assert found.loc["requested", ["downtime_ms", "low_ms", "high_ms"]].tolist() == [300, 300, 300]
    assert found.loc["reported", ["low_ms", "high_ms"]].tolist() == [303, 305]
    assert found.loc["event", ["low_ms", "high_ms"]].tolist() == pytest.approx([299.999, 300.001])
    assert found.loc["network", "downtime_ms"] == 301
    assert found["method"].str.len().min() > 5
    assert (found["reason"] == "").all()


def test_the_bounds_of_the_network_figure_come_from_the_jitter_before() -> None:
    """A guest that is now and then 5 ms late may have stood still for 5 ms less, or 4 ms more."""
    found = table(beats(late=5.0)).loc["network"]
    jitter = jitter_ms(beats(late=5.0), CALLED)
    assert jitter is not None
    assert jitter == pytest.approx(6, abs=0.01)
    assert found["low_ms"] == pytest.approx(found["downtime_ms"] - jitter)
    assert found["high_ms"] == pytest.approx(found["downtime_ms"] + jitter - 1)
    assert found["low_ms"] <= RESUME - STOP <= found["high_ms"]


def test_without_a_second_of_beats_before_there_are_no_bounds() -> None:
    """What is usual is not known then, so how far off the silence may be is not, either."""
    short = beats()
    short = short[short["arrival_ns"] >= CALLED].reset_index(drop=True)
    found = table(short).loc["network"]
    assert found["downtime_ms"] == 301
    assert np.isnan(found["low_ms"])
    assert np.isnan(found["high_ms"])
    assert "too few arrivals were recorded before the call" in found["reason"]


def test_a_guest_that_fell_silent_without_a_stop_is_told_of() -> None:
    """Where its host was lost the beats end, and that is no downtime of a migration."""
    heard = beats()
    (note,) = silent_at_end(heard, None, 3_300 * MS)
    assert "nothing arrived from the guest from 301 ms before" in note
    assert silent_at_end(heard, None, 3_020 * MS) == ()
    assert silent_at_end(heard, STOP * MS, 3_300 * MS) == ()


def test_in_post_copy_the_reported_figure_says_what_it_leaves_out() -> None:
    """It ends before the guest runs, so the method does not claim the whole stop."""
    found = table(beats(), postcopy=True).loc["reported"]
    assert found["method"].endswith("until the guest's devices were sent")


def test_clocks_of_two_hosts_widen_the_events_bounds() -> None:
    """By how much both together may be off, either way."""
    found = table(beats(), switchover=stopped(error_ns=4 * MS)).loc["event"]
    assert [found["low_ms"], found["high_ms"]] == pytest.approx([295.999, 304.001])


def test_the_guest_noticed_next_to_nothing_and_is_behind() -> None:
    """Its clock stood still with it: it went on by one beat, and is 300 ms behind since."""
    heard = beats()
    quiet = silence_around(heard, STOP * MS, RESUME * MS)
    assert guest_clock(heard, quiet) == GuestClock(gap_ms=1, behind_ms=300, usual_ms=1)
    assert table(heard).loc["guest", ["downtime_ms", "low_ms", "high_ms"]].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        (
            {"switchover": stopped(event_ms=None), "reported_ms": None, "silence": Silence(),
             "guest": GuestClock()},
            {"reported": "libvirt reported none", "event": "QEMU's events do not show it",
             "network": "no silence with both ends was recorded",
             "guest": "no beats show its clock"},
        ),
        (
            {"silence": Silence(), "basis": None, "arrivals": frame("beats", []),
             "guest": GuestClock(), "requested_ms": None},
            {"requested": "no limit is known", "network": "nothing was recorded"},
        ),
        (
            {"switchover": Switchover(), "silence": Silence(), "guest": GuestClock()},
            {"event": "no stop was recorded", "network": "no stop was recorded"},
        ),
    ],
)  # fmt: skip
def test_what_is_not_known_is_missing_with_its_reason(
    changes: dict[str, Any], reasons: dict[str, str]
) -> None:
    """NaN and a reason, never 0."""
    found = table(beats(), **changes)
    for kind, reason in reasons.items():
        assert np.isnan(found.loc[kind, "downtime_ms"])
        assert np.isnan(found.loc[kind, "low_ms"])
        assert found.loc[kind, "reason"] == reason


def test_doubled_and_overtaken_beats_are_told_from_lost_ones() -> None:
    """Each is counted by itself, and none of them changes the silence."""
    heard = beats()
    network = table(heard).loc["network", "downtime_ms"]
    again = heard.iloc[[10, 20]].assign(arrival_ns=lambda rows: rows["arrival_ns"] + 500_000)
    late = heard.copy()
    late.loc[50, "arrival_ns"] += 3 * MS
    mixed = pd.concat([late, again]).drop(index=100).reset_index(drop=True)
    assert duplicates(mixed) == 2
    assert reordered(mixed) == 1
    assert lost(mixed) == 1
    assert table(mixed).loc["network", "downtime_ms"] == network
    assert duplicates(frame("beats", [])) is None
    assert reordered(frame("beats", [])) is None


def test_a_standstill_is_the_only_step_of_an_undisturbed_recording() -> None:
    """The guest's clock stood still, and that is what the stop explains."""
    (step,) = clock_steps(beats(late=5.0))
    assert step.ms == pytest.approx(300, abs=6)
    heard = beats()
    quiet = silence_around(heard, STOP * MS, RESUME * MS)
    assert check_clock(quiet, [step], CALLED) == quiet


def test_a_late_beat_is_no_step() -> None:
    """One that takes 80 ms is alone; a clock that was set shows in all that follow."""
    heard = beats()
    heard.loc[1_200, "arrival_ns"] += 80 * MS
    assert len(clock_steps(heard)) == 1


@pytest.mark.parametrize(
    ("jump_ms", "note"), [(200, "was set forward"), (-200, "was set back by 200 ms")]
)
def test_a_clock_that_was_set_is_told_of(jump_ms: int, note: str) -> None:
    """Away from the stop the silence is what it was, and a note says what else was seen."""
    heard = beats(jump_at=1_600, jump_ms=jump_ms)
    at = [(time + jump_ms) * MS for time in (STOP, RESUME)]
    quiet = silence_around(heard, *at)
    told = check_clock(quiet, clock_steps(heard), CALLED)
    assert told.duration_ms == 301
    assert note in told.notes[0]


def test_a_clock_set_back_in_the_stop_leaves_no_silence_to_measure() -> None:
    """It would be too short by as much: a gap with its reason, never a wrong figure."""
    quiet = Silence(start_ns=STOP * MS, end_ns=(RESUME - 200) * MS)
    told = check_clock(quiet, [ClockStep((STOP + 150) * MS, (STOP - 50) * MS, -200.0)], CALLED)
    assert told.duration_ms is None
    assert "set back" in told.notes[0]


def test_what_was_before_the_call_does_not_concern_the_migration() -> None:
    """The end of an earlier migration's stop may be in the recording."""
    quiet = Silence(start_ns=STOP * MS, end_ns=RESUME * MS)
    early = ClockStep(CALLED - 400 * MS, CALLED - 100 * MS, 300.0)
    assert check_clock(quiet, [early], CALLED).notes == ()


@pytest.mark.parametrize("run", REAL, ids=[run.run_id for run in REAL])
def test_real_downtimes_lie_within_each_others_bounds(run: Run) -> None:
    """On one machine event and reported agree; a client hears of the guest later than it runs."""
    line = run.timeline()
    found = line.downtimes.set_index("kind")
    assert abs(found.loc["event", "downtime_ms"] - found.loc["reported", "downtime_ms"]) < 10
    network = found.loc["network"]
    assert network["low_ms"] <= network["downtime_ms"] <= network["high_ms"]
    assert network["high_ms"] > found.loc["event", "downtime_ms"]
    assert found.loc["guest", "downtime_ms"] < 0.5 * found.loc["event", "downtime_ms"]
    assert line.guest_behind_ms is not None
    assert line.guest_behind_ms <= network["downtime_ms"]
    assert line.beats_duplicated == 0
