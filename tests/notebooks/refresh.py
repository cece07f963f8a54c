"""Runs notebooks from top to bottom and writes them back as they are to be committed.

``python tests/notebooks/refresh.py notebooks/01_normal_and_peer2peer.ipynb``

What belongs to one machine or one session goes: widgets' state and views (a panel shows its
drawing instead), the kernel's local name, times, the name of the home folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

CELL_TIMEOUT_S = 120
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Run every cell, with a time limit each; the outputs go into ``notebook``.

    Raises:
        CellExecutionError: A cell failed.
        CellTimeoutError: A cell took too long.
    """
    NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
    ).execute()


def cleaned(notebook: NotebookNode, home: str) -> NotebookNode:
    """Return the notebook without what belongs to one machine or one session."""
    made = nbformat.from_dict(_without_home(notebook, home))
    made.metadata = nbformat.from_dict(METADATA)
    for cell in made.cells:
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in cell.metadata if key == "tags"}
        )
        for output in cell.get("outputs", []):
            if "data" in output:
                output.data.pop(WIDGET_VIEW, None)
                output.metadata = nbformat.from_dict({})
    return made


def _without_home(value: object, home: str) -> object:
    if isinstance(value, dict):
        return {key: _without_home(item, home) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_home(item, home) for item in value]
    return value.replace(f"{home}/", "~/") if isinstance(value, str) else value


def main() -> None:
    """Refresh the notebooks named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    for path in parser.parse_args().notebooks:
        notebook = nbformat.read(path, as_version=4)
        execute(notebook, path.parent)
        nbformat.write(cleaned(notebook, str(Path.home())), path)


if __name__ == "__main__":
    main()
