"""Explain a failed cell and name the cell to run first: an IPython extension.

Every kernel of this environment loads it (``etc/ipython/ipython_kernel_config.py``), so it also
works in a kernel that was restarted and has run nothing yet. It handles three errors:

- for an undefined name, it shows which cell of the notebook defines it;
- for an error of migrationlab, it shows message and hint, without the traceback;
- below an error of a cell that uses a run which did not complete, and so lacks figures, it shows
  which cell to run again.

IPython shows all other errors as usual. Each kernel loads this module, so it imports no more of
migrationlab than its errors, and no IPython, which passes itself as an argument.
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

Names = Mapping[str, Any]

_ALL_ABOVE = "or all cells above this one: menu Run ▸ Run All Above Selected Cell"
_OWN_SCOPES = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda)
#: The errors that a computation with a missing figure (None, or no such row) raises.
_MISSING_FIGURE_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class DefiningCell:
    """A cell that defines a name."""

    heading: str
    only_live: bool


def load_ipython_extension(shell: Any) -> None:
    """Handle undefined names, migrationlab's errors, and errors from missing figures."""
    shell.set_custom_exc((NameError, MigrationLabError, *_MISSING_FIGURE_ERRORS), _handle)


def unload_ipython_extension(shell: Any) -> None:
    """Give all errors back to IPython."""
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
    elif isinstance(error, NameError) and error.name and _raised_in_cell(traceback):
        lines = explain_name_error(error.name, notebook, shell.user_ns)
    if not lines:
        shown: list[str] = shell.InteractiveTB.structured_traceback(
            kind, error, traceback, tb_offset=tb_offset
        )
        used = _names_used(traceback)
        lines = [*shown, *explain_missing_figures(used, notebook, shell.user_ns)]
    shell._showtraceback(kind, error, lines)  # noqa: SLF001 - as IPython's own handlers do
    return lines


def _frames(traceback: TracebackType | None) -> Iterator[Any]:
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _in_cell(frame: Any) -> bool:
    return bool(frame.f_globals.get("__name__") == "__main__")


def _raised_in_cell(traceback: TracebackType) -> bool:
    """Return whether the cell itself raised the error, and not a function that it called."""
    return _in_cell(list(_frames(traceback))[-1])


def _names_used(traceback: TracebackType) -> Iterator[str]:
    """Yield the names that the cell, and its own functions that were running, use."""
    for frame in filter(_in_cell, _frames(traceback)):
        yield from frame.f_code.co_names


def explain_name_error(name: str, notebook: Path | None, names: Names) -> list[str]:
    """Return a text with the cell that defines a name; empty if no cell does."""
    cell = find_definitions(notebook).get(name) if notebook else None
    if cell is None:
        return []
    lesson = names.get("lesson")
    if cell.only_live and lesson is not None and not getattr(lesson, "live", True):
        why = "and this lesson uses recorded runs: this cell can be skipped"
        return [f"{name} is defined only with a lab, {why}."]
    return [
        f"{name} is not defined yet. The cell under “{cell.heading}” defines it.",
        f"→ Run that cell first, {_ALL_ABOVE}.",
        "  After a restart of the kernel nothing is defined; the same helps.",
    ]


def explain_error(error: MigrationLabError, notebook: Path | None, names: Names) -> list[str]:
    """Return the message and the hint of an error, and the cell that starts a lab that is down."""
    lines = [f"{type(error).__name__}: {error}"]
    if error.hint:
        lines.append(f"→ {error.hint}")
    if not isinstance(error, GuestError | HostError | LabError):
        return lines  # the lab is not the reason
    return [*lines, *_explain_lab(notebook, names)]


def explain_missing_figures(used: Iterable[str], notebook: Path | None, names: Names) -> list[str]:
    """Return a text about a run in the cell that did not complete, and so lacks figures, if any."""
    cells = find_definitions(notebook) if notebook else {}
    for name, run in _runs(used, names):
        if run.outcome == "completed" or name not in cells:
            continue
        why = f": {run.error.text}" if run.error is not None else ""
        fact = f"{name} has a migration that did not complete ({run.outcome}{why})"
        again = f"run the cell under “{cells[name].heading}” again, then this one"
        fix = _explain_lab(notebook, names) or [f"→ If it should complete: {again}."]
        return ["", f"{fact}, so it lacks figures.", *fix]
    return []


def _runs(used: Iterable[str], names: Names) -> Iterator[tuple[str, Any]]:
    """Yield the runs that a cell uses: single runs, collections of runs, or runs of a timeline."""
    for name in used:
        value: Any = names.get(name)
        kind = type(value).__name__  # as for labs: nothing is imported to find out
        if kind == "Timeline":
            for other, run in names.items():
                if type(run).__name__ == "Run" and run.called_ns == value.called_ns:
                    yield other, run
            continue
        if isinstance(value, Mapping):
            value = list(value.values())
        several = kind == "Runs" or isinstance(value, list | tuple)
        for run in value if several else [value]:
            if type(run).__name__ == "Run":
                yield name, run


def _explain_lab(notebook: Path | None, names: Names) -> list[str]:
    """Return a text with the cell that starts the lab, if the lab is down."""
    name = _lab_that_is_down(names)
    if name is None:
        return []
    cell = find_definitions(notebook).get(name) if notebook else None
    where = f"under “{cell.heading}”" if cell else "with mig.Lab()"
    return [f"→ The lab is down. Run the cell {where} again, and the cells after it."]


def _lab_that_is_down(names: Names) -> str | None:
    """Return the name of a lab that is down; None if there is none, or if another lab is up."""
    # By the name of the type: a kernel that never had a lab does not import what makes one.
    # A name that begins with _ is IPython's memory of outputs.
    labs = {
        name: value
        for name, value in names.items()
        if type(value).__name__ == "Lab" and not name.startswith("_")
    }
    if any(getattr(lab, "alive", True) for lab in labs.values()):
        return None
    return next(iter(labs), None)


def find_notebook(names: Names) -> Path | None:
    """Return the file of the kernel's notebook, if the notebook's server or editor names it."""
    path = Path(names.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME") or "")
    return path if path.suffix == ".ipynb" and path.is_file() else None


def find_definitions(notebook: Path) -> dict[str, DefiningCell]:
    """Return the first cell that defines each name of a notebook, preferably without a lab."""
    found: dict[str, DefiningCell] = {}
    heading = "its first heading"
    try:
        saved = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in saved]
    except (OSError, ValueError, KeyError, TypeError):
        return found  # then IPython shows the error as usual
    for kind, source in cells:
        if kind == "markdown":
            titles = [line for line in source.splitlines() if line.startswith("#")]
            heading = titles[-1].lstrip("# ") if titles else heading
        elif kind == "code":
            for name, only_live in _definitions(source):
                # A definition that needs no lab is preferred.
                if name not in found or (found[name].only_live and not only_live):
                    found[name] = DefiningCell(heading, only_live)
    return found


def _definitions(source: str) -> Iterator[tuple[str, bool]]:
    """Yield the names that a cell defines, and whether each definition needs a lab."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a magic, or a learner's own
        return
    for statement in tree.body:
        live = isinstance(statement, ast.If) and "lesson.live" in ast.unparse(statement.test)
        without = statement.orelse if isinstance(statement, ast.If) else []
        otherwise = {name for other in without for name in _bound_names(other)}
        for name in _bound_names(statement):
            yield name, live and name not in otherwise


def _bound_names(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement binds, without the names of inner scopes."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    if isinstance(node, _OWN_SCOPES):
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).partition(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from _bound_names(child)
