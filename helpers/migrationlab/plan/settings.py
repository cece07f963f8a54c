"""Hold every setting of a migration: the fields of a plan, and the table of their properties.

:class:`Settings` has the names, types and defaults. ``settings.toml`` has the rest: libvirt's flag
or parameter, virsh's option, unit, range, first versions and meaning. The needs and exclusions of
a setting follow from ``rules``. Plans, the reference, the command line's options and the calls of
libvirt all read :func:`settings`, so that each fact is in one place.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from migrationlab.plan.options import Options
from migrationlab.plan.qemu_parameters import PARAMETERS
from migrationlab.plan.rules import constraints
from migrationlab.plan.setting import Effect, Flag, Group, Setting, SettingKind, Shape
from migrationlab.plan.settings_table import SettingsTable
from migrationlab.plan.uris import AUTO, Mode

__all__ = [
    "AUTO", "FLAG_BITS", "Effect", "Flag", "Group", "Setting", "SettingKind", "Settings",
    "SettingsTable", "Shape", "settings",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """The fields of a plan; :class:`migrationlab.Plan` has its methods."""

    mode: Mode = Mode.NORMAL
    migration_uri: str | None = None
    connection_uri: str | None = None
    listen_address: str | None = None
    tunnelled: bool = False
    graphics_uri: str | None = None
    live: bool = True
    offline: bool = False
    persistent: bool = False
    undefine_source: bool = False
    paused: bool = False
    destination_name: str | None = None
    destination_xml: str | None = None
    persistent_xml: str | None = None
    bandwidth_mib_s: int | None = None
    compression: tuple[str, ...] | None = None
    xbzrle_cache_bytes: int | None = None
    zlib_level: int | None = None
    zstd_level: int | None = None
    parallel: bool = False
    parallel_connections: int | None = None
    zerocopy: bool = False
    rdma_pin_all: bool = False
    auto_converge: bool = False
    auto_converge_initial_percent: int | None = None
    auto_converge_increment_percent: int | None = None
    switchover_bandwidth_mib_s: int | None = None
    max_downtime_ms: int | None = None
    postcopy: bool = False
    postcopy_bandwidth_mib_s: int | None = None
    postcopy_resume: bool = False
    copy_storage: str | None = None
    copy_disks: tuple[str, ...] = ()
    detect_zeroes_disks: tuple[str, ...] = ()
    target_zero_disks: tuple[str, ...] = ()
    disks_port: int | None = None
    disks_uri: str | None = None
    synchronous_writes: bool = False
    tls: bool = False
    tls_destination: str | None = None
    change_protection: bool = False
    unsafe: bool = False
    abort_on_error: bool = False
    allow_unsafe_tcg: bool = False
    deadline_s: float = 120.0
    postcopy_after_iteration: int | None = None
    postcopy_after_s: float | None = None
    suspend_after_iteration: int | None = None
    suspend_after_s: float | None = None
    downtime_steps: int | None = None
    downtime_step_s: float | None = None
    abort_when_diverging_s: float | None = None
    policy: str | None = None
    policy_options: Options | None = None
    qemu_parameters: Options | None = None


#: The shape of a value, by the type of its field.
_SHAPES = {
    "Mode": Shape.MODE,
    "bool": Shape.SWITCH,
    "int | None": Shape.WHOLE,
    "float | None": Shape.SECONDS,
    "float": Shape.DEADLINE,
    "str | None": Shape.TEXT,
    "tuple[str, ...]": Shape.NAMES,
    "tuple[str, ...] | None": Shape.OPTIONAL_NAMES,
    "Options | None": Shape.OPTIONS,
}
#: libvirt's type of a parameter, where the shape alone tells it.
_TYPES = {Shape.TEXT: "string", Shape.NAMES: "strings", Shape.OPTIONAL_NAMES: "strings"}


@cache
def settings() -> SettingsTable:
    """Every setting that a plan has: prints as text, as HTML in a notebook, gives a frame."""
    return SettingsTable(tuple(_read()))


def _read() -> Iterator[Setting]:
    groups = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    known = {
        name: (Group[group.upper()], about)
        for group, members in groups.items()
        for name, about in members.items()
    }
    for field in fields(Settings):
        group, about = known.pop(field.name)
        yield _setting(field.name, field.default, _SHAPES[str(field.type)], group, **about)
    assert not known, f"settings.toml describes what is no field: {', '.join(known)}"


def _setting(
    name: str,
    default: object,
    shape: Shape,
    group: Group,
    *,
    effect: str,
    note: str = "",
    flags: list[dict[str, Any]] | None = None,
    since_value: dict[str, str] | None = None,
    **about: Any,
) -> Setting:
    low, high = about.pop("range", (None, None))
    values = since_value or {}
    newer = [f"{value} since libvirt {since}." for value, since in values.items()]
    if name == "qemu_parameters":
        newer += [about.description for about in PARAMETERS.values()]
    return Setting(
        name=name,
        default=default,
        shape=shape,
        group=group,
        effect=Effect(effect),
        flags=tuple(Flag(**flag | {"bit": 1 << flag["bit"]}) for flag in flags or ()),
        typed=about.pop("type", None) or (_TYPES.get(shape) if "parameter" in about else None),
        low=low,
        high=high,
        choices=tuple(about.pop("choices", ())),
        since_value=values,
        constraints=" ".join(filter(None, (constraints(name), *newer, note))),
        **about,
    )


#: The flags' values, by their names without ``VIR_MIGRATE_``, in the order of their bits.
FLAG_BITS = dict(
    sorted(
        ((flag.name, flag.bit) for about in settings() for flag in about.flags),
        key=lambda pair: pair[1],
    )
)
