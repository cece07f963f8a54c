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
    """Give four runs: both modes, and one that did not complete."""
    return [
        make_run(number=1),
        make_run(number=2, mode="peer2peer", downtime_ms=410.0),
        make_run(number=3, mode="peer2peer", outcome="timed_out"),
        make_run(number=4),
    ]


def outline(view: View, runs: tuple[Run, ...], until_s: float | None) -> str:
    """Stand in for a figure: say what it would be drawn of."""
    return f"<figure>{view} of {', '.join(run.run_id for run in runs)} until {until_s}</figure>"


@pytest.fixture
def explorer(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> Iterator[RunExplorer]:
    """Give an explorer of them, drawn in outline; close it."""
    monkeypatch.setattr(run_explorer, "_figure", outline)
    yield from _explorer(runs)


@pytest.fixture
def drawing(runs: list[Run]) -> Iterator[RunExplorer]:
    """Give an explorer of them that draws; close it."""
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


def test_a_run_is_listed_with_what_sets_it_apart(make_run: MakeRun) -> None:
    """Its number, mode, outcome in words, dirty rate, wire and time."""
    said = run_tables.label(3, make_run(mode="peer2peer", outcome="timed_out"))
    assert said.startswith("3 · peer2peer · stopped at its deadline · 40")
    assert "1000 Mbit/s" in said
    assert said.endswith(" s")


def test_runs_stand_side_by_side_with_units(runs: list[Run]) -> None:
    """A column a run, a row a number; what is unknown is a dash, and what nobody knows no row."""
    table = run_tables.numbers({2: runs[1], 3: runs[2]})
    assert table.count('scope="col"') == 2
    assert '<th scope="col">run 3</th>' in table
    assert "<td>completed</td><td>stopped at its deadline</td>" in table
    assert "event downtime</th><td>410 ms</td><td>–</td>" in table
    assert "reported downtime" not in run_tables.numbers({3: runs[2]})


def test_each_downtime_has_its_bounds_its_method_and_its_reason(runs: list[Run]) -> None:
    """A downtime that is known has how far off it may be; one that isn't says why."""
    table = run_tables.downtimes({1: runs[0], 3: runs[2]})
    assert "network: silence of the guest&#39;s beats" in table
    assert " to " in table
    assert "– (no stop was recorded)" in table
    assert "requested: the limit in force</th><td>300 ms</td><td>300 ms</td>" in table


def test_a_name_in_a_table_is_text_and_nothing_else() -> None:
    """What looks like markup is shown, not obeyed."""
    code = "<script>"
    table = fill("table.html", caption=code, columns=[code], rows=[(code, [code])])
    assert code not in table
    assert table.count("&lt;script&gt;") == 4


# The explorer


def test_it_begins_with_a_run_drawn(drawing: RunExplorer) -> None:
    """The first run's timeline and numbers are there, without a press."""
    assert repr(drawing) == "RunExplorer(4 runs)"
    assert "Shown: timeline, run 1." in drawing.message.value
    assert 'alt="The guest was paused' in drawing.results.value
    assert "What was set, and what was measured" in drawing.results.value
    assert [run.run_id for run in drawing.chosen] == [drawing._runs[1].run_id]


def test_filters_list_what_is_asked_for_and_keep_what_stays(explorer: RunExplorer) -> None:
    """By mode and by outcome; a run that is still listed stays chosen."""
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
def test_each_view_shows_the_runs_that_are_chosen(drawing: RunExplorer, view: View) -> None:
    """A table and figures with alternative texts, also of a run that did not complete."""
    drawing.choose(2, 3)
    drawing.view.value = view
    assert drawing.wait(TIMEOUT_S)
    assert f"Shown: {view}, runs 2, 3." in drawing.message.value
    shown = drawing.results.value
    assert shown.count("<img") == shown.count("alt=") == (1 if view is View.DOWNTIMES else 2)
    assert "run 2" in shown
    assert "run 3" in shown


def test_a_tick_shows_and_hides_a_run(explorer: RunExplorer) -> None:
    """A box is ticked as a page would tick it: the run comes beside the others, and goes again."""
    explorer.boxes[4].value = True
    assert explorer.wait(TIMEOUT_S)
    assert "Shown: timeline, runs 1, 4." in explorer.message.value
    explorer.boxes[1].value = False
    assert explorer.wait(TIMEOUT_S)
    assert "Shown: timeline, run 4." in explorer.message.value


def test_a_run_that_is_not_there_is_refused(explorer: RunExplorer) -> None:
    """The caller hears which runs there are, and nothing has changed."""
    with pytest.raises(UsageError, match="there is no run 5") as raised:
        explorer.choose(1, 5)
    assert raised.value.hint == "Choose from 1 to 4."
    assert explorer._ticked() == [1]


def test_more_runs_than_fit_are_reported(explorer: RunExplorer) -> None:
    """The first three are shown, and it says how many are not."""
    explorer.choose(1, 2, 3, 4)
    assert explorer.wait(TIMEOUT_S)
    assert len(explorer.chosen) == MAX_RUNS
    assert "1 more ticked than fit" in explorer.message.value


def test_timelines_are_compared_by_one_time_scale(explorer: RunExplorer) -> None:
    """All that stand beside each other reach as far as the longest of them."""
    explorer.choose(1, 3)
    assert explorer.wait(TIMEOUT_S)
    lengths = [(run.returned_ns - run.called_ns) / 1e9 for run in explorer.chosen]
    assert lengths[0] != lengths[1]
    assert explorer.results.value.count(f"until {max(lengths)}<") == 2


def test_a_timeline_reaches_as_far_as_it_is_reported(runs: list[Run]) -> None:
    """The same run on a longer scale is another figure."""
    alone, beside = (
        run_explorer._figure(View.TIMELINE, (runs[0],), until) for until in (None, 9.0)
    )
    assert alone != beside


def test_it_says_that_it_draws_and_does_not_wait_for_it(
    explorer: RunExplorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A choice returns at once with "drawing…"; of what is chosen meanwhile only the last comes."""
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


def test_what_was_drawn_once_is_cached(explorer: RunExplorer) -> None:
    """To come back to a run draws nothing anew."""
    for number in (2, 1, 2):
        explorer.choose(number)
        assert explorer.wait(TIMEOUT_S)
    assert explorer._figure.cache_info().hits == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_migrationlab_is_shown_and_the_explorer_lives_on(
    explorer: RunExplorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A figure that cannot be drawn is reported; the next choice is drawn again."""
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
def test_a_damaged_run_is_reported_and_the_others_are_shown(
    make_run: MakeRun, tmp_path: Path, view: View
) -> None:
    """One whose file was changed is named with what is to be done; beside it the other is drawn."""
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


def test_a_damaged_run_is_reported_in_a_saved_notebook_too(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """Where not even its summary can be had, the page still shows the explorer, and says why."""
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


def test_no_runs_are_said_to_be_none() -> None:
    """An explorer of nothing says so, and doesn't fall over."""
    explorer = RunExplorer([])
    assert "There are no runs here." in explorer.message.value
    assert "text/html" in explorer._repr_mimebundle_()
    explorer.close()


def test_a_saved_explorer_shows_its_numbers(explorer: RunExplorer) -> None:
    """A reader without a kernel sees a table, and a line without an address."""
    bundle = explorer._repr_mimebundle_()
    assert bundle["text/plain"] == "RunExplorer(4 runs)"
    assert "run this cell" in bundle["text/html"]
    assert "event downtime" in bundle["text/html"]


def test_close_takes_every_part_off_the_page(runs: list[Run]) -> None:
    """Also the boxes of runs that are not listed just then."""
    explorer = RunExplorer(runs)
    explorer.mode.value = "peer2peer"
    parts = [explorer.list, explorer.results, explorer.view, *explorer.boxes.values()]
    explorer.close()
    assert explorer.wait(TIMEOUT_S)
    assert [part.comm for part in parts] == [None] * len(parts)


# The renderer


def test_a_renderer_does_the_newest_of_what_waits() -> None:
    """One job at a time; of those that came meanwhile only the last; then its thread ends."""
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


def test_a_job_that_fails_does_not_take_the_next_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is the thread's, as any other; what was asked for meanwhile is done."""
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


def test_a_closed_renderer_does_nothing_more() -> None:
    """What is asked for after the end is not begun."""
    painter = BackgroundRenderer("test")
    painter.close()
    done: list[int] = []
    painter.ask(lambda: done.append(1))
    assert painter.wait(0)
    assert done == []
