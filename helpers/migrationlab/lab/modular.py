"""Build and cache libvirt's modular daemons for a host image, which Debian does not ship.

Theory of operation. libvirt's source has one program for all (libvirtd), and modular daemons: one
for each driver, and virtproxyd, which serves other machines. Debian builds all and ships libvirtd
only. So virtqemud and virtproxyd are built once from the source package of the image's own libvirt,
and run with the libraries and the QEMU driver of the image's packages. They lie beside the image.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from migrationlab.errors import LabError
from migrationlab.lab import directories, image, namespaces
from migrationlab.lab.recipes import recipe_of
from migrationlab.steps import Listener, Step, ignore, step

PROGRAM = Path(__file__).parent / "payload" / "build-daemons.sh"
DAEMONS = ("virtqemud", "virtproxyd")
#: The exit status of the program if the source package cannot be had.
_NO_SOURCE = 3
#: APT's words if its list of source packages lacks the version (apt-private/private-source.cc), and
#: if a server does not have a file.
_UNLISTED = re.compile("Can not find version|Unable to find a source package")
_ABSENT = re.compile(r"\b404\b")


def path_of(name: str) -> Path:
    """Return the folder of an image's modular daemons, present or not."""
    root = image.path_of(name)
    return root.with_name(f"{root.name}.daemons")


def source_version(root: Path) -> str:
    """Return the version of the source package that an image's libvirt was built from."""
    status = (root / "var/lib/dpkg/status").read_text(encoding="utf-8")
    paragraph = next(p for p in status.split("\n\n") if p.startswith("Package: libvirt0\n"))
    # Packages that were built again name their source's version: "Source: libvirt (12.8.0-1)".
    source = re.search(r"^Source: libvirt \((\S+)\)$", paragraph, re.MULTILINE)
    own = re.search(r"^Version: (\S+)$", paragraph, re.MULTILINE)
    assert own is not None
    return (source or own)[1]


def ensure(name: str, on_step: Listener = ignore, *, expired: bool = False) -> Path:
    """Return the folder of an image's modular daemons; build them if missing, in some minutes.

    Args:
        name: The image's name. The image is built, too, if it is missing.
        on_step: Receives the steps of the build.
        expired: Whether to accept lists of packages that the mirror should have renewed.

    Raises:
        LabError: They could not be built; nothing is left behind.
    """
    root = image.ensure(name, on_step, expired=expired)
    folder = path_of(name)
    if folder.is_dir():
        return folder
    accept = expired or os.environ.get(image.EXPIRED_VARIABLE) == "1"
    lock = directories.locked(folder.with_name(f".{folder.name}.lock"))
    with lock, step(on_step, _what(name)):
        if not folder.is_dir():
            _build(name, root, on_step, accept=accept)
    return folder


def _what(name: str) -> str:
    return f"building the modular daemons of {name}"


def _build(name: str, root: Path, on_step: Listener, *, accept: bool) -> None:
    folder = path_of(name)
    partial = folder.with_name(f".{root.name}.partial-daemons")
    namespaces.remove_tree(partial)  # of a build that was killed
    partial.mkdir()
    version = source_version(root)
    argv = ["sh", str(PROGRAM), str(root), str(partial), version, "yes" if accept else "no"]
    null = subprocess.DEVNULL
    try:
        process = namespaces.start_guarded(
            [*argv, *recipe_of(name).sources("deb-src")],
            stdin=null, stdout=null, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        output: list[str] = []
        try:
            for row in process.stderr:
                line = row.decode(errors="replace").rstrip()
                output.append(line)
                if line.startswith("I: "):
                    on_step(Step(_what(name), "progress", line[3:]))
            process.wait()
        finally:
            namespaces.end_guarded(process)
        if process.returncode != 0:
            raise _failure(name, version, process.returncode, output)
        made = partial / "made"
        made.mkdir()
        for daemon in DAEMONS:
            (partial / daemon).rename(made / daemon)
        made.rename(folder)
    finally:
        namespaces.remove_tree(partial)


def _failure(name: str, version: str, status: int, output: list[str]) -> LabError:
    text = "\n".join(line for line in output if not line.startswith("I: "))
    if match := image.EXPIRED.search(text):
        return LabError(
            f"build of the modular daemons of {name} failed: the mirror's list of packages "
            f"{match[1]} has expired, {match[2]} ago",
            hint="Wait until the mirror is renewed. Or accept the old list: "
            f"`migrationlab lab images build {name} --modular --expired-mirror`",
        )
    if _UNLISTED.search(text):
        return LabError(
            f"build of the modular daemons of {name} failed: the mirror's list no longer has the "
            f"source package of libvirt {version}, from which the image's libvirt was built",
            hint="Build the image again from today's packages: `migrationlab lab images remove "
            f"{name}`, then `migrationlab lab images build {name} --modular`. Or use "
            'Lab(daemons="monolithic").',
        )
    if status == _NO_SOURCE and _ABSENT.search(text):
        return LabError(
            f"build of the modular daemons of {name} failed: the mirror's list has the source "
            f"package of libvirt {version}, but the mirror does not have its files",
            hint="Wait until the mirror has them: an image that is built today needs the same "
            f'files. Or use Lab(images="{name}", daemons="monolithic"), which needs no source.',
        )
    return LabError(
        f"build of the modular daemons of {name} failed:\n{text[-1500:]}",
        hint="Check the network to Debian's mirror, and that 2 GiB of memory are free.",
    )
