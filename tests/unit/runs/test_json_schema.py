"""The JSON Schema of run.json: up to date, and true of every recorded run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import readme
from paths import DATA, RECORDINGS

RUNS = [*DATA.glob("runs/*/run.json"), *RECORDINGS.glob("outcomes/*/run.json")]


def test_schema_follows_from_the_code() -> None:
    """The file in data/ is what the code makes."""
    assert readme.SCHEMA.read_text("utf-8") == readme.schema_text(), "run python tests/readme.py"


def test_every_field_has_its_meaning() -> None:
    """Each fact of a run has a description."""
    schema = json.loads(readme.schema_text())
    facts = schema["$defs"]["Facts"]["properties"]
    assert facts.keys() >= {"plan", "guest", "called_ns"}
    assert [name for name, about in facts.items() if "description" not in about] == []


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.parent.name)
def test_recorded_runs_fit(path: Path) -> None:
    """Each recorded run.json is valid, and a changed type is not."""
    validator = Draft202012Validator(json.loads(readme.schema_text()))
    content = json.loads(path.read_text("utf-8"))
    validator.validate(content)
    content["run"]["called_ns"] = "now"
    assert not validator.is_valid(content)
