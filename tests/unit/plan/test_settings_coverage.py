"""Every setting of a plan has a live test, and the list of them is true."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from migrationlab.plan.settings import settings
from paths import ROOT
from settings_coverage import COVERED_BY, LIMITS

FOLDER = ROOT / "tests" / "lab"
#: Where these tests have their cases.
CASES = {"test_reaches_qemu": "CASES", "test_copied_storage": "COPIES"}


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


def test_every_setting_has_a_live_test() -> None:
    """The list of tests names each setting of a plan, and no other."""
    assert COVERED_BY.keys() == {about.name for about in settings()}
    assert LIMITS.keys() <= COVERED_BY.keys()
    assert all(LIMITS.values())


@pytest.mark.parametrize("name", COVERED_BY)
def test_the_live_test_exists(name: str) -> None:
    """The named test of a setting exists, with its case."""
    file, _, rest = COVERED_BY[name].partition("::")
    test, _, case = rest.removesuffix("]").partition("[")
    assert test in {each.name for each in tree_of(file).body if isinstance(each, ast.FunctionDef)}
    if test in CASES:
        assert case in cases_of(file, CASES[test])


@pytest.mark.parametrize("name", COVERED_BY)
def test_the_live_test_uses_the_setting(name: str) -> None:
    """The file of that test names the setting."""
    file = COVERED_BY[name].partition("::")[0]
    assert re.search(rf"\b{name}\b", (FOLDER / file).read_text())
