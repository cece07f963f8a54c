"""The public face: every name that is promised is there, and is loaded only when it is used."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import migrationlab

STUB = ast.parse(Path(migrationlab.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
#: What the stub imports: each name, and the module that it says it is from.
PROMISED = {
    alias.name: node.module
    for node in STUB.body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}


def python(script: str) -> str:
    """Run a script in a Python of its own, where nothing is imported yet; return what it says."""
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_list_of_names_is_whole() -> None:
    """All names that the stub brings are in its list, in order, and in the package's."""
    (listed,) = (ast.literal_eval(node.value) for node in STUB.body if isinstance(node, ast.Assign))
    assert listed == sorted(PROMISED)
    assert sorted(migrationlab.__all__) == listed
    assert set(listed) <= set(dir(migrationlab))


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_every_name_is_there(name: str) -> None:
    """Each name can be had, and is what the stub says, with words that explain it."""
    found = getattr(migrationlab, name)
    assert inspect.getdoc(found)
    if PROMISED[name] is None:
        assert isinstance(found, ModuleType)
    else:
        assert found.__module__ == f"migrationlab.{PROMISED[name]}"


def test_what_is_not_there_is_an_attribute_error() -> None:
    """A name that nobody promised is missing in the usual way."""
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = migrationlab.no_such_name


@pytest.mark.parametrize("name", ["doctor", "migrate"])
def test_a_function_is_not_hidden_by_its_module(name: str) -> None:
    """A function that is called as its module is stays one, in whichever order they are loaded."""
    module = f"migrationlab.{name}"
    for first in (f"import {module}", f"from {module} import {name}", "import migrationlab.demo"):
        said = python(f"{first}\nimport migrationlab as mig\nprint(type(mig.{name}).__name__)")
        assert said == "function\n"


def test_importing_is_cheap_until_a_name_is_used() -> None:
    """`import migrationlab` loads neither libvirt nor pandas; a plan needs neither; a run does."""
    said = python(
        "import sys, migrationlab as mig\n"
        "print(*({'libvirt', 'pandas'} & set(sys.modules)))\n"
        "mig.Plan\n"
        "print(*({'libvirt', 'pandas'} & set(sys.modules)))\n"
        "mig.load_runs\n"
        "print(*({'libvirt', 'pandas'} & set(sys.modules)))\n"
        "mig.Host\n"
        "print(*sorted({'libvirt', 'pandas'} & set(sys.modules)))\n"
    )
    assert said.splitlines() == ["", "", "pandas", "libvirt pandas"]
