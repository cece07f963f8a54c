"""Build and cache host images: a Debian release with libvirt and QEMU.

An image is a folder named by its recipe and the hash of it, so a new recipe never uses an old
image. It is built in a folder beside and then renamed, under a lock: an interrupted build never
looks like an image. ``recipes`` says what an image is made of.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from migrationlab.errors import LabError
from migrationlab.lab import directories, namespaces
from migrationlab.lab.recipes import KERNEL, PACKAGES, RECIPES, recipe_of
from migrationlab.steps import Listener, Step, ignore, step

DEFAULT = "trixie"
#: Set to 1, it accepts lists of packages that have expired, like ``expired=True``.
EXPIRED_VARIABLE = "MIGRATIONLAB_EXPIRED_MIRROR"
#: What the build itself notes in an image.
RECORD = "var/lib/migrationlab/image.json"
#: The packages whose versions a run records, where the image has them.
RECORDED = (*PACKAGES, "seabios", "libvirt-daemon-common", "libvirt0", "linux-image")
_IMAGE_NAME = re.compile(r"(?P<name>[a-z-]+)-[0-9a-f]{12}")
#: APT's words for a list of packages that the mirror should have renewed (apt-pkg/acquire-item.cc).
EXPIRED = re.compile(r"Release file for (\S+) is expired \(invalid since ([^)]*)\)")


@dataclass(frozen=True, slots=True)
class CachedImage:
    """A host image in the cache.

    Attributes:
        name: Its recipe.
        path: Its folder.
        current: Whether it is of today's recipe; nothing uses another one any more.
        size_mib: The disk space that its files take.
        built_at: When it was built, in seconds since 1970.
        expired_mirror: Whether it was allowed to be built from lists that had expired; None if
            not known.
        packages: Each package's version.
    """

    name: str
    path: Path
    current: bool
    size_mib: int
    built_at: float
    expired_mirror: bool | None
    packages: dict[str, str]


def path_of(name: str) -> Path:
    """Return the path of an image, present or not; refuse an unknown name."""
    return directories.cache() / "images" / f"{name}-{recipe_of(name).digest}"


def cached(name: str) -> bool:
    """Return whether an image is cached."""
    return path_of(name).is_dir()


def ensure(name: str, on_step: Listener = ignore, *, expired: bool = False) -> Path:
    """Return an image, a folder for the root of hosts; build it if missing.

    Args:
        name: The image's name.
        on_step: Receives the steps of the build.
        expired: Whether to accept lists of packages that the mirror should have renewed. Debian
            dates its lists so that nobody can be kept on old packages with known holes.

    Raises:
        LabError: It could not be built; nothing is left behind.
    """
    image = path_of(name)
    if image.is_dir():
        return image
    with _lock(image), step(on_step, f"building the {name} host image"):
        if not image.is_dir():  # else another process built it while this one waited
            _build(name, image, on_step, expired=expired or os.environ.get(EXPIRED_VARIABLE) == "1")
    return image


def packages(image: Path, wanted: Collection[str] | None = None) -> dict[str, str]:
    """Return the versions of an image's packages, and of its guests' kernel as linux-image.

    Args:
        image: The image's folder.
        wanted: The packages' names; by default all.
    """
    status = image / "var/lib/dpkg/status"
    text = status.read_text(encoding="utf-8") if status.exists() else ""
    found = dict(re.findall(r"^Package: (\S+)\n(?:.+\n)*?Version: (\S+)$", text, re.MULTILINE))
    for file in (image / KERNEL).glob("linux-image-*.deb"):
        # apt names a file PACKAGE_VERSION_ARCHITECTURE.deb, and writes %3a for a colon.
        found["linux-image"] = file.name.split("_")[1].replace("%3a", ":")
    for file in (image / KERNEL).glob("linux-binary-*.deb"):
        found["linux-image"] = file.name.split("_")[1].replace("%3a", ":")
    return {name: found[name] for name in sorted(found) if wanted is None or name in wanted}


def cached_images() -> list[CachedImage]:
    """Return every image in the cache, also those of older recipes, by name."""
    folder = directories.cache() / "images"
    if not folder.is_dir():
        return []
    found = [(match["name"], path) for path in sorted(folder.iterdir())
             if (match := _IMAGE_NAME.fullmatch(path.name)) and path.is_dir()]  # fmt: skip
    return [_described(name, path) for name, path in found if name in RECIPES]


def _described(name: str, path: Path) -> CachedImage:
    record = path / RECORD
    noted = json.loads(record.read_text()) if record.exists() else {}
    usage = namespaces.run([*namespaces.unshare(), "du", "-s", "--block-size=1M", str(path)])
    return CachedImage(
        name=name,
        path=path,
        current=path == path_of(name),
        size_mib=int(usage.split()[0]),
        built_at=noted.get("built_at", path.stat().st_mtime),
        expired_mirror=noted.get("expired_mirror"),
        packages=packages(path),
    )


def capabilities(image: Path) -> Path:
    """Return the folder of libvirt's cache of an image's QEMU capabilities.

    libvirt checks itself whether they are still valid (binaries' dates, kernel, CPU, KVM).
    """
    folder = image.with_name(f"{image.name}.capabilities")
    folder.mkdir(exist_ok=True)
    return folder


def remove(name: str) -> bool:
    """Delete every image of a name, also of older recipes; return whether one existed."""
    image = path_of(name)
    with _lock(image):
        beside = [path for path in image.parent.iterdir() if _belongs(path.name, name)]
        for path in beside:
            namespaces.remove_tree(path)
    return any(_IMAGE_NAME.fullmatch(path.name) for path in beside)


def _belongs(file: str, name: str) -> bool:
    """Return whether a folder of the cache is an image of this name, or was made for one."""
    bare = file.removeprefix(".")
    for ending in (".partial", ".partial-daemons", ".capabilities", ".daemons"):
        bare = bare.removesuffix(ending)
    match = _IMAGE_NAME.fullmatch(bare)
    return match is not None and match["name"] == name


def _partial(image: Path) -> Path:
    return image.with_name(f".{image.name}.partial")


def _lock(image: Path) -> AbstractContextManager[None]:
    image.parent.mkdir(parents=True, exist_ok=True)
    return directories.locked(image.with_name(f".{image.name}.lock"))


def _build(name: str, image: Path, on_step: Listener, *, expired: bool) -> None:
    partial = _partial(image)
    namespaces.remove_tree(partial)  # of a build that was killed
    partial.mkdir()
    tar = partial / "image.tar"
    root = partial / "root"
    try:
        _mmdebstrap(name, tar, on_step, expired=expired)
        root.mkdir()
        record = json.dumps({"built_at": round(time.time()), "expired_mirror": expired})
        # Unpacked in a user namespace, so that the files' owners are mapped as they will be.
        unpack = (
            'tar --extract --file "$1" --directory "$2" --numeric-owner --exclude="./dev/*"; '
            'mkdir -p "$2/$(dirname "$3")"; echo "$4" >"$2/$3"'
        )
        namespaces.run(
            [
                *namespaces.unshare(),
                "sh",
                "-euc",
                unpack,
                "sh",
                str(tar),
                str(root),
                RECORD,
                record,
            ],
            timeout_s=300,
        )
        root.rename(image)
    finally:
        namespaces.remove_tree(partial)


def _mmdebstrap(name: str, tar: Path, on_step: Listener, *, expired: bool) -> None:
    recipe = recipe_of(name)
    argv = [
        # In the guard's namespaces, so that a build ends with its owner; everything that it writes
        # is beside the image.
        *("env", f"TMPDIR={tar.parent}", "mmdebstrap"),
        f"--mode={'unshare' if namespaces.rootless() else 'root'}",
        *recipe.build_arguments(expired=expired),
        *(recipe.suites[0], str(tar), *recipe.sources()),
    ]
    null = subprocess.DEVNULL
    process = namespaces.start_guarded(argv, stdin=null, stdout=null, stderr=subprocess.PIPE)
    assert process.stderr is not None
    output: list[str] = []
    try:
        for row in process.stderr:
            line = row.decode(errors="replace").rstrip()
            output.append(line)
            if line.startswith("I: "):
                on_step(Step(f"building the {name} host image", "progress", line[3:]))
        process.wait()
    finally:
        namespaces.end_guarded(process)
    if process.returncode != 0:
        raise _failure(name, [line for line in output if not line.startswith("I: ")])


def _failure(name: str, complaints: list[str]) -> LabError:
    text = "\n".join(complaints)
    if match := EXPIRED.search(text):
        return LabError(
            f"build of the {name} host image failed: the mirror's list of packages {match[1]} has "
            f"expired, {match[2]} ago, so nobody can tell whether newer packages exist",
            hint="Wait until the mirror is renewed. Or accept the old list, for this image only: "
            f"`migrationlab lab images build {name} --expired-mirror`",
        )
    return LabError(
        f"build of the {name} host image failed:\n{text[-1500:]}",
        hint="Run `make setup` if mmdebstrap is missing. Check the network to Debian's mirror, "
        "and the disk space. `migrationlab doctor` checks the rest.",
    )
