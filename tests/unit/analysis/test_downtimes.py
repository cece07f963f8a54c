"""The error bounds of downtimes: of fake silences with exact times, and of real ones."""

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
    counts,
    jitter_ms,
    silence_around,
    silent_at_end,
)
from migrationlab.analysis.downtimes import KINDS, GuestClock, downtimes, guest_clock
from migrationlab.analysis.events import Clocks
from migrationlab.analysis.frames import MS
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
    """Return a second of beats, a call, a pause of 300 ms, and beats again.

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
                "guest_ns": sequence * MS,  # its clock is paused with it
                "writes": 0,
            }
        )
    return frame("beats", rows)


def stopped(**changes: Any) -> Switchover:
    """Return a switchover of 300 ms."""
    known = {"stop_ns": STOP * MS, "resume_ns": RESUME * MS, "event_ms": 300.0, "error_ns": 0}
    return Switchover(**(known | changes))


def table(recorded: pd.DataFrame, **changes: Any) -> pd.DataFrame:
    """Return the downtimes of these beats, by kind."""
    silence = silence_around(recorded, STOP * MS, RESUME * MS)
    given: dict[str, Any] = {
        "requested_ms": 300,
        "reported_ms": 304,
        "switchover": stopped(),
        "clocks": SAME_CLOCK,
        "silence": silence,
        "arrivals": recorded,
        "basis": "beats",
        "called_ns": CALLED,
        "guest": guest_clock(recorded, silence),
        "postcopy": False,
    }
    return downtimes(**(given | changes)).set_index("kind")


def test_each_kind_has_its_figure_bounds_and_method() -> None:
    """The limit is exact, libvirt's figure ±1 ms, that of events ±1 µs."""
    found = table(beats())
    assert tuple(found.index) == KINDS
    assert found.loc["requested", ["downtime_ms", "low_ms", "high_ms"]].tolist() == [300, 300, 300]
    assert found.loc["reported", ["low_ms", "high_ms"]].tolist() == [303, 305]
    assert found.loc["event", ["low_ms", "high_ms"]].tolist() == pytest.approx([299.999, 300.001])
    assert found.loc["network", "downtime_ms"] == 301
    assert found["method"].str.len().min() > 5
    assert (found["reason"] == "").all()


def test_network_bounds_come_from_the_jitter_before() -> None:
    """A guest that is sometimes 5 ms late was paused for up to 5 ms less, or 4 ms more."""
    found = table(beats(late=5.0)).loc["network"]
    jitter = jitter_ms(beats(late=5.0), CALLED)
    assert jitter is not None
    assert jitter == pytest.approx(6, abs=0.01)
    assert found["low_ms"] == pytest.approx(found["downtime_ms"] - jitter)
    assert found["high_ms"] == pytest.approx(found["downtime_ms"] + jitter - 1)
    assert found["low_ms"] <= RESUME - STOP <= found["high_ms"]


def test_no_beats_before_the_call_no_bounds() -> None:
    """Without beats before the call the usual gap is unknown, and so are the bounds."""
    short = beats()
    short = short[short["arrival_ns"] >= CALLED].reset_index(drop=True)
    found = table(short).loc["network"]
    assert found["downtime_ms"] == 301
    assert np.isnan(found["low_ms"])
    assert np.isnan(found["high_ms"])
    assert "too few arrivals were recorded before the call" in found["reason"]


def test_silent_guest_without_a_stop_gives_a_note() -> None:
    """If its host is lost the beats end; this is no downtime of a migration."""
    arrivals = beats()
    (note,) = silent_at_end(arrivals, None, 3_300 * MS)
    assert "nothing arrived from the guest from 301 ms before" in note
    assert silent_at_end(arrivals, None, 3_020 * MS) == ()
    assert silent_at_end(arrivals, STOP * MS, 3_300 * MS) == ()


def test_reported_method_names_its_end_in_post_copy() -> None:
    """In post-copy the figure ends before the guest runs, and its method says so."""
    found = table(beats(), postcopy=True).loc["reported"]
    assert found["method"].endswith("until the guest's devices were sent")


def test_clock_errors_widen_the_event_bounds() -> None:
    """The bounds are wider by the error of both clocks, in either direction."""
    found = table(beats(), switchover=stopped(error_ns=4 * MS)).loc["event"]
    assert [found["low_ms"], found["high_ms"]] == pytest.approx([295.999, 304.001])


