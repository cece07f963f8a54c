"""The project's lists of requirements, commands and rules agree with each other."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import readme
from migrationlab.cli.runs import table as run_table
from migrationlab.runs.store import load_runs
from paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: What `make setup` installs.
WANTED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["live"]]
# conda-forge's name for matplotlib without a Qt.
CONDA_NAMES = {"matplotlib-base": "matplotlib"}


def specifiers(lines: list[str]) -> dict[str, str]:
    """Return the required version of each package, by its name."""
    requirements = map(Requirement, lines)
    return {canonicalize_name(one.name): str(one.specifier) for one in requirements}


def table(heading: str) -> dict[str, str]:
    """Return the README's two-column table under that heading."""
    body = README.split(f"| {heading} |\n|---|---|\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in body.splitlines()]
    return {name.strip("`"): text for name, text in rows}


def make_targets() -> set[str]:
    """Return the targets that `make help` lists."""
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return set(re.findall(r"^  make (\S+)", shown, re.MULTILINE))


def test_conda_environment_is_the_list_of_dependencies() -> None:
    """environment.yml has pyproject's packages, in the same versions, and no others."""
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    (by_pip,) = (entry["pip"] for entry in conda if isinstance(entry, dict))
    packages = specifiers([entry for entry in conda if isinstance(entry, str)])
    assert packages.pop("python") == PROJECT["requires-python"]
    assert packages.pop("pip") == ""
    packages = {CONDA_NAMES.get(name, name): version for name, version in packages.items()}
    assert by_pip[-1] == "--editable .[live,dev]"
    assert packages | specifiers(by_pip[:-1]) == specifiers(WANTED)


def test_libvirt_does_not_come_from_conda() -> None:
    """conda-forge has no libvirt, so pip installs the binding and the headers are named."""
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert "  - libvirt" not in text.split("- pip:")[0].split("dependencies:")[1]
    assert "libvirt-dev" in text


def needs() -> set[str]:
    """Return the names of packages in the README's section of what is needed."""
    section = README.split("## What it needs")[1].split("\n## ")[0]
    return set(re.findall(r"`([a-z][a-z0-9-]+)`", section))


def test_readme_names_the_packages_that_are_installed() -> None:
    """The README names pyproject's Python packages and the set-up's Debian packages, no others."""
    listed = subprocess.run(
        [ROOT / ".ci" / "setup", "--list"], check=True, capture_output=True, text=True
    ).stdout
    debian = {line.split("|")[0] for line in listed.splitlines()}
    assert needs() == debian | specifiers(WANTED).keys()


def test_readme_lists_the_commands_of_make() -> None:
    """Every command of the README's table exists, and none but `help` is left out."""
    told = {name.removeprefix("make ") for name in table("command | what it does")}
    assert told == make_targets() - {"help"}


@pytest.mark.parametrize("target", ["demo", "lab", "test", "lint", "bench", "setup"])
def test_commands_set_up_first(target: str) -> None:
    """Each command begins with the set-up, so that it works in a fresh clone."""
    planned = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", target],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    first = planned.splitlines()[0]
    option = {"demo": " --image", "lab": " --image", "setup": ""}.get(target, " --dev")
    assert first == f".ci/setup{option}"


def test_no_file_names_an_index() -> None:
    """pip uses the index that its user has configured."""
    for name in ("pyproject.toml", "environment.yml", "Makefile", ".ci/setup", ".ci/run"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"index-url|find-links|https?://\S*(pypi|simple)", text), name


def test_every_ignored_rule_has_its_reason() -> None:
    """Each ignored rule of the linter has a comment in pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lint = text.split("[tool.ruff.lint]")[1].split("[tool.ruff.lint.pydocstyle]")[0]
    ignored = lint.split("ignore = [", 1)[1]
    rules = [line for line in ignored.splitlines() if re.match(r'    "[A-Z]+\d*"', line)]
    assert rules
    assert [line for line in rules if not re.search(r",\s+# \w", line)] == []


def test_readme_shows_the_recorded_runs() -> None:
    """The README's table is the command's output for data/."""
    shown = README.split("<!-- runs -->\n```\n")[1].split("\n```\n<!-- /runs -->")[0]
    recorded = load_runs(ROOT / "data/runs")
    assert len(recorded) == 6
    assert shown == run_table([run.summary() for run in recorded])


def test_tables_follow_from_the_code() -> None:
    """The tables in Markdown files are those that the code makes, to the letter."""
    for path in readme.TABLES:
        assert readme.with_tables(path) == path.read_text("utf-8"), "run python tests/readme.py"


@pytest.mark.parametrize("root", [False, True])
def test_setup_opens_no_device_without_an_answer(root: bool) -> None:
    """The set-up leaves the mode of /dev/net/tun alone as root, and where nobody can answer."""
    if root and os.geteuid() != 0:
        pytest.skip("this user is not root")
    text = (ROOT / ".ci/setup").read_text(encoding="utf-8")
    functions = re.findall(
        r"^(?:open_tun|ask_as_root)\(\) \{\n.*?^\}\n", text, re.DOTALL | re.MULTILINE
    )
    script = 'stat() { echo 600; }; say() { echo "$*"; }; as_root() { echo "as root: $*"; }\n'
    script += "".join(functions) + "open_tun /dev/null\n"
    other = [] if root or os.geteuid() else ["setpriv", "--reuid=65534", "--clear-groups"]
    done = subprocess.run(
        [*other, "bash", "-euc", script],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "as root:" not in done.stdout
    assert ("Not done" in done.stdout) is not root
