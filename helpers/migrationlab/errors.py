"""The errors that reach a user of migrationlab.

One root and three families, by who has to act: the caller (:class:`UsageError`), the
administrator of a host that refused (:class:`HostError`), or whoever runs the lab
(:class:`LabError`). Each error has a ``hint``: what to do next. Imports nothing of the package.
"""

from __future__ import annotations

from typing import Any


class MigrationLabError(Exception):
    """Something went wrong, and ``hint`` says what the user can do now.

    Args:
        message: What happened, in one sentence.
        hint: What to do next; empty where nothing useful can be said.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # which a traceback shows, as in a notebook


class UsageError(MigrationLabError):
    """The caller asked for something that cannot be; nothing was started."""


class PlanError(UsageError):
    """A plan that cannot work; ``problems`` of the plan say why, all of them."""


class GuestError(UsageError):
    """A guest that is unknown, not running, or cannot be made as asked."""


class StoreError(UsageError):
    """A run could not be written or read: a full disk, a foreign or damaged file."""


class HostError(MigrationLabError):
    """A host refused. libvirt's own words are kept.

    Args:
        message: libvirt's text, unchanged.
        hint: What to do next.
        code: libvirt's ``VIR_ERR_*`` number, or None where the error is not libvirt's.
        domain: libvirt's ``VIR_FROM_*`` number, or None where the error is not libvirt's.
        explanation: What the message means, a :class:`migrationlab.Explanation`. It is attached
            where libvirt's error is caught, in ``hosts/connection.py``.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: int | None = None,
        domain: int | None = None,
        explanation: Any = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.domain = domain
        self.explanation = explanation


class LabError(MigrationLabError):
    """The lab, or something that it needs from this machine, is broken or missing."""
