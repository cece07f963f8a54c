"""The rules between the settings of one plan: which need each other, which exclude each other.

From each rule follow the test of a plan, the problem with its reason and fix, and its part of the
reference text (:func:`constraints`).

Most rules are libvirt's or QEMU's. A plan that breaks one of the others, which are virsh's or
migrationlab's own, is accepted by libvirt, but does something else than was meant, or nothing.

Sources, unless a rule names another, are files of libvirt 11.3 and QEMU 10.0.
"""

from __future__ import annotations

from collections.abc import Iterator

from migrationlab.plan.rule import (
    MIGRATIONLAB,
    VIRSH,
    Term,
    all_given,
    excludes,
    given,
    method,
    must,
    needs,
    on,
    scheme,
)
from migrationlab.plan.uris import AUTO, Mode
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


# What only Perform looks at: an offline migration has no such phase, but in peer2peer all phases
# are inside it.
_PERFORMED = Term((), "", lambda plan: not (plan.offline and plan.mode is Mode.NORMAL))
_PEER2PEER_MODE = Term(
    ("mode",), "mode='peer2peer'", lambda plan: plan.mode is Mode.PEER2PEER, value="peer2peer"
)
_RUNNING = Term(
    ("live", "offline"),
    "live=True without offline=True",
    lambda plan: plan.live and not plan.offline,
    value="live",
)
_MIGRATION_URI = Term(
    ("migration_uri",), "migration_uri", lambda plan: plan.migration_uri not in (None, AUTO)
)
_COPIED = given("copy_storage", code="copy_storage='full'")
_RDMA = scheme("migration_uri", "rdma")
_UNIX = scheme("migration_uri", "unix")
_TUNNELLED, _POSTCOPY, _PARALLEL = on("tunnelled"), on("postcopy"), on("parallel")
_POSTCOPY_LATER = given("postcopy_after_iteration", "postcopy_after_s")
_SUSPEND_LATER = given("suspend_after_iteration", "suspend_after_s")
#: What an offline migration has no use for.
_SENDING = given(
    "bandwidth_mib_s", "switchover_bandwidth_mib_s", "postcopy_bandwidth_mib_s", "compression",
    "parallel", "zerocopy", "auto_converge", "auto_converge_initial_percent",
    "auto_converge_increment_percent", "rdma_pin_all", "tls",
)  # fmt: skip

