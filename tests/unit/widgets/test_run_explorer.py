"""The explorer of runs, pressed without a browser; its tables; and the renderer behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from migrationlab.errors import StoreError, UsageError
from migrationlab.runs import store
from migrationlab.runs.run import Run
from migrationlab.widgets import RunExplorer, run_explorer
from migrationlab.widgets.background import BackgroundRenderer
from migrationlab.widgets.run_explorer import MAX_RUNS, View
from migrationlab.widgets.views import run_tables
from migrationlab.widgets.views.template import fill

TIMEOUT_S = 20
MakeRun = Callable[..., Run]


@pytest.fixture
def runs(make_run: MakeRun) -> list[Run]:
    """Return four runs of both modes, one of which did not complete."""
    return [
        make_run(number=1),
        make_run(number=2, mode="peer2peer", downtime_ms=410.0),
        make_run(number=3, mode="peer2peer", outcome="timed_out"),
        make_run(number=4),
    ]


def outline(view: View, runs: tuple[Run, ...], until_s: float | None) -> str:
    """Stand in for a figure: state its view and its runs."""
    return f"<figure>{view} of {', '.join(run.run_id for run in runs)} until {until_s}</figure>"


@pytest.fixture
def explorer(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> Iterator[RunExplorer]:
    """Return an explorer of the runs with outlines for figures; close it afterwards."""
    monkeypatch.setattr(run_explorer, "_figure", outline)
    yield from _explorer(runs)


@pytest.fixture
def drawing(runs: list[Run]) -> Iterator[RunExplorer]:
    """Return an explorer of the runs with real figures; close it afterwards."""
    yield from _explorer(runs)


def _explorer(runs: list[Run]) -> Iterator[RunExplorer]:
    made = RunExplorer(runs)
    assert made.wait(TIMEOUT_S)
    yield made
    made.close()
    assert made.wait(TIMEOUT_S)


def listed(explorer: RunExplorer) -> list[int]:
    """Return the numbers of the runs in the list."""
    return [number for number, box in explorer.boxes.items() if box in explorer.list.children]


# The tables


def test_run_is_listed_with_its_main_facts(make_run: MakeRun) -> None:
    """The list has a run's number, mode, outcome, dirty rate, wire and time."""
    said = run_tables.label(3, make_run(mode="peer2peer", outcome="timed_out"))
    assert said.startswith("3 · peer2peer · stopped at its deadline · 40")
    assert "1000 Mbit/s" in said
    assert said.endswith(" s")


def test_table_has_a_column_per_run_and_a_row_per_number(runs: list[Run]) -> None:
    """An unknown number is a dash; a number that all runs lack has no row."""
    table = run_tables.numbers({2: runs[1], 3: runs[2]})
    assert table.count('scope="col"') == 2
    assert '<th scope="col">run 3</th>' in table
    assert "<td>completed</td><td>stopped at its deadline</td>" in table
    assert "event downtime</th><td>410 ms</td><td>–</td>" in table
    assert "reported downtime" not in run_tables.numbers({3: runs[2]})


def test_downtime_has_bounds_and_method_or_a_reason(runs: list[Run]) -> None:
    """A known downtime has its bounds and method; an unknown one has its reason."""
    table = run_tables.downtimes({1: runs[0], 3: runs[2]})
    assert "network: silence of the guest&#39;s beats" in table
    assert " to " in table
    assert "– (no stop was recorded)" in table
    assert "requested: the limit in force</th><td>300 ms</td><td>300 ms</td>" in table


def test_name_in_a_table_is_escaped() -> None:
    """Markup in a name is shown as text."""
    code = "<script>"
    table = fill("table.html", caption=code, columns=[code], rows=[(code, [code])])
    assert code not in table
    assert table.count("&lt;script&gt;") == 4


# The explorer


def test_first_run_is_drawn_at_the_start(drawing: RunExplorer) -> None:
    """The first run's timeline and numbers are shown without a press."""
    assert repr(drawing) == "RunExplorer(4 runs)"
    assert "Shown: timeline, run 1." in drawing.message.value
    assert 'alt="The guest was paused' in drawing.results.value
    assert "What was set, and what was measured" in drawing.results.value
    assert [run.run_id for run in drawing.chosen] == [drawing._runs[1].run_id]


