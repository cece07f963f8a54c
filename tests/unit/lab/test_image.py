"""Tests of host images: each recipe has its own name, and a failed build leaves nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from migrationlab.errors import LabError, UsageError
from migrationlab.lab import image, recipes
from migrationlab.steps import Step

#: Finds the archive to write among mmdebstrap's arguments.
ARCHIVE = "for each; do case $each in *.tar) archive=$each ;; esac; done\n"
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
#: APT's words for a list that the mirror has not renewed.
EXPIRED = """\
#!/bin/sh
for last; do echo "$last" >>"$0.arguments"; done
echo "E: Release file for http://mirror/debian/dists/forky/InRelease is expired (invalid since \
24d 5h 54min 7s). Updates for this repository will not be applied." >&2
exit 1
"""
#: Runs the program in the folder instead of changing its root to the folder.
CHROOT = """\
#!/bin/sh
root=$1 interpreter=$2 options=$3
exec "$interpreter" "$options" "$(printf %s "$4" | sed "s,cd /,cd $root/,")"
"""
#: Packages as `dpkg-deb --build` wants them: name, dependencies, and one file.
PACKAGE = "Package: {}\nVersion: {}\nArchitecture: amd64\nMaintainer: x <x@x>\nDescription: x\n"
#: What `apt-cache depends --important` prints of these packages, of Debian 12 and of Debian 14.
DEPENDS = {
    "linux-image-cloud-amd64": ["linux-image-6.1.0-56-cloud-amd64"],
    "linux-image-6.1.0-56-cloud-amd64": ["kmod", "linux-base", "initramfs-tools"],
}
SPLIT_DEPENDS = {
    "linux-image-cloud-amd64": ["linux-image-7.2.12+deb14-cloud-amd64"],
    "linux-image-7.2.12+deb14-cloud-amd64": [
        "linux-base-7.2.12+deb14-cloud-amd64",
        "linux-binary-7.2.12+deb14-cloud-amd64",
        "linux-modules-7.2.12+deb14-cloud-amd64",
        "linux-base",
    ],
}


def program(folder: Path, name: str, text: str) -> None:
    """Put a program into a folder."""
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def left(cache: Path) -> list[str]:
    """Return the names of everything in the folder of images but the locks."""
    return [path.name for path in (cache / "images").iterdir() if path.suffix != ".lock"]


def test_unknown_image_is_refused() -> None:
    """An unknown image is refused, and the hint has the known ones."""
    with pytest.raises(UsageError, match="the image must be one of trixie, bookworm") as caught:
        image.path_of("sarge")
    assert caught.value.hint == "Choose one of trixie, bookworm, trixie-backports, forky."


def test_images_are_named_by_recipe(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each recipe has its own name, and another one once its content changes."""
    names = [image.path_of(name) for name in recipes.RECIPES]
    for setting, value in {
        "PACKAGES": (*recipes.PACKAGES, "one-more"),
        "LEFT_OUT": (),
        "FETCH_KERNEL": f"{recipes.FETCH_KERNEL} ",
    }.items():
        with monkeypatch.context() as changed:
            changed.setattr(recipes, setting, value)
            names.append(image.path_of("trixie"))
    assert len(set(names)) == len(recipes.RECIPES) + 3
    assert image.path_of("trixie") == names[0]
    assert {name.parent for name in names} == {cache / "images"}
    assert names[1].name.startswith("bookworm-")


def test_backports_are_pinned_and_security_has_its_mirror() -> None:
    """The image of backports takes only the named sources from there."""
    recipe = recipes.recipe_of("trixie-backports")
    sources = recipe.sources()
    assert [line.split()[-2] for line in sources] == list(recipe.suites)
    (security,) = (line for line in sources if "trixie-security" in line)
    assert recipes.SECURITY_MIRROR in security
    (hook,) = (word for word in recipe.build_arguments(expired=False) if "setup-hook" in word)
    assert "Package: src:libvirt src:qemu src:seabios\\nPin: release n=trixie-backports" in hook


