"""Know what QEMU has for a migration that libvirt does not offer.

``qemu_own.toml`` has QEMU's capabilities and parameters, and who sets each. ``qemu_parameters`` has
those that migrationlab can set for a guest of a lab.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

Version = tuple[int, ...]

_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unoffered:
    """A capability or parameter of QEMU that libvirt does not offer for migrations.

    Attributes:
        name: QEMU's name.
        kind: "capability" or "parameter".
        since: The first QEMU that has it.
        meaning: What it does.
        gone: The first QEMU without it; empty if today's has it.
    """

    name: str
    kind: str
    since: str
    meaning: str
    gone: str = ""

    @property
    def versions(self) -> str:
        """Return the versions of QEMU that have it, in words."""
        return f"QEMU {self.since}" + (f" to before {self.gone}" if self.gone else "")

    def in_version(self, qemu: Version) -> bool:
        """Return whether a QEMU of that version has it."""
        return _version(self.since) <= qemu[:2] and not (
            self.gone and _version(self.gone) <= qemu[:2]
        )


#: QEMU's names of what libvirt sets, and the setting of a plan that does it.
USED: dict[str, str] = _TABLE["used"]
#: What libvirt does not offer.
UNOFFERED = tuple(
    Unoffered(name=name, kind=kind, **about)
    for kind in ("capability", "parameter")
    for name, about in _TABLE[kind].items()
)


def _version(text: str) -> Version:
    return tuple(int(part) for part in text.split("."))
