"""The commands about host images and the matrix, without a build and without a lab."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from migrationlab.cli import main
from migrationlab.lab import image
from migrationlab.runs.release_matrix import load_matrix

RECORD = Path(__file__).parents[3] / "data" / "matrix"


def call(*arguments: str) -> Result:
    """Run the command line."""
    return CliRunner().invoke(main, [*arguments])


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give an empty cache of this test's own, with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="mlab-") as name:
        monkeypatch.setenv("XDG_CACHE_HOME", name)
        yield Path(name) / "migrationlab"


@pytest.fixture
def built(own_cache: Path) -> Path:
    """Give an image in the cache that holds only its records."""
    root = image.path_of("forky")
    (root / image.RECORD).parent.mkdir(parents=True)
    (root / image.RECORD).write_text('{"built_at": 1000, "expired_mirror": true}')
    status = root / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text("Package: libvirt-daemon\nStatus: ok\nVersion: 12.8.0-1\n")
    (own_cache / "images/forky-0123456789ab").mkdir()
    own_cache.chmod(0o700)
    return root


def test_images_are_listed_with_age_and_packages(built: Path) -> None:
    """Each image says whether it is cached, how old it is, and from which list."""
    rows = json.loads(call("lab", "images", "list", "--format", "json").stdout)["images"]
    assert {row["name"] for row in rows} == {"trixie", "bookworm", "trixie-backports", "forky"}
    old, current = (row for row in rows if row["cached"])
    assert (old["current"], current["current"]) == (False, True)
    assert current["path"] == str(built)
    assert current["expired_mirror"] is True
    assert current["age_days"] > 20_000
    assert current["packages"] == {"libvirt-daemon": "12.8.0-1"}
    text = call("lab", "images").stdout
    assert "of an older recipe" in text
    assert "from an expired list" in text
    assert "not built" in text


def test_image_is_removed_with_its_older_recipes(built: Path) -> None:
    """Removing deletes every image of that name, and says what it deleted."""
    assert json.loads(call("lab", "images", "remove", "forky", "--format", "json").stdout) == {
        "removed": ["forky"]
    }
    assert not built.exists()
    assert call("lab", "images", "remove", "forky").stdout == "no such image\n"


@pytest.mark.parametrize("verb", ["build", "remove"])
def test_unknown_image_is_refused(verb: str, own_cache: Path) -> None:
    """A wrong name is refused before anything is built or deleted."""
    done = call("lab", "images", verb, "trixie", "potato")
    assert done.exit_code == 2
    assert "the image must be one of" in done.stderr


def test_recorded_matrix_is_shown(tmp_path: Path) -> None:
    """The matrix prints its cells, and draws the figure."""
    (tmp_path / "matrix.jsonl").write_bytes((RECORD / "matrix.jsonl").read_bytes())
    done = call("matrix", "--show", "-o", str(tmp_path), "--format", "json")
    cells = json.loads(done.stdout)["cells"]
    assert len(cells) == len(load_matrix(RECORD / "matrix.jsonl").cells())
    assert (tmp_path / "matrix.png").exists()
    assert "virtqueue-size" in call("matrix", "--show", "-o", str(tmp_path)).stdout


def test_empty_matrix_says_so(tmp_path: Path) -> None:
    """A folder without tries has nothing to show."""
    assert call("matrix", "--show", "-o", str(tmp_path)).stdout == "nothing was tried yet\n"
