"""Know every policy by its name, and make one for a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from migrationlab.errors import PlanError, UsageError
from migrationlab.plan.policies import (
    cloudstack,
    ganeti,
    kubevirt,
    libvirt,
    nova,
    ovirt,
    proxmox,
    rules,
    stall,
)
from migrationlab.plan.policies.policy import Policy
from migrationlab.plan.spec import Option, options
from migrationlab.plan.wording import nearest, quote

Kind = TypeVar("Kind", bound=type[Policy])

_KNOWN: dict[str, type[Policy]] = {
    kind.name: kind
    for kind in (
        libvirt.Libvirt, libvirt.Virsh, nova.Nova,
        ovirt.MinimalDowntime, ovirt.SuspendWorkload, ovirt.PostCopy, ovirt.VeryLargeVms,
        ovirt.Legacy,
        kubevirt.KubeVirt, stall.StallDetection, kubevirt.DowntimeRamp,
        proxmox.Proxmox, cloudstack.CloudStack, ganeti.Ganeti, rules.Rules,
    )
}  # fmt: skip
_BUILT_IN = frozenset(_KNOWN)


def names() -> tuple[str, ...]:
    """Return the names of all policies."""
    return tuple(_KNOWN)


def register(kind: Kind) -> Kind:
    """Add a policy of one's own, as a decorator of its class; it replaces an own one of that name.

    Raises:
        UsageError: It has no name, or the name of a policy of migrationlab.
    """
    if not kind.name or kind.name in _BUILT_IN:
        raise UsageError(
            f"name must be a new name (got {kind.name!r})",
            hint='Write name: ClassVar[str] = "mine" in the class.',
        )
    _KNOWN[kind.name] = kind
    return kind


def find(name: str) -> type[Policy]:
    """Return the class of a policy; PlanError, with the nearest name, if there is none."""
    if name in _KNOWN:
        return _KNOWN[name]
    near = nearest(name, _KNOWN)
    raise PlanError(
        f"policy must be the name of a policy (got {quote(name)})",
        hint=f"{f'Use {near}. ' if near else ''}List them with `migrationlab policies`.",
    )


def make(name: str, given: Mapping[str, Any] | None = None) -> Policy:
    """Return a new policy with some options; PlanError for an unknown name or option."""
    return find(name).of(given or {})


def settings_of(name: str | None, given: Mapping[str, Any] | None) -> dict[str, object]:
    """Return the settings that a policy adds to a plan; none for one that cannot be made."""
    if name is None:
        return {}
    try:
        return make(name, given).settings()
    except PlanError:  # one of the plan's problems
        return {}


def about(name: str) -> dict[str, Any]:
    """Return what is known of a policy as plain values, for JSON."""
    kind = find(name)
    return {
        "name": kind.name,
        "meaning": kind.meaning,
        "source": kind.source,
        "options": [_about_option(each) for each in options(kind)],
        "settings": _plain(settings_of(name, {})),
    }


def _about_option(each: Option) -> dict[str, Any]:
    return {
        "name": each.name,
        "default": each.default,
        "meaning": each.help,
        "unit": each.unit or None,
        "allowed": each.allowed or "True or False",
    }


def _plain(settings: Mapping[str, object]) -> dict[str, object]:
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()
    }
