"""Figures: their titles, labels and alternative texts."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import fake_experiments
from migrationlab import plots
from migrationlab.errors import StoreError, UsageError
from migrationlab.experiment.experiment import Experiment
from migrationlab.plan.plan import Plan
from migrationlab.runs import store
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.schema import FRAMES, frame
from paths import RECORDINGS

MakeRun = Callable[..., Run]
REAL = [*store.load_runs(RECORDINGS), *store.load_runs(RECORDINGS / "steered")]

drawn_from_a_run = pytest.mark.parametrize(
    "draw",
    [
        *(plots.timeline, plots.progress, plots.workload, plots.latency, plots.downtime_parts),
        *(plots.service, plots.probes, plots.write_latency),
    ],
)


def words(figure: Figure) -> str:
    """Return all text of a figure."""
    figure.canvas.draw()
    return "\n".join(text.get_text() for text in figure.findobj(match=_is_text))


def _is_text(artist: object) -> bool:
    return hasattr(artist, "get_text")


def check(picture: plots.Picture) -> None:
    """Check that a figure has its title, units on its axes, and an alternative text."""
    assert picture.title in words(picture.figure)
    assert len(picture.alt) > len(picture.title) / 2
    for axes in picture.figure.axes:
        label = axes.get_xlabel() + axes.get_ylabel()
        assert label == "" or re.search(r"\((s|ms|µs|MiB|MiB/s)\)", label)
    assert repr(picture) == f"Picture({picture.title!r})"


@drawn_from_a_run
@pytest.mark.parametrize("outcome", [str(outcome) for outcome in Outcome])
def test_every_outcome_can_be_drawn(
    make_run: MakeRun, draw: Callable[[Run], plots.Picture], outcome: str
) -> None:
    """Each figure is drawn of a run of each outcome."""
    check(draw(make_run(outcome=outcome)))


def test_durations_of_writes_are_told_before_during_and_after(make_run: MakeRun) -> None:
    """The title has the 99th percentile of each part, and the figure a point per report."""
    run = make_run()
    stop_ns, resume_ns = run.timeline().stop_ns, run.timeline().resume_ns
    assert stop_ns is not None
    assert resume_ns is not None
    moments = {run.called_ns - 30: 2, stop_ns - 9: 5, resume_ns + 9: 80}
    rows = [
        {"since_ns": run.called_ns, "arrival_ns": arrival_ns, "guest_ns": 0,
         "latency_ns": us * 1000, "writes": 200}
        for arrival_ns, us in moments.items()
    ]  # fmt: skip
    drawn = plots.write_latency(
        dataclasses.replace(run, memory_writes=frame("memory_writes", rows))
    )
    check(drawn)
    assert drawn.title == (
        "99 % of the guest's writes took at most 2 µs before the call, 5 µs while memory was sent, "
        "80 µs after RESUME"
    )
    assert "after: median 80 µs, p99 80 µs, longest 80 µs" in drawn.alt


@drawn_from_a_run
def test_empty_run_can_be_drawn(make_run: MakeRun, draw: Callable[[Run], plots.Picture]) -> None:
    """A migration that was refused at once has empty frames, which can be drawn."""
    empty = {name: frame(name, []) for name in FRAMES}
    check(draw(dataclasses.replace(make_run(outcome="failed"), **empty)))


@drawn_from_a_run
@pytest.mark.parametrize("run", REAL, ids=repr)
def test_real_recordings_can_be_drawn(run: Run, draw: Callable[[Run], plots.Picture]) -> None:
    """Each figure of a real recording is drawn and laid out."""
    picture = draw(run)
    check(picture)
    picture.figure.draw_without_rendering()


def test_timeline_shows_phases_iterations_and_downtimes(
    make_run: MakeRun,
) -> None:
    """The title and the alternative text have the downtime."""
    picture = plots.timeline(make_run(mode="peer2peer"))
    assert picture.title == "The guest was paused for 330 ms of a 2.70 s migration"
    text = words(picture.figure)
    for expected in (
        "Begin 8 ms",
        "Perform 2.16 s",
        "phases",
        "iterations",
        "341 ms",
        "beats received",
    ):
        assert expected in text
    assert "peer2peer, host-a → host-b, 256 MiB guest, writing 40 MiB/s, emulated (TCG)" in text
    assert "Confirm 208 ms" in picture.alt
    assert "network 341 ms" in picture.alt


def test_timeline_of_a_cancelled_run_has_no_downtime(
    make_run: MakeRun,
) -> None:
    """Without a STOP there is no second plot, and no downtime in the title."""
    picture = plots.timeline(make_run(outcome="timed_out"))
    assert picture.title == "Stopped at its deadline after 4.03 s: the guest never stopped"
    assert len(picture.figure.axes) == 1
    assert "Perform 3.68 s, cut short" in words(picture.figure)


def test_missing_downtime_is_text_not_an_empty_bar(make_run: MakeRun) -> None:
    """A missing downtime is a word on the plot, not a bar of length 0."""
    text = words(plots.timeline(make_run(with_beats=False)).figure)
    assert "not measured" in text
    assert "beats received" not in text


@pytest.mark.parametrize(
    ("state", "label"), [("shut off", False), ("running", True), ("unknown", False)]
)
def test_offline_migration_draws_no_running_guest(
    make_run: MakeRun, state: str, label: bool
) -> None:
    """An offline migration moves a definition; a guest that was off is not drawn as running."""
    made = make_run(outcome="failed")
    offline = dataclasses.replace(
        made,
        plan=dataclasses.replace(made.plan, offline=True, persistent=True),
        domain_states={"source": state, "destination": "absent"},
    )
    picture = plots.timeline(offline)
    legend = picture.figure.axes[0].get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert ("guest runs at host-a" in labels) is label
    assert picture.title == "Failed after 4.03 s: the domain's definition was not moved"


def test_progress_title_states_the_interruption(make_run: MakeRun) -> None:
    """The title of a run interrupted in post-copy states the interruption."""
    title = plots.progress(make_run(outcome="interrupted")).title
    assert title.startswith("Interrupted in post-copy after")


def test_progress_title_states_missing_convergence(make_run: MakeRun) -> None:
    """The title of a migration that does not converge has the rest of each iteration."""
    picture = plots.progress(make_run(outcome="timed_out", dirty_mib_s=110))
    assert re.fullmatch(
        r"After \d+ iterations about \d+ MiB were still left to send each time", picture.title
    )
    assert plots.progress(make_run()).title == "240 MiB were sent at 112 MiB/s, in 3 iterations"


def test_high_dirty_rate_is_cut_off_at_the_axis(make_run: MakeRun) -> None:
    """A guest that rewrites the same pages does not flatten the line of the wire."""
    picture = plots.progress(make_run(dirty_mib_s=20000, outcome="timed_out"))
    assert "20,000 MiB/s, off the scale" in words(picture.figure)


def test_downtime_figure_has_every_run_and_medians(make_run: MakeRun) -> None:
    """Each completed run is a point in each kind; the medians are written as numbers."""
    runs = [
        make_run(mode=mode, number=number, downtime_ms=300.0 + 10 * number)
        for number, mode in enumerate(["normal", "peer2peer"] * 3, start=1)
    ]
    picture = plots.downtime([*runs, make_run(number=7, outcome="cancelled")])
    check(picture)
    (axes,) = picture.figure.axes
    points = [line for line in axes.lines if line.get_marker() in {"o", "s"}]
    assert sum(len(line.get_xdata()) for line in points) == 4 * len(runs)
    assert picture.title == (
        "The guest was paused for 330 ms in normal and 340 ms in peer2peer mode (median)"
    )
    text = words(picture.figure)
    assert "normal (n = 3)" in text
    assert "341" in text.split()  # the network's median of the normal ones
    assert axes.get_ylim()[0] == 0


def test_one_run_has_no_median(make_run: MakeRun) -> None:
    """A single run is described as one run, and no median is drawn."""
    picture = plots.downtime([make_run(number=1)])
    assert picture.title.endswith("(one run)")
    assert "edian" not in picture.alt
    (axes,) = picture.figure.axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["normal (n = 1)"]


def test_downtimes_of_different_settings_are_not_pooled(make_run: MakeRun) -> None:
    """Each of two workloads has its own median, and the title has the medians' range."""
    runs = [
        make_run(
            number=n, downtime_ms=(100.0 if n < 4 else 900.0), dirty_mib_s=20.0 if n < 4 else 40
        )
        for n in range(1, 7)
    ]
    picture = plots.downtime(runs)
    check(picture)
    assert picture.title == (
        "The guest was paused for 100 to 900 ms in normal mode (medians of 2 settings)"
    )
    assert "event 100 to 900 ms" in picture.alt
    (axes,) = picture.figure.axes
    lying = [
        segment[0][1]
        for lines in axes.collections
        for segment in lines.get_segments()
        if segment[0][0] != segment[1][0]  # the bars of the points stand upright
    ]
    assert sorted(lying) == pytest.approx([100, 100, 111, 300, 300, 900, 900, 911], abs=3)
    assert "median of a setting" in words(picture.figure)
    # What did not complete has no downtime, and makes no other setting of the rest.
    late = make_run(number=9, outcome="cancelled", dirty_mib_s=80.0)
    assert plots.downtime([*runs[:3], late]).title.endswith("100 ms in normal mode (median)")


