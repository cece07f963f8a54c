"""The report of runs and of experiments, and the two commands that show what is stored."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import NoReturn

import click
import pytest
from click.testing import CliRunner

import fake_experiments
from migrationlab.cli import runs as commands
from migrationlab.errors import StoreError
from migrationlab.experiment import folder
from migrationlab.experiment.experiment import Experiment
from migrationlab.plots import picture
from migrationlab.report import experiment, pdf
from migrationlab.report.reproduce import repeat
from migrationlab.report.runs import MOST_DRAWN, _which, closely
from migrationlab.report.write import render, write
from migrationlab.runs import store
from migrationlab.runs.run import Run, Runs
from paths import RECORDINGS

MakeRun = Callable[..., Run]


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Store the tag as an open tag."""
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that must be the last one opened."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Store the text."""
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all tags of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def six(make_run: MakeRun) -> list[Run]:
    """Return three runs in each mode."""
    return [
        make_run(mode=mode, number=number, downtime_ms=300.0 + 10 * number)
        for number, mode in enumerate(["normal", "peer2peer"] * 3, start=1)
    ]


@pytest.fixture(scope="module")
def html(six: list[Run]) -> str:
    """Return the report of the six runs, rendered once for all tests that only read it."""
    return render(six)


@pytest.fixture
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw nothing, for a test that reads words only: figures take most of a report's time.

    A figure's title and description are made before it is drawn. Drawing ends where it first
    touches the figure. ``tests/unit/plots`` draws them all.
    """
    monkeypatch.setattr(picture, "drawing", words_only)
    monkeypatch.setattr(picture.Picture, "data_uri", lambda _: "data:image/png;base64,")


class NotDrawnError(Exception):
    """Raised by the figure that nothing is drawn on."""


class NoFigure:
    """A figure that nothing is drawn on."""

    def __getattr__(self, name: str) -> NoReturn:
        raise NotDrawnError(name)


@contextmanager
def words_only(
    height_inches: float, title: str, subtitle: str, alt: str
) -> Iterator[picture.Picture]:
    """Make a picture of its words alone."""
    with suppress(NotDrawnError):
        yield picture.Picture(NoFigure(), title, alt)  # type: ignore[arg-type]


def test_report_is_one_file_that_loads_nothing(html: str) -> None:
    """The page can be opened offline: it uses no address, script or file outside of it."""
    page = Page(html)
    assert page.open == []
    assert not page.all("script")
    assert not page.all("link")
    assert all(
        (image["src"] or "").startswith("data:image/png;base64,") for image in page.all("img")
    )
    assert all((link["href"] or "").startswith("#") for link in page.all("a"))
    assert "http" not in page.text


def test_report_is_accessible(html: str) -> None:
    """The page has a language, ordered headings, captions, table heads and alternative texts."""
    page = Page(html)
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("caption")) == len(page.all("table"))
    assert {cell["scope"] for cell in page.all("th")} == {"row", "col"}
    assert all(len(image["alt"] or "") > 40 for image in page.all("img"))
    assert [tag for tag, _ in page.tags if tag in {"h1", "h2", "h3"}][:2] == ["h1", "h2"]


def test_medians_have_n_and_spread(html: str) -> None:
    """Each median has its n and range. Three runs have no interval."""
    assert "Downtimes of the completed runs, in milliseconds" in html
    assert (
        '<th scope="row">event</th><td>normal</td><td class="number">3</td>'
        '<td class="number">330.0</td><td class="number">–</td><td class="number">310.0</td>'
        '<td class="number">350.0</td><td class="number">0</td>'
    ) in html


@pytest.mark.usefixtures("unpainted")
def test_six_runs_have_an_interval(make_run: MakeRun) -> None:
    """From six runs on the median has a 95 % interval, within the range."""
    made = [make_run(number=number, downtime_ms=300.0 + 10 * number) for number in range(1, 7)]
    assert (
        '<td>normal</td><td class="number">6</td><td class="number">335.0</td>'
        '<td class="number">315 to 355</td>'
    ) in render(made)


def test_report_names_each_run_and_how_to_repeat_it(six: list[Run], html: str) -> None:
    """Each run has a table row, a section with figures, and a command line of virsh."""
    page = Page(html)
    for run in six:
        assert {"id": f"run-{run.run_id}"} in page.all("section")
    # Of each its timeline, progress, parts of the downtime, and workload; it sent no echoes.
    assert len(page.all("img")) == 1 + 4 * len(six)
    assert page.text.count("virsh ") >= len(six)
    assert "migrationlab demo --repeats 3" in page.text
    assert "11.3.0" in page.text
    assert "Example CPU" in page.text


def test_run_without_a_content_is_repeated_with_zeros(make_run: MakeRun) -> None:
    """A run from before the content could be set is repeated with the guest that it had."""
    now = make_run()
    guest = {name: value for name, value in now.guest.items() if name != "content"}
    old = dataclasses.replace(now, guest=guest)
    assert 'content = "zeros"' not in repeat([now]).toml
    assert 'content = "zeros"' in repeat([old]).toml


@pytest.mark.usefixtures("unpainted")
def test_runs_of_different_settings_are_not_pooled(html: str, make_run: MakeRun) -> None:
    """Two settings have a row each, and a warning. A different load has neither."""
    assert "differ in more than their mode" not in html
    two = [make_run(), make_run(number=2, dirty_mib_s=80.0)]
    made = render([*two, make_run(number=3, dirty_mib_s=20.0, outcome="cancelled")])
    assert "differ in more than their mode: guest.dirty_mib_s." in " ".join(Page(made).text.split())
    for rate in ("40", "80"):
        assert f'<td>normal, guest writing {rate} MiB/s</td><td class="number">1</td>' in made
    # What a plan leaves out is not said.
    steered = dataclasses.replace(two[0].plan, bandwidth_mib_s=50)
    made = render([two[0], dataclasses.replace(two[1], plan=steered)])
    assert "<td>normal, guest writing 40 MiB/s</td>" in made
    assert "<td>normal, guest writing 80 MiB/s, bandwidth 50 MiB/s</td>" in made


def test_warnings_stand_before_the_figures(html: str) -> None:
    """Each warning says what to do about it."""
    text = Page(html).text
    assert "(TCG)" in text
    assert "machine with /dev/kvm" in text
    assert text.index("Warnings about these figures") < text.index("Downtimes of the")


@pytest.mark.usefixtures("unpainted")
def test_one_run_of_each_kind_is_drawn(make_run: MakeRun) -> None:
    """The table has all of many runs, and figures are drawn for one run of each kind only."""
    made = [
        make_run(number=number, downtime_ms=300.0 + number) for number in range(1, MOST_DRAWN + 2)
    ]
    late = make_run(number=90, outcome="timed_out")
    page = Page(render([*made, late]))
    sections = [tag["id"] for tag in page.all("section") if tag.get("id")]
    # The middle one of the thirteen, and the only one that timed out.
    assert sections == [f"run-{made[MOST_DRAWN // 2].run_id}", f"run-{late.run_id}"]
    assert all(run.run_id in page.text for run in made)
    assert "2 of 14 runs. The table above has all runs" in " ".join(page.text.split())


@pytest.mark.usefixtures("unpainted")
def test_unreadable_run_is_listed_with_the_reason(make_run: MakeRun, tmp_path: Path) -> None:
    """The other runs are reported as usual."""
    for number in (1, 2, 3):
        store.save_run(make_run(number=number), tmp_path)
    good, damaged, broken = sorted(tmp_path.iterdir())
    (damaged / "run.json").write_text("{")
    with (broken / "events.parquet").open("r+b") as file:
        file.write(b"no")
    result = CliRunner().invoke(
        commands.report, [str(tmp_path), "-o", str(tmp_path / "page.html")], catch_exceptions=False
    )
    assert f"left out: {damaged / 'run.json'} is damaged" in result.stderr
    page = Page((tmp_path / "page.html").read_text())
    assert f"{damaged.name} could not be read completely" in page.text
    assert f"{broken / 'events.parquet'} is damaged" in page.text
    assert [tag["id"] for tag in page.all("section") if tag.get("id")] == [f"run-{good.name}"]


@pytest.mark.usefixtures("unpainted")
def test_report_shows_failures_and_escapes_text(make_run: MakeRun) -> None:
    """A cancelled run has its error and hint, and no text becomes markup."""
    run = make_run(outcome="timed_out")
    assert run.error is not None
    run = dataclasses.replace(
        run,
        error=dataclasses.replace(run.error, text="<script>alert(1)</script> & more"),
        warnings=("the <b>wire</b> was busy",),
        guest_check={"intact": False, "pages": 4, "bad_pages": 1, "writes": 9},
    )
    page = Page(render([run]))
    assert not page.all("script")
    assert not page.all("b")
    assert "<script>alert(1)</script> & more (libvirt's code 78)" in page.text
    assert "Raise the deadline" in page.text
    assert "the <b>wire</b> was busy" in page.text
    assert "NO" in page.text
    assert "No run completed" in page.text


@pytest.fixture(scope="module")
def measured(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Return an experiment of two cells with six runs each: one failed, and one is an outlier."""
    return fake_experiments.experiment(
        tmp_path_factory.mktemp("modes"),
        make_run,
        outcomes={3: "failed"},
        downtimes_ms={8: 2000.0},
        **{
            **fake_experiments.GRID,
            "question": "Is <b>peer2peer</b> slower?",
            "workloads": {},
            "repeats": 7,
        },
    )


