"""Figures: their message, their labels, their words for who cannot see them."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from migrationlab import plots, store
from migrationlab.errors import StoreError
from migrationlab.runs import FRAMES, Outcome, Run, frame

MakeRun = Callable[..., Run]
RECORDINGS = Path(__file__).parents[1] / "recordings"
REAL = [*store.load_runs(RECORDINGS), *store.load_runs(RECORDINGS / "steered")]

drawn_from_a_run = pytest.mark.parametrize("draw", [plots.timeline, plots.progress])


def words(figure: Figure) -> str:
    """Give all text that stands in a figure."""
    figure.canvas.draw()
    return "\n".join(text.get_text() for text in figure.findobj(match=_is_text))


def _is_text(artist: object) -> bool:
    return hasattr(artist, "get_text")


def check(picture: plots.Picture) -> None:
    """Each figure has a message on it, units on its axes, a description, and no overlap."""
    assert picture.title in words(picture.figure)
    assert len(picture.alt) > len(picture.title) / 2
    for axes in picture.figure.axes:
        label = axes.get_xlabel() + axes.get_ylabel()
        assert label == "" or re.search(r"\((s|ms|MiB|MiB/s)\)", label)
    assert repr(picture) == f"Picture({picture.title!r})"


@drawn_from_a_run
@pytest.mark.parametrize("outcome", [str(outcome) for outcome in Outcome])
def test_a_figure_is_drawn_of_every_outcome(
    make_run: MakeRun, draw: Callable[[Run], plots.Picture], outcome: str
) -> None:
    """A run that did not complete is worth a figure too."""
    check(draw(make_run(outcome=outcome)))


@drawn_from_a_run
def test_a_figure_is_drawn_of_a_run_with_nothing_in_it(
    make_run: MakeRun, draw: Callable[[Run], plots.Picture]
) -> None:
    """A migration refused at once leaves empty frames and no figure breaks on them."""
    empty = {name: frame(name, []) for name in FRAMES}
    check(draw(dataclasses.replace(make_run(outcome="failed"), **empty)))


@drawn_from_a_run
@pytest.mark.parametrize("run", REAL, ids=repr)
def test_a_figure_is_drawn_of_real_recordings(
    run: Run, draw: Callable[[Run], plots.Picture]
) -> None:
    """What the lab recorded can be drawn, and rendered."""
    picture = draw(run)
    check(picture)
    assert picture.render("png").startswith(b"\x89PNG")


def test_the_timeline_says_its_message_and_shows_phases_passes_and_downtimes(
    make_run: MakeRun,
) -> None:
    """Who reads only the title, and who cannot see the bars, both learn the downtime."""
    picture = plots.timeline(make_run(mode="peer2peer"))
    assert picture.title == "The guest stood still for 330 ms of a 2.70 s migration"
    text = words(picture.figure)
    for expected in ("Begin 8 ms", "Perform 2.16 s", "phases", "passes", "341 ms", "beats heard"):
        assert expected in text
    assert "peer2peer, host-a → host-b, 256 MiB guest, writing 40 MiB/s, tcg" in text
    assert "Confirm 208 ms" in picture.alt
    assert "network 341 ms" in picture.alt


def test_the_timeline_of_a_cancelled_run_says_that_the_guest_never_stopped(
    make_run: MakeRun,
) -> None:
    """Without a stop there is no second plot and no downtime in the title."""
    picture = plots.timeline(make_run(outcome="timed_out"))
    assert picture.title == "Stopped at its deadline after 4.03 s: the guest never stopped"
    assert len(picture.figure.axes) == 1
    assert "Perform 3.68 s, cut short" in words(picture.figure)


def test_what_was_not_measured_is_said_and_not_drawn_as_nothing(make_run: MakeRun) -> None:
    """A missing downtime is a word on the plot, not a bar of no length."""
    text = words(plots.timeline(make_run(with_beats=False)).figure)
    assert "not measured" in text
    assert "beats heard" not in text


@pytest.mark.parametrize(
    ("state", "label"), [("shut off", False), ("running", True), ("unknown", False)]
)
def test_an_offline_migration_draws_a_guest_only_where_one_ran(
    make_run: MakeRun, state: str, label: bool
) -> None:
    """What is moved is a definition: a guest that did not run is not drawn as running."""
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
    assert picture.title == "Failed after 4.03 s: the domain's definition was to be moved"


def test_progress_of_what_was_interrupted_says_so(make_run: MakeRun) -> None:
    """In post-copy no pass is too long: that it was interrupted is what there is to say."""
    title = plots.progress(make_run(outcome="interrupted")).title
    assert title.startswith("Interrupted in post-copy after")


def test_progress_says_what_does_not_converge(make_run: MakeRun) -> None:
    """The title of a migration without end is the amount that each pass found anew."""
    picture = plots.progress(make_run(outcome="timed_out", dirty_mib_s=110))
    assert re.fullmatch(
        r"After \d+ passes each pass still found about \d+ MiB to send", picture.title
    )
    assert plots.progress(make_run()).title == "240 MiB went over at 112 MiB/s, in 3 passes"


def test_writing_far_faster_than_the_wire_goes_off_the_scale(make_run: MakeRun) -> None:
    """A guest that rewrites the same pages all the time must not flatten the wire's line."""
    picture = plots.progress(make_run(dirty_mib_s=20000, outcome="timed_out"))
    assert "20,000 MiB/s, off the scale" in words(picture.figure)


