"""The rules between the settings of one plan: which need each other, and which exclude another.

Each rule has a name that stays the same, the fields concerned (the first is the one that the
problem is shown at), the reason, the mend, and where it stands in libvirt or QEMU. A rule that
is the kit's own is stricter than libvirt, which takes such a plan in silence and does something
else than was meant, or nothing.

Sources, unless a rule names another, are files of libvirt 11.3 and QEMU 10.0. Imports of the kit
only ``settings``; no libvirt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from migrationlab.plan.settings import AUTO, Settings
from migrationlab.plan.uris import Mode


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that a plan can break.

    Attributes:
        name: Its name.
        fields: The fields concerned; the problem is the first one's.
        broken: Whether a plan breaks it.
        reason: Why such a plan cannot work.
        mend: What to do about it.
        source: Where libvirt or QEMU has it.
        own: Whether it is the kit's own, and libvirt would take the plan.
    """

    name: str
    fields: tuple[str, ...]
    broken: Callable[[Settings], bool]
    reason: str
    mend: str
    source: str
    own: bool = False

    def shown_at(self, plan: Settings) -> str:
        """Return the field at which to show the problem: of two that are alike, the given one."""
        first = self.fields[0]
        other = _ALIKE.get(first, "")
        return other if other in self.fields and getattr(plan, first) is None else first

    def applies(self, plan: Settings) -> bool:
        """Return whether a plan breaks the rule where somebody would look at it."""
        # An offline migration starts no QEMU; that it sends nothing is a rule of its own.
        return self.broken(plan) and not (plan.offline and self.source.startswith("QEMU "))


_CLIENT = "src/libvirt-domain.c"
_MIGRATION = "src/qemu/qemu_migration.c"
_BEGIN = f"{_MIGRATION}: qemuMigrationSrcBeginPhase"
_PEER2PEER = f"{_MIGRATION}: qemuMigrationSrcPerformPeer2Peer"
_PARAMS = "src/qemu/qemu_migration_params.c: qemuMigrationParamsFromFlags"
_COMPRESSION = "src/qemu/qemu_migration_params.c: qemuMigrationParamsSetCompression"
_DRIVER = "src/qemu/qemu_driver.c: qemuDomainMigratePerform3Params"
_QEMU = "QEMU migration/options.c"
_KIT = "the kit's own"


def _methods(plan: Settings) -> tuple[str, ...]:
    return plan.compression or ()


def _over(plan: Settings, scheme: str) -> bool:
    return (plan.migration_uri or "").startswith(f"{scheme}:")


def _never_performed(plan: Settings) -> bool:
    # What only Perform looks at: an offline migration has no such phase, but in peer2peer all
    # phases are inside it.
    return plan.offline and plan.mode is Mode.NORMAL


#: Settings that say the same in two ways.
_ALIKE = {
    "disks_port": "disks_uri",
    "postcopy_after_iteration": "postcopy_after_s",
    "suspend_after_iteration": "suspend_after_s",
}
#: What an offline migration has no use for.
_SENDING = (
    "bandwidth_mib_s", "switchover_bandwidth_mib_s", "postcopy_bandwidth_mib_s", "compression",
    "parallel", "zerocopy", "auto_converge", "auto_converge_initial_percent",
    "auto_converge_increment_percent", "rdma_pin_all", "tls",
)  # fmt: skip


def _switches_later(plan: Settings) -> bool:
    return plan.postcopy_after_iteration is not None or plan.postcopy_after_s is not None


def _suspends_later(plan: Settings) -> bool:
    return plan.suspend_after_iteration is not None or plan.suspend_after_s is not None


