"""Write the tables of the project's Markdown files that follow from the code.

``python tests/readme.py`` writes them; a test fails when a file is out of date. A table stands
between ``<!-- name -->`` and ``<!-- /name -->``.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from migrationlab.experiment.fault_folder import FaultRow
from migrationlab.explain.explanation import causes
from migrationlab.lab.fault_cases import CASES
from migrationlab.plan.setting import Setting
from migrationlab.plan.settings import settings
from migrationlab.runs.json_schema import run_schema
from migrationlab.runs.schema import ESTIMATES, METRICS, RECORDED, Column
from paths import DATA, ROOT
from settings_coverage import COVERED_BY, LIMITS


def settings_table() -> str:
    """Return the table of settings, each with its live test."""
    rows = [
        (
            f"`{about.name}`",
            f"`{about.libvirt}`" if about.libvirt else "",
            about.unit,
            _test(COVERED_BY[about.name]),
            LIMITS.get(about.name, ""),
        )
        for about in _by_group()
    ]
    return _table(("setting", "libvirt", "unit", "live test", "not shown, and why"), rows)


def faults_table() -> str:
    """Return the table of the lab's faults, each with its explanation."""
    known = {cause.id: cause for cause in causes()}
    rows = [
        (f"`{case.id}`", case.broken, known[case.id].cause, known[case.id].fix, case.note)
        for case in CASES
    ]
    heads = ("fault", "what is broken", "cause, as `explain` says it", "fix", "note")
    return _table(heads, rows)


def frame_table(name: str) -> str:
    """Return what a row of a run's frame is, and the table of its columns."""
    recorded = RECORDED[name]
    rows = [(*_named(column), column.meaning) for column in recorded.columns.values()]
    table = _table(("column", "type", "unit", "meaning"), rows)
    return f"{recorded.about} Source: {recorded.source}.\n\n{table}"


def metrics_table() -> str:
    """Return the table of the numbers of a summary."""
    return _table(
        ("key", "type", "unit", "meaning", "source"),
        [(*_named(column), column.meaning, column.source) for column in METRICS.values()],
    )


def estimates_table() -> str:
    """Return the table of the estimates in an experiment's summary of each cell and metric."""
    rows = [(f"`{column.name}`", column.meaning) for column in ESTIMATES.values()]
    return _table(("column", "meaning"), rows)


def fault_row_table() -> str:
    """Return the table of the keys of a fault matrix's row, as the class describes them."""
    described = inspect.cleandoc(FaultRow.__doc__ or "").partition("Attributes:\n")[2]
    rows = [
        (f"`{name}`", " ".join(meaning.replace("``", "`").split()))
        for name, meaning in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", described, re.MULTILINE)
    ]
    return _table(("key", "meaning"), rows)


#: Each file, and what makes its tables.
TABLES: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    ROOT / "tests" / "README.md": {"settings": settings_table, "faults": faults_table},
    DATA / "README.md": {
        **{name: partial(frame_table, name) for name in RECORDED},
        "metrics": metrics_table,
        "estimates": estimates_table,
        "fault_row": fault_row_table,
    },
}


#: What other tools can check a ``run.json`` with.
SCHEMA = DATA / "schema" / "run.schema.json"


def schema_text() -> str:
    """Return the JSON Schema of ``run.json``."""
    return json.dumps(run_schema(), indent=2) + "\n"


def with_tables(path: Path) -> str:
    """Return a file's text with all its tables up to date."""
    text = path.read_text(encoding="utf-8")
    for name, table in TABLES[path].items():
        start, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"{path} has no place for the table {name}")
        text = f"{before}{start}{table()}{end}{after}"
    return text


def _by_group() -> list[Setting]:
    return [about for _, members in settings().groups() for about in members]


def _named(column: Column) -> tuple[str, str, str]:
    return f"`{column.name}`", column.type, column.unit


def _test(name: str) -> str:
    file, _, test = name.partition("::")
    return f"[{test}](lab/{file})"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


if __name__ == "__main__":
    for file in TABLES:
        file.write_text(with_tables(file), encoding="utf-8")
    SCHEMA.write_text(schema_text(), encoding="utf-8")