@pytest.fixture(scope="module")
def answer(measured: Experiment) -> str:
    """Return the report of the experiment."""
    return render(measured)


def test_report_of_experiment_answers_its_question(measured: Experiment, answer: str) -> None:
    """One page has question, method, outcomes, medians with intervals, and comparisons."""
    page = Page(answer)
    assert page.open == []
    assert not page.all("b")
    text = " ".join(page.text.split())
    assert "Is <b>peer2peer</b> slower?" in text
    assert "2 settings were to be measured 7 times each" in text
    assert "14 of 14 runs are done" in text
    row = measured.summary(["downtime_event_ms"]).iloc[1]
    assert (
        f'<th scope="row">mode=peer2peer</th><td class="number">{row["n"]} of 7</td>'
        f'<td class="number">{row["median"]:.0f}</td>'
        f'<td class="number">{row["low"]:.0f} to {row["high"]:.0f}</td>'
    ) in answer
    assert '<th scope="row">mode=normal</th><td>mode=peer2peer</td>' in answer
    assert "they differ" in text
    assert all(len(image["alt"] or "") > 40 for image in page.all("img"))
    assert {cell["scope"] for cell in page.all("th")} == {"row", "col"}


def test_report_of_experiment_has_every_run_and_how_to_repeat_it(
    measured: Experiment, answer: str, tmp_path: Path
) -> None:
    """Each run has its cell. The design that the page shows can be saved and is the same."""
    page = Page(answer)
    for run in measured.runs:
        assert run.run_id in page.text
    assert "migrationlab experiment modes.toml" in page.text
    start = page.text.index("question = ")
    copied = tmp_path / "copied.toml"
    copied.write_text(page.text[start : page.text.index("migrationlab experiment modes.toml")])
    again = Experiment.load(copied)
    assert again.cells == measured.cells
    assert again.question == measured.question


