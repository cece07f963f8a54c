"""What a reader sees under a cell that raised an error."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbclient import NotebookClient

from migrationlab.analysis import timeline
from migrationlab.course import ipython_errors
from migrationlab.errors import LabError, StoreError
from migrationlab.runs import run as runs
from migrationlab.runs.store import load_runs
from paths import RECORDINGS, ROOT

LESSON = [
    nbformat.v4.new_markdown_cell("# A lesson"),
    nbformat.v4.new_code_cell("import migrationlab as mig\nfrom os import path as where"),
    nbformat.v4.new_markdown_cell("Words.\n\n## Two hosts\n\nMore words."),
    nbformat.v4.new_code_cell(
        "if lesson.live:\n    lab = mig.Lab()\n    guest = lab.boot()\n    rate = 2"
    ),
    nbformat.v4.new_code_cell("%magic is no Python"),
    nbformat.v4.new_markdown_cell("## One migration"),
    nbformat.v4.new_code_cell(
        "if lesson.live:\n    run = mig.migrate(guest)\n"
        "else:\n    run = lesson.recorded('a')\nrate = 1"
    ),
    nbformat.v4.new_code_cell("def tell(): pass\nclass Thing: pass"),
]


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """Return the file of a small lesson."""
    path = tmp_path / "lesson.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=LESSON), path)
    return path


@pytest.mark.parametrize(
    ("name", "heading", "only_live"),
    [
        ("mig", "A lesson", False),
        ("where", "A lesson", False),
        ("lab", "Two hosts", True),
        ("guest", "Two hosts", True),
        ("run", "One migration", False),
        ("rate", "One migration", False),
        ("tell", "One migration", False),
        ("Thing", "One migration", False),
    ],
)
def test_name_is_found_in_the_cell_that_assigns_it(
    notebook: Path, name: str, heading: str, only_live: bool
) -> None:
    """The first cell that assigns a name counts, and whether the cell needs a lab."""
    assert ipython_errors.find_definitions(notebook)[name] == ipython_errors.DefiningCell(
        heading, only_live
    )


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 3}', '{"cells": [{}]}'])
def test_unreadable_notebook_assigns_no_names(tmp_path: Path, text: str) -> None:
    """An unreadable file never hides the original error."""
    path = tmp_path / "odd.ipynb"
    path.write_text(text)
    assert ipython_errors.find_definitions(path) == {}
    assert ipython_errors.find_definitions(tmp_path / "none.ipynb") == {}


def test_name_that_no_cell_assigns_gets_no_hint(notebook: Path) -> None:
    """Python's own error explains a misspelt name."""
    assert ipython_errors.explain_name_error("misspelt", notebook, {}) == []
    assert ipython_errors.explain_name_error("guest", None, {}) == []


def test_cells_that_need_a_lab_can_be_skipped(notebook: Path) -> None:
    """With recorded runs no reader is sent to a cell that needs a lab."""
    lesson = SimpleNamespace(live=False)
    (line,) = ipython_errors.explain_name_error("guest", notebook, {"lesson": lesson})
    assert "can be skipped" in line
    assert (
        "“One migration”"
        in ipython_errors.explain_name_error("run", notebook, {"lesson": lesson})[0]
    )
    lesson.live = True
    assert (
        "“Two hosts”" in ipython_errors.explain_name_error("guest", notebook, {"lesson": lesson})[0]
    )


class Lab:
    """Stands for a lab that is up or down: the hint uses nothing else."""

    def __init__(self, *, alive: bool) -> None:
        self.alive = alive


def test_error_of_a_dead_lab_names_the_cell(notebook: Path) -> None:
    """The error's own hint is followed by the cell to run, only while the lab is down."""
    error = LabError("nothing there", hint="look elsewhere")
    down = ipython_errors.explain_error(error, notebook, {"lab": Lab(alive=False)})
    assert down[:2] == ["LabError: nothing there", "→ look elsewhere"]
    assert "under “Two hosts” again" in down[2]
    assert len(ipython_errors.explain_error(error, notebook, {"lab": Lab(alive=True)})) == 2
    # Who closed the lab and made a mistake with a file has no need of another lab.
    assert (
        len(ipython_errors.explain_error(StoreError("no"), notebook, {"lab": Lab(alive=False)}))
        == 1
    )
    assert "mig.Lab()" in ipython_errors.explain_error(error, None, {"lab": Lab(alive=False)})[2]


def test_closed_lab_beside_a_running_one_gets_no_hint(notebook: Path) -> None:
    """While any lab is up, a closed one and shown results cause no hint."""
    error = LabError("nothing there", hint="look elsewhere")
    names = {"lab": Lab(alive=False), "other": Lab(alive=True)}
    assert len(ipython_errors.explain_error(error, notebook, names)) == 2
    assert len(ipython_errors.explain_error(error, notebook, {"_12": Lab(alive=False)})) == 2
    assert len(ipython_errors.explain_error(error, notebook, {"_": Lab(alive=False), **names})) == 2


def test_local_names_are_not_names_of_the_notebook(tmp_path: Path) -> None:
    """Names inside a comprehension, a function or a class are not the notebook's."""
    source = """
made = [inner for inner in range(3)]
pairs = {key: value for key, value in made}
quick = lambda word: [letter for letter in word]
def tell(text):
    local = text
class Thing:
    kind = 1
with open("x") as file:
    for line in file:
        last = line
"""
    path = tmp_path / "lesson.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), path)
    assert set(ipython_errors.find_definitions(path)) == {
        "made", "pairs", "quick", "tell", "Thing", "file", "line", "last",
    }  # fmt: skip