def test_costs_of_different_settings_are_not_pooled(make_run: MakeRun) -> None:
    """Each setting has its bars; if there are too many, the figure says what it pools."""
    two = [make_run(number=n, dirty_mib_s=20.0 * (1 + n % 2)) for n in range(1, 5)]
    one = plots.cost([two[0], two[2]])
    assert "to" not in one.title.split()
    picture = plots.cost(two)
    assert re.match(r"[\d.]+ to [\d.]+ CPU s per GiB sent, .* \(2 settings\)", picture.title)
    for rate in (20, 40):
        assert f"normal, guest writing {rate} MiB/s, completed" in picture.alt
    assert "pooled" not in words(picture.figure)
    many = [make_run(number=n, dirty_mib_s=float(n)) for n in range(1, 10)]
    assert "of 9 settings pooled" in words(plots.cost(many).figure)
    # Numbers as people write them.
    big = make_run(number=3, wire_mib_s=2000.0, memory_mib=2400.0)
    assert not re.search(r"\de\+\d", words(plots.cost([big, make_run(number=4)]).figure))


def test_each_downtime_has_an_error_bar(make_run: MakeRun) -> None:
    """The bars are the bounds of the timeline: one millisecond for libvirt's own figure."""
    run = make_run()
    (axes,) = plots.downtime([run]).figure.axes
    bars = [
        (segment[0][1], segment[1][1])
        for lines in axes.collections
        for segment in lines.get_segments()
        if segment[0][0] == segment[1][0]  # upright; medians lie
    ]
    table = run.timeline().downtimes.set_index("kind")
    expected = table.loc[["requested", "reported", "event", "network"], ["low_ms", "high_ms"]]
    for bar, bounds in zip(bars, expected.to_numpy(dtype=float), strict=True):
        assert bar == pytest.approx(tuple(bounds), abs=0.002)
    assert bars[1][1] - bars[1][0] == pytest.approx(2.0)
    assert "measurement error" in words(axes.figure)


