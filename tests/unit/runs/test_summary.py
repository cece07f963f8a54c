"""What summaries of real recordings say, so that no figure changes its meaning unnoticed.

Stored runs keep their summaries with the number of their definition (``summary.DEFINITION``). A
change of the timeline that gives another number for the same recording needs another definition,
else old and new figures would stand in one table. After such a change, run this file as a program.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

import pytest

from migrationlab.runs.schema import SUMMARY
from migrationlab.runs.store import load_run
from migrationlab.runs.summary import DEFINITION
from paths import RECORDINGS

KNOWN = RECORDINGS / "summaries.json"
FOLDERS = {path.parent.name: path.parent for path in RECORDINGS.rglob("run.json")}
WRITE = "python tests/unit/runs/test_summary.py"
MEND = f"raise DEFINITION in helpers/migrationlab/summary.py, then: {WRITE}"


def summaries() -> dict[str, dict[str, Any]]:
    """Work out every recording's summary anew: a copy has not the one that is kept."""
    return {
        name: dataclasses.replace(load_run(folder)).summary()
        for name, folder in sorted(FOLDERS.items())
    }


def differing(known: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Name the numbers that both have, and that are not the same."""
    return [
        f"{name}.{key}: {value} → {found[name][key]}"
        for name, values in known.items()
        for key, value in values.items()
        if name in found and key in found[name] and found[name][key] != pytest.approx(value)
    ]


def test_no_number_changes_its_meaning() -> None:
    """For each recording the summary says what it said when its definition got its number."""
    known = json.loads(KNOWN.read_text())
    assert known["definition"] == DEFINITION, MEND
    assert differing(known["summaries"], summaries()) == [], MEND


def test_every_recording_and_number_is_known() -> None:
    """A new recording or a new number is written down, too, so that it is watched from then on."""
    known = json.loads(KNOWN.read_text())["summaries"]
    assert set(known) == set(FOLDERS), WRITE
    assert {tuple(values) for values in known.values()} == {tuple(SUMMARY)}


def main() -> None:
    """Write down what summaries say now."""
    known = json.loads(KNOWN.read_text()) if KNOWN.exists() else {"definition": 0, "summaries": {}}
    found = summaries()
    changed = differing(known["summaries"], found)
    if changed and known["definition"] == DEFINITION:
        sys.exit("\n".join([*changed, f"These mean something else now: {MEND}"]))
    text = json.dumps({"definition": DEFINITION, "summaries": found}, indent=1)
    KNOWN.write_text(text + "\n")


if __name__ == "__main__":
    main()
