"""Causes that lie in how the migration was asked for: its flags and its protocol."""

from __future__ import annotations

from migrationlab.explain.cause import Cause, NoticedBy

CLIENT, SOURCE, DESTINATION, QEMU = NoticedBy

PLANS = (
    Cause(
        id="direct-unsupported",
        by=CLIENT,
        wordings=(
            "direct migration is not supported by the source host",
            "direct migration is not supported by",
        ),
        cause="the call has the source move the guest by itself, but without PEER2PEER: QEMU "
        "cannot do that",
        mend="set PEER2PEER and give a connection URI (virsh --p2p), or call the API that takes "
        "a connection to the destination (normal mode)",
        seen="libvirt-domain.c virDomainMigrateUnmanagedParams",
    ),
    Cause(
        id="peer2peer-unsupported",
        by=CLIENT,
        wordings=(
            "p2p migration is not supported by the source host",
            "destination libvirt does not support peer-to-peer migration protocol",
        ),
        cause="one side's hypervisor driver has no peer2peer migration",
        mend="migrate in normal mode; see that both connection URIs are QEMU's",
        seen="libvirt-domain.c virDomainMigrateToURI3; qemu_migration.c "
        "qemuMigrationSrcPerformPeer2Peer",
    ),
    Cause(
        id="api-not-for-peer2peer",
        by=CLIENT,
        wordings=("use virdomainmigratetouri3 for peer-to-peer migration",),
        cause="migrate3 holds both connections itself, so it has no peer2peer",
        mend="call migrateToURI3 with the connection URI, or leave PEER2PEER out",
        seen="libvirt-domain.c virDomainMigrate3",
    ),
    Cause(
        id="tunnelled-needs-peer2peer",
        by=CLIENT,
        wordings=("cannot perform tunnelled migration without using peer2peer",),
        cause="tunnelled memory goes through the source libvirtd's own connection, which only "
        "peer2peer has",
        mend="set peer2peer too (virsh --p2p --tunnelled), or leave tunnelled out",
        seen="libvirt-domain.c virDomainMigrate, virDomainMigrate3",
    ),
    Cause(
        id="tunnelled-migration-uri",
        by=SOURCE,
        wordings=("migration uri is not supported by tunnelled migration",),
        cause="tunnelled memory takes libvirtd's connection, so there is nothing for a migration "
        "URI to say",
        mend="leave the migration URI out, or tunnelled",
        seen="qemu_migration.c qemuMigrationSrcPerformPeer2Peer",
    ),
    Cause(
        id="tunnelled-contradiction",
        by=SOURCE,
        wordings=(
            "listen address is not supported by tunnelled migration",
            "disk port address is not supported by tunnelled migration",
            "post-copy is not supported with tunnelled migration",
            "tunnelled offline migration does not make sense",
            "migration of non-shared storage is not supported with tunnelled migration",
        ),
        cause="the plan asks for something that the tunnel through libvirtd cannot do: a listen "
        "address, a disks port, post-copy, copied disks or offline",
        mend="leave tunnelled out; to encrypt the data use TLS",
        seen="qemu_migration.c qemuMigrationSrcPerformPeer2Peer, qemuMigrationSrcBeginPhase",
    ),
    Cause(
        id="offline-needs-persistent",
        by=SOURCE,
        wordings=("offline migration must be specified with the persistent flag",),
        cause="an offline migration moves nothing but the definition, so it must be kept",
        mend="set PERSIST_DEST too (virsh --offline --persistent)",
        seen="qemu_migration.c qemuMigrationSrcBeginPhase, qemuMigrationDstPrepareAny",
    ),
    Cause(
        id="offline-with-storage",
        by=SOURCE,
        wordings=("offline migration cannot handle non-shared storage",),
        cause="an offline migration copies no disks",
        mend="copy the images yourself, or start the guest and migrate it live",
        seen="qemu_migration.c qemuMigrationSrcBeginPhase",
    ),
    Cause(
        id="offline-unsupported",
        by=CLIENT,
        wordings=("offline migration is not supported by the {} host",),
        cause="that host's libvirt is too old for offline migration (before 1.0.1), or is not "
        "QEMU's",
        mend="take the definition across yourself: virsh dumpxml, virsh define",
        seen="libvirt-domain.c virDomainMigrate3",
    ),
    Cause(
        id="change-protection-unsupported",
        by=CLIENT,
        wordings=("cannot enforce change protection",),
        cause="the source cannot keep the guest's definition from being changed meanwhile",
        mend="leave CHANGE_PROTECTION out",
        seen="libvirt-domain.c virDomainMigrate3",
    ),
    Cause(
        id="flags-exclude-each-other",
        by=CLIENT,
        wordings=("flags '{word}' and '{word}' are mutually exclusive",),
        cause="two flags of the call exclude each other",
        mend="leave one of the two out",
        seen="internal.h VIR_EXCLUSIVE_FLAGS_GOTO, by libvirt-domain.c and qemu_driver.c",
    ),
    Cause(
        id="flag-needs-another",
        by=CLIENT,
        wordings=(
            "flag '{word}' is required by flag '{word}'",
            "zero-copy is only available for parallel migration",
            "'vir_migrate_param_migrate_disks{}' requires use of 'vir_migrate_non_shared{}",
            "'--{word}' requires one of '--copy-storage-all'",
            "unexpected --timeout-* option without --timeout",
            "unexpected timeout for offline migration",
            "resuming failed post-copy migration requires post-copy to be enabled",
            "resuming failed post-copy migration requires change protection",
        ),
        cause="a flag or parameter has no meaning without another one, which is missing",
        mend="set the flag that the message names too, or leave the first out",
        seen="internal.h VIR_REQUIRE_FLAG_GOTO; qemu_migration.c qemuMigrationSrcBeginPhase; "
        "virsh-domain.c doMigrate",
    ),
    Cause(
        id="flags-unknown",
        by=SOURCE,
        wordings=("unsupported flags (0x{word}) in function {}migrat{}",),
        cause="one side's libvirt does not know a flag of the call: it is older than the flag",
        mend="leave the flag out, or bring that host's libvirt up to date; the bits are those of "
        "virDomainMigrateFlags in libvirt-domain.h",
        seen="internal.h virCheckFlags",
    ),
    Cause(
        id="protocol-mismatch",
        by=SOURCE,
        wordings=(
            "domainmigrateprepare{} did not set uri",
            "received unexpected cookie with p2p migration",
            "unexpected dconnuri parameter with non-peer2peer",
            "preparetunnel called but no tunnelled flag set",
            "tunnelled migration requested but invalid rpc method called",
            "tunnelled migration requested but null stream passed",
            "tunnelfd argument is required for tunnelled migration",
            "cannot use migrate v2 protocol with lock manager",
            "migration protocol going backwards",
            "incoming cookie data had unexpected",
            "unknown migration cookie feature",
            "unsupported migration cookie feature",
            "migration cookie was not null terminated",
            "element in migration data",
            "attribute in migration data",
            "migration data already present",
            "domain elements in migration cookie",
            "migration capabilities can only be set by a migration job",
        ),
        cause="the two libvirts, or a program that drives their phases by itself, do not follow "
        "one protocol: their versions are far apart, or their features differ",
        mend="bring both hosts' libvirt to nearer versions; leave out features that only one has",
        seen="qemu_migration_cookie.c; qemu_driver.c qemuDomainMigratePrepareTunnel3Params; "
        "libvirt-domain.c virDomainMigrateVersion3Full",
    ),
    Cause(
        id="function-unsupported",
        by=CLIENT,
        wordings=("this function is not supported by the connection driver",),
        cause="the driver behind this connection has no such function: the daemon is older than "
        "the client, or the URI leads to another hypervisor than QEMU",
        mend="see the URI, and the versions of both ends: virsh version --daemon",
        seen="virerror.c VIR_ERR_NO_SUPPORT",
        alone=frozenset({3}),
    ),
)