def test_downtime_figure_without_completed_runs_says_so(make_run: MakeRun) -> None:
    """Without a completed run the figure states that there is none; it is not an error."""
    picture = plots.downtime([make_run(outcome="failed")])
    check(picture)
    assert picture.title == "No run completed, so there is no downtime to compare"


def test_downtime_title_says_paused_only_of_the_event_downtime(make_run: MakeRun) -> None:
    """Without QEMU's events the title names the kind, and one kind for both modes."""
    empty = frame("events", [])
    normal = make_run(number=1)
    peer2peer = make_run(number=2, mode="peer2peer")
    blind = [dataclasses.replace(run, events=empty) for run in (normal, peer2peer)]
    for runs in (blind, [normal, blind[1]]):
        assert plots.downtime(runs).title.startswith("The reported downtime was")


def test_notebook_shows_figure_with_alternative_text(make_run: MakeRun) -> None:
    """The HTML has the image and the alternative text, escaped."""
    run = make_run()
    run = dataclasses.replace(run, source={**run.source, "name": '<"host">'})
    shown = plots.timeline(run)._repr_html_()
    assert shown.startswith('<figure style="margin:0"><img src="data:image/png;base64,')
    assert "migration. Bars over time" in shown
    assert 'alt="The guest was paused' in shown
    assert '<"host">' not in shown


