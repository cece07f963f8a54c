"""Build and cache host images: a Debian release with libvirt and QEMU.

An image is a folder named by its release and the hash of its recipe, so a new recipe never uses an
old image. It is built in a folder beside and then renamed, under a lock: an interrupted build
never looks like an image.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

from migrationlab.errors import LabError, UsageError
from migrationlab.lab import directories, namespaces
from migrationlab.steps import Listener, Step, ignore, step

RELEASES = ("trixie", "bookworm")
DEFAULT = "trixie"

PACKAGES = (
    "libvirt-daemon",
    "libvirt-daemon-driver-qemu",
    "libvirt-daemon-system",
    "libvirt-clients",
    "qemu-system-x86",
    "qemu-utils",
    "iproute2",
    "openssh-server",
    "openssh-client",
    "busybox-static",
)
#: Parts of packages that a lab host never reads.
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
KERNEL = "var/lib/migrationlab/kernel.deb"
#: The guests' kernel is a package file in the image: it is unpacked, never installed.
FETCH_KERNEL = (
    'mkdir -p "$1/var/lib/migrationlab" && chroot "$1" sh -euc \''
    "cd /var/lib/migrationlab; "
    'name=$(apt-cache depends linux-image-cloud-amd64 | sed -n "s/.*Depends: linux/linux/p"); '
    'apt-get download "$name"; mv linux-image-*.deb kernel.deb\''
)


def path_of(release: str) -> Path:
    """Return the path of a release's image, present or not; refuse an unknown release."""
    if release not in RELEASES:
        raise UsageError(
            f"the release must be {' or '.join(RELEASES)} (got {release!r})",
            hint=f"Choose one of {', '.join(RELEASES)}.",
        )
    recipe = json.dumps([1, release, PACKAGES, LEFT_OUT, FETCH_KERNEL])
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    return directories.cache() / "images" / f"{release}-{digest}"


def cached(release: str) -> bool:
    """Return whether the image of a release is cached."""
    return path_of(release).is_dir()


def ensure(release: str, on_step: Listener = ignore) -> Path:
    """Return the image of a release, a folder for the root of hosts; build it if missing.

    Raises:
        LabError: It could not be built; nothing is left behind.
    """
    image = path_of(release)
    if image.is_dir():
        return image
    with _lock(image), step(on_step, f"building the {release} host image"):
        if not image.is_dir():  # else another process built it while this one waited
            _build(release, image, on_step)
    return image


def capabilities(image: Path) -> Path:
    """Return the folder of libvirt's cache of an image's QEMU capabilities.

    libvirt checks itself whether they are still valid (binaries' dates, kernel, CPU, KVM).
    """
    folder = image.with_name(f"{image.name}.capabilities")
    folder.mkdir(exist_ok=True)
    return folder


def remove(release: str) -> bool:
    """Delete every image of a release, also of older recipes; return whether one existed."""
    image = path_of(release)
    with _lock(image):
        found = [path for path in image.parent.glob(f"{release}-*") if path.is_dir()]
        for path in [*found, *image.parent.glob(f".{release}-*.partial")]:
            namespaces.remove_tree(path)
    return bool(found)


def _partial(image: Path) -> Path:
    return image.with_name(f".{image.name}.partial")


def _lock(image: Path) -> AbstractContextManager[None]:
    image.parent.mkdir(parents=True, exist_ok=True)
    return directories.locked(image.with_name(f".{image.name}.lock"))


def _build(release: str, image: Path, on_step: Listener) -> None:
    partial = _partial(image)
    namespaces.remove_tree(partial)  # of a build that was killed
    partial.mkdir()
    tar = partial / "image.tar"
    root = partial / "root"
    try:
        _mmdebstrap(release, tar, on_step)
        root.mkdir()
        # Unpacked in a user namespace, so that the files' owners are mapped as they will be.
        namespaces.run(
            [
                *namespaces.unshare(),
                *("tar", "--extract", "--file", str(tar), "--directory", str(root)),
                *("--numeric-owner", "--exclude=./dev/*"),
            ],
            timeout_s=300,
        )
        root.rename(image)
    finally:
        namespaces.remove_tree(partial)


def _mmdebstrap(release: str, tar: Path, on_step: Listener) -> None:
    argv = [
        # In the guard's namespaces, so that a build ends with its owner; everything that it writes
        # is beside the image.
        *("env", f"TMPDIR={tar.parent}"),
        *("mmdebstrap", "--variant=apt", "--skip=check/empty"),
        f"--mode={'unshare' if namespaces.rootless() else 'root'}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        # apt's own user may not read the cache, which only this user may.
        '--aptopt=APT::Sandbox::User "root"',
        f"--include={','.join(PACKAGES)}",
        f"--customize-hook={FETCH_KERNEL}",
        *(release, str(tar)),
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
                on_step(Step(f"building the {release} host image", "progress", line[3:]))
        process.wait()
    finally:
        namespaces.end_guarded(process)
    if process.returncode != 0:
        end = "\n".join(line for line in output if not line.startswith("I: "))[-1500:]
        raise LabError(
            f"build of the {release} host image failed:\n{end}",
            hint="Run `make setup` if mmdebstrap is missing. Check the network to Debian's mirror, "
            "and the disk space. `migrationlab doctor` checks the rest.",
        )