RULES = (
    needs(
        "tunnelled-needs-peer2peer",
        _TUNNELLED,
        _PEER2PEER_MODE,
        "the tunnel is the connection between the two libvirtds, which normal mode does not have",
        f"{_CLIENT}: virDomainMigrate3",
    ),
    excludes(
        "tunnelled-migration-uri",
        _MIGRATION_URI,
        _TUNNELLED,
        "a tunnelled migration sends memory through the libvirtds' connection, and connects to no "
        "migration URI",
        _PEER2PEER,
    ),
    excludes(
        "tunnelled-listen-address",
        given("listen_address"),
        _TUNNELLED,
        "a tunnelled migration listens on no address",
        _PEER2PEER,
    ),
    excludes(
        "tunnelled-disks-port",
        given("disks_port"),
        _TUNNELLED,
        "a tunnelled migration copies no disks, and has no port for them",
        _PEER2PEER,
    ),
    excludes(
        "tunnelled-tls",
        on("tls"),
        _TUNNELLED,
        "a tunnel is as safe as the libvirtds' connection, and leaves QEMU no network connection "
        "to encrypt; the source's libvirtd 11.3 crashes when it is asked for both",
        f"{_MIGRATION}: qemuMigrationSrcRun, which takes a file descriptor for a host's name",
        fix="Leave out tls=True and tunnel through qemu+tls:// or qemu+ssh://, or leave out "
        "tunnelled=True.",
    ),
    excludes(
        "tunnelled-parallel",
        _PARALLEL,
        _TUNNELLED,
        "there is only one tunnel",
        f"{_CLIENT}: virDomainMigrateToURI3",
    ),
    excludes(
        "tunnelled-postcopy",
        _POSTCOPY,
        _TUNNELLED,
        "post-copy fetches pages back from the source, and a tunnel has one direction only",
        _BEGIN,
    ),
    excludes(
        "tunnelled-copy-storage",
        _COPIED,
        _TUNNELLED,
        "disks are copied over a second connection, which a tunnel does not carry",
        _BEGIN,
        fix="Leave out tunnelled=True and set tls=True, which encrypts memory and disks, or leave "
        "out copy_storage.",
    ),
    excludes(
        "tunnelled-offline",
        on("offline"),
        _TUNNELLED,
        "an offline migration sends no memory through a tunnel",
        _BEGIN,
    ),
    needs(
        "postcopy-needs-live",
        _POSTCOPY,
        on("live"),
        "post-copy is for a guest that runs during its migration",
        _BEGIN,
    ),
    excludes(
        "postcopy-offline",
        _POSTCOPY,
        on("offline"),
        "post-copy is for a guest that runs during its migration",
        _BEGIN,
    ),
    excludes(
        "postcopy-paused",
        _POSTCOPY,
        on("paused"),
        "in post-copy the guest continues at the destination, so it cannot stay paused there",
        _BEGIN,
    ),
    needs(
        "postcopy-resume-needs-postcopy",
        on("postcopy_resume"),
        _POSTCOPY,
        "only a post-copy migration can be resumed, and the plan must say again that it is one",
        f"{_MIGRATION}: qemuMigrationAnyCanResume",
    ),
    needs(
        "offline-needs-persistent",
        on("offline"),
        on("persistent"),
        "an offline migration moves the definition, which the destination must then keep",
        _BEGIN,
    ),
    excludes(
        "offline-copy-storage",
        _COPIED,
        on("offline"),
        "an offline migration starts no QEMU that could copy disks",
        _BEGIN,
        fix="Leave out copy_storage and copy the images by other means, or leave out offline=True.",
    ),
    excludes(
        "offline-sends-nothing",
        on("offline"),
        _SENDING,
        "an offline migration sends no memory",
        MIGRATIONLAB,
    ),
    excludes(
        "offline-max-downtime",
        given("max_downtime_ms"),
        on("offline"),
        "an offline migration pauses no guest, so it has no downtime",
        MIGRATIONLAB,
    ),
    needs(
        "zerocopy-needs-parallel",
        on("zerocopy"),
        _PARALLEL,
        "only parallel connections can send without a copy",
        _BEGIN,
    ),
    excludes(
        "zerocopy-compression",
        on("zerocopy"),
        given("compression"),
        "compressed memory is a copy",
        _QEMU_CHECKS,
    ),
    excludes(
        "zerocopy-tls",
        on("zerocopy"),
        on("tls"),
        "encrypted memory is a copy",
        _QEMU_CHECKS,
    ),
    needs(
        "synchronous-writes-needs-copy-storage",
        on("synchronous_writes"),
        _COPIED,
        "without a copy of the disk there is nothing to write to",
        f"{_CLIENT}: virDomainMigrate3",
    ),
    needs(
        "copy-disks-needs-copy-storage",
        given("copy_disks"),
        _COPIED,
        "without it no disk is copied",
        _BEGIN,
    ),
    needs(
        "detect-zeroes-needs-copy-storage",
        given("detect_zeroes_disks"),
        _COPIED,
        "without it no disk is copied",
        _BEGIN,
    ),
    excludes(
        "disks-port-and-uri",
        given("disks_port"),
        given("disks_uri"),
        "the URI of the disks has its own port",
        _DRIVER,
    ),
    needs(
        "disks-place-needs-copy-storage",
        given("disks_port", "disks_uri"),
        _COPIED,
        "without it no disk is copied",
        MIGRATIONLAB,
    ),
    needs(
        "unix-needs-disks-uri",
        _UNIX,
        given("disks_uri", code="disks_uri='unix:///PATH'"),
        "from a Unix socket for memory libvirt cannot tell where to send the disks",
        _DRIVER,
        when=given("copy_storage"),
        fix="Set disks_uri='unix:///PATH' with the path of a second socket.",
    ),
    excludes(
        "disks-unix-tls",
        scheme("disks_uri", "unix"),
        on("tls"),
        "QEMU does not copy disks with TLS over a Unix socket",
        f"{_MIGRATION}: qemuMigrationSrcNBDStorageCopy",
        when=given("copy_storage"),
        fix="Set disks_uri='tcp://ADDRESS:PORT', or leave out tls=True.",
    ),
    excludes(
        "unix-listen-address",
        given("listen_address"),
        _UNIX,
        "a Unix socket is in no network, so there is no address to listen on",
        _DRIVER,
    ),
    needs(
        "unix-tls-needs-name",
        on("tls"),
        given("tls_destination", code="tls_destination='NAME'"),
        "a Unix socket names no host to compare the destination's certificate with",
        f"{_MIGRATION}: qemuMigrationSrcPerformNative",
        when=_UNIX,
        fix="Set tls_destination='NAME' with the name in the destination's certificate.",
    ),
    must(
        "compression-twice",
        "compression",
        lambda methods: len({*methods}) < len(methods),
        "must name each method once",
        _COMPRESSION,
        fix="Name each method once, such as compression=('xbzrle',).",
        reference="Each method once.",
    ),
    excludes(
        "compression-xbzrle-parallel",
        method("xbzrle"),
        _PARALLEL,
        "xbzrle needs one connection, whose sent pages it remembers",
        _COMPRESSION,
        fix="Set compression=('zstd',) or compression=('zlib',), or leave out parallel=True.",
    ),
    needs(
        "compression-needs-parallel",
        method("zlib", "zstd"),
        _PARALLEL,
        "only parallel connections compress by zlib or zstd",
        _COMPRESSION,
        fix="Set parallel=True, or set compression=('xbzrle',).",
    ),
    must(
        "compression-one-only",
        "compression",
        lambda methods: {"zlib", "zstd"} <= {*methods},
        "must name only one of zlib and zstd",
        _COMPRESSION,
        fix="Set compression=('zstd',) or compression=('zlib',).",
        reference="Only one of zlib and zstd.",
    ),
    must(
        "compression-method-needed",
        "compression",
        lambda methods: not methods,
        "must name a method with parallel=True, for which libvirt has no default",
        _COMPRESSION,
        fix="Set compression=('zstd',) or compression=('zlib',).",
        reference="With parallel a method must be named.",
        when=_PARALLEL,
    ),
    needs(
        "xbzrle-cache-needs-xbzrle",
        given("xbzrle_cache_bytes"),
        method("xbzrle"),
        "the cache belongs to xbzrle, which must be named to be tuned",
        _COMPRESSION,
    ),
    needs(
        "zlib-level-needs-zlib",
        given("zlib_level"),
        method("zlib"),
        "the level belongs to zlib, which must be named to be tuned",
        _COMPRESSION,
        fix="Set compression=('zlib',) and parallel=True, or leave out zlib_level.",
    ),
    needs(
        "zstd-level-needs-zstd",
        given("zstd_level"),
        method("zstd"),
        "the level belongs to zstd, which must be named to be tuned",
        _COMPRESSION,
        fix="Set compression=('zstd',) and parallel=True, or leave out zstd_level.",
    ),
    must(
        "xbzrle-cache-power",
        "xbzrle_cache_bytes",
        lambda size: size.bit_count() != 1,
        "must be a power of two",
        "QEMU migration/options.c: migrate_params_check",
        fix="Set xbzrle_cache_bytes=67108864, which is 64 MiB.",
        reference="A power of two.",
    ),
    needs(
        "auto-converge-off",
        given("auto_converge_initial_percent"),
        on("auto_converge"),
        "it tunes auto-convergence",
        _PARAMS,
        when=_PERFORMED,
    ),
    needs(
        "auto-converge-off-increment",
        given("auto_converge_increment_percent"),
        on("auto_converge"),
        "it tunes auto-convergence",
        _PARAMS,
        when=_PERFORMED,
    ),
    needs(
        "parallel-connections-needs-parallel",
        given("parallel_connections"),
        _PARALLEL,
        "it tunes parallel migration",
        _PARAMS,
    ),
    needs(
        "tls-destination-needs-tls",
        given("tls_destination"),
        on("tls"),
        "without TLS no certificate is checked",
        VIRSH,
    ),
    needs(
        "persistent-xml-needs-persistent",
        given("persistent_xml"),
        on("persistent"),
        "without it the destination keeps no definition",
        VIRSH,
    ),
    needs(
        "rdma-pin-all-needs-rdma",
        on("rdma_pin_all"),
        _RDMA,
        "it has a meaning for RDMA only",
        MIGRATIONLAB,
    ),
    excludes(
        "rdma-parallel",
        _PARALLEL,
        _RDMA,
        "QEMU has only one RDMA connection",
        _QEMU_RDMA,
        fix="Leave out parallel=True, or set migration_uri='tcp://HOST'.",
    ),
    excludes(
        "rdma-postcopy",
        _POSTCOPY,
        _RDMA,
        "post-copy fetches pages over a second connection, and RDMA has only one",
        _QEMU_RDMA,
        fix="Leave out postcopy=True, or set migration_uri='tcp://HOST'.",
    ),
    excludes(
        "rdma-xbzrle",
        given("compression"),
        _RDMA,
        "RDMA sends memory as it is",
        "QEMU migration/migration.c: qmp_migrate",
        fix="Leave out compression, or set migration_uri='tcp://HOST'.",
    ),
    needs(
        "postcopy-policy-needs-postcopy",
        _POSTCOPY_LATER,
        _POSTCOPY,
        "a migration can switch to post-copy only if it began with that possibility",
        MIGRATIONLAB,
    ),
    excludes(
        "suspend-and-postcopy",
        _SUSPEND_LATER,
        _POSTCOPY_LATER,
        "one policy pauses the guest, the other lets it continue at the destination",
        VIRSH,
    ),
    needs(
        "suspend-needs-live",
        _SUSPEND_LATER,
        _RUNNING,
        "a guest that does not run during its migration cannot be paused",
        VIRSH,
    ),
    needs(
        "diverging-needs-live",
        given("abort_when_diverging_s"),
        _RUNNING,
        "a guest that does not run during its migration writes no memory",
        MIGRATIONLAB,
    ),
    needs(
        "downtime-steps-need-limit",
        given("downtime_steps"),
        all_given("max_downtime_ms", "downtime_step_s"),
        "the steps need a limit to end at, and a time from one to the next",
        MIGRATIONLAB,
        fix="Set max_downtime_ms=500 and downtime_step_s=1, for example.",
    ),
    needs(
        "downtime-step-needs-steps",
        given("downtime_step_s"),
        given("downtime_steps", code="downtime_steps=10"),
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
        if rule.reference and name in rule.subject.fields:
            yield rule.reference
        if rule.other is None:
            continue
        when = f" if {in_words(rule.when.names)}" if rule.when and rule.when.code else ""
        pairs = [(rule.subject, rule.other), (rule.other, rule.subject)][: 1 if rule.needed else 2]
        for term, other in pairs:
            if name in term.fields:
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
