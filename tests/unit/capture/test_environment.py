"""The description of the machine that records a run."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from migrationlab.capture.environment import MachineSampler, code_revision, environment


def test_environment_describes_the_machine() -> None:
    """The environment has kernel, processor, memory, load and versions as JSON values."""
    found = environment("9.0.0")
    assert json.loads(json.dumps(found)) == found
    assert found["kernel"] == os.uname().release
    assert found["cpus"] == os.cpu_count()
    assert found["python"] == platform.python_version()
    assert found["libvirt_client"] == "9.0.0"
    assert found["rootless"] is (os.geteuid() != 0)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    assert found["memory_mib"] == pytest.approx(pages, abs=1)
    for name in ("system", "cpu_model"):
        assert found[name]
    assert isinstance(found["load_1min"], float)


def test_release_without_os_release_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without an os-release file has an unknown release."""

    def missing() -> dict[str, str]:
        raise OSError("Unable to read files /etc/os-release, /usr/lib/os-release")

    monkeypatch.setattr(platform, "freedesktop_os_release", missing)
    assert environment("9.0.0")["system"] == "unknown"


class Times(SimpleNamespace):
    """The processors' times, as psutil gives them."""

    def _asdict(self) -> dict[str, float]:
        return vars(self)


@pytest.mark.parametrize(
    ("later", "percent"),
    [
        ({"user": 13.0, "idle": 21.0, "guest": 13.0}, 75.0),
        ({"user": 10.0, "idle": 21.0, "iowait": 3.0}, 0.0),
        ({"user": 14.0}, 100.0),
        ({"user": 14.0, "idle": 19.9}, 100.0),
        ({}, None),
    ],
)
def test_busy_share_of_the_processors(
    monkeypatch: pytest.MonkeyPatch, later: dict[str, float], percent: float | None
) -> None:
    """The busy share leaves out idle time and I/O wait, counts guests once, and may be None."""
    before = {"user": 10.0, "idle": 20.0, "iowait": 0.0, "guest": 10.0}
    answers = iter([Times(**before), Times(**(before | later))])
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(answers))
    found = MachineSampler("9.0.0").until_now()
    assert found["cpu_busy_percent"] == percent
    assert found["libvirt_client"] == "9.0.0"


def test_kernel_counts_real_work() -> None:
    """The kernel's counters show the processor that this test keeps busy."""
    watched = MachineSampler("9.0.0")
    since = os.times()
    while os.times().user - since.user < 0.2:
        pass
    passed_s = os.times().elapsed - since.elapsed
    busy = watched.until_now()["cpu_busy_percent"]
    assert isinstance(busy, float)
    # In hundredths of a second, and a test beside this one may make it more.
    assert busy >= 90 * 0.2 / passed_s / (os.cpu_count() or 1) - 3


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a checkout's folder of code, with one file that git knows."""
    folder = tmp_path / "helpers/code"
    folder.mkdir(parents=True)
    (folder / "code.py").write_text("one")
    for arguments in (
        ["init", "--quiet"],
        ["add", "."],
        ["-c", "user.name=n", "-c", "user.email=e@x", "commit", "--quiet", "--message", "m"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    return folder


def head(checkout: Path) -> str:
    """Return the commit that a checkout is at."""
    argv = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def test_revision_is_the_commit(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The revision is the commit, whatever changed outside the code or a git hook has set."""
    (tmp_path / "notes").write_text("beside the code")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    revision = code_revision(package)
    monkeypatch.delenv("GIT_DIR")
    assert revision == head(tmp_path)


@pytest.mark.parametrize("name", ["code.py", "new.py"])
def test_changed_code_is_dirty(package: Path, tmp_path: Path, name: str) -> None:
    """A changed or new file of the code marks the revision as dirty."""
    (package / name).write_text("two")
    assert code_revision(package) == f"{head(tmp_path)}-dirty"


def test_installed_code_has_no_revision(package: Path, tmp_path: Path) -> None:
    """Code in the virtual environment of another checkout has no revision."""
    site = tmp_path / ".venv/lib/python3.11/site-packages/code"
    site.mkdir(parents=True)
    assert code_revision(site) is None


def test_missing_git_gives_no_revision(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If git is missing or refuses, the revision is unknown and no error is raised."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert code_revision(package) is None


def test_broken_repository_has_no_revision(package: Path, tmp_path: Path) -> None:
    """A repository in which git finds no commit has no revision."""
    (tmp_path / ".git/HEAD").write_text("nonsense")
    assert code_revision(package) is None
