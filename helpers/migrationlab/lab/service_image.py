"""Build and cache the files of a guest's service: a real server of Debian with its libraries.

The files are an archive that the guest's kernel unpacks after the initramfs. They come from the
packages of the host image's Debian release. What the host image has already (the C library, OpenSSL
and so on) is taken from there. So a build downloads a few packages and takes 10 to 40 seconds.

Like an image, the files lie in a folder that is named by the hash of the recipe, and are built
beside it under a lock.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import msgspec

from migrationlab.errors import LabError
from migrationlab.lab import directories, image, namespaces
from migrationlab.plan.guest_spec import ServiceName
from migrationlab.steps import Listener, Step, ignore, step

PAYLOAD = Path(__file__).parent / "payload"
#: Increase it when the same sources give other files.
VERSION = 1
LOADER = "lib64/ld-linux-x86-64.so.2"
#: Where the guest's C library looks for the others.
LIBRARIES = "lib/x86_64-linux-gnu"
#: A line of the loader's list: a library and the file that it was found in.
FOUND = re.compile(r"^\s*(?P<name>\S+) => (?P<path>/\S+|not found)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service as ``services.toml`` describes it."""

    name: ServiceName
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    folders: tuple[str, ...]
    left_out: tuple[str, ...]
    port: int
    write_every: int
    version: str


@dataclass(frozen=True, slots=True)
class ServiceFiles:
    """The files of a service: the archive for the guest, and the version of the server."""

    archive: Path
    version: str


@functools.cache
def services() -> dict[str, Service]:
    """Return the services by name."""
    text = resources.files(__package__).joinpath("services.toml").read_text("utf-8")
    return {
        name: msgspec.convert({"name": name, **about}, Service)
        for name, about in tomllib.loads(text).items()
    }


def ensure(service: Service, root: Path, on_step: Listener = ignore) -> ServiceFiles:
    """Return the files of a service for guests of a host image; build missing ones.

    Args:
        service: The service.
        root: The host image.
        on_step: Receives the steps of the build.

    Raises:
        LabError: They could not be built; nothing is left behind.
    """
    folder = directories.cache() / "services" / f"{service.name}-{_digest(service, root)}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        what = f"building the files of {service.name}"
        with directories.locked(folder.with_name(f".{folder.name}.lock")), step(on_step, what):
            if not folder.is_dir():  # else another process built them while this one waited
                _build(service, root, folder, lambda text: on_step(Step(what, "progress", text)))
    about = json.loads((folder / "service.json").read_text())
    return ServiceFiles(folder / "archive", about["version"])


def remove() -> None:
    """Delete the cached files of all services."""
    namespaces.remove_tree(directories.cache() / "services")


def _digest(service: Service, root: Path) -> str:
    # A named image never changes.
    digest = hashlib.sha256(repr([VERSION, root.name, service]).encode())
    for script in _scripts(service):
        digest.update(script.read_bytes())
    return digest.hexdigest()[:12]


def _scripts(service: Service) -> list[Path]:
    names = (f"service-{service.name}.sh", f"prepare-{service.name}.sh")
    return [path for path in (PAYLOAD / name for name in names) if path.exists()]


def _build(service: Service, root: Path, folder: Path, say: Callable[[str], None]) -> None:
    partial = folder.with_name(f".{folder.name}.partial")
    namespaces.remove_tree(partial)  # of a build that was killed
    unpacked, tree, made = (partial / name for name in ("unpacked", "tree", "made"))
    made.mkdir(parents=True)
    try:
        say("downloading the packages")
        packages = _download(service, root, partial / "apt")
        version = ""
        for package in packages:
            namespaces.run(["dpkg-deb", "--extract", str(package), str(unpacked)], timeout_s=120)
            if package.name.startswith(f"{service.version}_"):
                shown = ["dpkg-deb", "--field", str(package), "Version"]
                version = namespaces.run(shown).strip()
        say("collecting the server's files")
        _collect(service, root, unpacked, tree)
        if prepare := [path for path in _scripts(service) if path.name.startswith("prepare-")]:
            say("preparing the data")
            argv = ["sh", str(prepare[0]), str(tree), str(root / "bin/busybox")]
            namespaces.run([*namespaces.unshare("--mount"), *argv], timeout_s=120)
        # In a user namespace, so that the files' owners are those that the guest sees.
        files = namespaces.run([*namespaces.unshare(), "find", str(tree), "-printf", "%P\\n"])
        busybox = str(root / "bin/busybox")
        archive = namespaces.run_bytes(
            [*namespaces.unshare(), busybox, "cpio", "-o", "-H", "newc"], text=files, cwd=tree
        )
        (made / "archive").write_bytes(archive)
        (made / "service.json").write_text(json.dumps({"version": version}))
        made.rename(folder)
    finally:
        namespaces.remove_tree(partial)


