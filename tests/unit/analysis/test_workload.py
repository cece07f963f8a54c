"""The workload during a migration: of fake beats with exact rates, and of real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from migrationlab import plots
from migrationlab.analysis.switchover import Moments
from migrationlab.analysis.workload import MIB, PAGE_BYTES, Workload, rate_missed, workload
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.schema import frame
from migrationlab.runs.store import load_runs
from migrationlab.runs.summary import asked_mib_s
from paths import RECORDINGS

MakeRun = Callable[..., Run]
MS = 1_000_000
REAL = [run for run in load_runs(RECORDINGS) if run.guest["dirty_mib_s"] != "max"]


def beats(*spans: tuple[int, int, float], pages: int = 0) -> pd.DataFrame:
    """Return beats each ms over spans: from, to (ms), MiB/s; none while the guest is paused."""
    rows: list[dict[str, int]] = []
    written = float(pages)
    for start, end, rate in spans:
        for at in range(start, end):
            rows.append({"arrival_ns": at * MS, "sequence": len(rows), "guest_ns": len(rows) * MS,
                         "writes": round(written)})  # fmt: skip
            written += rate * MIB / PAGE_BYTES / 1000
    return frame("beats", rows)


def iterations(*spans: tuple[int, int, bool]) -> pd.DataFrame:
    """Return iterations as a timeline has them: from, to (ms), whether the guest ran."""
    return pd.DataFrame(
        [
            (number, start * MS, end * MS, running)
            for number, (start, end, running) in enumerate(spans, 1)
        ],
        columns=["iteration", "start_ns", "end_ns", "guest_running"],
    ).astype({"guest_running": "bool"})


def work(given: pd.DataFrame, **changes: Any) -> Workload:
    """Return the workload of a migration called at 1,000 ms that stopped from 2,000 to 2,300."""
    made = changes.pop("iterations", None)
    if made is None:
        made = iterations((1100, 1600, True), (1600, 2000, True), (2000, 2290, False))
    moments = {
        "called_ns": 1000 * MS,
        "returned_ns": 2500 * MS,
        "stop_ns": 2000 * MS,
        "resume_ns": 2300 * MS,
    }
    asked = changes.pop("asked_mib_s", None)
    moments |= changes
    return workload(beats=given, iterations=made, moments=Moments(**moments), asked_mib_s=asked)


def test_each_part_of_the_migration_has_its_rate() -> None:
    """There is a rate before, in each iteration, while paused, and after."""
    found = work(beats((0, 1100, 40), (1100, 1600, 30), (1600, 2000, 20), (2300, 3500, 40)))
    rates = found.rates.set_index("part")
    assert list(rates.index) == [
        "before",
        "prepare",
        "iteration 1",
        "iteration 2",
        "paused",
        "after",
    ]
    assert list(rates["mib_s"]) == pytest.approx([40, 40, 30, 20, 0, 40], abs=0.2)
    assert list(rates["duration_ms"]) == [1000, 100, 500, 400, 300, 200]
    assert rates["share"]["iteration 2"] == pytest.approx(0.5, abs=0.01)
    assert found.before_mib_s == pytest.approx(40, abs=0.1)
    assert found.sending_mib_s == pytest.approx((30 * 500 + 20 * 400) / 900, abs=0.1)
    assert found.recovery_ms == 0
    assert found.notes == ()


def test_check_before_the_call_does_not_lower_the_rate() -> None:
    """A guest writes nothing while it is checked after an earlier migration."""
    found = work(beats((0, 750, 0), (750, 2000, 40), (2300, 4000, 40)))
    assert found.before_mib_s == pytest.approx(40, abs=2)
    (note,) = found.notes
    assert note.startswith("The workload was not steady before memory was sent")
    assert note.endswith("usually 40.0 MiB/s, down to 0.0 MiB/s.")
    assert found.recovery_ms == 0


def test_rate_that_was_not_reached_is_noted() -> None:
    """A guest that wrote clearly less than it was asked for has a note with both rates."""
    given = beats((0, 2000, 40.0), (2300, 2500, 40.0))
    note = "The guest was asked for 50 MiB/s, and reached 40.0 MiB/s."
    assert note in work(given, asked_mib_s=50).notes
    assert rate_missed(given, 1000 * MS, 50) == (note,)
    assert rate_missed(given.iloc[:1], 1000 * MS, 50) == ()
    for asked in (None, 40, 44):
        assert rate_missed(given, 1000 * MS, asked) == ()
        assert not [note for note in work(given, asked_mib_s=asked).notes if "asked" in note]


def test_rate_that_was_raised_just_before_the_call_is_reached() -> None:
    """The guest wrote at its old rate for most of the time before its memory is sent."""
    given = beats((0, 1200, 5), (1200, 1600, 40), (1600, 3000, 20))
    assert rate_missed(given, 1600 * MS, 40) == ()
    assert rate_missed(given, 1600 * MS, 50)


def test_guest_in_phases_is_asked_for_no_rate(make_run: MakeRun) -> None:
    """A guest that writes as fast as it can, or in phases, has no one rate that it must reach."""
    run = make_run()
    assert asked_mib_s(run.guest) == run.guest["dirty_mib_s"]
    for other in ({"dirty_mib_s": "max"}, {"phases": "1:2,0:3"}):
        assert asked_mib_s({**run.guest, **other}) is None


def test_each_rate_has_its_error() -> None:
    """The count at a moment is known to the beats around it, here 8 ms apart."""
    sparse = beats((0, 2000, 40), (2300, 4000, 40)).iloc[::8]
    rates = work(sparse, called_ns=1004 * MS).rates.set_index("part")
    # It begins at a beat, and ends in the middle between two of them: 8 ms of 40 MiB/s.
    assert rates["error_mib_s"]["before"] == pytest.approx(0.32 / 2 / 1.004, rel=0.02)
    assert rates["mib_s"]["before"] == pytest.approx(40, abs=rates["error_mib_s"]["before"])


def test_recovery_is_the_time_until_the_rate_is_back() -> None:
    """After RESUME the guest is half as fast for 400 ms, and then as fast as before."""
    given = beats((0, 2000, 40), (2300, 2700, 20), (2700, 4000, 40))
    found = work(given, returned_ns=4000 * MS)
    assert found.recovery_ms == pytest.approx(390, abs=10)


def test_no_recovery_says_how_long_it_was_recorded() -> None:
    """There is no recovery time, and the note gives the reason."""
    found = work(beats((0, 2000, 40), (2300, 2500, 20), (2500, 3000, 0), (3000, 4000, 40)))
    assert found.recovery_ms is None
    (note,) = found.notes
    assert note.startswith("In the 200 ms from when the guest ran again until the call returned")
    assert note.endswith("did not write as fast as before: 20.0 MiB/s at most.")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (beats((0, 2000, 40), (2300, 2320, 40)), "Too little was recorded"),
        (beats((0, 2000, 0), (2300, 4000, 0)), "nothing to recover"),
        (beats(), "No beats were recorded"),
    ],
)
def test_unknown_recovery_has_its_reason(given: pd.DataFrame, reason: str) -> None:
    """With too few beats, no writes or no beats there is no recovery time."""
    found = work(given)
    assert found.recovery_ms is None
    assert reason in found.notes[0]


def test_migration_without_a_stop_has_no_recovery() -> None:
    """A cancelled migration: after its last iteration comes the rollback."""
    found = work(
        beats((0, 4000, 40)),
        stop_ns=None,
        resume_ns=None,
        iterations=iterations((1100, 1600, True), (1600, 2400, True)),
    )
    assert list(found.rates["part"]) == ["before", "prepare", "iteration 1", "iteration 2", "after"]
    assert found.sending_mib_s == pytest.approx(40, abs=0.1)
    assert found.recovery_ms is None
    assert found.notes == ()


def test_guest_left_paused_has_no_part_after() -> None:
    """The guest was paused until the call returned: no rate after, and no recovery."""
    found = work(beats((0, 2000, 40)), resume_ns=None)
    assert list(found.rates["part"])[-1] == "paused"
    assert found.rates["end_ns"].iloc[-1] == 2500 * MS
    assert found.recovery_ms is None


def test_migration_that_sent_nothing_has_only_before() -> None:
    """The migration was refused at once, or moved only a definition."""
    found = work(beats((0, 4000, 40)), iterations=iterations(), stop_ns=None, resume_ns=None)
    assert list(found.rates["part"]) == ["before"]
    assert found.sending_mib_s is None


def test_post_copy_has_its_own_rate() -> None:
    """The guest runs at the destination, but slower until all of its memory is there."""
    found = work(
        beats((0, 2000, 40), (2300, 3300, 10), (3300, 4500, 40)),
        postcopy_ns=2000 * MS,
        completed_ns=3300 * MS,
        returned_ns=3400 * MS,
    )
    rates = found.rates.set_index("part")["mib_s"]
    assert rates["post-copy"] == pytest.approx(10, abs=0.2)
    assert rates["after"] == pytest.approx(40, abs=0.2)


def test_reordered_lost_and_duplicate_beats_hardly_change_rates() -> None:
    """A network may deliver beats like this; the count of writes never falls."""
    straight = beats((0, 2000, 40), (2300, 4000, 40))
    late = straight.iloc[::7].assign(arrival_ns=lambda rows: rows["arrival_ns"] + 3 * MS)
    kept = straight.drop(straight.index[::5])
    mixed = pd.concat([kept, late]).sort_values("arrival_ns", ignore_index=True)
    rates, expected = work(mixed).rates, work(straight).rates
    assert rates["mib_s"].to_numpy() == pytest.approx(expected["mib_s"].to_numpy(), abs=0.5)


@pytest.mark.parametrize(
    ("column", "change", "reason"),
    [
        ("arrival_ns", -500 * MS, "clock was set back"),
        ("writes", -5000, "count of writes restarted"),
    ],
)
def test_jump_of_clock_or_count_gives_no_rate(column: str, change: int, reason: str) -> None:
    """After such a jump no rate is right, so there is none, with a reason."""
    given = beats((0, 2000, 40), (2300, 4000, 40))
    given.loc[given.index > 1500, column] += change
    found = work(given)
    assert reason in found.notes[0]
    assert not len(found.rates)
    assert not len(found.curve)
    assert found.before_mib_s is found.sending_mib_s is found.recovery_ms is None
    assert repr(found) == "Workload(? MiB/s before, ? MiB/s until it stopped)"


def test_part_too_short_for_a_rate_has_none() -> None:
    """Over 4 ms a rate would only show the distance of the beats."""
    found = work(
        beats((0, 2000, 40), (2300, 4000, 40)),
        iterations=iterations((1100, 1996, True), (1996, 2000, True)),
    )
    assert np.isnan(found.rates.set_index("part")["mib_s"]["iteration 2"])


def test_curve_falls_to_zero_in_the_stop() -> None:
    """The points are 5 ms apart, each over 20 ms."""
    curve = work(beats((0, 2000, 40), (2300, 4000, 40))).curve
    still = curve[(curve["time_ns"] > 2020 * MS) & (curve["time_ns"] < 2280 * MS)]
    running = curve[(curve["time_ns"] > 100 * MS) & (curve["time_ns"] < 1980 * MS)]
    assert len(still) > 40
    assert still["mib_s"].max() < 0.5
    assert running["mib_s"].to_numpy() == pytest.approx(40, abs=1)


@pytest.mark.parametrize("run", REAL, ids=repr)
def test_real_guests_wrote_at_their_set_rate(run: Run) -> None:
    """The beats show the rate that was set, and no writes in the stop."""
    found, asked = run.workload(), float(run.guest["dirty_mib_s"])
    assert found.before_mib_s == pytest.approx(asked, rel=0.1)
    if found.sending_mib_s is not None:
        assert found.sending_mib_s == pytest.approx(asked, rel=0.1)
    still = found.rates.loc[found.rates["part"] == "paused"]
    assert (still["mib_s"] < 0.1 * asked).all()
    if run.outcome is Outcome.COMPLETED:
        assert found.recovery_ms is not None
        assert found.recovery_ms < 200


def test_summary_has_the_workload(make_run: MakeRun) -> None:
    """The summary has the workload's figures, None without beats."""
    summary = make_run().summary()
    assert summary["workload_before_mib_s"] == pytest.approx(40, rel=0.02)
    assert summary["recovery_ms"] is not None
    assert make_run(with_beats=False).summary()["workload_sending_mib_s"] is None


