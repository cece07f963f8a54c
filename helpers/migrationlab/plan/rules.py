"""The rules between the settings of one plan: which need each other, which exclude each other.

From each rule follow the test of a plan, the problem with its reason and fix, and its part of the
reference text (:func:`constraints`).

Most rules are libvirt's or QEMU's. A plan that breaks one of the others, which are virsh's or
migrationlab's own, is accepted by libvirt, but does something else than was meant, or nothing.

Sources, unless a rule names another, are files of libvirt 11.3 and QEMU 10.0.
"""

from __future__ import annotations

from collections.abc import Iterator

from migrationlab.plan.rule import MIGRATIONLAB, VIRSH, excludes, must, needs
from migrationlab.plan.wording import in_words

_CLIENT = "src/libvirt-domain.c"
_MIGRATION = "src/qemu/qemu_migration.c"
_BEGIN = f"{_MIGRATION}: qemuMigrationSrcBeginPhase"
_PEER2PEER = f"{_MIGRATION}: qemuMigrationSrcPerformPeer2Peer"
_PARAMS = "src/qemu/qemu_migration_params.c: qemuMigrationParamsFromFlags"
_COMPRESSION = "src/qemu/qemu_migration_params.c: qemuMigrationParamsSetCompression"
_DRIVER = "src/qemu/qemu_driver.c: qemuDomainMigratePerform3Params"
_QEMU_CHECKS = "QEMU migration/options.c: migrate_caps_check, migrate_params_check"
_QEMU_RDMA = "QEMU migration/migration.c: migration_channels_and_transport_compatible"
#: What an offline migration has no use for.
_SENDING = (
    "bandwidth_mib_s or switchover_bandwidth_mib_s or postcopy_bandwidth_mib_s or compression or "
    "parallel=True or zerocopy=True or auto_converge=True or auto_converge_initial_percent or "
    "auto_converge_increment_percent or rdma_pin_all=True or tls=True"
)

