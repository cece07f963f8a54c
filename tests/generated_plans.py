"""Vary a right plan by every setting of the table, with what each setting needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from migrationlab.plan.plan import Plan
from migrationlab.plan.rules import RULES
from migrationlab.plan.setting import Setting, Shape
from migrationlab.plan.settings import settings

XML = "<domain type='kvm'><name>web1</name><memory>1</memory></domain>"
#: Values of the texts and numbers whose form the table does not tell.
_VALUES: dict[str, tuple[object, ...]] = {
    "destination_name": ("web2",),
    "destination_xml": (XML,),
    "persistent_xml": (XML,),
    "disks_uri": ("tcp://10.0.0.2:49301",),
    "tls_destination": ("node2.example.org",),
    "graphics_uri": ("spice://node2.example.org:5900",),
    "xbzrle_cache_bytes": (2**26,),
    "policy": ("nova", "kubevirt"),
    "policy_options": ({"bandwidth_mib_s": 80},),
    "qemu_parameters": ({"announce-rounds": 3},),
}


def values_of(about: Setting) -> tuple[object, ...]:
    """Return plausible values of a setting, other than its default."""
    if about.name in _VALUES:
        return _VALUES[about.name]
    if about.choices:
        many = about.shape in (Shape.NAMES, Shape.OPTIONAL_NAMES)
        return tuple((word,) if many else word for word in about.choices if word != about.default)
    if about.shape is Shape.SWITCH:
        return (not about.default,)
    if about.shape is Shape.NAMES:
        return (("vda",),)
    assert about.low is not None, f"{about.name} needs a value here"
    assert about.high is not None
    return tuple({max(about.low, 2), min(about.high, 80), about.high})


def variants(right: Plan) -> Iterator[tuple[Setting, Plan]]:
    """Yield each setting that the right plan leaves out, and the plan with each value of it."""
    for about in settings():
        if getattr(right, about.name) != about.default or about.name in _ADDRESSES:
            continue
        for value in values_of(about):
            yield about, completed(replace(right, **{about.name: value}))


#: Their values are meaningful only with the hosts of an exercise, whose test has them.
_ADDRESSES = ("migration_uri", "connection_uri", "listen_address")


def completed(plan: Plan) -> Plan:
    """Return a plan with the settings that its settings need."""
    for _ in range(4):
        for rule in RULES:
            if rule.needed and rule.other and rule.broken(plan):
                plan = replace(plan, **{part.field: _needed(part) for part in rule.other.parts})
    return plan


def _needed(part: Any) -> object:
    about = settings()[part.field]
    word = part.words[0] if part.words else None
    if word in ("True", "False"):
        return word == "True"
    if about.shape is Shape.OPTIONAL_NAMES:
        return (word,)
    if word == "rdma:":
        return "rdma://10.0.0.2"
    return word or values_of(about)[0]
