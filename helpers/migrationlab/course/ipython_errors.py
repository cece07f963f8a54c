"""What to do about a cell that cannot run: for readers who went out of order, or lost their lab.

An extension of IPython, set up for every kernel of this environment by
``etc/ipython/ipython_kernel_config.py``, so that it is there even in a kernel that was restarted
and has run nothing yet. Of a name that is not there it says which cell of the notebook makes it;
of an error of the kit it shows message and hint, without the traceback; and under the error of a
cell that uses a run which did not complete, and so lacks figures, which cell to run again. All else
is shown as ever. Light, as each kernel loads it: imports of the kit its errors, and no IPython
(which hands itself over).
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from migrationlab.errors import GuestError, HostError, LabError, MigrationLabError

ABOVE = "or all cells above this one: menu Run ▸ Run All Above Selected Cell"
_NAMES_OF_THEIR_OWN = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)
#: What comes of reckoning with a figure that is None, or looking up one that is not there.
_OF_MISSING_FIGURES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_FORGOTTEN = "A kernel that was restarted has forgotten everything; the same helps."


@dataclass(frozen=True, slots=True)
class DefiningCell:
    """A cell that makes a name.

    Attributes:
        heading: The heading that it stands under.
        only_live: Whether it does so only where a lab is.
    """

    heading: str
    only_live: bool


def load_ipython_extension(shell: Any) -> None:
    """Take over names that are not there, the kit's own errors, and those of missing figures.

    Args:
        shell: IPython's ``InteractiveShell``.
    """
    shell.set_custom_exc((NameError, MigrationLabError, *_OF_MISSING_FIGURES), _handle)


def unload_ipython_extension(shell: Any) -> None:
    """Let IPython show all errors itself again."""
    shell.set_custom_exc((), None)


def _handle(
    shell: Any,
    kind: type[BaseException],
    error: BaseException,
    traceback: TracebackType,
    tb_offset: int | None = None,
) -> list[str]:
    notebook = find_notebook(shell.user_ns)
    lines = []
    if isinstance(error, MigrationLabError):
        lines = explain_error(error, notebook, shell.user_ns)
    elif isinstance(error, NameError) and error.name and _in_cell(traceback):
        lines = explain_name_error(error.name, notebook, shell.user_ns)
    if not lines:
        shown: list[str] = shell.InteractiveTB.structured_traceback(
            kind, error, traceback, tb_offset=tb_offset
        )
        lines = [*shown, *explain_missing_figures(_used(traceback), notebook, shell.user_ns)]
    shell._showtraceback(kind, error, lines)  # noqa: SLF001 - as IPython's own handlers do
    return lines


def _in_cell(traceback: TracebackType) -> bool:
    """Return whether the cell itself raised it, and not what it called."""
    last = traceback
    while last.tb_next is not None:
        last = last.tb_next
    return last.tb_frame.f_globals.get("__name__") == "__main__"


def _used(traceback: TracebackType) -> Iterator[str]:
    """Yield the names that the cell, and its own functions that it was in, use."""
    here: TracebackType | None = traceback
    while here is not None:
        if here.tb_frame.f_globals.get("__name__") == "__main__":
            yield from here.tb_frame.f_code.co_names
        here = here.tb_next


def explain_name_error(name: str, notebook: Path | None, names: Mapping[str, Any]) -> list[str]:
    """Say which cell makes a name that is not there; nothing where no cell does.

    Args:
        name: The name.
        notebook: The notebook's file, where it is known.
        names: All that there is.
    """
    maker = find_definitions(notebook).get(name) if notebook else None
    if maker is None:
        return []
    lesson = names.get("lesson")
    if maker.only_live and lesson is not None and not getattr(lesson, "live", True):
        why = "and this lesson plays on recorded runs: this cell can be skipped"
        return [f"{name} is there only with a lab, {why}."]
    return [
        f"{name} is not there yet. The cell under “{maker.heading}” makes it.",
        f"→ Run that cell first, {ABOVE}.",
        f"  {_FORGOTTEN}",
    ]


def explain_error(
    error: MigrationLabError, notebook: Path | None, names: Mapping[str, Any]
) -> list[str]:
    """Say what went wrong, what to do, and where the lab is made, if that is what is gone.

    Args:
        error: What was raised.
        notebook: The notebook's file, where it is known.
        names: All that there is.
    """
    lines = [f"{type(error).__name__}: {error}"]
    if error.hint:
        lines.append(f"→ {error.hint}")
    if not isinstance(error, GuestError | HostError | LabError):
        return lines  # the lab is not to blame
    return [*lines, *_about_lab(notebook, names)]


def explain_missing_figures(
    used: Iterable[str], notebook: Path | None, names: Mapping[str, Any]
) -> list[str]:
    """Say which run of those that a cell uses did not complete, and so lacks figures, if one.

    Args:
        used: The names that the cell uses.
        notebook: The notebook's file, where it is known.
        names: All that there is.
    """
    makers = find_definitions(notebook) if notebook else {}
    for name, run in _runs(used, names):
        if run.outcome == "completed" or name not in makers:
            continue
        why = f": {run.error.text}" if run.error is not None else ""
        said = f"{name} has a migration that did not complete ({run.outcome}{why})"
        again = f"run the cell under “{makers[name].heading}” again, then this one"
        mend = _about_lab(notebook, names) or [f"→ If it was to complete: {again}."]
        return ["", f"{said}, so figures of it are missing.", *mend]
    return []


def _runs(used: Iterable[str], names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield runs that a cell uses: as they are, several together, or by their timeline."""
    for name in used:
        value: Any = names.get(name)
        kind = type(value).__name__  # as for labs: nothing is loaded to find out
        if kind == "Timeline":
            for other, run in names.items():
                if type(run).__name__ == "Run" and run.called_ns == value.called_ns:
                    yield other, run
            continue
        if isinstance(value, Mapping):
            value = list(value.values())
        given = value if kind == "Runs" or isinstance(value, list | tuple) else [value]
        for run in given:
            if type(run).__name__ == "Run":
                yield name, run


