"""The rules about imports: contracts, checked statically and in a real process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from paths import ROOT

FROM_FILES = [
    "migrationlab",
    "migrationlab.analysis.timeline",
    "migrationlab.explain",
    "migrationlab.hosts.logs",
    "migrationlab.plan",
    "migrationlab.plots",
    "migrationlab.report",
    "migrationlab.runs",
    "migrationlab.runs.store",
    "migrationlab.plan.uris",
]


def python(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a new Python, where nothing is imported yet."""
    return subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )


def test_contracts_are_kept() -> None:
    """Every contract in pyproject.toml holds."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache", "--no-logo"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("module", FROM_FILES)
def test_files_are_read_without_libvirt_or_jupyter(module: str) -> None:
    """Modules that work from files can be imported without both."""
    absent = ["libvirt", "libvirtmod", "IPython", "ipywidgets"]
    script = f"import sys; sys.modules.update(dict.fromkeys({absent})); import {module}"
    done = python(script)
    assert done.returncode == 0, done.stderr


def test_package_is_cheap_to_import() -> None:
    """`import migrationlab` loads nothing heavy."""
    heavy = {"libvirt", "pandas", "matplotlib", "numpy", "IPython", "ipywidgets", "rich"}
    done = python("import sys, migrationlab; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert heavy.isdisjoint(done.stdout.split())
