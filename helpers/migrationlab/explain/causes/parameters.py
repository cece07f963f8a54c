"""Causes that lie in the parameters of a migration, and in what they switch on."""

from __future__ import annotations

from migrationlab.explain.cause import Cause, NoticedBy

CLIENT, SOURCE, DESTINATION, QEMU = NoticedBy

PARAMETERS = (
    Cause(
        id="parameter-type",
        by=CLIENT,
        wordings=(
            "invalid type '{word}' for parameter '{word}', expected '{word}'",
            "type mismatch for {} migration parameter",
            "invalid type {} requested for parameter",
            "parameter {} is not a string",
        ),
        cause="a migration parameter came with another type than libvirt wants: libvirt-python "
        "built against older headers sends numbers it does not know as unsigned long long",
        mend="pass it with the type that the message expects; build libvirt-python against "
        "headers as new as the parameter, or use virsh",
        seen="virtypedparam.c virTypedParamsValidate; qemu_migration_params.c",
    ),
    Cause(
        id="parameter-unknown",
        by=CLIENT,
        wordings=(
            "argument unsupported: parameter '{word}' not supported",
            "unknown migration parameter '{word}'",
            "migration option '{word}' is not supported by qemu binary",
            "extended parameters were passed",
            "some parameters are not supported by migration protocol",
            "unable to override peer2peer migration uri",
            "unable to change target guest xml during migration",
        ),
        cause="libvirt or QEMU on one of the hosts does not know a parameter of the plan: it is "
        "misspelt, or the host is older than it",
        mend="compare with `migrationlab plan --list`, which has each parameter's first version; "
        "leave it out, or update that host",
        seen="virtypedparam.c virTypedParamsValidate; qemu_migration_params.c "
        "qemuMigrationParamsCheck; libvirt-domain.c",
    ),
    Cause(
        id="parameter-twice",
        by=CLIENT,
        wordings=(
            "parameter '{word}' occurs multiple times",
            "compression method '{word}' is specified twice",
        ),
        cause="a parameter or a compression method was given twice",
        mend="give it once",
        seen="virtypedparam.c virTypedParamsValidate; qemu_migration_params.c",
    ),
    Cause(
        id="parameter-range",
        by=SOURCE,
        wordings=(
            "migration parameter '{word}' must be less than",
            "bandwidth must be less than",
            "bandwidth {n} is greater than",
            "'migrate-set-parameters': {} expects",
            "numeric value {} for <{word}> option is malformed or out of range",
            "migrate: invalid downtime",
            "invalid value {} for migration parameter",
            "number of parallel {} cannot be less than 1",
            "exceeding address space",
        ),
        cause="a number is out of its range",
        mend="stay within: auto-converge 1 to 99 %, connections 1 to 255, zlib level 0 to 9, "
        "zstd level 0 to 20, an xbzrle cache of a power of two bytes, one page at least",
        seen="qemu_migration_params.c qemuMigrationParamsGetTPInt; QEMU migration/options.c "
        "migrate_params_check",
    ),
    Cause(
        id="parameter-without-feature",
        by=SOURCE,
        wordings=(
            "turn auto convergence on to tune it",
            "turn parallel migration on to tune it",
            "turn xbzrle compression on to tune it",
            "turn zlib compression on to tune it",
            "turn zstd compression on to tune it",
            "turn multithread compression on to tune it",
        ),
        cause="a parameter tunes something that the plan does not switch on",
        mend="switch it on too (AUTO_CONVERGE, PARALLEL, COMPRESSED with that method), or leave "
        "the parameter out",
        seen="qemu_migration_params.c qemuMigrationParamsFromFlags, "
        "qemuMigrationParamsSetCompression; zlib and zstd since libvirt 9.4",
    ),
    Cause(
        id="compression-unsupported",
        by=SOURCE,
        wordings=(
            "unsupported compression method {}",
            "compressed migration is not supported by qemu binary",
        ),
        cause="a compression method that this libvirt or QEMU does not have: zlib and zstd came "
        "with libvirt 9.4, mt went with QEMU 9.1",
        mend="use xbzrle, or with PARALLEL zlib or zstd",
        seen="qemu_migration_params.c qemuMigrationParamsSetCompression",
    ),
    Cause(
        id="compression-contradiction",
        by=SOURCE,
        wordings=(
            "compression method {} isn't supported with parallel migration",
            "compression method {} is only supported with parallel migration",
            "only one compression method could be specified with parallel",
            "no compression algorithm selected for parallel migration",
            "multifd is not compatible with xbzrle",
            "rdma and xbzrle can't be used together",
            "multifd is not compatible with compress",
        ),
        cause="xbzrle goes only without parallel connections, zlib and zstd only with them, and "
        "with them there must be one method",
        mend="without PARALLEL use xbzrle; with PARALLEL name one of zlib and zstd",
        seen="qemu_migration_params.c qemuMigrationParamsSetCompression; QEMU "
        "migration/options.c migrate_caps_check",
    ),
    Cause(
        id="zerocopy-contradiction",
        by=QEMU,
        wordings=(
            "zero copy only available for non-compressed non-tls multifd migration",
            "zero copy only available for non-compressed multifd migration",
            "requested zero copy feature is not available",
            "zero copy send feature not detected in host kernel",
            "zero copy currently only available on linux",
        ),
        cause="zero-copy needs parallel connections over plain TCP, without TLS and compression, "
        "and a kernel that has MSG_ZEROCOPY",
        mend="set PARALLEL with a tcp:// migration URI, and leave TLS and compression out; or "
        "leave zero-copy out",
        seen="QEMU migration/options.c migrate_caps_check, migration/socket.c, io/channel.c",
    ),
    Cause(
        id="multifd-transport",
        by=QEMU,
        wordings=(
            "migration requires multi-channel uris",
            "rdma and multifd can't be used together",
            "multifd must be set before incoming starts",
            "multifd is not supported by current protocol",
        ),
        cause="parallel connections need a transport that can be dialled more than once, and both "
        "sides to agree on it before they start",
        mend="use a tcp:// (or unix) migration URI with PARALLEL, without tunnelled and RDMA",
        seen="QEMU migration/migration.c migration_channels_and_transport_compatible",
    ),
    Cause(
        id="dirty-limit-needs-ring",
        by=QEMU,
        wordings=(
            "dirty-limit requires kvm with accelerator property 'dirty-ring-size' set",
            "dirty-limit conflicts with auto-converge",
        ),
        cause="QEMU's dirty-limit needs KVM with a dirty ring, and excludes auto-converge",
        mend="set <kvm><dirty-ring state='on' size='4096'/> in the guest's features, or use "
        "auto-converge alone",
        seen="QEMU migration/options.c migrate_caps_check; since 8.1",
    ),
    Cause(
        id="rdma-unsupported",
        by=SOURCE,
        wordings=(
            "incoming rdma migration is not supported with this qemu binary",
            "outgoing rdma migration is not supported with this qemu binary",
            "cannot start rdma migration with no memory hard limit set",
            "rdma error: {}",
            "rdma is in an error state",
            "could not open rdma device context",
            "rdma migration: {}",
            "rdma: cannot disable ram discard",
        ),
        cause="RDMA needs InfiniBand or RoCE hardware and its kernel modules on both hosts, a QEMU "
        "built with it, and a memory hard limit on the guest",
        mend="set <memtune><hard_limit>, check the devices with `rdma link` and ibv_devices on "
        "both hosts; else use tcp://",
        seen="qemu_migration.c qemuMigrationDstPrepareActive, qemuMigrationSrcPerformNative; QEMU "
        "migration/rdma.c",
    ),
    Cause(
        id="graphics-uri-invalid",
        by=SOURCE,
        wordings=("invalid tlsport number", "unknown graphics type {}"),
        cause="the graphics URI, which tells viewers where the guest went, cannot be read",
        mend="write it as spice://HOST:PORT?tlsPort=PORT or vnc://HOST:PORT",
        seen="qemu_migration.c qemuMigrationSrcGraphicsRelocate",
    ),
)