def test_guest_clock_is_behind_after_the_pause() -> None:
    """The guest's clock advances by one beat, and is 300 ms behind afterwards."""
    arrivals = beats()
    silence = silence_around(arrivals, STOP * MS, RESUME * MS)
    assert guest_clock(arrivals, silence) == GuestClock(gap_ms=1, behind_ms=300, usual_ms=1)
    assert table(arrivals).loc["guest", ["downtime_ms", "low_ms", "high_ms"]].tolist() == [1, 0, 1]


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
def test_unknown_figures_are_missing_with_a_reason(
    changes: dict[str, Any], reasons: dict[str, str]
) -> None:
    """An unknown figure is NaN with a reason, never 0."""
    found = table(beats(), **changes)
    for kind, reason in reasons.items():
        assert np.isnan(found.loc[kind, "downtime_ms"])
        assert np.isnan(found.loc[kind, "low_ms"])
        assert found.loc[kind, "reason"] == reason


def test_duplicates_and_reordered_beats_are_not_lost() -> None:
    """Each kind is counted by itself, and none of them changes the silence."""
    arrivals = beats()
    network = table(arrivals).loc["network", "downtime_ms"]
    again = arrivals.iloc[[10, 20]].assign(arrival_ns=lambda rows: rows["arrival_ns"] + 500_000)
    late = arrivals.copy()
    late.loc[50, "arrival_ns"] += 3 * MS
    mixed = pd.concat([late, again]).drop(index=100).reset_index(drop=True)
    assert counts(mixed)["beats_duplicated"] == 2
    assert counts(mixed)["beats_reordered"] == 1
    assert counts(mixed)["beats_lost"] == 1
    assert table(mixed).loc["network", "downtime_ms"] == network
    assert counts(frame("beats", []))["beats_duplicated"] is None
    assert counts(frame("beats", []))["beats_reordered"] is None


def test_pause_is_the_only_clock_step() -> None:
    """The guest's clock was paused, and the stop explains this step."""
    (step,) = clock_steps(beats(late=5.0))
    assert step.ms == pytest.approx(300, abs=6)
    arrivals = beats()
    silence = silence_around(arrivals, STOP * MS, RESUME * MS)
    assert check_clock(silence, [step], CALLED) == silence


def test_late_beat_is_no_clock_step() -> None:
    """A beat that is 80 ms late is alone; a clock step shows in all beats after it."""
    arrivals = beats()
    arrivals.loc[1_200, "arrival_ns"] += 80 * MS
    assert len(clock_steps(arrivals)) == 1


@pytest.mark.parametrize(
    ("jump_ms", "note"), [(200, "was set forward"), (-200, "was set back by 200 ms")]
)
def test_clock_step_gives_a_note(jump_ms: int, note: str) -> None:
    """Away from the stop a clock step does not change the silence, and a note reports it."""
    arrivals = beats(jump_at=1_600, jump_ms=jump_ms)
    at = [(time + jump_ms) * MS for time in (STOP, RESUME)]
    silence = silence_around(arrivals, *at)
    checked = check_clock(silence, clock_steps(arrivals), CALLED)
    assert checked.duration_ms == 301
    assert note in checked.notes[0]


def test_clock_set_back_in_the_stop_withholds_the_silence() -> None:
    """The silence would look too short: it is unknown, and a note says why."""
    silence = Silence(start_ns=STOP * MS, end_ns=(RESUME - 200) * MS)
    checked = check_clock(silence, [ClockStep((STOP + 150) * MS, (STOP - 50) * MS, -200.0)], CALLED)
    assert checked.duration_ms is None
    assert "set back" in checked.notes[0]


def test_clock_step_before_the_call_is_ignored() -> None:
    """The end of an earlier migration's stop may be in the recording."""
    silence = Silence(start_ns=STOP * MS, end_ns=RESUME * MS)
    early = ClockStep(CALLED - 400 * MS, CALLED - 100 * MS, 300.0)
    assert check_clock(silence, [early], CALLED).notes == ()


@pytest.mark.parametrize("run", REAL, ids=[run.run_id for run in REAL])
def test_real_downtimes_agree_within_their_bounds(run: Run) -> None:
    """On one machine event and reported agree; the network downtime is longer."""
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