RULES = (
    needs(
        "tunnelled=True",
        "mode=peer2peer",
        "the tunnel is the connection between the two libvirtds, which normal mode does not have",
        f"{_CLIENT}: virDomainMigrate3",
    ),
    excludes(
        "migration_uri",
        "tunnelled=True",
        "a tunnelled migration sends memory through the libvirtds' connection, and connects to no "
        "migration URI",
        _PEER2PEER,
    ),
    excludes(
        "listen_address",
        "tunnelled=True",
        "a tunnelled migration listens on no address",
        _PEER2PEER,
    ),
    excludes(
        "disks_port",
        "tunnelled=True",
        "a tunnelled migration copies no disks, and has no port for them",
        _PEER2PEER,
    ),
    excludes(
        "tls=True",
        "tunnelled=True",
        "a tunnel is as safe as the libvirtds' connection, and leaves QEMU no network connection "
        "to encrypt; the source's libvirtd 11.3 crashes when it is asked for both",
        f"{_MIGRATION}: qemuMigrationSrcRun, which takes a file descriptor for a host's name",
        fix="Leave out tls=True and tunnel through qemu+tls:// or qemu+ssh://, or leave out "
        "tunnelled=True.",
    ),
    excludes(
        "parallel=True",
        "tunnelled=True",
        "there is only one tunnel",
        f"{_CLIENT}: virDomainMigrateToURI3",
    ),
    excludes(
        "postcopy=True",
        "tunnelled=True",
        "post-copy fetches pages back from the source, and a tunnel has one direction only",
        _BEGIN,
    ),
    excludes(
        "copy_storage",
        "tunnelled=True",
        "disks are copied over a second connection, which a tunnel does not carry",
        _BEGIN,
        fix="Leave out tunnelled=True and set tls=True, which encrypts memory and disks, or leave "
        "out copy_storage.",
    ),
    excludes(
        "offline=True",
        "tunnelled=True",
        "an offline migration sends no memory through a tunnel",
        _BEGIN,
    ),
    needs(
        "postcopy=True",
        "live=True",
        "post-copy is for a guest that runs during its migration",
        _BEGIN,
    ),
    excludes(
        "postcopy=True",
        "offline=True",
        "post-copy is for a guest that runs during its migration",
        _BEGIN,
    ),
    excludes(
        "postcopy=True",
        "paused=True",
        "in post-copy the guest continues at the destination, so it cannot stay paused there",
        _BEGIN,
    ),
    needs(
        "postcopy_resume=True",
        "postcopy=True",
        "only a post-copy migration can be resumed, and the plan must say again that it is one",
        f"{_MIGRATION}: qemuMigrationAnyCanResume",
    ),
    needs(
        "offline=True",
        "persistent=True",
        "an offline migration moves the definition, which the destination must then keep",
        _BEGIN,
    ),
    excludes(
        "copy_storage",
        "offline=True",
        "an offline migration starts no QEMU that could copy disks",
        _BEGIN,
        fix="Leave out copy_storage and copy the images by other means, or leave out offline=True.",
    ),
    excludes(
        "offline=True",
        _SENDING,
        "an offline migration sends no memory",
        MIGRATIONLAB,
    ),
    excludes(
        "max_downtime_ms",
        "offline=True",
        "an offline migration pauses no guest, so it has no downtime",
        MIGRATIONLAB,
    ),
    needs(
        "zerocopy=True",
        "parallel=True",
        "only parallel connections can send without a copy",
        _BEGIN,
    ),
    excludes(
        "zerocopy=True",
        "compression",
        "compressed memory is a copy",
        _QEMU_CHECKS,
    ),
    excludes(
        "zerocopy=True",
        "tls=True",
        "encrypted memory is a copy",
        _QEMU_CHECKS,
    ),
    needs(
        "synchronous_writes=True",
        "copy_storage",
        "without a copy of the disk there is nothing to write to",
        f"{_CLIENT}: virDomainMigrate3",
    ),
    needs(
        "copy_disks",
        "copy_storage",
        "without it no disk is copied",
        _BEGIN,
    ),
    needs(
        "detect_zeroes_disks",
        "copy_storage",
        "without it no disk is copied",
        _BEGIN,
    ),
    excludes(
        "disks_port",
        "disks_uri",
        "the URI of the disks has its own port",
        _DRIVER,
    ),
    needs(
        "disks_port or disks_uri",
        "copy_storage",
        "without it no disk is copied",
        MIGRATIONLAB,
    ),
    needs(
        "migration_uri=unix:",
        "disks_uri",
        "from a Unix socket for memory libvirt cannot tell where to send the disks",
        _DRIVER,
        when="copy_storage",
        fix="Set disks_uri='unix:///PATH' with the path of a second socket.",
    ),
    excludes(
        "disks_uri=unix:",
        "tls=True",
        "QEMU does not copy disks with TLS over a Unix socket",
        f"{_MIGRATION}: qemuMigrationSrcNBDStorageCopy",
        when="copy_storage",
        fix="Set disks_uri='tcp://ADDRESS:PORT', or leave out tls=True.",
    ),
    excludes(
        "listen_address",
        "migration_uri=unix:",
        "a Unix socket is in no network, so there is no address to listen on",
        _DRIVER,
    ),
    needs(
        "tls=True",
        "tls_destination",
        "a Unix socket names no host to compare the destination's certificate with",
        f"{_MIGRATION}: qemuMigrationSrcPerformNative",
        when="migration_uri=unix:",
        fix="Set tls_destination='NAME' with the name in the destination's certificate.",
    ),
    must(
        "compression",
        lambda methods: len({*methods}) < len(methods),
        "must name each method once",
        _COMPRESSION,
        fix="Name each method once, such as compression=('xbzrle',).",
        reference="Each method once.",
    ),
    excludes(
        "compression=xbzrle",
        "parallel=True",
        "xbzrle needs one connection, whose sent pages it remembers",
        _COMPRESSION,
        fix="Set compression=('zstd',) or compression=('zlib',), or leave out parallel=True.",
    ),
    needs(
        "compression=zlib|zstd",
        "parallel=True",
        "only parallel connections compress by zlib or zstd",
        _COMPRESSION,
        fix="Set parallel=True, or set compression=('xbzrle',).",
    ),
    must(
        "compression",
        lambda methods: {"zlib", "zstd"} <= {*methods},
        "must name only one of zlib and zstd",
        _COMPRESSION,
        fix="Set compression=('zstd',) or compression=('zlib',).",
        reference="Only one of zlib and zstd.",
    ),
    must(
        "compression",
        lambda methods: not methods,
        "must name a method with parallel=True",
        _COMPRESSION,
        fix="Set compression=('zstd',) or compression=('zlib',).",
        reference="With parallel a method must be named: libvirt has no default.",
        when="parallel=True",
    ),
    needs(
        "xbzrle_cache_bytes",
        "compression=xbzrle",
        "the cache belongs to xbzrle, which must be named to be tuned",
        _COMPRESSION,
    ),
    needs(
        "zlib_level",
        "compression=zlib",
        "the level belongs to zlib, which must be named to be tuned",
        _COMPRESSION,
        fix="Set compression=('zlib',) and parallel=True, or leave out zlib_level.",
    ),
    needs(
        "zstd_level",
        "compression=zstd",
        "the level belongs to zstd, which must be named to be tuned",
        _COMPRESSION,
        fix="Set compression=('zstd',) and parallel=True, or leave out zstd_level.",
    ),
    must(
        "xbzrle_cache_bytes",
        lambda size: size.bit_count() != 1,
        "must be a power of two",
        "QEMU migration/options.c: migrate_params_check",
        fix="Set xbzrle_cache_bytes=67108864, which is 64 MiB.",
        reference="A power of two.",
    ),
    needs(
        "auto_converge_initial_percent",
        "auto_converge=True",
        "it tunes auto-convergence",
        _PARAMS,
        performed=True,
    ),
    needs(
        "auto_converge_increment_percent",
        "auto_converge=True",
        "it tunes auto-convergence",
        _PARAMS,
        performed=True,
    ),
    needs(
        "parallel_connections",
        "parallel=True",
        "it tunes parallel migration",
        _PARAMS,
    ),
    needs(
        "tls_destination",
        "tls=True",
        "without TLS no certificate is checked",
        VIRSH,
    ),
    needs(
        "persistent_xml",
        "persistent=True",
        "without it the destination keeps no definition",
        VIRSH,
    ),
    needs(
        "rdma_pin_all=True",
        "migration_uri=rdma:",
        "it has a meaning for RDMA only",
        MIGRATIONLAB,
    ),
    excludes(
        "parallel=True",
        "migration_uri=rdma:",
        "QEMU has only one RDMA connection",
        _QEMU_RDMA,
        fix="Leave out parallel=True, or set migration_uri='tcp://HOST'.",
    ),
    excludes(
        "postcopy=True",
        "migration_uri=rdma:",
        "post-copy fetches pages over a second connection, and RDMA has only one",
        _QEMU_RDMA,
        fix="Leave out postcopy=True, or set migration_uri='tcp://HOST'.",
    ),
    excludes(
        "compression",
        "migration_uri=rdma:",
        "RDMA sends memory as it is",
        "QEMU migration/migration.c: qmp_migrate",
        fix="Leave out compression, or set migration_uri='tcp://HOST'.",
    ),
    needs(
        "postcopy_after_iteration or postcopy_after_s",
        "postcopy=True",
        "a migration can switch to post-copy only if it began with that possibility",
        MIGRATIONLAB,
    ),
    excludes(
        "suspend_after_iteration or suspend_after_s",
        "postcopy_after_iteration or postcopy_after_s",
        "one policy pauses the guest, the other lets it continue at the destination",
        VIRSH,
    ),
    needs(
        "suspend_after_iteration or suspend_after_s",
        "live=True and offline=False",
        "a guest that does not run during its migration cannot be paused",
        VIRSH,
    ),
    needs(
        "abort_when_diverging_s",
        "live=True and offline=False",
        "a guest that does not run during its migration writes no memory",
        MIGRATIONLAB,
    ),
    needs(
        "downtime_steps",
        "max_downtime_ms and downtime_step_s",
        "the steps need a limit to end at, and a time from one to the next",
        MIGRATIONLAB,
        fix="Set max_downtime_ms=500 and downtime_step_s=1, for example.",
    ),
    needs(
        "downtime_step_s",
        "downtime_steps",
        "without it the number of steps is unknown",
        MIGRATIONLAB,
    ),
)


def constraints(name: str) -> str:
    """Return what a setting needs and what it excludes, as the reference says it."""
    return " ".join(_sentences(name))


def _sentences(name: str) -> Iterator[str]:
    needed: dict[str, list[str]] = {}
    excluded: dict[str, list[str]] = {}
    for rule in RULES:
        if rule.reference and name in rule.fields[:1]:
            yield rule.reference
        if rule.other is None:
            continue
        when = f" if {in_words(rule.when.names)}" if rule.when else ""
        pairs = [(rule.subject, rule.other), (rule.other, rule.subject)][: 1 if rule.needed else 2]
        for term, other in pairs:
            if name in (part.field for part in term.parts):
                found = needed if rule.needed else excluded
                found.setdefault(term.value, []).extend(f"{each}{when}" for each in other.names)
    # What is true of any value stands before what is true of one.
    for value in sorted({*needed, *excluded}):
        words = [f"needs {in_words(needed[value], 'and')}"] if value in needed else []
        if value in excluded:
            words.append(f"not with {in_words(excluded[value])}")
        if value:
            yield f"{value}: {'; '.join(words)}."
        else:
            yield from (f"{each[0].upper()}{each[1:]}." for each in words)
