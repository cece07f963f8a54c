"""The README's reference tables, made from what they are about.

``python tests/readme.py`` writes them into README.md; a test holds that they stand there. Every
setting comes with the test that ran it in a real migration, every broken case with the
explanation that its refusal gets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from migrationlab.explain.explanation import causes
from migrationlab.lab.fault_cases import CASES
from migrationlab.plan.setting import Setting
from migrationlab.plan.settings import settings
from settings_coverage import LIMITS, TRIED

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def settings_table() -> str:
    """Return the table of all settings."""
    rows = [
        (
            f"`{about.name}`",
            f"`{about.libvirt}`" if about.libvirt else "",
            about.unit,
            _test(TRIED[about.name]),
            LIMITS.get(about.name, ""),
        )
        for about in _by_group()
    ]
    return _table(("setting", "libvirt", "unit", "run for real by", "what not, and why"), rows)


def broken_table() -> str:
    """Return the table of all broken cases."""
    known = {cause.id: cause for cause in causes()}
    rows = [
        (f"`{case.id}`", case.broken, known[case.id].cause, known[case.id].mend, case.note)
        for case in CASES
    ]
    heads = ("case", "what is broken", "what `explain` says of it", "and what to do", "note")
    return _table(heads, rows)


def with_tables(text: str) -> str:
    """Return the README's text with both tables as they must be."""
    for name, table in (("settings", settings_table()), ("broken", broken_table())):
        start, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"README.md has no place for the table of {name}")
        text = f"{before}{start}{table}{end}{after}"
    return text


def _by_group() -> list[Setting]:
    return [about for _, members in settings().groups() for about in members]


def _test(name: str) -> str:
    file, _, test = name.partition("::")
    return f"[{test}](tests/lab/{file})"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
