"""Tests of host images: each recipe has its own name, and a failed build leaves nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from migrationlab.errors import LabError, UsageError
from migrationlab.lab import image
from migrationlab.steps import Step

#: mmdebstrap's output where the mirror's name does not resolve, with APT's messages in it.
NO_MIRROR = """\
#!/bin/sh
cat >&2 <<'END'
I: automatically chosen format: tar
I: running apt-get update...
Err:1 http://mirror.invalid/debian trixie InRelease
  Temporary failure resolving 'mirror.invalid'
E: apt-get update --error-on=any -oAPT::Status-Fd=<$fd> failed
END
exit 1
"""
#: Runs the program in the folder instead of changing its root to the folder.
CHROOT = """\
#!/bin/sh
root=$1 interpreter=$2 options=$3
exec "$interpreter" "$options" "$(echo "$4" | sed "s,cd /,cd $root/,")"
"""
#: What `apt-cache depends linux-image-cloud-amd64` prints on Debian 12.
DEPENDS = """\
#!/bin/sh
echo linux-image-cloud-amd64
echo '  Depends: linux-image-6.1.0-56-cloud-amd64'
"""
DOWNLOAD = """\
#!/bin/sh
[ "$1 $2" = 'download linux-image-6.1.0-56-cloud-amd64' ] || exit 100
echo kernel > "$2_6.1.190-1_amd64.deb"
"""


def program(folder: Path, name: str, text: str) -> None:
    """Put a program into a folder."""
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def left(cache: Path) -> list[str]:
    """Return the names of everything in the folder of images but the locks."""
    return [path.name for path in (cache / "images").iterdir() if path.suffix != ".lock"]


def test_unknown_release_is_refused() -> None:
    """An unknown release is refused, and the hint has the known ones."""
    with pytest.raises(UsageError, match="the release must be trixie or bookworm") as caught:
        image.path_of("sarge")
    assert caught.value.hint == "Choose one of trixie, bookworm."


def test_images_are_named_by_release_and_recipe(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each release and each recipe has its own name."""
    names = [image.path_of(release) for release in image.RELEASES]
    for setting, value in {
        "PACKAGES": (*image.PACKAGES, "one-more"),
        "LEFT_OUT": (),
        "FETCH_KERNEL": f"{image.FETCH_KERNEL} ",
    }.items():
        with monkeypatch.context() as changed:
            changed.setattr(image, setting, value)
            names.append(image.path_of("trixie"))
    assert len(set(names)) == 5
    assert image.path_of("trixie") == names[0]
    assert {name.parent for name in names} == {cache / "images"}
    assert names[1].name.startswith("bookworm-")


def test_failed_build_leaves_nothing(cache: Path, first_on_path: Path) -> None:
    """A failed build is an error with mmdebstrap's message, and leaves nothing."""
    program(first_on_path, "mmdebstrap", NO_MIRROR)
    heard: list[Step] = []
    with pytest.raises(LabError, match="Temporary failure resolving") as caught:
        image.ensure("trixie", heard.append)
    assert "build of the trixie host image failed" in str(caught.value)
    assert "running apt-get update" not in str(caught.value)
    assert "mirror" in caught.value.hint
    assert not image.cached("trixie")
    assert left(cache) == []
    assert [(step.state, step.detail) for step in heard[:3]] == [
        ("started", ""),
        ("progress", "automatically chosen format: tar"),
        ("progress", "running apt-get update..."),
    ]
    assert heard[-1].state == "failed"
    assert {step.what for step in heard} == {"building the trixie host image"}


def test_invalid_archive_leaves_nothing(cache: Path, first_on_path: Path) -> None:
    """Without a valid archive there is no image."""
    program(first_on_path, "mmdebstrap", '#!/bin/sh\nfor last; do :; done\necho junk > "$last"\n')
    with pytest.raises(LabError, match="tar"):
        image.ensure("trixie")
    assert left(cache) == []


def test_missing_mmdebstrap_is_an_error(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without mmdebstrap the error names it, and the hint says how to install it."""
    for name in ("env", "unshare", "newuidmap", "newgidmap"):
        found = shutil.which(name)
        if found is not None:
            (tmp_path / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="mmdebstrap") as caught:
        image.ensure("trixie")
    assert "make setup" in caught.value.hint
    assert left(cache) == []


def test_remains_of_a_killed_build_are_deleted(cache: Path, first_on_path: Path) -> None:
    """The remains of a killed build are no image, and the next build deletes them."""
    place = image.path_of("trixie")
    remains = image._partial(place)
    (remains / "root").mkdir(parents=True)
    assert not image.cached("trixie")
    program(first_on_path, "mmdebstrap", NO_MIRROR)
    with pytest.raises(LabError):
        image.ensure("trixie")
    assert left(cache) == []


def test_image_is_unpacked_from_the_archive(
    cache: Path, first_on_path: Path, tmp_path: Path
) -> None:
    """The archive becomes the image, without devices, and is not built twice."""
    source = tmp_path / "source"
    (source / "etc").mkdir(parents=True)
    (source / "etc/hostname").write_text("host\n")
    (source / "dev").mkdir()
    (source / "dev/null").touch()
    archive = tmp_path / "source.tar"
    pack = ["tar", "--create", "--owner=0", "--group=0", "-f", archive, "-C", source, "."]
    subprocess.run(pack, check=True)
    copy = f'for last; do :; done\nexec cp {archive} "$last"\n'
    program(first_on_path, "mmdebstrap", f"#!/bin/sh\n{copy}")
    built = image.ensure("bookworm")
    assert built == image.path_of("bookworm")
    assert image.cached("bookworm")
    assert (built / "etc/hostname").read_text() == "host\n"
    assert list((built / "dev").iterdir()) == []
    program(first_on_path, "mmdebstrap", NO_MIRROR)
    assert image.ensure("bookworm") == built
    assert image.remove("bookworm")
    assert not image.remove("bookworm")
    assert left(cache) == []


def test_image_has_the_kernel_package(first_on_path: Path, tmp_path: Path) -> None:
    """The hook downloads the package of Debian's cloud kernel under a fixed name."""
    for name, text in {"chroot": CHROOT, "apt-cache": DEPENDS, "apt-get": DOWNLOAD}.items():
        program(first_on_path, name, text)
    root = tmp_path / "root"
    # As mmdebstrap runs a hook: sh -c HOOK exec ROOT.
    subprocess.run(["sh", "-c", image.FETCH_KERNEL, "exec", root], check=True, env=os.environ)
    assert (root / image.KERNEL).read_text() == "kernel\n"
    assert [path.name for path in (root / image.KERNEL).parent.iterdir()] == ["kernel.deb"]