def test_expired_mirror_is_refused_unless_it_is_accepted(
    cache: Path, first_on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An expired list is an error that names the option; only the option accepts it."""
    program(first_on_path, "mmdebstrap", EXPIRED)
    given = first_on_path / "mmdebstrap.arguments"
    accepting = '--aptopt=Acquire::Check-Valid-Until "false"'
    with pytest.raises(LabError, match="dists/forky/InRelease has expired, 24d 5h") as caught:
        image.ensure("forky")
    assert "migrationlab lab images build forky --expired-mirror" in caught.value.hint
    assert accepting not in given.read_text().splitlines()
    with pytest.raises(LabError):
        image.ensure("forky", expired=True)
    assert accepting in given.read_text().splitlines()
    given.unlink()
    monkeypatch.setenv(image.EXPIRED_VARIABLE, "1")
    with pytest.raises(LabError):
        image.ensure("forky")
    assert accepting in given.read_text().splitlines()
    assert left(cache) == []


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
    program(first_on_path, "mmdebstrap", f'#!/bin/sh\n{ARCHIVE}echo junk > "$archive"\n')
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
    copy = f'{ARCHIVE}exec cp {archive} "$archive"\n'
    program(first_on_path, "mmdebstrap", f"#!/bin/sh\n{copy}")
    built = image.ensure("bookworm")
    assert built == image.path_of("bookworm")
    assert image.cached("bookworm")
    assert (built / "etc/hostname").read_text() == "host\n"
    assert list((built / "dev").iterdir()) == []
    program(first_on_path, "mmdebstrap", NO_MIRROR)
    assert image.ensure("bookworm") == built
    (found,) = image.cached_images()
    assert (found.name, found.path, found.current) == ("bookworm", built, True)
    assert found.expired_mirror is False
    image.capabilities(built)
    # An image whose name begins alike is another one.
    other = built.with_name("bookworm-backports-0123456789ab")
    other.mkdir()
    assert image.remove("bookworm")
    assert other.is_dir()
    other.rmdir()
    assert not image.remove("bookworm")
    assert left(cache) == []


@pytest.mark.parametrize(
    ("depends", "holds", "kept"),
    [
        (
            DEPENDS,
            {"linux-image-6.1.0-56-cloud-amd64": "boot/vmlinuz-6.1.0"},
            ["linux-image-6.1.0-56-cloud-amd64"],
        ),
        (
            SPLIT_DEPENDS,
            {
                "linux-image-7.2.12+deb14-cloud-amd64": "usr/share/doc/x",
                "linux-base-7.2.12+deb14-cloud-amd64": "boot/config-7.2.12",
                "linux-binary-7.2.12+deb14-cloud-amd64": "usr/lib/modules/7.2.12/vmlinuz",
                "linux-modules-7.2.12+deb14-cloud-amd64": "usr/lib/modules/7.2.12/a.ko.xz",
            },
            ["linux-binary-7.2.12+deb14-cloud-amd64", "linux-modules-7.2.12+deb14-cloud-amd64"],
        ),
    ],
    ids=["one package", "split"],
)
def test_image_keeps_the_packages_with_kernel_and_modules(
    first_on_path: Path,
    tmp_path: Path,
    depends: dict[str, list[str]],
    holds: dict[str, str],
    kept: list[str],
) -> None:
    """The hook keeps those of the cloud kernel's packages that contain a kernel or modules."""
    lines = {
        name: "".join(rf"  Depends: {each}\n" for each in needed)
        for name, needed in depends.items()
    }
    answers = "".join(rf"{name}) printf '{name}\n{text}' ;;" "\n" for name, text in lines.items())
    program(first_on_path, "chroot", CHROOT)
    program(first_on_path, "apt-cache", f"#!/bin/sh\ncase $3 in\n{answers}esac\n")
    ready = tmp_path / "ready"
    ready.mkdir()
    for name, path in holds.items():
        tree = tmp_path / name
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(PACKAGE.format(name, "1.0"))
        (tree / path).parent.mkdir(parents=True)
        (tree / path).touch()
        build = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, ready]
        subprocess.run(build, check=True, capture_output=True)
    copy = f'shift\nfor name; do cp {ready}/"$name"_*.deb . || exit 100; done\n'
    program(first_on_path, "apt-get", f"#!/bin/sh\n{copy}")
    root = tmp_path / "root"
    # As mmdebstrap runs a hook: sh -c HOOK exec ROOT.
    subprocess.run(["sh", "-c", recipes.FETCH_KERNEL, "exec", root], check=True, env=os.environ)
    found = sorted(path.name.split("_")[0] for path in (root / recipes.KERNEL).iterdir())
    assert found == kept
    assert image.packages(root) == {"linux-image": "1.0"}


def test_image_names_its_packages(tmp_path: Path) -> None:
    """The versions are those that dpkg installed."""
    status = tmp_path / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text(
        "Package: libvirt0\nStatus: install ok installed\nVersion: 12.9.0-1~bpo13+1\n\n"
        "Package: qemu-utils\nStatus: install ok installed\nSource: qemu\nVersion: 1:11.1.3\n"
    )
    assert image.packages(tmp_path, ("qemu-utils",)) == {"qemu-utils": "1:11.1.3"}
    assert image.packages(tmp_path)["libvirt0"] == "12.9.0-1~bpo13+1"