def test_real_lab_has_the_name_of_the_stand_in() -> None:
    """The stand-in above has the name and the attribute of the real class."""
    from migrationlab.lab.lab import Lab as Real

    assert Real.__name__ == Lab.__name__
    assert hasattr(Real, "alive")


def test_kernel_names_the_cell_to_run_first(
    notebook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a new real kernel the extension names the cell; other errors stay unchanged."""
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook))
    ran = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("%load_ext migrationlab.course.ipython_errors"),
            nbformat.v4.new_code_cell("guest"),
            nbformat.v4.new_code_cell("import migrationlab as mig\nmig.load_run('nowhere')"),
            nbformat.v4.new_code_cell("misspelt"),
            nbformat.v4.new_code_cell("%unload_ext migrationlab.course.ipython_errors"),
            nbformat.v4.new_code_cell("guest"),
        ]
    )
    NotebookClient(ran, allow_errors=True, timeout=60).execute(env=dict(os.environ))
    # The first cell says something only where the environment has the extension loaded already.
    said = ["\n".join(cell.outputs[0].get("traceback", [""])) for cell in ran.cells[1:4]]
    assert said[0].startswith("guest is not defined yet. The cell under “Two hosts” defines it.")
    assert said[1].startswith("StoreError: no run could be read from ")
    assert "→ " in said[1]
    assert "Traceback" not in said[1]
    assert "Traceback" in said[2]
    assert "Traceback" in "\n".join(ran.cells[5].outputs[0].traceback)


@dataclass
class Run:
    """Stands for a run: the hint uses nothing else."""

    outcome: str = "failed"
    error: SimpleNamespace | None = None
    called_ns: int = 1


@dataclass
class Timeline:
    """Stands for a run's timeline."""

    called_ns: int = 1


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("run", {"run": Run()}),
        ("run", {"run": [Run("completed"), Run()]}),
        ("run", {"run": {300: Run("completed", called_ns=2), 1000: Run()}}),
        ("line", {"line": Timeline(), "_3": Run("completed", called_ns=2), "run": Run()}),
    ],
)
def test_incomplete_run_is_named_with_its_cell(
    notebook: Path, name: str, names: dict[str, object]
) -> None:
    """If a cell fails because figures are missing, the hint names the run's cell."""
    lines = ipython_errors.explain_missing_figures([name, "print"], notebook, names)
    assert lines[1].startswith("run has a migration that did not complete (failed), so")
    again = "run the cell under “One migration” again, then this one."
    assert lines[2] == f"→ If it should complete: {again}"
    lines = ipython_errors.explain_missing_figures(
        [name], notebook, names | {"lab": Lab(alive=False)}
    )
    assert "The lab is down. Run the cell under “Two hosts” again" in lines[2]


@pytest.mark.parametrize(
    ("used", "names"),
    [
        (["run"], {"run": Run("completed")}),
        (["rate"], {"run": Run(), "rate": 1}),
        (["own"], {"own": Run()}),
        (["line"], {"line": Timeline(), "run": Run("completed")}),
        (["run"], {}),
    ],
)
def test_error_without_an_incomplete_run_gets_no_hint(
    notebook: Path, used: list[str], names: dict[str, object]
) -> None:
    """A cell whose runs completed, or that uses no run, has only Python's error."""
    assert ipython_errors.explain_missing_figures(used, notebook, names) == []
    assert ipython_errors.explain_missing_figures(["run"], None, {"run": Run()}) == []


def test_kernel_names_the_run_below_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a real kernel, with a recorded failed migration, the traceback stays."""
    recordings = RECORDINGS
    failed = next(run for run in load_runs(recordings) if run.outcome == "failed")
    cells = [
        nbformat.v4.new_markdown_cell("## One migration"),
        nbformat.v4.new_code_cell("%load_ext migrationlab.course.ipython_errors"),
        nbformat.v4.new_code_cell(
            f"import migrationlab as mig\nrun = mig.load_run({str(recordings / failed.run_id)!r})"
        ),
        nbformat.v4.new_code_cell("def seconds(of):\n    return of.summary()['total_ms'] / 1000"),
        nbformat.v4.new_code_cell("seconds(run)"),
        nbformat.v4.new_code_cell("1 / 0"),
    ]
    ran = nbformat.v4.new_notebook(cells=cells)
    path = tmp_path / "lesson.ipynb"
    nbformat.write(ran, path)
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    NotebookClient(ran, allow_errors=True, timeout=60).execute(env=dict(os.environ))
    said = "\n".join(ran.cells[4].outputs[0]["traceback"])
    assert "TypeError" in said
    assert "run has a migration that did not complete (failed: " in said
    assert said.endswith("run the cell under “One migration” again, then this one.")
    assert "did not complete" not in "\n".join(ran.cells[5].outputs[0]["traceback"])


def test_real_run_has_the_name_of_the_stand_in() -> None:
    """The stand-ins above have the names and attributes of the real classes."""
    for stand_in, real in ((Run, runs.Run), (Timeline, timeline.Timeline)):
        assert real.__name__ == stand_in.__name__
        assert {one.name for one in fields(stand_in)} <= {one.name for one in fields(real)}
    assert runs.Runs.__name__ == "Runs"


def test_every_kernel_loads_the_extension() -> None:
    """The installed configuration names an extension that exists."""
    loaded: list[str] = []
    root = ROOT
    source = (root / "helpers/etc/ipython/ipython_kernel_config.py").read_text(encoding="utf-8")
    told = SimpleNamespace(InteractiveShellApp=SimpleNamespace(extensions=loaded))
    exec(compile(source, "config", "exec"), {"c": told})
    assert loaded == [ipython_errors.__name__]
    assert importlib.util.find_spec(loaded[0]) is not None
