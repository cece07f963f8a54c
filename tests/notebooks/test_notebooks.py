"""The notebooks run from top to bottom, and are committed with what a reader needs.

Lessons that migrate run twice: live, and on recorded runs without libvirt. nbval compares the
output of the cells tagged ``nbval-check-output``, which is the same in both. Notebooks that need
no lab are compared to the letter.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
LESSONS = sorted(FOLDER.glob("*.ipynb"))
SOLUTIONS = sorted((FOLDER / "solutions").glob("*.ipynb"))
NOTEBOOKS = [*LESSONS, *SOLUTIONS]
START = FOLDER / "00_start_here.ipynb"
PHASES = FOLDER / "03_five_phases.ipynb"
REFERENCE = FOLDER / "90_reference.ipynb"
#: The other lessons migrate.
LIVE = [path for path in LESSONS if path not in (PHASES, REFERENCE)]
#: The other lessons run live in ``make test-all``; lesson 01 also in the browser, up to its panel.
QUICK = ("00", "02")
CELL_TIMEOUT_S = 120
#: What stands in for a machine without libvirt.
WITHOUT_LIBVIRT = {
    "MIGRATIONLAB_LIVE": "",
    "PYTHONPATH": str(Path(__file__).parent / "without_libvirt"),
}
# A figure's own bytes can spell anything.
IMAGE = re.compile(r"data:image/[a-z+]+;base64,[0-9A-Za-z+/=]+")
# The same on each machine: libvirt's logs, and the files of a lab's hosts that lessons 6 and 7 use.
KNOWN = r"log/libvirt/|lib/migrationlab/guests/|(?:copy\.xml|virsh\.out|gone)\b"
MACHINE = re.compile(rf"/(?:home|root|Users|work|usr/local|opt)/|/(?:tmp|var)/(?!{KNOWN})|socket=")


def name(path: Path) -> str:
    """Name a notebook as its tests are named."""
    return str(path.relative_to(FOLDER).with_suffix(""))


named = pytest.mark.parametrize("path", NOTEBOOKS, ids=name)


def load_refresh() -> object:
    """Load refresh.py, which stands beside this file and belongs to no package."""
    spec = importlib.util.spec_from_file_location("refresh", Path(__file__).with_name("refresh.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code_cells(path: Path) -> list[NotebookNode]:
    """Return the notebook's code cells that hold code."""
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code" and cell.source.strip()]


def texts(path: Path) -> Iterator[str]:
    """Return all that a reader sees of the outputs."""
    for cell in code_cells(path):
        for output in cell.outputs:
            yield output.get("text", "")
            for text in output.get("data", {}).values():
                yield IMAGE.sub("", text if isinstance(text, str) else "")


def groups(paths: list[Path]) -> pytest.MarkDecorator:
    """Parametrise a test with thirds of the notebooks: nbval takes seconds to start."""
    thirds = [paths[n::3] for n in range(3)]
    return pytest.mark.parametrize("paths", thirds, ids=lambda part: f"{name(part[0])} and others")


def run_by_nbval(paths: list[Path], how: str, environment: Mapping[str, str]) -> None:
    """Let nbval run notebooks in a process of its own."""
    ran = subprocess.run(
        [
            sys.executable, "-m", "pytest", how, "--nbval-current-env",
            f"--nbval-cell-timeout={CELL_TIMEOUT_S}", "-p", "no:cacheprovider", "--color=no",
            "-q", "-o", "addopts=", "-o", "testpaths=", *map(str, paths),
        ],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


def live_marks(path: Path) -> list[pytest.MarkDecorator]:
    """Return the marks of a lesson's live run: each by itself, so that two run at once."""
    alone = pytest.mark.xdist_group(f"live {name(path)}")
    return [alone] if path.name.startswith(QUICK) else [alone, pytest.mark.thorough]


@pytest.mark.lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=live_marks(path)) for path in LIVE], ids=map(name, LIVE)
)
def test_lessons_run_live(path: Path) -> None:
    """In a new lab no cell of a lesson fails, and the tagged cells print the committed output."""
    run_by_nbval([path], "--nbval-lax", {})