def test_downtime_draws_every_run_and_marks_medians(make_run: MakeRun) -> None:
    """Each completed run is a point in each kind; the medians stand on the figure as numbers."""
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
        "The guest stood still for 330 ms in normal and 340 ms in peer2peer mode (median)"
    )
    text = words(picture.figure)
    assert "normal (n = 3)" in text
    assert "341" in text.split()  # the network's median of the normal ones
    assert axes.get_ylim()[0] == 0


def test_downtime_of_no_completed_run_says_so(make_run: MakeRun) -> None:
    """An empty comparison is a sentence, not an error."""
    picture = plots.downtime([make_run(outcome="failed")])
    check(picture)
    assert picture.title == "No run completed, so there is no downtime to compare"


def test_a_notebook_shows_a_picture_with_its_description(make_run: MakeRun) -> None:
    """The HTML has image and alternative text, and asks for nothing from outside."""
    run = make_run()
    run = dataclasses.replace(run, source={**run.source, "name": '<"host">'})
    shown = plots.timeline(run)._repr_html_()
    assert shown.startswith('<figure style="margin:0"><img src="data:image/png;base64,')
    assert "migration. Bars over time" in shown
    assert 'alt="The guest stood still' in shown
    assert '<"host">' not in shown


@pytest.mark.parametrize(
    ("name", "start"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")]
)
def test_a_picture_is_saved_by_its_suffix_and_always_the_same(
    make_run: MakeRun, tmp_path: Path, name: str, start: bytes
) -> None:
    """The same run gives the same bytes, so that a figure in git changes only with its data."""
    first = plots.progress(make_run()).save(tmp_path / name).read_bytes()
    assert first.startswith(start)
    assert plots.progress(make_run()).save(tmp_path / name).read_bytes() == first


def test_an_unknown_kind_of_file_is_refused_with_the_known_ones(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """A suffix that is no figure's gives a hint before anything is written."""
    with pytest.raises(StoreError) as caught:
        plots.progress(make_run()).save(tmp_path / "figure.docx")
    assert ".png" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_drawing_touches_no_pyplot_and_no_global_style() -> None:
    """From import to rendered figure, neither pyplot nor IPython nor libvirt is loaded."""
    code = (
        "import sys, matplotlib\n"
        "before = matplotlib.rcParams.copy()\n"
        "from migrationlab import plots, store\n"
        "plots.timeline(store.load_run(sys.argv[1])).render('png')\n"
        "assert matplotlib.rcParams.copy() == before\n"
        "print([n for n in ('matplotlib.pyplot', 'IPython', 'libvirt') if n in sys.modules])\n"
    )
    arguments = [sys.executable, "-c", code, str(min(RECORDINGS.iterdir()))]
    found = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
