"""The public face: every promised name exists, and is loaded only when it is used."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import migrationlab

#: The names that type checkers see, and the package that each is from.
PROMISED = {
    alias.name: node.module
    for block in ast.parse(Path(migrationlab.__file__).read_text(encoding="utf-8")).body
    if isinstance(block, ast.If)
    for node in block.body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}


def python(script: str) -> str:
    """Run a script in a new Python, where nothing is imported yet; return its output."""
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_type_checkers_see_the_lazy_names() -> None:
    """The names for type checkers are those of the package."""
    assert sorted(migrationlab.__all__) == sorted(PROMISED)
    assert set(PROMISED) <= set(dir(migrationlab))


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_every_name_exists(name: str) -> None:
    """Each name is what the stub says, and has a docstring."""
    found = getattr(migrationlab, name)
    assert inspect.getdoc(found)
    if PROMISED[name] is None:
        assert isinstance(found, ModuleType)
    else:
        assert f"{found.__module__}.".startswith(f"migrationlab.{PROMISED[name]}.")


def test_unknown_name_is_an_attribute_error() -> None:
    """An unknown name is missing in the usual way."""
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = migrationlab.no_such_name


@pytest.mark.parametrize("name", ["explain", "migrate"])
def test_function_is_not_hidden_by_its_package(name: str) -> None:
    """A function with the name of its package stays a function, in any order of imports."""
    module = f"migrationlab.{name}"
    for first in (
        f"import {module}",
        f"from {module} import {name}",
        "import migrationlab.cli.demo_steps",
    ):
        said = python(f"{first}\nimport migrationlab as mig\nprint(type(mig.{name}).__name__)")
        assert said == "function\n"


def test_import_is_lazy() -> None:
    """`import migrationlab`, a plan and stored runs load neither libvirt nor pandas."""
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
    assert said.splitlines() == ["", "", "", "libvirt"]
