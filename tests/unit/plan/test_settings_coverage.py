"""Every setting of a plan was tried for real, and the list that says so is true."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from migrationlab.plan.settings import settings
from paths import ROOT
from settings_coverage import COVERED_BY, LIMITS

FOLDER = ROOT / "tests" / "lab"
#: Where the cases stand that these tests are made of.
CASES = {"test_told_to_qemu": "CASES", "test_copied_storage": "COPIES"}


@cache
def tree_of(file: str) -> ast.Module:
    """Return a file of live tests as Python reads it."""
    return ast.parse((FOLDER / file).read_text())


def cases_of(file: str, name: str) -> list[str]:
    """Return the keys of a table in a file of live tests."""
    (table,) = (
        each.value
        for each in tree_of(file).body
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == name
    )
    assert isinstance(table, ast.Dict)
    return [ast.literal_eval(key) for key in table.keys if key is not None]


def test_every_setting_was_tried() -> None:
    """The list of tests names each setting of a plan, and no other."""
    assert COVERED_BY.keys() == {about.name for about in settings()}
    assert LIMITS.keys() <= COVERED_BY.keys()
    assert all(LIMITS.values())


@pytest.mark.parametrize("name", COVERED_BY)
def test_what_tried_it_exists(name: str) -> None:
    """The test that is said to have run a setting is there, with its case."""
    file, _, rest = COVERED_BY[name].partition("::")
    test, _, case = rest.removesuffix("]").partition("[")
    assert test in {each.name for each in tree_of(file).body if isinstance(each, ast.FunctionDef)}
    if test in CASES:
        assert case in cases_of(file, CASES[test])


@pytest.mark.parametrize("name", COVERED_BY)
def test_what_tried_it_says_it(name: str) -> None:
    """The file of that test names the setting."""
    file = COVERED_BY[name].partition("::")[0]
    assert re.search(rf"\b{name}\b", (FOLDER / file).read_text())
