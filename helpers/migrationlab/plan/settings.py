"""Every setting of a migration, in one table: the fields of a plan and what is known of each.

:class:`Settings` is the table. Each field carries its :class:`Setting`: libvirt's flag or
parameter with its type, virsh's option, unit, range, first versions, meaning and constraints.
What reads a plan, prints the reference, makes the command line's options or calls libvirt takes
it from here, so that a setting is said in one place.

Sources, of libvirt 11.3 and QEMU 10.0: ``include/libvirt/libvirt-domain.h`` (names, types, bits,
first versions), ``src/qemu/qemu_migration.h`` (QEMU_MIGRATION_PARAMETERS),
``docs/manpages/virsh.rst`` and ``tools/virsh-domain.c`` (opts_migrate),
``src/qemu/qemu_migration_params.c`` (units); QEMU's ``migration/options.c``
(migrate_params_check: ranges) and ``qapi/migration.json`` (first versions). The numbers of the
flags are given here, since a binding built with old headers lacks the newer ones.

One table, and so one room, long as it is. Imports of the kit only ``_plan.setting``,
``_plan.settingstable``, ``uris`` and ``errors``; no libvirt.
"""
# A field's default is the first thing that setting() is told, and what it returns is a field.
# ruff: noqa: FBT003, RUF009

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache

from migrationlab.plan.setting import (
    Flag,
    Group,
    Kind,
    Setting,
    Shape,
    amount,
    setting,
    switch,
    text,
)
from migrationlab.plan.settings_table import SettingsTable
from migrationlab.plan.uris import Mode

__all__ = [
    "FLAG_BITS", "Flag", "Group", "Kind", "Setting", "Settings", "SettingsTable", "Shape",
    "settings",
]  # fmt: skip