def _about_lab(notebook: Path | None, names: Mapping[str, Any]) -> list[str]:
    """Say where the lab is made, if that is what is gone."""
    gone = _lab_that_is_gone(names)
    if gone is None:
        return []
    maker = find_definitions(notebook).get(gone) if notebook else None
    where = f"under “{maker.heading}”" if maker else "with mig.Lab()"
    return [f"→ The lab is down. Run the cell {where} again, and those after it."]


def _lab_that_is_gone(names: Mapping[str, Any]) -> str | None:
    """Return the name of a lab that is down; None where there is none, or another one is up."""
    # By the name of the type, so that a kernel that never had a lab does not load what makes one.
    # What begins with _ is IPython's memory of what cells have shown.
    labs = {
        name: value
        for name, value in names.items()
        if type(value).__name__ == "Lab" and not name.startswith("_")
    }
    if any(getattr(lab, "alive", True) for lab in labs.values()):
        return None
    return next(iter(labs), None)


def find_notebook(names: Mapping[str, Any]) -> Path | None:
    """Return the file of the notebook that this kernel runs, where its server or editor tells.

    Args:
        names: All that there is in the kernel.
    """
    told = names.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    path = Path(told) if told else None
    return path if path is not None and path.suffix == ".ipynb" and path.is_file() else None


def find_definitions(notebook: Path) -> dict[str, DefiningCell]:
    """Return for each name that a notebook makes the first cell that does, without a lab if any.

    Args:
        notebook: The notebook's file. What cannot be read of it makes nothing.
    """
    makers: dict[str, DefiningCell] = {}
    heading = "its first heading"
    try:
        told = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in told]
    except (OSError, ValueError, KeyError, TypeError):
        return makers  # then the error is shown as IPython does
    for kind, source in cells:
        if kind == "markdown":
            titles = [line for line in source.splitlines() if line.startswith("#")]
            heading = titles[-1].lstrip("# ") if titles else heading
        elif kind == "code":
            for name, only_live in _made_in(source):
                # What is made without a lab, too, is looked for there.
                if name not in makers or (makers[name].only_live and not only_live):
                    makers[name] = DefiningCell(heading, only_live)
    return makers


def _made_in(source: str) -> Iterator[tuple[str, bool]]:
    """Yield the names that a cell makes, and whether only where a lab is."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a magic, or a learner's own
        return
    for statement in tree.body:
        live = isinstance(statement, ast.If) and "lesson.live" in ast.unparse(statement.test)
        otherwise = {
            name
            for other in (statement.orelse if isinstance(statement, ast.If) else ())
            for name in _names_of(other)
        }
        for name in _names_of(statement):
            yield name, live and name not in otherwise


def _names_of(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement leaves behind: none of what has names of its own."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    if isinstance(node, _NAMES_OF_THEIR_OWN):
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).partition(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from _names_of(child)