@pytest.mark.parametrize("outcome", [str(outcome) for outcome in Outcome])
def test_figure_is_drawn_for_every_outcome(make_run: MakeRun, outcome: str) -> None:
    """The figure shows the workload during a migration of any outcome."""
    picture = plots.workload(make_run(outcome=outcome))
    (axes,) = picture.figure.axes
    assert axes.get_ylabel() == "written (MiB/s)"
    assert picture.title.startswith("40 MiB/s written before, 40 until the pause")
    assert "iteration 1 40.0 MiB/s" in picture.alt


def test_figure_shows_the_recovery(make_run: MakeRun) -> None:
    """The title states the recovery time, and a line marks it."""
    run = make_run()
    picture, found = plots.workload(run), run.workload()
    assert found.recovery_ms is not None
    assert picture.title.endswith(f"; back to normal {found.recovery_ms:.0f} ms after RESUME")
    (line,) = [
        line for line in picture.figure.axes[0].lines if line.get_label() == "as fast as before"
    ]
    resumed = run.timeline().resume_ns
    assert resumed is not None
    expected_s = (resumed - run.called_ns) / 1e9 + found.recovery_ms / 1e3
    assert list(line.get_xdata()) == pytest.approx([expected_s] * 2)


def test_figure_without_beats_gives_the_reason(make_run: MakeRun) -> None:
    """Without beats there is no curve."""
    picture = plots.workload(make_run(with_beats=False))
    assert picture.title == "The effect on the guest's workload is unknown"
    assert "No beats were recorded" in picture.alt
    assert not picture.figure.axes[0].lines