@pytest.mark.parametrize(
    ("name", "start"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")]
)
def test_saved_figure_is_reproducible(
    make_run: MakeRun, tmp_path: Path, name: str, start: bytes
) -> None:
    """The same run gives the same bytes, so a figure in git changes only with its data."""
    first = plots.progress(make_run()).save(tmp_path / name).read_bytes()
    assert first.startswith(start)
    assert plots.progress(make_run()).save(tmp_path / name).read_bytes() == first


def test_unknown_suffix_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    """The error lists the known suffixes, and nothing is written."""
    with pytest.raises(StoreError) as caught:
        plots.progress(make_run()).save(tmp_path / "figure.docx")
    assert ".png" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_drawing_loads_no_pyplot() -> None:
    """Drawing and rendering load neither pyplot nor IPython nor libvirt."""
    code = (
        "import sys, matplotlib\n"
        "before = matplotlib.rcParams.copy()\n"
        "from migrationlab import plots\nfrom migrationlab.runs import store\n"
        "plots.timeline(store.load_run(sys.argv[1])).render('png')\n"
        "assert matplotlib.rcParams.copy() == before\n"
        "print([n for n in ('matplotlib.pyplot', 'IPython', 'libvirt') if n in sys.modules])\n"
    )
    arguments = [sys.executable, "-c", code, str(min(RECORDINGS.iterdir()))]
    found = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def recorded(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Return an experiment of two factors: two runs did not complete, and one is an outlier."""
    return fake_experiments.experiment(
        tmp_path_factory.mktemp("modes"),
        make_run,
        outcomes={5: "timed_out", 9: "failed"},
        downtimes_ms={7: 900.0},
    )


def test_experiment_figure_has_runs_medians_and_intervals(recorded: Experiment) -> None:
    """Each completed run is a point; each setting of the second factor has a panel."""
    picture = plots.experiment(recorded, "downtime_event_ms")
    assert picture.title in words(picture.figure)
    assert len(picture.figure.axes) == 2
    assert [axes.get_title(loc="left") for axes in picture.figure.axes] == [
        "writing 20 MiB/s",
        "writing 40 MiB/s",
    ]
    for axes in picture.figure.axes:
        assert [label.get_text() for label in axes.get_yticklabels()] == ["normal", "peer2peer"]
    drawn = [
        (marker, value)
        for axes in picture.figure.axes
        for line in axes.lines
        if (marker := line.get_marker()) in {"o", "D"}
        for value in line.get_xdata()
    ]
    points = recorded.points("downtime_event_ms")
    assert sorted(value for _, value in drawn) == pytest.approx(sorted(points["value"]))
    odd = sorted(value for marker, value in drawn if marker == "D")
    assert odd == pytest.approx(sorted(points.loc[points["outlier"], "value"]))
    assert 900.0 in odd
    summary = recorded.summary(["downtime_event_ms"])
    bars = [
        list(line.get_xdata())
        for axes in picture.figure.axes
        for line in axes.lines
        if line.get_linewidth() == 5
    ]
    for bar, ends in zip(
        sorted(bars), summary[["low", "high"]].sort_values("low").to_numpy(float), strict=True
    ):
        assert bar == pytest.approx(list(ends))
    medians = [
        segment[0][0]
        for axes in picture.figure.axes
        for lines in axes.collections
        for segment in lines.get_segments()
    ]
    assert sorted(medians) == pytest.approx(sorted(summary["median"]))


def test_incomplete_runs_are_counted_in_the_text(recorded: Experiment) -> None:
    """A failed migration has no value, and is counted in the text."""
    picture = plots.experiment(recorded, "total_ms")
    text = words(picture.figure)
    assert "n = 7 of 8, 1 failed" in text
    assert "n = 7 of 8, 1 timed out" in text
    assert "n = 8" in text.splitlines()
    assert "n = 7 of 8, 1 failed" in picture.alt
    assert "total time (ms)" in text


@pytest.mark.parametrize(
    ("downtimes_ms", "label"),
    [
        ({}, "event downtime (ms); the axis does not begin at 0"),
        ({1: 30.0}, "event downtime (ms)"),
        ({1: 5.0, 2: 900.0}, "event downtime (ms), logarithmic"),
    ],
)
def test_axis_label_states_a_cut_or_logarithmic_axis(
    make_run: MakeRun, tmp_path: Path, downtimes_ms: dict[int, float], label: str
) -> None:
    """The label says if the axis is cut or logarithmic."""
    made = fake_experiments.experiment(
        tmp_path,
        make_run,
        downtimes_ms=downtimes_ms,
        question="Which?",
        grid={"mode": ["normal", "peer2peer"]},
        repeats=2,
    )
    picture = plots.experiment(made, "downtime_event_ms")
    assert picture.figure.axes[-1].get_xlabel() == label
    assert "n = 2" in words(picture.figure)


def test_experiment_without_completed_runs_can_be_drawn(make_run: MakeRun, tmp_path: Path) -> None:
    """Without values there are no points and no ticks; the outcomes are still counted."""
    made = fake_experiments.experiment(
        tmp_path,
        make_run,
        outcomes=dict.fromkeys(range(1, 5), "timed_out"),
        question="Which?",
        grid={"mode": ["normal", "peer2peer"]},
        repeats=2,
    )
    picture = plots.experiment(made, "downtime_event_ms")
    assert picture.title == "No run completed, so there is no event downtime to compare"
    (axes,) = picture.figure.axes
    assert not len(axes.get_xticks())
    assert "n = 0 of 2, 2 timed out" in words(picture.figure)
    assert "mode=normal: no value" in picture.alt


def test_title_compares_two_settings(make_run: MakeRun, tmp_path: Path) -> None:
    """The title has both medians with their settings, or says that the runs are too few."""
    design = {"question": "Which?", "grid": {"mode": ["normal", "peer2peer"]}}
    steady = dict(zip(range(1, 15), [300.0, 310.0] * 7, strict=True))
    sure = fake_experiments.experiment(tmp_path / "sure", make_run, **design, repeats=7)
    title = plots.experiment(sure, "downtime_event_ms").title
    assert re.fullmatch(
        r"Event downtime: (29|30)\d ms with normal, (35|36)\d ms with peer2peer", title
    )
    few = fake_experiments.experiment(tmp_path / "few", make_run, **design, repeats=2)
    assert plots.experiment(few, "downtime_event_ms").title.endswith(": too few runs to tell")
    same = fake_experiments.experiment(
        tmp_path / "equivalent", make_run, downtimes_ms=steady, **design, repeats=7
    )
    assert plots.experiment(same, "downtime_event_ms").title.endswith(": equivalent within 5 %")


@pytest.mark.parametrize(
    ("low", "high", "title"),
    [
        # Two of the 70 orders of four and four: p is 0.029, and can be no less.
        (
            [300.0, 301, 302, 303],
            [400.0, 401, 402, 403],
            "Event downtime: 302 ms to 402 ms over 5 settings: too few runs to tell",
        ),
        (
            range(200, 280, 10),
            range(235, 315, 10),
            "Event downtime: 235 ms to 270 ms over 5 settings: difference not shown yet",
        ),
    ],
)
def test_p_of_extremes_is_adjusted_for_all_pairs(
    make_run: MakeRun, tmp_path: Path, low: Sequence[float], high: Sequence[float], title: str
) -> None:
    """The two extremes of five settings are one pair of ten, and p is adjusted for all ten.

    Compared alone, each of these pairs differs.
    """
    design = {
        "question": "Which?",
        "plans": {f"plan {n}": Plan(max_downtime_ms=100 + n) for n in range(5)},
        "repeats": len(low),
    }
    ends = {"plan 0": low, "plan 4": high}
    usual = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    planned = Experiment(**design, directory=tmp_path / "planned")
    downtimes = {run.number: ends.get(run.cell, usual)[run.block - 1] for run in planned.planned}
    made = fake_experiments.experiment(
        tmp_path / "made", make_run, downtimes_ms=downtimes, **design
    )
    assert made.compare("plan 0", "plan 4").verdict == "different"
    assert plots.experiment(made, "downtime_event_ms").title == title


def test_uncrossed_settings_share_one_panel(make_run: MakeRun, tmp_path: Path) -> None:
    """Two wires that differ in two settings are two rows of one panel."""
    made = fake_experiments.experiment(
        tmp_path,
        make_run,
        question="Which?",
        wires=[{"wire_mbit_s": 250}, {"wire_mbit_s": 1000, "delay_ms": 5}],
        repeats=2,
    )
    (axes,) = plots.experiment(made, "wire_bytes").figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "wire 250 Mbit/s, delay 0 ms",
        "wire 1000 Mbit/s, delay 5 ms",
    ]
    assert axes.get_xlabel().startswith("sent over the wire (MiB)")


def test_unknown_metric_is_refused(recorded: Experiment) -> None:
    """A wrong name is an error, not an empty figure."""
    with pytest.raises(UsageError, match="downtime_ms"):
        plots.experiment(recorded, "downtime_ms")


def with_echoes(run: Run, *, late_ms: float = 15.0) -> Run:
    """Return the run with an echo every 20 ms; during the pause every second one is lost."""
    line = run.timeline()
    assert line.stop_ns is not None
    assert line.resume_ns is not None
    rows = []
    for sequence, sent in enumerate(
        range(run.called_ns - 10**9, run.returned_ns + 10**8, 20_000_000)
    ):
        arrival = sent + 500_000
        if line.stop_ns <= sent < line.resume_ns:
            arrival = line.resume_ns + round(late_ms * 1e6)
        lost = arrival > sent + 500_000 and sequence % 2
        rows.append(
            {"sequence": sequence, "sent_ns": sent, "arrival_ns": None if lost else arrival}
        )
    return dataclasses.replace(run, echoes=frame("echoes", rows))


def test_latency_shows_late_and_lost_answers(make_run: MakeRun) -> None:
    """Each answered request is a point, each lost one a tick; the title has the worst."""
    run = with_echoes(make_run())
    picture = plots.latency(run)
    check(picture)
    trips = run.timeline().latency["round_trip_ms"]
    (axes,) = picture.figure.axes
    drawn = {
        line.get_marker(): line.get_xdata() for line in axes.lines if len(line.get_xdata()) > 2
    }
    assert len(drawn["."]) == trips.notna().sum()
    assert len(drawn["|"]) == trips.isna().sum() > 5
    worst, lost = trips.max(), trips.isna().sum()
    assert worst > 300
    assert picture.title.startswith(f"The slowest answer took {worst:.0f} ms; {lost} of ")
    assert "Before the call the median was 0.50 ms" in picture.alt


def test_latency_without_echoes_is_unknown(make_run: MakeRun) -> None:
    """Without echo requests the plot is empty and states that there are none."""
    picture = plots.latency(make_run())
    check(picture)
    assert "unknown" in picture.title
    assert "not measured" in words(picture.figure)


def test_downtime_parts_are_drawn_in_sequence(make_run: MakeRun) -> None:
    """Each bar begins where the one before it ended, and has its duration."""
    run = make_run()
    table = run.timeline().parts
    picture = plots.downtime_parts(run)
    check(picture)
    (axes,) = picture.figure.axes
    bars = [patch for patch in axes.patches if patch.get_height() == pytest.approx(0.62)]
    assert len(bars) == len(table) > 1
    for bar, row in zip(bars, table.itertuples(), strict=True):
        start = (row.start_ns - table["start_ns"].iloc[0]) / 1e6
        assert bar.get_x() == pytest.approx(start)
        assert f"{row.part} {row.duration_ms:.1f} ms" in picture.alt
    longest = table.loc[table["duration_ms"].idxmax()]
    took = f"the {longest['part']} took {longest['duration_ms']:.0f} ms"
    whole = f"{table['duration_ms'].sum():.0f} ms from STOP to the first packet"
    assert picture.title == f"Of {whole}, {took}"


def test_parts_without_packets_end_with_resume(make_run: MakeRun) -> None:
    """Without beats and echoes the title names the event downtime's ends."""
    made = make_run()
    run = dataclasses.replace(made, beats=made.beats.iloc[:0], echoes=made.echoes.iloc[:0])
    event_ms = run.timeline().downtime_event_ms
    assert plots.downtime_parts(run).title.startswith(f"Of {event_ms:.0f} ms from STOP to RESUME")


def test_part_across_an_unknown_clock_has_no_duration(make_run: MakeRun) -> None:
    """If a clock is unknown, the bar is grey and has a text instead of a duration."""
    made = make_run()
    run = dataclasses.replace(
        made,
        clock={"source": None, "destination": {"offset_ms": 0.0, "error_ms": 0.1, "method": "x"}},
    )
    picture = plots.downtime_parts(run)
    assert run.timeline().parts["duration_ms"].isna().any()
    assert "unknown: between two clocks" in words(picture.figure)
    assert "in the parts that are known" in picture.title


def test_run_without_a_stop_has_no_downtime_parts(make_run: MakeRun) -> None:
    """A cancelled migration has no parts of the downtime."""
    picture = plots.downtime_parts(make_run(outcome="timed_out"))
    check(picture)
    assert picture.title == "The parts of the downtime are unknown"
