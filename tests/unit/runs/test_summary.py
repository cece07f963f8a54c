"""Compare summaries of real recordings with stored ones: no number changes its meaning.

Stored runs keep their summaries with the number of their definition (``schema.DEFINITION``). A
change of the timeline that gives another number for the same recording needs another definition,
else old and new figures would stand in one table. After such a change, run this file as a program.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

import pytest

from migrationlab.runs.schema import DEFINITION, SUMMARY
from migrationlab.runs.store import load_run
from paths import RECORDINGS

KNOWN = RECORDINGS / "summaries.json"
FOLDERS = {path.parent.name: path.parent for path in RECORDINGS.rglob("run.json")}
WRITE = "python tests/unit/runs/test_summary.py"
FIX = f"raise DEFINITION in helpers/migrationlab/runs/schema.py, then: {WRITE}"


def summaries() -> dict[str, dict[str, Any]]:
    """Compute every recording's summary again: a copy does not have the stored one."""
    return {
        name: dataclasses.replace(load_run(folder)).summary()
        for name, folder in sorted(FOLDERS.items())
    }


def differing(known: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Return the names of numbers that both have, with different values."""
    return [
        f"{name}.{key}: {value} → {found[name][key]}"
        for name, values in known.items()
        for key, value in values.items()
        if name in found and key in found[name] and found[name][key] != pytest.approx(value)
    ]


def test_no_number_changes_its_meaning() -> None:
    """Each recording's summary has the values that were stored with its definition."""
    known = json.loads(KNOWN.read_text())
    assert known["definition"] == DEFINITION, FIX
    assert differing(known["summaries"], summaries()) == [], FIX


def test_every_recording_and_number_is_known() -> None:
    """Each new recording and number must be added to the stored values."""
    known = json.loads(KNOWN.read_text())["summaries"]
    assert set(known) == set(FOLDERS), WRITE
    assert {tuple(values) for values in known.values()} == {tuple(SUMMARY)}


def main() -> None:
    """Store today's summaries."""
    known = json.loads(KNOWN.read_text()) if KNOWN.exists() else {"definition": 0, "summaries": {}}
    found = summaries()
    changed = differing(known["summaries"], found)
    if changed and known["definition"] == DEFINITION:
        sys.exit("\n".join([*changed, f"These mean something else now: {FIX}"]))
    text = json.dumps({"definition": DEFINITION, "summaries": found}, indent=1)
    KNOWN.write_text(text + "\n")


if __name__ == "__main__":
    main()