@pytest.mark.timeout(600)
@groups(LIVE)
def test_lessons_run_without_libvirt(paths: list[Path]) -> None:
    """On recorded runs no cell of a lesson fails, and tagged cells print the committed output."""
    run_by_nbval(paths, "--nbval-lax", WITHOUT_LIBVIRT)


@pytest.mark.timeout(600)
@groups([PHASES, *SOLUTIONS])
def test_recorded_notebooks_print_committed_outputs(paths: list[Path]) -> None:
    """A notebook on recorded runs prints exactly its committed outputs."""
    run_by_nbval(paths, "--nbval", WITHOUT_LIBVIRT)


@pytest.mark.timeout(300)
def test_reference_prints_committed_outputs() -> None:
    """The reference prints exactly its committed outputs; it reads the faults from the lab."""
    run_by_nbval([REFERENCE], "--nbval", {})


@pytest.mark.parametrize("path", SOLUTIONS, ids=name)
def test_solutions_pass_their_checks(path: Path) -> None:
    """Each solution belongs to a lesson, ends with checks, and passes them."""
    assert FOLDER / path.name in LESSONS
    # Those which are printed show what a wrong answer gets.
    cells = code_cells(path)
    checks = [cell for cell in cells if cell.source.splitlines()[-1].startswith("lesson.check(")]
    assert checks
    for cell in checks:
        said = [output.data["text/plain"] for output in cell.outputs if "data" in output]
        assert said, cell.source
        assert all(text.startswith("✓") for text in said), said


@named
def test_outputs_are_of_one_run_in_order(path: Path) -> None:
    """Each cell was run in order, and only cells tagged for an error ended in one."""
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        failed = [o for o in cell.outputs if o.output_type == "error" or o.get("name") == "stderr"]
        assert not failed or "raises-exception" in cell.metadata.get("tags", []), cell.source
    assert any(cell.outputs for cell in cells)


@named
def test_notebooks_have_no_state_of_one_machine(path: Path) -> None:
    """A notebook has no widget state, no local kernel name and no path of one machine."""
    notebook = nbformat.read(path, as_version=4)
    assert load_refresh().cleaned(notebook, str(Path.home())) == notebook
    assert [text for text in texts(path) if MACHINE.search(text)] == []


@named
def test_pictures_have_alternative_texts(path: Path) -> None:
    """Each image of an output has an alternative text, each SVG a title and a description."""
    for text in texts(path):
        for image in re.findall(r"<img [^>]*>", text):
            assert re.search(r'alt="[^"]{30,}"', image), image[:200]
        assert text.count("<svg ") == text.count("<title ") == text.count("<desc ")


@named
def test_code_cells_are_short(path: Path) -> None:
    """A lesson begins with words, and its code cells are short."""
    cells = nbformat.read(path, as_version=4).cells
    assert cells[0].cell_type == "markdown"
    for cell in cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 10, cell.source


@named
def test_answers_have_unused_names(path: Path) -> None:
    """The variables of an exercise have names that the lesson does not set before."""
    cells = [cell.source for cell in code_cells(path)]
    for cell in cells:
        if answer := re.fullmatch(r"(\w+) = \.\.\.", cell.strip()):
            made = re.compile(rf"^\s*{answer[1]}\s*=", re.MULTILINE)
            assert sum(bool(made.search(other)) for other in cells) == 1, answer[1]


def test_index_links_every_lesson() -> None:
    """The index links every numbered lesson, and each of its links leads to a file."""
    text = "\n".join(cell.source for cell in nbformat.read(START, as_version=4).cells)
    linked = set(re.findall(r"\]\(([^)/]+\.ipynb)\)", text))
    assert linked == {path.name for path in LESSONS} - {START.name}