def test_filters_keep_the_chosen_runs_that_they_list(explorer: RunExplorer) -> None:
    """The list is filtered by mode and outcome; a chosen run in the list stays chosen."""
    explorer.choose(2, 4)
    explorer.mode.value = "peer2peer"
    assert listed(explorer) == [2, 3]
    assert explorer._ticked() == [2]
    explorer.outcome.value = "timed_out"
    assert listed(explorer) == [3]
    assert explorer._ticked() == [3]
    explorer.mode.value = "normal"
    assert explorer.wait(TIMEOUT_S)
    assert listed(explorer) == []
    assert "No run is ticked." in explorer.message.value
    assert explorer.results.value == ""


@pytest.mark.parametrize("view", list(View))
def test_each_view_shows_the_chosen_runs(drawing: RunExplorer, view: View) -> None:
    """Each view has its table or figures with alternative texts, also for an incomplete run."""
    drawing.choose(2, 3)
    drawing.view.value = view
    assert drawing.wait(TIMEOUT_S)
    assert f"Shown: {view}, runs 2, 3." in drawing.message.value
    shown = drawing.results.value
    assert shown.count("<img") == shown.count("alt=") == (1 if view is View.DOWNTIMES else 2)
    assert "run 2" in shown
    assert "run 3" in shown


def test_checkbox_shows_and_hides_a_run(explorer: RunExplorer) -> None:
    """Ticking a box shows its run beside the others; unticking the box hides the run."""
    explorer.boxes[4].value = True
    assert explorer.wait(TIMEOUT_S)
    assert "Shown: timeline, runs 1, 4." in explorer.message.value
    explorer.boxes[1].value = False
    assert explorer.wait(TIMEOUT_S)
    assert "Shown: timeline, run 4." in explorer.message.value


def test_unknown_run_is_refused(explorer: RunExplorer) -> None:
    """The error lists the known runs, and the explorer does not change."""
    with pytest.raises(UsageError, match=r"run must be from 1 to \d+ \(got 5\)") as raised:
        explorer.choose(1, 5)
    assert raised.value.hint == "Choose from 1 to 4."
    assert explorer._ticked() == [1]


def test_hidden_runs_are_counted(explorer: RunExplorer) -> None:
    """The first three runs are shown, and the text states how many are not."""
    explorer.choose(1, 2, 3, 4)
    assert explorer.wait(TIMEOUT_S)
    assert len(explorer.chosen) == MAX_RUNS
    assert "1 more ticked than fit" in explorer.message.value


def test_timelines_share_one_time_scale(explorer: RunExplorer) -> None:
    """Every shown timeline is as long as the longest one."""
    explorer.choose(1, 3)
    assert explorer.wait(TIMEOUT_S)
    lengths = [(run.returned_ns - run.called_ns) / 1e9 for run in explorer.chosen]
    assert lengths[0] != lengths[1]
    assert explorer.results.value.count(f"until {max(lengths)}<") == 2


def test_timeline_is_redrawn_for_another_scale(runs: list[Run]) -> None:
    """The same run on a longer time scale is another figure."""
    alone, beside = (
        run_explorer._figure(View.TIMELINE, (runs[0],), until) for until in (None, 9.0)
    )
    assert alone != beside