@pytest.mark.usefixtures("unpainted")
def test_warm_ups_and_stopped_runs_are_listed_and_not_counted(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """The report has every run. Runs that do not count are marked, and no median counts them."""
    made = fake_experiments.experiment(
        tmp_path, make_run, **{**fake_experiments.GRID, "repeats": 1}
    )
    for number, mark in ((60, "warm_up"), (61, "stopped")):
        run = make_run(number=number, downtime_ms=5000.0)
        facts = {**(made.runs[0].experiment or {}), "run_number": None, "block": None, mark: True}
        store.save_run(dataclasses.replace(run, experiment=facts), tmp_path / "runs")
    text = " ".join(Page(render(Experiment.load(tmp_path))).text.split())
    assert "4 of 4 runs are done" in text
    assert "1 warm-up run came first and does not count." in text
    assert "(warm-up)" in text
    assert "(stopped)" in text
    assert "6 runs of live migration" in text
    results = text[text.index("How the runs ended") : text.index("All runs")]
    assert "1 of 1" in results
    assert "5,0" not in results


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize("verb", [commands.runs, commands.report])
def test_experiment_with_a_damaged_run_has_a_report(
    verb: click.Command, make_run: MakeRun, tmp_path: Path
) -> None:
    """The other runs are listed and reported, and the damaged one is named at once."""
    made = fake_experiments.experiment(
        tmp_path / "some", make_run, **{**fake_experiments.GRID, "repeats": 1}
    )
    damaged, *others = made.runs
    (made.directory / "runs" / damaged.run_id / "run.json").write_text("{")
    page = tmp_path / "page.html"
    more = ["-o", str(page)] if verb is commands.report else []
    result = CliRunner().invoke(verb, [str(made.directory), *more], catch_exceptions=False)
    assert result.exit_code == 3
    assert f"left out: {made.directory / 'runs' / damaged.run_id}" in result.stderr
    shown = Page(page.read_text()).text if more else result.stdout
    assert all(run.run_id in shown for run in others)
    assert (shown.count(f"{damaged.run_id} could not be read completely:") == 1) == bool(more)


def test_experiment_without_runs_has_no_report(tmp_path: Path) -> None:
    """A report on an experiment without runs is refused."""
    planned = Experiment("Does it?", directory=tmp_path / "planned")
    with pytest.raises(StoreError, match="at least one run"):
        render(planned)


@pytest.mark.usefixtures("unpainted")
def test_report_explains_only_what_its_runs_have(make_run: MakeRun) -> None:
    """Runs between real hosts, of one mode, or tunnelled have their own descriptions."""
    runs = [
        dataclasses.replace(
            run,
            wire=None,
            plan=dataclasses.replace(run.plan, mode="peer2peer", tunnelled=True),
            source={**run.source, "image": None},
        )
        for run in (make_run(number=1, with_beats=False), make_run(number=2, with_beats=False))
    ]
    text = " ".join(Page(render(runs)).text.split())
    assert "does the mode change that" not in text
    assert "the daemons carry it" in text
    assert "each millisecond" not in text
    assert "gets echo requests" in text
    assert "Afterwards a lab's guest" not in text
    assert "No one command makes these runs" in text
    assert "migrationlab demo" not in text


@pytest.mark.usefixtures("unpainted")
def test_runs_of_one_guest_can_be_repeated_by_an_experiment(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """If the demo cannot repeat runs, an experiment's file with their settings can."""
    plain = [make_run(number=n, dirty_mib_s=80.0) for n in (1, 2, 3)]
    slow = dataclasses.replace(plain[2].plan, bandwidth_mib_s=50)
    page = Page(render([*plain[:2], dataclasses.replace(plain[2], plan=slow)]))
    assert "migrationlab demo" not in page.text
    start = page.text.index("question = ")
    file = tmp_path / "again.toml"
    file.write_text(page.text[start : page.text.index("migrationlab experiment again.toml")])
    again = Experiment.load(file)
    assert again.design.repeats == 2
    assert [cell.plan.changed() for cell in again.cells] == [{}, {"bandwidth_mib_s": 50}]
    for cell in again.cells:
        assert cell.workload is not None
        assert cell.workload.dirty_mib_s == 80
        assert cell.workload.memory_mib == 256


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize(
    ("repeats", "measured", "said"),
    [
        (2, 8, "measured equally often in both directions"),
        (3, 12, "measured equally often in both directions, except for one run"),
        (2, 1, "the guest went from host-a only"),
        (2, 0, "the guest goes back and forth"),
    ],
)
def test_directions_are_those_that_were_measured(
    make_run: MakeRun, tmp_path: Path, repeats: int, measured: int, said: str
) -> None:
    """The report counts the runs of each direction, whatever was planned."""
    made = fake_experiments.experiment(
        tmp_path, make_run, runs=measured, **{**fake_experiments.GRID, "repeats": repeats}
    )
    assert experiment._directions(made).endswith(said)
    if repeats == 3:
        # On real hosts, a failed migration leaves the guest at the source.
        for run in made.runs:
            turned = dataclasses.replace(run, source=run.destination, destination=run.source)
            stays = run.source["name"] == "host-a" or run == made.runs[-1]
            made._loaded[run.run_id] = run if stays else turned
        assert re.search(r"unevenly: \d times from host-a", experiment._directions(made))


@pytest.mark.usefixtures("unpainted")
def test_unfinished_experiment_may_repeat_cut_short_runs(make_run: MakeRun, tmp_path: Path) -> None:
    """The report of an unfinished experiment does not say that all runs were made again."""
    made = fake_experiments.experiment(
        tmp_path, make_run, runs=3, **{**fake_experiments.GRID, "repeats": 1}
    )
    for number in (1, 2, 3, 4):
        folder.record_start(made.directory, number)
    text = " ".join(Page(render(Experiment.load(made.directory))).text.split())
    assert "Once a run was stopped or crashed" in text
    assert "it was, or will be, made again" in text


@pytest.mark.usefixtures("unpainted")
def test_runs_that_do_not_count_are_not_called_untypical(make_run: MakeRun, tmp_path: Path) -> None:
    """If all runs that count are shown, the text does not say that they were chosen."""
    made = fake_experiments.experiment(
        tmp_path, make_run, **{**fake_experiments.GRID, "repeats": 1}
    )
    facts = {**(made.runs[0].experiment or {}), "run_number": None, "block": None, "warm_up": True}
    warm = dataclasses.replace(make_run(number=60), experiment=facts)
    store.save_run(warm, made.directory / "runs")
    text = " ".join(Page(render(Experiment.load(made.directory))).text.split())
    assert "These are the 4 runs that count, of 5." in text
    assert "Typical runs" not in text


@pytest.mark.usefixtures("unpainted")
def test_report_counts_the_kinds_that_are_not_drawn(make_run: MakeRun) -> None:
    """The table has all settings, and the text says how many of them are drawn."""
    many = MOST_DRAWN + 2
    made = Runs(make_run(number=n, dirty_mib_s=float(n)) for n in range(1, many + 1))
    chosen = closely(made, {run.run_id: run.run_id for run in made})
    assert _which(chosen, many, many).startswith(
        f"Of {MOST_DRAWN} of the {many} settings and outcomes, each time the run whose"
    )


@pytest.mark.skipif(not any(map(shutil.which, pdf.BROWSERS)), reason="no Chromium is here")
def test_report_is_printed_to_pdf(make_run: MakeRun, tmp_path: Path) -> None:
    """A browser prints the report, and leaves only the PDF."""
    path = write([make_run()], tmp_path / "out" / "report.pdf")
    content = path.read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(content) > 20_000
    assert list(path.parent.iterdir()) == [path]


def test_missing_browser_is_an_error_with_a_hint(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is raised before anything is drawn. Nothing is downloaded or installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoreError, match="no browser") as caught:
        write([make_run()], tmp_path / "report.pdf")
    assert "Chromium" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'cannot open display' >&2; exit 3", r"exit status 3: cannot open display"),
        ("exit 0", r"exit status 0"),
    ],
)
def test_browser_that_prints_nothing_is_an_error(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    """The error has the browser's text, and no empty PDF is left, even after exit status 0."""
    tools = tmp_path / "tools"
    tools.mkdir()
    browser = tools / "chromium"
    browser.write_text(f"#!/bin/sh\n{script}\n")
    browser.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(StoreError, match=said) as caught:
        write([make_run()], tmp_path / "out" / "report.pdf")
    assert "report.html" in caught.value.hint
    assert list((tmp_path / "out").iterdir()) == []


def test_other_suffixes_are_refused(make_run: MakeRun, tmp_path: Path) -> None:
    """The error names the suffixes that a report can have."""
    with pytest.raises(StoreError) as caught:
        write([make_run()], tmp_path / "report.docx")
    assert caught.value.hint == "Write report.html."
    assert list(tmp_path.iterdir()) == []


def test_same_runs_give_the_same_report(six: list[Run]) -> None:
    """The page does not depend on the time or the machine of writing."""
    assert render(six[:2]) == render(reversed(six[:2]))


def test_report_of_no_runs_is_refused(tmp_path: Path) -> None:
    """The error has a hint, and no page is written."""
    with pytest.raises(StoreError) as caught:
        write([], tmp_path / "report.html")
    assert "migrationlab demo" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_real_recordings_have_a_report() -> None:
    """A report can be made of the lab's recordings."""
    page = Page(render(store.load_runs(RECORDINGS)))
    assert page.open == []
    assert "unsupported scheme" in page.text
    assert "This plan cannot work" in page.text


def test_runs_command_prints_a_table(six: list[Run], tmp_path: Path) -> None:
    """The command prints a line per run, with aligned columns."""
    for run in six:
        store.save_run(run, tmp_path)
    result = CliRunner().invoke(commands.runs, [str(tmp_path)], catch_exceptions=False)
    head, first, *rest = result.output.splitlines()
    assert head.startswith("run                     mode       outcome    from → to  ")
    assert " ".join(first.split()) == (
        "20261122-180100-000001 normal completed host-a → host-b 2144 300 310 310 321 112 3 yes"
    )
    assert len(rest) == len(six) - 1


def test_runs_command_prints_all_summaries_as_json(make_run: MakeRun, tmp_path: Path) -> None:
    """The command prints one object with the summaries; an unknown value is null."""
    run = make_run(outcome="cancelled")
    store.save_run(run, tmp_path)
    result = CliRunner().invoke(
        commands.runs, [str(tmp_path), "--format", "json"], catch_exceptions=False
    )
    assert json.loads(result.output) == {"runs": [run.summary()]}


def test_runs_command_of_an_empty_directory_is_no_error(tmp_path: Path) -> None:
    """An empty directory is no error; a missing directory is an error."""
    result = CliRunner().invoke(commands.runs, [str(tmp_path)], catch_exceptions=False)
    assert result.output == f"No runs in {tmp_path}.\n"
    with pytest.raises(StoreError):
        CliRunner().invoke(commands.runs, [str(tmp_path / "none")], catch_exceptions=False)


@pytest.mark.parametrize("output_format", ["text", "json"])
def test_report_command_writes_the_file_and_prints_its_path(
    make_run: MakeRun, tmp_path: Path, output_format: str
) -> None:
    """The command prints only the path, so that a script can use the output."""
    store.save_run(make_run(), tmp_path / "runs")
    path = tmp_path / "out" / "page.html"
    result = CliRunner().invoke(
        commands.report,
        [str(tmp_path / "runs"), "-o", str(path), "--format", output_format],
        catch_exceptions=False,
    )
    said = result.output.strip()
    assert (said if output_format == "text" else json.loads(said)["report"]) == str(path)
    assert path.read_text().startswith("<!DOCTYPE html>")