# libvirt takes any bandwidth in silence; no wire today carries a TiB/s.
MAX_BANDWIDTH_MIB_S = 1_048_576
# QEMU refuses more: MAX_MIGRATE_DOWNTIME in migration/options.c.
MAX_DOWNTIME_MS = 2_000_000
WEEK_S = 7 * 86_400
# QEMU allocates the cache at the start of the migration; a TiB is more than any host spares.
MAX_CACHE_BYTES = 1 << 40
#: The word for a migration URI that is left to the destination's libvirtd.
AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """The fields of a plan; :class:`migrationlab.Plan` says what can be done with them."""

    mode: Mode = setting(
        Mode.NORMAL,
        kind=Kind.FLAG,
        shape=Shape.MODE,
        group=Group.WAY,
        meaning="Who leads the migration: the client (normal) or the source's libvirtd "
        "(peer2peer).",
        flags=(Flag("PEER2PEER", 1 << 1, "--p2p", "peer2peer"),),
        choices=("normal", "peer2peer"),
        since="0.7.2",
    )
    migration_uri: str | None = text(
        group=Group.WAY,
        meaning="Where the destination's QEMU listens for the guest's memory: "
        "tcp://HOST[:PORT], rdma://HOST, unix:///PATH. Filled in where it is left out; "
        "the word auto leaves it to the destination's libvirtd.",
        parameter="migrate_uri",
        virsh="--migrateuri",
        since="1.1.0",
        constraints="Not with tunnelled. unix since libvirt 6.8.",
    )
    connection_uri: str | None = setting(
        None,
        kind=Kind.ARGUMENT,
        shape=Shape.TEXT,
        group=Group.WAY,
        meaning="Where the destination's libvirtd is: qemu+ssh://USER@HOST/system, "
        "qemu+tls://HOST/system; as the client sees it in normal mode, as the source's "
        "libvirtd sees it in peer2peer. Filled in where it is left out.",
        virsh="--desturi",
        since="0.3.2",
    )
    listen_address: str | None = text(
        group=Group.WAY,
        meaning="The address, or name, on which the destination's QEMU listens; all of them by "
        "default.",
        parameter="listen_address",
        virsh="--listen-address",
        since="1.1.4",
        constraints="Not with tunnelled, nor with a migration URI of a Unix socket.",
    )
    tunnelled: bool = switch(
        group=Group.WAY,
        meaning="Send the memory inside the connection between the two libvirtds, over no port "
        "of its own.",
        flag=Flag("TUNNELLED", 1 << 2, "--tunnelled"),
        since="0.7.2",
        constraints="Only in peer2peer. Not with migration_uri, listen_address, postcopy, "
        "parallel, copy_storage, offline or tls.",
    )
    graphics_uri: str | None = text(
        group=Group.WAY,
        meaning="Where clients of the graphical console reconnect: "
        "spice://HOST:PORT or vnc://HOST:PORT.",
        parameter="graphics_uri",
        virsh="--graphicsuri",
        since="1.1.0",
    )
    live: bool = switch(
        default=True,
        group=Group.DOMAIN,
        meaning="Let the guest run while its memory is sent; without it the guest stands still "
        "from the beginning.",
        flag=Flag("LIVE", 1 << 0, "--live"),
        since="0.3.2",
        constraints="Left out of an offline migration, which moves no running guest.",
    )
    offline: bool = switch(
        group=Group.DOMAIN,
        meaning="Migrate the definition only; whether the domain runs is left alone.",
        flag=Flag("OFFLINE", 1 << 10, "--offline"),
        since="1.0.1",
        constraints="Needs persistent. Not with tunnelled, copy_storage or postcopy.",
    )
    persistent: bool = switch(
        group=Group.DOMAIN,
        meaning="Define the domain at the destination, so that it is still known there when it "
        "does not run.",
        flag=Flag("PERSIST_DEST", 1 << 3, "--persistent"),
        since="0.7.3",
        constraints="With destination_xml give persistent_xml too, else the definition lacks "
        "the changes.",
    )
    undefine_source: bool = switch(
        group=Group.DOMAIN,
        meaning="Undefine the domain at the source once the migration is done.",
        flag=Flag("UNDEFINE_SOURCE", 1 << 4, "--undefinesource"),
        since="0.7.3",
    )
    paused: bool = switch(
        group=Group.DOMAIN,
        meaning="Leave the guest paused at the destination.",
        flag=Flag("PAUSED", 1 << 5, "--suspend"),
        since="0.7.5",
        constraints="Not with postcopy.",
    )
    destination_name: str | None = text(
        group=Group.DOMAIN,
        meaning="The domain's name at the destination.",
        parameter="destination_name",
        virsh="--dname",
        since="1.1.0",
    )
    destination_xml: str | None = text(
        group=Group.DOMAIN,
        meaning="The domain's XML for the destination: another place of a disk image, another "
        "bridge. What the guest sees must stay as it is.",
        parameter="destination_xml",
        virsh="--xml",
        since="1.1.0",
        constraints="Same name, UUID, machine, memory, processors and devices.",
    )
    persistent_xml: str | None = text(
        group=Group.DOMAIN,
        meaning="The XML that the destination keeps as the domain's definition.",
        parameter="persistent_xml",
        virsh="--persistent-xml",
        since="1.3.4",
        constraints="Needs persistent.",
    )
    bandwidth_mib_s: int | None = amount(
        group=Group.TRANSFER,
        meaning="Limit of the transfer; none by default.",
        parameter="bandwidth",
        typed="ullong",
        virsh="--bandwidth",
        unit="MiB/s",
        low=1,
        high=MAX_BANDWIDTH_MIB_S,
        since="1.1.0",
    )
    compression: tuple[str, ...] | None = setting(
        None,
        kind=Kind.PARAMETER,
        shape=Shape.OPTIONAL_NAMES,
        group=Group.TRANSFER,
        meaning="Compress memory, by these methods; with none named, by libvirt's default, xbzrle.",
        flags=(Flag("COMPRESSED", 1 << 11, "--compressed"),),
        parameter="compression",
        typed="strings",
        virsh="--comp-methods",
        choices=("xbzrle", "zlib", "zstd"),
        since="1.0.3",
        constraints="zlib and zstd only with parallel, one of the two, and since libvirt 9.4; "
        "xbzrle only without parallel. Not with zerocopy.",
    )
    xbzrle_cache_bytes: int | None = amount(
        group=Group.TRANSFER,
        meaning="How much of the memory sent the source keeps, to send differences only; "
        "QEMU's default is 64 MiB.",
        parameter="compression.xbzrle.cache",
        typed="ullong",
        virsh="--comp-xbzrle-cache",
        unit="bytes",
        low=4096,
        high=MAX_CACHE_BYTES,
        since="1.3.4",
        constraints="A power of two. Needs compression=('xbzrle',).",
    )
    zlib_level: int | None = amount(
        group=Group.TRANSFER,
        meaning="How hard zlib compresses: 0 not at all, 1 fastest (the default), 9 smallest.",
        parameter="compression.zlib.level",
        typed="int",
        virsh="--comp-zlib-level",
        low=0,
        high=9,
        since="9.4.0",
        qemu="5.0",
        constraints="Needs compression=('zlib',).",
    )
    zstd_level: int | None = amount(
        group=Group.TRANSFER,
        meaning="How hard zstd compresses: 1 fastest (the default), 20 smallest; 0 leaves it to "
        "zstd.",
        parameter="compression.zstd.level",
        typed="int",
        virsh="--comp-zstd-level",
        low=0,
        high=20,
        since="9.4.0",
        qemu="5.0",
        constraints="Needs compression=('zstd',).",
    )
    parallel: bool = switch(
        group=Group.TRANSFER,
        meaning="Send memory over several connections at once (QEMU's multifd).",
        flag=Flag("PARALLEL", 1 << 17, "--parallel"),
        since="5.2.0",
        qemu="4.0",
        constraints="Not with tunnelled; with postcopy only since QEMU 10.1.",
    )
    parallel_connections: int | None = amount(
        group=Group.TRANSFER,
        meaning="How many connections; QEMU's default is 2.",
        parameter="parallel.connections",
        typed="int",
        virsh="--parallel-connections",
        low=1,
        high=255,
        since="5.2.0",
        qemu="4.0",
        constraints="Needs parallel.",
    )
    zerocopy: bool = switch(
        group=Group.TRANSFER,
        meaning="Send pages without copying them first.",
        flag=Flag("ZEROCOPY", 1 << 20, "--zerocopy"),
        since="8.5.0",
        qemu="7.1",
        constraints="Needs parallel, and the right to lock the guest's memory. Not with "
        "compression or tls.",
    )
    rdma_pin_all: bool = switch(
        group=Group.TRANSFER,
        meaning="Lock all of the guest's memory before an RDMA migration starts.",
        flag=Flag("RDMA_PIN_ALL", 1 << 14, "--rdma-pin-all"),
        since="1.2.9",
        constraints="Needs a migration URI rdma://HOST and a memory hard_limit in the domain.",
    )
    auto_converge: bool = switch(
        group=Group.CONVERGENCE,
        meaning="Slow the guest's processors down while it changes memory faster than it is sent.",
        flag=Flag("AUTO_CONVERGE", 1 << 13, "--auto-converge"),
        since="1.2.3",
    )
    auto_converge_initial_percent: int | None = amount(
        group=Group.CONVERGENCE,
        meaning="How much processor time is taken away at first; QEMU's default is 20 %.",
        parameter="auto_converge.initial",
        typed="int",
        virsh="--auto-converge-initial",
        unit="%",
        low=1,
        high=99,
        since="2.0.0",
        constraints="Needs auto_converge.",
    )
    auto_converge_increment_percent: int | None = amount(
        group=Group.CONVERGENCE,
        meaning="How much more is taken away where that was not enough; QEMU's default is 10 %.",
        parameter="auto_converge.increment",
        typed="int",
        virsh="--auto-converge-increment",
        unit="%",
        low=1,
        high=99,
        since="2.0.0",
        constraints="Needs auto_converge.",
    )
    switchover_bandwidth_mib_s: int | None = amount(
        group=Group.CONVERGENCE,
        meaning="What bandwidth QEMU may count on for the last part, while the guest stands "
        "still; by default it takes that of the transfer so far.",
        parameter="bandwidth.avail.switchover",
        typed="ullong",
        virsh="--available-switchover-bandwidth",
        unit="MiB/s",
        low=1,
        high=MAX_BANDWIDTH_MIB_S,
        since="11.1.0",
        qemu="8.2",
    )
    max_downtime_ms: int | None = setting(
        None,
        kind=Kind.KIT,
        shape=Shape.WHOLE,
        group=Group.CONVERGENCE,
        meaning="How long the guest may stand still; QEMU's default is 300 ms.",
        unit="ms",
        low=1,
        high=MAX_DOWNTIME_MS,
        constraints="Set on the domain before the migration starts, and set back after it.",
    )
    postcopy: bool = switch(
        group=Group.POSTCOPY,
        meaning="Make it possible to switch to post-copy: the guest goes on at the destination, "
        "and fetches the rest of its memory from the source.",
        flag=Flag("POSTCOPY", 1 << 15, "--postcopy"),
        since="1.3.3",
        constraints="Needs live, and userfaultfd at the destination. Not with paused, tunnelled "
        "or offline; with parallel only since QEMU 10.1.",
    )
    postcopy_bandwidth_mib_s: int | None = amount(
        group=Group.POSTCOPY,
        meaning="Limit of the transfer in post-copy; none by default.",
        parameter="bandwidth.postcopy",
        typed="ullong",
        virsh="--postcopy-bandwidth",
        unit="MiB/s",
        low=1,
        high=MAX_BANDWIDTH_MIB_S,
        since="5.1.0",
        constraints="Without effect unless postcopy.",
    )
    postcopy_resume: bool = switch(
        group=Group.POSTCOPY,
        meaning="Go on with a post-copy migration whose connection broke.",
        flag=Flag("POSTCOPY_RESUME", 1 << 19, "--postcopy-resume"),
        since="8.5.0",
        constraints="Needs postcopy. Ends the destination's libvirtd of 11.2 and 11.3; mended "
        "in 11.4.",
    )
    copy_storage: str | None = setting(
        None,
        kind=Kind.FLAG,
        shape=Shape.TEXT,
        group=Group.STORAGE,
        meaning="Copy the disks that are not shared, too: whole (full), or only the topmost "
        "image of each chain (incremental).",
        flags=(
            Flag("NON_SHARED_DISK", 1 << 6, "--copy-storage-all", "full"),
            Flag("NON_SHARED_INC", 1 << 7, "--copy-storage-inc", "incremental"),
        ),
        choices=("full", "incremental"),
        since="0.8.2",
        constraints="Not with tunnelled or offline.",
    )
    copy_disks: tuple[str, ...] = setting(
        (),
        kind=Kind.PARAMETER,
        shape=Shape.NAMES,
        group=Group.STORAGE,
        meaning="Which disks are copied, by their targets, as vda; by default all that are "
        "neither read-only nor marked <shareable/>, shared storage or not.",
        parameter="migrate_disks",
        typed="strings",
        virsh="--migrate-disks",
        since="1.2.17",
        constraints="Needs copy_storage.",
    )
    detect_zeroes_disks: tuple[str, ...] = setting(
        (),
        kind=Kind.PARAMETER,
        shape=Shape.NAMES,
        group=Group.STORAGE,
        meaning="Which copied disks have their blocks of zeroes left out, which keeps the copy "
        "sparse.",
        parameter="migrate_disks_detect_zeroes",
        typed="strings",
        virsh="--migrate-disks-detect-zeroes",
        since="10.9.0",
        constraints="Needs copy_storage. The image at the destination must read as zeroes.",
    )
    disks_port: int | None = amount(
        group=Group.STORAGE,
        meaning="The port on which the destination's QEMU takes the disks; libvirtd chooses one "
        "by default.",
        parameter="disks_port",
        typed="int",
        virsh="--disks-port",
        low=1,
        high=65535,
        since="1.3.3",
        constraints="Not with tunnelled or disks_uri.",
    )
    disks_uri: str | None = text(
        group=Group.STORAGE,
        meaning="Where the destination's QEMU takes the disks: tcp://ADDRESS:PORT or unix:///PATH.",
        parameter="disks_uri",
        virsh="--disks-uri",
        since="6.8.0",
        constraints="Not with tunnelled or disks_port.",
    )
    synchronous_writes: bool = switch(
        group=Group.STORAGE,
        meaning="Let each write of the guest go to both copies of a disk before it counts as "
        "done, so that copying comes to an end.",
        flag=Flag("NON_SHARED_SYNCHRONOUS_WRITES", 1 << 18, "--copy-storage-synchronous-writes"),
        since="8.0.0",
        constraints="Needs copy_storage.",
    )
    tls: bool = switch(
        group=Group.SAFETY,
        meaning="Encrypt memory, and copied disks, with QEMU's own TLS certificates.",
        flag=Flag("TLS", 1 << 16, "--tls"),
        since="3.2.0",
        constraints="Both hosts need certificates for QEMU. Not with tunnelled or zerocopy.",
    )
    tls_destination: str | None = text(
        group=Group.SAFETY,
        meaning="The name that the destination's certificate must have; by default that of the "
        "migration URI.",
        parameter="tls.destination",
        virsh="--tls-destination",
        since="6.0.0",
        constraints="Needs tls.",
    )
    change_protection: bool = switch(
        group=Group.SAFETY,
        meaning="Refuse to migrate unless the domain's configuration is protected from changes "
        "meanwhile; libvirt protects it anyway where it can.",
        flag=Flag("CHANGE_PROTECTION", 1 << 8, "--change-protection"),
        since="0.9.4",
    )
    unsafe: bool = switch(
        group=Group.SAFETY,
        meaning="Migrate although libvirt holds that for unsafe: disks that are not shared, or "
        "cached.",
        flag=Flag("UNSAFE", 1 << 9, "--unsafe"),
        since="0.9.11",
    )
    abort_on_error: bool = switch(
        group=Group.SAFETY,
        meaning="Cancel the migration where a disk of the guest reports an error meanwhile.",
        flag=Flag("ABORT_ON_ERROR", 1 << 12, "--abort-on-error"),
        since="1.1.0",
    )
    allow_unsafe_tcg: bool = setting(
        False,
        kind=Kind.KIT,
        shape=Shape.SWITCH,
        group=Group.SAFETY,
        meaning="Let an emulated guest (TCG) leave a QEMU before 9.0, although that can corrupt "
        "its memory.",
    )
    deadline_s: float = setting(
        120.0,
        kind=Kind.POLICY,
        shape=Shape.DEADLINE,
        group=Group.POLICY,
        meaning="When to cancel a migration that is still not done.",
        unit="s",
        low=0,
        high=WEEK_S,
    )
    postcopy_after_iteration: int | None = setting(
        None,
        kind=Kind.POLICY,
        shape=Shape.WHOLE,
        group=Group.POLICY,
        meaning="Switch to post-copy after that many passes over the memory.",
        virsh="--postcopy-after-precopy",
        unit="passes",
        low=1,
        high=1_000_000,
        constraints="Needs postcopy. virsh knows the first pass only.",
    )
    postcopy_after_s: float | None = setting(
        None,
        kind=Kind.POLICY,
        shape=Shape.SECONDS,
        group=Group.POLICY,
        meaning="Switch to post-copy after that time.",
        virsh="--timeout-postcopy",
        unit="s",
        low=0,
        high=WEEK_S,
        constraints="Needs postcopy. virsh counts whole seconds.",
    )
    suspend_after_iteration: int | None = setting(
        None,
        kind=Kind.POLICY,
        shape=Shape.WHOLE,
        group=Group.POLICY,
        meaning="Pause the guest after that many passes, so that the rest is sent at once; it "
        "goes on at the destination.",
        unit="passes",
        low=1,
        high=1_000_000,
        constraints="Needs live. Not with the post-copy policies.",
    )
    suspend_after_s: float | None = setting(
        None,
        kind=Kind.POLICY,
        shape=Shape.SECONDS,
        group=Group.POLICY,
        meaning="Pause the guest after that time, likewise.",
        virsh="--timeout-suspend",
        unit="s",
        low=0,
        high=WEEK_S,
        constraints="Needs live. Not with the post-copy policies. virsh counts whole seconds.",
    )
    downtime_steps: int | None = setting(
        None,
        kind=Kind.POLICY,
        shape=Shape.WHOLE,
        group=Group.POLICY,
        meaning="Raise the maximum downtime to max_downtime_ms in that many steps, as OpenStack "
        "Nova does.",
        unit="steps",
        low=2,
        high=1000,
        constraints="Needs max_downtime_ms and downtime_step_s.",
    )
    downtime_step_s: float | None = setting(
        None,
        kind=Kind.POLICY,
        shape=Shape.SECONDS,
        group=Group.POLICY,
        meaning="The time from one of these steps to the next.",
        unit="s",
        low=0,
        high=WEEK_S,
        constraints="Needs downtime_steps.",
    )
    abort_when_diverging_s: float | None = setting(
        None,
        kind=Kind.POLICY,
        shape=Shape.SECONDS,
        group=Group.POLICY,
        meaning="Cancel the migration once the guest has changed memory faster than it is sent "
        "for that long.",
        unit="s",
        low=0,
        high=WEEK_S,
        constraints="Needs live.",
    )


@cache
def settings() -> SettingsTable:
    """Every setting that a plan has: prints as text, as HTML in a notebook, gives a frame."""
    return SettingsTable(
        tuple(
            replace(field.metadata["setting"], name=field.name, default=field.default)
            for field in fields(Settings)
        )
    )


#: The flags' values, by their names without ``VIR_MIGRATE_``.
FLAG_BITS = dict(
    sorted(
        ((flag.name, flag.bit) for about in settings() for flag in about.flags),
        key=lambda pair: pair[1],
    )
)