def test_choice_does_not_wait_for_drawing(
    explorer: RunExplorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A choice returns at once with "drawing…"; only the last of several choices is drawn."""
    begun, go_on = threading.Event(), threading.Event()
    drawn: list[tuple[Run, ...]] = []

    def slow(view: View, runs: tuple[Run, ...], until_s: float | None) -> str:
        drawn.append(runs)
        begun.set()
        assert go_on.wait(TIMEOUT_S)
        return "<figure>"

    monkeypatch.setattr(explorer, "_figure", slow)
    explorer.choose(2)
    assert "drawing…" in explorer.message.value
    assert begun.wait(TIMEOUT_S)
    explorer.choose(3)
    explorer.choose(4)
    go_on.set()
    assert explorer.wait(TIMEOUT_S)
    assert drawn == [(explorer._runs[2],), (explorer._runs[4],)]
    assert "Shown: timeline, run 4." in explorer.message.value


def test_drawn_figure_is_cached(explorer: RunExplorer) -> None:
    """Choosing a run again draws nothing again."""
    for number in (2, 1, 2):
        explorer.choose(number)
        assert explorer.wait(TIMEOUT_S)
    assert explorer._figure.cache_info().hits == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_unexpected_error_is_shown_and_explorer_still_works(
    explorer: RunExplorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A figure that cannot be drawn is reported, and the next choice is drawn."""
    whole = explorer._figure

    def broken(view: View, runs: tuple[Run, ...], until_s: float | None) -> str:
        raise ValueError("no ink")

    monkeypatch.setattr(explorer, "_figure", broken)
    explorer.choose(2)
    assert explorer.wait(TIMEOUT_S)
    assert "A bug in migrationlab: ValueError(&#39;no ink&#39;)" in explorer.message.value
    monkeypatch.setattr(explorer, "_figure", whole)
    explorer.choose(4)
    assert explorer.wait(TIMEOUT_S)
    assert "Shown: timeline, run 4." in explorer.message.value


@pytest.mark.parametrize("view", View)
def test_damaged_run_is_reported_and_others_are_shown(
    make_run: MakeRun, tmp_path: Path, view: View
) -> None:
    """A changed file is named with a hint, and the other run is drawn beside the error."""
    for number in (1, 2):
        store.save_run(make_run(number=number), tmp_path)
    whole, damaged = (store.load_run(folder) for folder in sorted(tmp_path.iterdir()))
    for frame in ("beats", "events", "job"):
        path = tmp_path / damaged.run_id / f"{frame}.parquet"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    explorer = RunExplorer([whole, damaged])
    explorer.view.value = view
    explorer.choose(1, 2)
    assert explorer.wait(TIMEOUT_S)
    assert "fault in the kit" not in explorer.message.value + explorer.results.value
    assert f"{damaged.run_id}" in explorer.results.value
    assert "is damaged" in explorer.results.value
    assert explorer.results.value.count("<img ") == 1
    explorer.close()


def test_saved_notebook_reports_a_damaged_run(make_run: MakeRun, tmp_path: Path) -> None:
    """If a run has no readable summary, the saved page shows the explorer and the reason."""
    folder = store.save_run(make_run(), tmp_path)
    explorer = RunExplorer([store.load_run(folder)])

    def unreadable(run: Run) -> None:
        raise StoreError("events.parquet is damaged", hint="Restore it.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "summary", unreadable)
        html = explorer._repr_mimebundle_()["text/html"]
    assert "run 1: events.parquet is damaged" in html
    assert "Restore it." in html
    explorer.close()


def test_explorer_without_runs_says_so() -> None:
    """An explorer without runs states that there are none, and raises no error."""
    explorer = RunExplorer([])
    assert "There are no runs here." in explorer.message.value
    assert "text/html" in explorer._repr_mimebundle_()
    explorer.close()


def test_saved_explorer_shows_its_numbers(explorer: RunExplorer) -> None:
    """Without a kernel the notebook shows a table, and the repr has no memory address."""
    bundle = explorer._repr_mimebundle_()
    assert bundle["text/plain"] == "RunExplorer(4 runs)"
    assert "run this cell" in bundle["text/html"]
    assert "event downtime" in bundle["text/html"]


def test_close_removes_every_part_from_the_page(runs: list[Run]) -> None:
    """Closing also removes the boxes of runs that the filters hide."""
    explorer = RunExplorer(runs)
    explorer.mode.value = "peer2peer"
    parts = [explorer.list, explorer.results, explorer.view, *explorer.boxes.values()]
    explorer.close()
    assert explorer.wait(TIMEOUT_S)
    assert [part.comm for part in parts] == [None] * len(parts)


# The renderer


def test_renderer_does_only_the_newest_waiting_job() -> None:
    """Jobs run one at a time, the newest replaces waiting ones, and then the thread ends."""
    painter = BackgroundRenderer("test")
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        begun.set()
        assert go_on.wait(TIMEOUT_S)
        done.append("first")

    painter.ask(first)
    assert begun.wait(TIMEOUT_S)
    painter.ask(lambda: done.append("second"))
    painter.ask(lambda: done.append("third"))
    assert not painter.wait(0)
    go_on.set()
    assert painter.wait(TIMEOUT_S)
    assert done == ["first", "third"]


def test_job_after_a_failed_job_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed job's error is raised in its thread, and the waiting job is done."""
    logged: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", logged.append)
    painter = BackgroundRenderer("test")
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def bad() -> None:
        begun.set()
        assert go_on.wait(TIMEOUT_S)
        raise ZeroDivisionError

    painter.ask(bad)
    assert begun.wait(TIMEOUT_S)
    painter.ask(done.set)
    go_on.set()
    assert painter.wait(TIMEOUT_S)
    assert done.is_set()
    for thread in threading.enumerate():
        if thread.name == "test":
            thread.join(TIMEOUT_S)
    assert [args.exc_type for args in logged] == [ZeroDivisionError]


def test_closed_renderer_starts_no_job() -> None:
    """A job that is submitted after closing is not started."""
    painter = BackgroundRenderer("test")
    painter.close()
    done: list[int] = []
    painter.ask(lambda: done.append(1))
    assert painter.wait(0)
    assert done == []
