"""Write the tables of the project's Markdown files that follow from the code.

``python tests/readme.py`` writes them; a test fails when a file is out of date. A table stands
between ``<!-- name -->`` and ``<!-- /name -->``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from migrationlab.explain.explanation import causes
from migrationlab.lab.fault_cases import CASES
from migrationlab.plan.setting import Setting
from migrationlab.plan.settings import settings
from paths import ROOT
from settings_coverage import COVERED_BY, LIMITS


def settings_table() -> str:
    """Return the table of settings, each with the live test that ran it."""
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


#: Each file, and what makes its tables.
TABLES: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    ROOT / "tests" / "README.md": {"settings": settings_table, "faults": faults_table},
}


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