def _download(service: Service, root: Path, apt: Path) -> list[Path]:
    """Download packages of the release of a host image, checked with that release's keys."""
    for name in ("etc/apt", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        (apt / name).mkdir(parents=True)
    sources = (root / "etc/apt/sources.list").read_text()
    # The keys are those of the release, not of this machine.
    (apt / "etc/apt/sources.list").write_text(sources.replace("signed-by=/", f"signed-by={root}/"))
    settings = {
        "Dir": apt,
        "Dir::State::status": root / "var/lib/dpkg/status",
        "APT::Architecture": "amd64",
        "Acquire::Languages": "none",
        # apt's own user may not read the cache, which only this user may.
        "APT::Sandbox::User": "root",
    }
    if os.environ.get(image.EXPIRED_VARIABLE) == "1":
        settings["Acquire::Check-Valid-Until"] = "false"
    argv = ["apt-get", "-qq", *(f"--option={key}={value}" for key, value in settings.items())]
    folder = apt / "var/cache/apt/archives"
    try:
        namespaces.run([*argv, "update"], timeout_s=120)
        namespaces.run_bytes([*argv, "download", *service.packages], timeout_s=300, cwd=folder)
    except LabError as error:
        raise LabError(
            f"download of {service.name} failed: {error}",
            hint="Check the network to Debian's mirror. The release of the lab's first host must "
            f"have the packages {', '.join(service.packages)}: start the lab with "
            'mig.Lab(images="trixie").',
        ) from error
    return sorted(folder.glob("*.deb"))


def _collect(service: Service, root: Path, unpacked: Path, tree: Path) -> None:
    """Copy the server, its libraries and what else it reads."""
    for name in ("dev", "etc", "service", LIBRARIES, "usr/bin"):
        (tree / name).mkdir(parents=True)
    for pattern in service.folders:
        for found in _matching(unpacked, pattern):
            ignored = shutil.ignore_patterns(*service.left_out)
            shutil.copytree(found, tree / found.relative_to(unpacked), ignore=ignored)
    setpriv = tree / "usr/bin/setpriv"
    shutil.copy(root / "usr/bin/setpriv", setpriv)
    for pattern in service.programs:
        for found in _matching(unpacked, pattern):
            program = tree / found.relative_to(unpacked)
            program.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, program)
    (tree / LOADER).parent.mkdir(parents=True)
    shutil.copy((root / "usr" / LOADER).resolve(), tree / LOADER)
    binaries = [path for path in tree.rglob("*") if path.is_file() and _is_elf(path)]
    for path in _libraries(binaries, root, unpacked):
        shutil.copy(path, tree / LIBRARIES / path.name)
    script = _scripts(service)[0]
    shutil.copyfile(script, tree / "service/start")


def _matching(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    if not found:
        raise LabError(
            f"the packages must have {pattern} (they have no such file)",
            hint='Start the lab with mig.Lab(images="trixie").',
        )
    return found


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _libraries(binaries: Sequence[Path], root: Path, unpacked: Path) -> Iterator[Path]:
    """Yield the libraries that programs need: their newest copy in the packages or the image."""
    places = [base / "usr" / LIBRARIES for base in (unpacked, root)]
    loader = str(root / "usr" / LOADER)
    path = ":".join(map(str, places))
    seen: set[str] = set()
    for binary in binaries:
        listed = namespaces.run([loader, "--library-path", path, "--list", str(binary)])
        for found in FOUND.finditer(listed):
            name = found["name"]
            if name in seen or name.startswith("/"):
                continue
            seen.add(name)
            library = next((place / name for place in places if (place / name).exists()), None)
            if library is None:
                raise LabError(
                    f"the library {name} of {binary.name} is missing",
                    hint='Start the lab with mig.Lab(images="trixie").',
                )
            yield library
