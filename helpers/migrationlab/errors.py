"""Every error that reaches a user of the kit.

One root, and beneath it a family for each answer to "whose turn is it now?": the caller's
(:class:`UsageError`), the administrator's of a host that refused (:class:`HostError`), the
kit's or the machine's (:class:`LabError`). Each carries a ``hint``: what to do next.

Imports no libvirt, and of the kit only ``explain``, which imports nothing: ``hosts`` turns a
libvirt error into a :class:`HostError`, so that this module can be read and tested anywhere.
"""

from __future__ import annotations

from migrationlab.explain import Explanation, explain


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
    """A host refused. The library's own words are kept.

    Args:
        message: libvirt's text, as it came.
        hint: What to do next; by default what the explanation says.
        code: libvirt's ``VIR_ERR_*`` number, or None where the error is not libvirt's.
        domain: libvirt's ``VIR_FROM_*`` number, or None likewise.
        explanation: What the message means; by default what :func:`explain` makes of it.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: int | None = None,
        domain: int | None = None,
        explanation: Explanation | None = None,
    ) -> None:
        self.explanation = explanation or explain(message, code=code, domain=domain)
        if self.explanation.known or code is not None:
            hint = hint or self.explanation.mend
        super().__init__(message, hint=hint)
        self.code = code
        self.domain = domain


class LabError(MigrationLabError):
    """The lab, or something that it needs from this machine, is broken or missing."""
