"""The texts of the checks: each text is used, and each text that a check names exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from paths import ROOT

COURSE = ROOT / "helpers/migrationlab/course"
LESSONS = [*sorted((COURSE / "exercises").glob("lesson_*.py")), COURSE / "plan_answers.py"]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_checks_and_texts_have_the_same_keys(lesson: Path) -> None:
    """A key that a check completes with a value stands for all keys with that beginning."""
    texts = tomllib.loads(lesson.with_suffix(".toml").read_text(encoding="utf-8"))
    named = re.findall(r'say\.(right|wrong)\(\s*f?"([^"]+)"', lesson.read_text(encoding="utf-8"))
    there = {(kind, key) for kind in texts for key in texts[kind]}
    patterns = {(kind, re.sub(r"\{.*\}", ".+", key)) for kind, key in named}

    def fits(text: tuple[str, str], named: tuple[str, str]) -> bool:
        return text[0] == named[0] and re.fullmatch(named[1], text[1]) is not None

    assert {text for text in there if not any(fits(text, name) for name in patterns)} == set()
    assert {name for name in patterns if not any(fits(text, name) for text in there)} == set()
