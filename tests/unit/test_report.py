"""The report and the two commands that show stored runs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from migrationlab import report, store
from migrationlab.cli import runs as commands
from migrationlab.errors import StoreError
from migrationlab.runs import Run

MakeRun = Callable[..., Run]
RECORDINGS = Path(__file__).parents[1] / "recordings"


class Page(HTMLParser):
    """What a page holds: its tags with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the tag, and that it is open."""
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that must be the last one opened."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Give the attributes of all tags of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def six(make_run: MakeRun) -> list[Run]:
    """Give three runs in each mode."""
    return [
        make_run(mode=mode, number=number, downtime_ms=300.0 + 10 * number)
        for number, mode in enumerate(["normal", "peer2peer"] * 3, start=1)
    ]


@pytest.fixture(scope="module")
def html(six: list[Run]) -> str:
    """Give the report of the six: one rendering for the tests that only look at it."""
    return report.render(six)


def test_the_report_is_one_file_that_needs_no_other(html: str) -> None:
    """Opened offline or sent by mail, nothing is missing: no address, script or file outside."""
    page = Page(html)
    assert page.open == []
    assert not page.all("script")
    assert not page.all("link")
    assert all(
        (image["src"] or "").startswith("data:image/png;base64,") for image in page.all("img")
    )
    assert all((link["href"] or "").startswith("#") for link in page.all("a"))
    assert "http" not in page.text


def test_the_report_can_be_read_without_seeing_it(html: str) -> None:
    """Language, headings in order, captions, heads of rows and columns, words for each figure."""
    page = Page(html)
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("caption")) == len(page.all("table"))
    assert {cell["scope"] for cell in page.all("th")} == {"row", "col"}
    assert all(len(image["alt"] or "") > 40 for image in page.all("img"))
    assert [tag for tag, _ in page.tags if tag in {"h1", "h2", "h3"}][:2] == ["h1", "h2"]


def test_the_report_gives_medians_with_n_and_spread(html: str) -> None:
    """A median never stands alone: beside it, how many runs and their least and greatest."""
    assert "Downtimes of the completed runs, in milliseconds" in html
    assert (
        '<th scope="row">event</th><td>normal</td><td class="number">3</td>'
        '<td class="number">330.0</td><td class="number">310.0</td>'
        '<td class="number">350.0</td>'
    ) in html


def test_the_report_names_each_run_and_how_to_repeat_it(six: list[Run], html: str) -> None:
    """Each run has its table row, its section with figures, and its line for virsh."""
    page = Page(html)
    for run in six:
        assert {"id": f"run-{run.run_id}"} in page.all("section")
    assert len(page.all("img")) == 1 + 2 * len(six)
    assert page.text.count("virsh ") >= len(six)
    assert "migrationlab demo --repeats 3" in page.text
    assert "11.3.0" in page.text
    assert "Example CPU" in page.text


def test_the_report_warns_of_runs_that_differ(html: str, make_run: MakeRun) -> None:
    """Numbers from two environments are not compared in silence; the load alone is no matter."""
    assert "differ in more than their mode" not in html
    text = Page(report.render([make_run(), make_run(number=2, dirty_mib_s=80.0)])).text
    assert "differ in more than their mode: guest dirty_mib_s." in " ".join(text.split())


def test_the_report_tells_of_failures_and_escapes_what_it_quotes(make_run: MakeRun) -> None:
    """A cancelled run stands in it with error and hint, and no text becomes markup."""
    run = make_run(outcome="timed_out")
    assert run.error is not None
    run = dataclasses.replace(
        run,
        error=dataclasses.replace(run.error, text="<script>alert(1)</script> & more"),
        warnings=("the <b>wire</b> was busy",),
        guest_check={"intact": False, "pages": 4, "bad_pages": 1, "writes": 9},
    )
    page = Page(report.render([run]))
    assert not page.all("script")
    assert not page.all("b")
    assert "<script>alert(1)</script> & more (libvirt's code 78)" in page.text
    assert "Raise the deadline" in page.text
    assert "the <b>wire</b> was busy" in page.text
    assert "NO" in page.text
    assert "No run completed" in page.text


def test_the_same_runs_give_the_same_report(six: list[Run]) -> None:
    """Nothing of the time or the machine of writing gets into it."""
    assert report.render(six[:2]) == report.render(reversed(six[:2]))


def test_a_report_on_nothing_is_refused(tmp_path: Path) -> None:
    """No runs: an error with a hint, and no empty page."""
    with pytest.raises(StoreError) as caught:
        report.write([], tmp_path / "report.html")
    assert "migrationlab demo" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_real_recordings_make_a_report() -> None:
    """What the lab recorded goes through all of it."""
    page = Page(report.render(store.load_runs(RECORDINGS)))
    assert page.open == []
    assert "unsupported scheme" in page.text
    assert "This plan cannot work" in page.text


def test_the_runs_command_prints_a_table(six: list[Run], tmp_path: Path) -> None:
    """One line a run, the same width everywhere, and numbers that can be compared."""
    for run in six:
        store.save_run(run, tmp_path)
    result = CliRunner().invoke(commands.runs, [str(tmp_path)], catch_exceptions=False)
    head, first, *rest = result.output.splitlines()
    assert head.startswith("run                     mode       outcome    way ")
    assert " ".join(first.split()) == (
        "20261122-180100-000001 normal completed host-a → host-b 2144 300 310 310 321 112 3 yes"
    )
    assert len(rest) == len(six) - 1


def test_the_runs_command_gives_all_summaries_as_json(make_run: MakeRun, tmp_path: Path) -> None:
    """For scripts: one object, the summaries in it, null for what is not known."""
    run = make_run(outcome="cancelled")
    store.save_run(run, tmp_path)
    result = CliRunner().invoke(
        commands.runs, [str(tmp_path), "--format", "json"], catch_exceptions=False
    )
    assert json.loads(result.output) == {"runs": [run.summary()]}


def test_the_runs_command_says_when_there_are_none(tmp_path: Path) -> None:
    """An empty directory is no error; one that is not there is."""
    result = CliRunner().invoke(commands.runs, [str(tmp_path)], catch_exceptions=False)
    assert result.output == f"No runs in {tmp_path}.\n"
    with pytest.raises(StoreError):
        CliRunner().invoke(commands.runs, [str(tmp_path / "none")], catch_exceptions=False)


@pytest.mark.parametrize("output_format", ["text", "json"])
def test_the_report_command_writes_the_file_and_says_where(
    make_run: MakeRun, tmp_path: Path, output_format: str
) -> None:
    """The path is all it prints, so that a script can go on with it."""
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