RULES = (
    Rule(
        "tunnelled-needs-peer2peer",
        ("tunnelled", "mode"),
        lambda plan: plan.tunnelled and plan.mode is Mode.NORMAL,
        "only the two libvirtds have a connection to tunnel through, and in normal mode they "
        "have none",
        "Give mode='peer2peer', or leave tunnelled out.",
        f"{_CLIENT}: virDomainMigrate3",
    ),
    Rule(
        "tunnelled-migration-uri",
        ("migration_uri", "tunnelled"),
        lambda plan: plan.tunnelled and plan.migration_uri not in (None, AUTO),
        "a tunnelled migration sends memory inside the connection of the libvirtds, and dials "
        "no migration URI",
        "Leave migration_uri out, or tunnelled.",
        _PEER2PEER,
    ),
    Rule(
        "tunnelled-listen-address",
        ("listen_address", "tunnelled"),
        lambda plan: plan.tunnelled and plan.listen_address is not None,
        "a tunnelled migration listens on no address of its own",
        "Leave listen_address out, or tunnelled.",
        _PEER2PEER,
    ),
    Rule(
        "tunnelled-disks-port",
        ("disks_port", "tunnelled"),
        lambda plan: plan.tunnelled and bool(plan.disks_port),
        "a tunnelled migration copies no disks, and has no port for them",
        "Leave disks_port out, or tunnelled.",
        _PEER2PEER,
    ),
    Rule(
        "tunnelled-tls",
        ("tls", "tunnelled"),
        lambda plan: plan.tunnelled and plan.tls,
        "a tunnel is as safe as the libvirtds' connection, and leaves QEMU no network connection "
        "to encrypt; the source's libvirtd 11.3 even crashes when asked for both",
        "Leave tls out and tunnel through a qemu+tls or qemu+ssh connection, or leave tunnelled "
        "out.",
        f"{_MIGRATION}: qemuMigrationSrcRun, which takes a file descriptor for a host's name",
    ),
    Rule(
        "tunnelled-parallel",
        ("parallel", "tunnelled"),
        lambda plan: plan.tunnelled and plan.parallel,
        "there is one tunnel, and no parallel connections through it",
        "Leave parallel out, or tunnelled.",
        f"{_CLIENT}: virDomainMigrateToURI3",
    ),
    Rule(
        "tunnelled-postcopy",
        ("postcopy", "tunnelled"),
        lambda plan: plan.tunnelled and plan.postcopy,
        "post-copy fetches pages back from the source, and a tunnel leads one way only",
        "Leave postcopy out, or tunnelled.",
        _BEGIN,
    ),
    Rule(
        "tunnelled-copy-storage",
        ("copy_storage", "tunnelled"),
        lambda plan: plan.tunnelled and bool(plan.copy_storage),
        "disks are copied over a connection of their own, which a tunnel does not carry",
        "Leave copy_storage out, or tunnelled; tls encrypts memory and disks without a tunnel.",
        _BEGIN,
    ),
    Rule(
        "tunnelled-offline",
        ("offline", "tunnelled"),
        lambda plan: plan.tunnelled and plan.offline,
        "an offline migration sends no memory that could be tunnelled",
        "Leave tunnelled out.",
        _BEGIN,
    ),
    Rule(
        "postcopy-needs-live",
        ("postcopy", "live", "offline"),
        lambda plan: plan.postcopy and (not plan.live or plan.offline),
        "post-copy is for a guest that runs while it migrates",
        "Leave live as it is, and offline out; or leave postcopy out.",
        _BEGIN,
    ),
    Rule(
        "postcopy-paused",
        ("postcopy", "paused"),
        lambda plan: plan.postcopy and plan.paused,
        "in post-copy the guest goes on at the destination, so it cannot stay paused there",
        "Leave paused out, or postcopy.",
        _BEGIN,
    ),
    Rule(
        "postcopy-resume-needs-postcopy",
        ("postcopy_resume", "postcopy"),
        lambda plan: plan.postcopy_resume and not plan.postcopy,
        "only a post-copy migration can be resumed, and the plan must say again that it is one",
        "Give postcopy=True, too.",
        f"{_MIGRATION}: qemuMigrationAnyCanResume",
    ),
    Rule(
        "offline-needs-persistent",
        ("offline", "persistent"),
        lambda plan: plan.offline and not plan.persistent,
        "an offline migration moves the definition, which the destination must then keep",
        "Give persistent=True.",
        _BEGIN,
    ),
    Rule(
        "offline-copy-storage",
        ("copy_storage", "offline"),
        lambda plan: plan.offline and bool(plan.copy_storage),
        "an offline migration starts no QEMU that could copy disks",
        "Copy the images by other means, or leave offline out.",
        _BEGIN,
    ),
    Rule(
        "offline-sends-nothing",
        ("offline", *_SENDING),
        lambda plan: plan.offline and any(getattr(plan, name) for name in _SENDING),
        "an offline migration sends no memory, so how it is sent means nothing",
        f"Leave out {', '.join(_SENDING)}, or offline.",
        _KIT,
        own=True,
    ),
    Rule(
        "offline-max-downtime",
        ("max_downtime_ms", "offline"),
        lambda plan: plan.offline and plan.max_downtime_ms is not None,
        "an offline migration stops no guest, so it has no downtime",
        "Leave max_downtime_ms out.",
        _KIT,
        own=True,
    ),
    Rule(
        "zerocopy-needs-parallel",
        ("zerocopy", "parallel"),
        lambda plan: plan.zerocopy and not plan.parallel,
        "only parallel connections can send without copying",
        "Give parallel=True.",
        _BEGIN,
    ),
    Rule(
        "zerocopy-compression",
        ("zerocopy", "compression"),
        lambda plan: plan.zerocopy and plan.compression is not None,
        "compressed memory is a copy",
        "Leave compression out, or zerocopy.",
        f"{_QEMU}: migrate_caps_check, migrate_params_check",
    ),
    Rule(
        "zerocopy-tls",
        ("zerocopy", "tls"),
        lambda plan: plan.zerocopy and plan.tls,
        "encrypted memory is a copy",
        "Leave tls out, or zerocopy.",
        f"{_QEMU}: migrate_caps_check, migrate_params_check",
    ),
    Rule(
        "synchronous-writes-needs-copy-storage",
        ("synchronous_writes", "copy_storage"),
        lambda plan: plan.synchronous_writes and plan.copy_storage is None,
        "there is no copy of a disk to write to",
        "Give copy_storage='full' or copy_storage='incremental'.",
        f"{_CLIENT}: virDomainMigrate3",
    ),
    Rule(
        "copy-disks-needs-copy-storage",
        ("copy_disks", "copy_storage"),
        lambda plan: bool(plan.copy_disks) and plan.copy_storage is None,
        "disks are named, but nothing says that they are copied",
        "Give copy_storage='full' or copy_storage='incremental'.",
        _BEGIN,
    ),
    Rule(
        "detect-zeroes-needs-copy-storage",
        ("detect_zeroes_disks", "copy_storage"),
        lambda plan: bool(plan.detect_zeroes_disks) and plan.copy_storage is None,
        "disks are named, but nothing says that they are copied",
        "Give copy_storage='full' or copy_storage='incremental'.",
        _BEGIN,
    ),
    Rule(
        "disks-port-and-uri",
        ("disks_port", "disks_uri"),
        lambda plan: plan.disks_port is not None and plan.disks_uri is not None,
        "the URI of the disks has a port of its own",
        "Leave one of the two out.",
        _DRIVER,
    ),
    Rule(
        "disks-place-needs-copy-storage",
        ("disks_port", "disks_uri", "copy_storage"),
        lambda plan: (
            plan.copy_storage is None
            and (plan.disks_port is not None or plan.disks_uri is not None)
        ),
        "a place for copied disks is named, but nothing says that they are copied",
        "Give copy_storage='full' or copy_storage='incremental'.",
        _KIT,
        own=True,
    ),
    Rule(
        "unix-needs-disks-uri",
        ("disks_uri", "migration_uri", "copy_storage"),
        lambda plan: _over(plan, "unix") and bool(plan.copy_storage) and plan.disks_uri is None,
        "memory goes over a Unix socket, so libvirt cannot tell where the disks shall go",
        "Give disks_uri, as unix:///PATH of a second socket.",
        _DRIVER,
    ),
    Rule(
        "disks-unix-tls",
        ("disks_uri", "tls", "copy_storage"),
        lambda plan: (
            plan.tls and bool(plan.copy_storage) and (plan.disks_uri or "").startswith("unix:")
        ),
        "QEMU copies no disks with TLS over a Unix socket",
        "Give disks_uri='tcp://ADDRESS:PORT', or leave tls out.",
        f"{_MIGRATION}: qemuMigrationSrcNBDStorageCopy",
    ),
    Rule(
        "unix-listen-address",
        ("listen_address", "migration_uri"),
        lambda plan: _over(plan, "unix") and plan.listen_address is not None,
        "a Unix socket is in no network, so there is no address to listen on",
        "Leave listen_address out.",
        _DRIVER,
    ),
    Rule(
        "unix-tls-needs-name",
        ("tls_destination", "tls", "migration_uri"),
        lambda plan: _over(plan, "unix") and plan.tls and plan.tls_destination is None,
        "a Unix socket names no host, so there is no name to hold the destination's certificate "
        "against",
        "Give tls_destination, the name in that certificate.",
        f"{_MIGRATION}: qemuMigrationSrcPerformNative",
    ),
    Rule(
        "compression-twice",
        ("compression",),
        lambda plan: len(set(_methods(plan))) < len(_methods(plan)),
        "a method is named twice",
        "Name each method once.",
        _COMPRESSION,
    ),
    Rule(
        "compression-xbzrle-parallel",
        ("compression", "parallel"),
        lambda plan: plan.parallel and "xbzrle" in _methods(plan),
        "xbzrle keeps what was sent over one connection, and does not work with parallel ones",
        "Give compression=('zstd',) or compression=('zlib',), or leave parallel out.",
        _COMPRESSION,
    ),
    Rule(
        "compression-needs-parallel",
        ("compression", "parallel"),
        lambda plan: not plan.parallel and bool({"zlib", "zstd"} & set(_methods(plan))),
        "zlib and zstd are done by parallel connections only",
        "Give parallel=True, or compression=('xbzrle',).",
        _COMPRESSION,
    ),
    Rule(
        "compression-one-only",
        ("compression",),
        lambda plan: {"zlib", "zstd"} <= set(_methods(plan)),
        "parallel connections compress by one method only",
        "Choose zlib or zstd.",
        _COMPRESSION,
    ),
    Rule(
        "compression-method-needed",
        ("compression", "parallel"),
        lambda plan: plan.parallel and plan.compression == (),
        "libvirt has no default method for parallel connections",
        "Give compression=('zstd',) or compression=('zlib',).",
        _COMPRESSION,
    ),
    Rule(
        "xbzrle-cache-needs-xbzrle",
        ("xbzrle_cache_bytes", "compression"),
        lambda plan: plan.xbzrle_cache_bytes is not None and "xbzrle" not in _methods(plan),
        "the cache is xbzrle's, which is not among the methods",
        "Give compression=('xbzrle',): the method must be named to be tuned.",
        _COMPRESSION,
    ),
    Rule(
        "zlib-level-needs-zlib",
        ("zlib_level", "compression"),
        lambda plan: plan.zlib_level is not None and "zlib" not in _methods(plan),
        "the level is zlib's, which is not the method",
        "Give compression=('zlib',) and parallel=True.",
        _COMPRESSION,
    ),
    Rule(
        "zstd-level-needs-zstd",
        ("zstd_level", "compression"),
        lambda plan: plan.zstd_level is not None and "zstd" not in _methods(plan),
        "the level is zstd's, which is not the method",
        "Give compression=('zstd',) and parallel=True.",
        _COMPRESSION,
    ),
    Rule(
        "xbzrle-cache-power",
        ("xbzrle_cache_bytes",),
        lambda plan: (
            plan.xbzrle_cache_bytes is not None and plan.xbzrle_cache_bytes.bit_count() != 1
        ),
        "QEMU's cache is a power of two of bytes",
        "Give a power of two, as 67108864 (64 MiB).",
        f"{_QEMU}: migrate_params_check",
    ),
    Rule(
        "auto-converge-off",
        ("auto_converge_initial_percent", "auto_converge"),
        lambda plan: (
            plan.auto_converge_initial_percent is not None
            and not plan.auto_converge
            and not _never_performed(plan)
        ),
        "it tunes auto-convergence, which is off",
        "Give auto_converge=True.",
        _PARAMS,
    ),
    Rule(
        "auto-converge-off-increment",
        ("auto_converge_increment_percent", "auto_converge"),
        lambda plan: (
            plan.auto_converge_increment_percent is not None
            and not plan.auto_converge
            and not _never_performed(plan)
        ),
        "it tunes auto-convergence, which is off",
        "Give auto_converge=True.",
        _PARAMS,
    ),
    Rule(
        "parallel-connections-needs-parallel",
        ("parallel_connections", "parallel"),
        lambda plan: plan.parallel_connections is not None and not plan.parallel,
        "it tunes parallel migration, which is off",
        "Give parallel=True.",
        _PARAMS,
    ),
    Rule(
        "tls-destination-needs-tls",
        ("tls_destination", "tls"),
        lambda plan: plan.tls_destination is not None and not plan.tls,
        "no certificate is looked at without TLS",
        "Give tls=True, or leave tls_destination out.",
        "tools/virsh-domain.c: cmdMigrate",
        own=True,
    ),
    Rule(
        "persistent-xml-needs-persistent",
        ("persistent_xml", "persistent"),
        lambda plan: plan.persistent_xml is not None and not plan.persistent,
        "the destination keeps no definition",
        "Give persistent=True, or leave persistent_xml out.",
        "tools/virsh-domain.c: cmdMigrate",
        own=True,
    ),
    Rule(
        "rdma-pin-all-needs-rdma",
        ("rdma_pin_all", "migration_uri"),
        lambda plan: plan.rdma_pin_all and not _over(plan, "rdma"),
        "it is about RDMA, and memory is not sent over RDMA",
        "Give migration_uri='rdma://HOST', or leave rdma_pin_all out.",
        _KIT,
        own=True,
    ),
    Rule(
        "rdma-parallel",
        ("parallel", "migration_uri"),
        lambda plan: plan.parallel and _over(plan, "rdma"),
        "QEMU has one RDMA connection, and no parallel ones",
        "Leave parallel out, or give a tcp:// URI.",
        "QEMU migration/migration.c: migration_channels_and_transport_compatible",
    ),
    Rule(
        "rdma-postcopy",
        ("postcopy", "migration_uri"),
        lambda plan: plan.postcopy and _over(plan, "rdma"),
        "post-copy fetches pages over a second connection, and RDMA has but one",
        "Leave postcopy out, or give a tcp:// URI.",
        "QEMU migration/migration.c: migration_channels_and_transport_compatible",
    ),
    Rule(
        "rdma-xbzrle",
        ("compression", "migration_uri"),
        lambda plan: plan.compression is not None and _over(plan, "rdma"),
        "RDMA sends memory as it lies there, and compresses none",
        "Leave compression out, or give a tcp:// URI.",
        "QEMU migration/migration.c: qmp_migrate",
    ),
    Rule(
        "postcopy-policy-needs-postcopy",
        ("postcopy_after_iteration", "postcopy_after_s", "postcopy"),
        lambda plan: _switches_later(plan) and not plan.postcopy,
        "a migration can be switched to post-copy only where it began with that possibility",
        "Give postcopy=True.",
        _KIT,
        own=True,
    ),
    Rule(
        "suspend-and-postcopy",
        (
            "suspend_after_iteration",
            "suspend_after_s",
            "postcopy_after_iteration",
            "postcopy_after_s",
        ),
        lambda plan: _suspends_later(plan) and _switches_later(plan),
        "one policy pauses the guest, the other lets it go on at the destination",
        "Choose one of the two.",
        "tools/virsh-domain.c: cmdMigrate",
        own=True,
    ),
    Rule(
        "suspend-needs-live",
        ("suspend_after_iteration", "suspend_after_s", "live"),
        lambda plan: _suspends_later(plan) and (not plan.live or plan.offline),
        "a guest that does not run while it migrates cannot be paused",
        "Leave the policy out, or live as it is.",
        "tools/virsh-domain.c: cmdMigrate",
        own=True,
    ),
    Rule(
        "diverging-needs-live",
        ("abort_when_diverging_s", "live"),
        lambda plan: plan.abort_when_diverging_s is not None and (not plan.live or plan.offline),
        "a guest that does not run while it migrates changes no memory",
        "Leave the policy out, or live as it is.",
        _KIT,
        own=True,
    ),
    Rule(
        "downtime-steps-need-limit",
        ("downtime_steps", "max_downtime_ms", "downtime_step_s"),
        lambda plan: (
            plan.downtime_steps is not None
            and (plan.max_downtime_ms is None or plan.downtime_step_s is None)
        ),
        "steps need a limit to go to, and a time from one to the next",
        "Give max_downtime_ms and downtime_step_s, too.",
        _KIT,
        own=True,
    ),
    Rule(
        "downtime-step-needs-steps",
        ("downtime_step_s", "downtime_steps"),
        lambda plan: plan.downtime_step_s is not None and plan.downtime_steps is None,
        "nothing says how many steps there are",
        "Give downtime_steps, too.",
        _KIT,
        own=True,
    ),
)
