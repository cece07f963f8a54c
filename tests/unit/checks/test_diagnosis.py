"""The texts of the findings: every outcome is complete, and the code names each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from migrationlab import checks
from migrationlab.checks.diagnosis import Status, finding, texts

FOLDER = Path(checks.__path__[0])
FILES = sorted(path.stem for path in FOLDER.glob("*.toml"))


def outcomes(file: str) -> list[tuple[str, str]]:
    """Return each check of a file of texts with each of its outcomes."""
    return [
        (check, outcome)
        for check, about in texts(file).items()
        for outcome, entry in about.items()
        if isinstance(entry, dict)
    ]


@pytest.mark.parametrize("file", FILES)
def test_every_outcome_has_one_status_and_a_hint_if_bad(file: str) -> None:
    """Every outcome has one status, and every bad outcome has a hint."""
    for check, outcome in outcomes(file):
        entry = texts(file)[check][outcome]
        statuses = [status for status in Status if status in entry]
        assert len(statuses) == 1, (check, outcome)
        assert set(entry) <= {*statuses, "hint"}, (check, outcome)
        hint = entry.get("hint") or texts(file)[check].get("hint")
        assert hint or statuses == [Status.OK], (check, outcome)


@pytest.mark.parametrize("file", FILES)
def test_code_names_every_check_and_outcome(file: str) -> None:
    """The code uses every check and every outcome of the table."""
    named = set(re.findall(r'"([^"\n]+)"', (FOLDER / f"{file}.py").read_text()))
    assert {name for pair in outcomes(file) for name in pair} <= named


def test_finding_has_values_hint_and_status() -> None:
    """A finding has the given values and status, and the check's hint if the outcome has none."""
    found = finding("preflight", "rights", "denied", Status.WARN, sides="source")
    assert found.status is Status.WARN
    assert found.detail == "the connection to the source is read-only"
    assert found.hint.endswith("whose name ends in -ro.")
