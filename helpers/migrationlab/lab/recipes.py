"""Hold the recipes of host images: Debian suites, packages, and the hooks of a build.

``images.toml`` has a table for each image. This module makes mmdebstrap's arguments of it.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrationlab.errors import UsageError

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
MIRROR = "http://deb.debian.org/debian"
SECURITY_MIRROR = "http://deb.debian.org/debian-security"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
#: The folder with the package files of the guests' kernel: they are unpacked, never installed.
KERNEL = "var/lib/migrationlab/kernel"
#: Debian 14 has the kernel and its modules in packages of their own, which the package of that
#: name depends on. So the packages are followed by their version, and kept by what they contain.
FETCH_KERNEL = f"""\
mkdir -p "$1/{KERNEL}" && chroot "$1" sh -euc '
cd /{KERNEL}
depends() {{ apt-cache depends --important "$1" | sed -n "s/.*Depends: \\(linux-[^ ]*\\)$/\\1/p"; }}
image=$(depends linux-image-cloud-amd64 | grep "^linux-image-")
version=${{image#linux-image-}}
apt-get download "$image" $(depends "$image" | grep -F -- "-$version")
for package in *.deb; do
    dpkg-deb --contents "$package" | grep -q -e /vmlinuz -e "[.]ko" || rm "$package"
done'"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The recipe of one host image.

    Attributes:
        name: The image's name.
        about: What it is, in a few words.
        suites: Debian's suites that its packages come from; the first is its release.
        newer: The suite and the source packages that are taken from it on purpose.
    """

    name: str
    about: str
    suites: tuple[str, ...]
    newer: tuple[str, tuple[str, ...]] | None = None

    @property
    def digest(self) -> str:
        """Return a short name of all that decides the image's content, besides the mirror."""
        parts = [2, self.name, self.suites, self.newer, PACKAGES, LEFT_OUT, FETCH_KERNEL]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]

    def sources(self, kind: str = "deb") -> list[str]:
        """Return the lines of APT's list of sources."""
        return [
            f"{kind} [signed-by={KEYRING}] "
            f"{SECURITY_MIRROR if suite.endswith('-security') else MIRROR} {suite} main"
            for suite in self.suites
        ]

    def preferences(self) -> str:
        """Return APT's preferences, empty where it decides by itself."""
        if self.newer is None:
            return ""
        suite, sources = self.newer
        names = " ".join(f"src:{source}" for source in sources)
        return f"Package: {names}\nPin: release n={suite}\nPin-Priority: 600\n"

    def build_arguments(self, *, expired: bool) -> list[str]:
        """Return mmdebstrap's arguments, without the target.

        Args:
            expired: Whether to accept lists of packages that the mirror should have renewed.
        """
        preferences = self.preferences()
        hook = (
            'mkdir -p "$1/etc/apt/preferences.d" && printf \''
            + preferences.replace("\n", "\\n")
            + '\' >"$1/etc/apt/preferences.d/migrationlab"'
        )
        return [
            *("--variant=apt", "--skip=check/empty"),
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
            # apt's own user may not read the cache, which only this user may.
            '--aptopt=APT::Sandbox::User "root"',
            *(['--aptopt=Acquire::Check-Valid-Until "false"'] if expired else []),
            f"--include={','.join(PACKAGES)}",
            *([f"--setup-hook={hook}"] if preferences else []),
            f"--customize-hook={FETCH_KERNEL}",
        ]


def _recipe(name: str, table: Mapping[str, Any]) -> Recipe:
    newer = table.get("newer")
    return Recipe(
        name=name,
        about=table["about"],
        suites=tuple(table["suites"]),
        newer=newer and (newer["suite"], tuple(newer["sources"])),
    )


_TABLES = tomllib.loads(Path(__file__).with_name("images.toml").read_text(encoding="utf-8"))
RECIPES = {name: _recipe(name, table) for name, table in _TABLES.items()}


def recipe_of(name: str) -> Recipe:
    """Return the recipe of an image; refuse an unknown name."""
    if name in RECIPES:
        return RECIPES[name]
    raise UsageError(
        f"the image must be one of {', '.join(RECIPES)} (got {name!r})",
        hint=f"Choose one of {', '.join(RECIPES)}.",
    )
