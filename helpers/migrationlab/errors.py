"""Define the errors that reach a user of migrationlab.

There is one root and three families, by who has to act:

- :class:`UsageError`: the caller's mistake; nothing was started.
- :class:`HostError`: a host refused; its administrator has to act.
- :class:`LabError`: the lab is broken, or this machine lacks something that the lab needs.

Each error has a ``hint``: what to do next, beginning with an imperative verb.
"""

from __future__ import annotations

from typing import Any


class MigrationLabError(Exception):
    """The root of all errors of migrationlab.

    Args:
        message: What happened, in one sentence.
        hint: What to do next; empty if nothing useful can be said.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # shown below a traceback, as in a notebook


class UsageError(MigrationLabError):
    """An argument, a command or a file of the caller is wrong."""


class PlanError(UsageError):
    """A plan cannot work; the ``problems`` of the plan say why."""


class GuestError(UsageError):
    """A guest is unknown, is not running, or cannot be made as asked."""


class StoreError(UsageError):
    """A run could not be written or read: a full disk, a foreign or damaged file."""


class HostError(MigrationLabError):
    """A host refused. libvirt's own words are kept.

    Args:
        message: libvirt's text, unchanged.
        hint: What to do next.
        code: libvirt's ``VIR_ERR_*`` number; None if the error is not libvirt's.
        domain: libvirt's ``VIR_FROM_*`` number; None if the error is not libvirt's.
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
    """The lab is broken, or this machine lacks something that it needs."""
