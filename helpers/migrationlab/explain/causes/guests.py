"""Causes that lie in the guest: what of it cannot be moved, or not to that host."""

from __future__ import annotations

from migrationlab.explain.cause import Cause, Log, NoticedBy

CLIENT, SOURCE, DESTINATION, QEMU = NoticedBy

#: What libvirt compares, as its messages name it.
_COMPARED = (
    "acpi", "active pcr", "balloon", "channel", "console", "controller", "cpu", "device", "disk",
    "domain", "filesystem", "graphics", "host device", "hub", "input", "iommu", "maximum memory",
    "memory", "memorybacking", "network card", "nvdimm", "os type", "panic", "parallel", "redir",
    "rng", "serial", "shared memory", "sound", "timer", "tpm", "tsc", "usb", "video", "vsock",
    "watchdog",
)  # fmt: skip
_ALLOWED = "qemu_migration.c qemuMigrationSrcIsAllowed"

GUESTS = (
    Cause(
        id="snapshots-forbid",
        by=SOURCE,
        wordings=("cannot migrate domain with {n} snapshot{}",),
        cause="libvirt does not take a guest's snapshots along to another host",
        mend="delete their metadata (virsh snapshot-delete --metadata; keep their XML to redefine "
        "them there), then migrate",
        seen=_ALLOWED,
    ),
    Cause(
        id="host-device",
        by=SOURCE,
        wordings=(
            "cannot migrate a domain with <hostdev",
            "cannot migrate a domain with <interface type='hostdev'",
            "cannot migrate a domain with <interface",
            "domain has assigned non-usb host devices",
            "domain has assigned host devices",
        ),
        cause="the guest has a device of the source host in its hands, which cannot move",
        mend="detach it first (virsh detach-device) and attach one at the destination after; for "
        "networks, a teaming pair of a VF and a virtio card does that by itself",
        seen="qemu_migration.c qemuMigrationSrcIsAllowedHostdev; libvirt 9 to 11",
    ),
    Cause(
        id="vfio-device",
        by=QEMU,
        wordings=(
            "vfio device doesn't support {}dirty tracking",
            "vfio migration is not supported in kernel",
            "migration is disabled for vfio device",
            "migration couldn't be initialized for vfio device",
            "multiple vfio devices migration is supported only if",
            "vfio device doesn't support migration",
            "failed to load device config space",
            "failed to save device config space",
            "{word}: migration is currently not supported with vioMMU enabled",
        ),
        cause="a passed-through device, or its driver in the host, cannot be migrated",
        mend="detach it before, or use a vfio driver (mlx5, hisi) and a kernel that can migrate "
        "it, on both hosts",
        seen="QEMU hw/vfio/migration.c vfio_migration_realize, hw/vfio/common.c",
        logs=(Log.SOURCE_QEMU,),
    ),
    Cause(
        id="vdpa-device",
        by=SOURCE,
        wordings=("vdpa devices cannot be migrated",),
        cause="the guest has a vDPA network device",
        mend="detach it before the migration",
        seen=_ALLOWED,
    ),
    Cause(
        id="virtiofs",
        by=SOURCE,
        wordings=(
            "migration with {}virtiofs device is not supported",
            "migration is disabled when virtfs export path",
        ),
        cause="a shared folder (virtiofs or 9p) of the source is mounted in the guest",
        mend="unmount and detach it before; libvirt 11 with a virtiofsd that can migrate "
        "allows it with a shared file system",
        seen=f"{_ALLOWED}; QEMU hw/9pfs/9p.c",
    ),
    Cause(
        id="shmem-device",
        by=SOURCE,
        wordings=(
            "shmem device {} cannot be migrated",
            "migration with shmem device is not supported",
            "migration with legacy shmem device is not supported",
            "using feature 'peer mode' in device 'ivshmem'",
        ),
        cause="the guest has shared memory with others on the source",
        mend="detach it, or give it role='master'",
        seen=_ALLOWED,
    ),
    Cause(
        id="tpm-state",
        by=SOURCE,
        wordings=(
            "the running swtpm does not support migration with shared storage",
            "does not support the --migration option needed",
            "swtpm died and reported",
            "swtpm died unexpectedly",
            "swtpm didn't show up",
            "swtpm socket did not show up",
        ),
        cause="the guest's emulated TPM cannot be handed over: swtpm is too old, missing or "
        "fails on one side",
        mend="install the same, recent swtpm on both hosts; see its log in "
        "/var/log/swtpm/libvirt/qemu",
        seen=f"{_ALLOWED}; qemu_tpm.c qemuTPMEmulatorStart",
        logs=(Log.DESTINATION_DAEMON,),
    ),
    Cause(
        id="slirp-or-dbus",
        by=SOURCE,
        wordings=(
            "a slirp-helper cannot be migrated",
            "cannot migrate this domain without dbus-vmstate support",
        ),
        cause="the guest's user-mode network helper cannot be migrated",
        mend="use a bridge or passt, or a slirp-helper that can be migrated",
        seen=_ALLOWED,
    ),
    Cause(
        id="vhost-backend",
        by=QEMU,
        wordings=(
            "migration disabled: vhost",
            "vhost-scsi does not support migration",
            "migration disabled: failed to allocate shared memory",
        ),
        cause="the back end of a vhost device (vhost-user, vhost-scsi) cannot tell which memory "
        "it wrote",
        mend="use a back end that can (VHOST_F_LOG_ALL), or detach the device",
        seen="QEMU hw/virtio/vhost.c, vhost-user.c, hw/scsi/vhost-scsi.c",
        logs=(Log.SOURCE_QEMU,),
    ),
    Cause(
        id="memory-device-unplaced",
        by=SOURCE,
        wordings=("domain's dimm info lacks slot id or base address",),
        cause="libvirt does not know where a hot-plugged memory module lies",
        mend="restart the guest, so that the module gets an address that is kept",
        seen=_ALLOWED,
    ),
    Cause(
        id="confidential-guest",
        by=QEMU,
        wordings=(
            "sev: migration is not implemented",
            "sev-snp: migration is not implemented",
            "pef: migration is not implemented",
            "protected vms are currently not migratable",
        ),
        cause="the guest's memory is encrypted for this host: QEMU cannot migrate it",
        mend="shut it down and start it on the other host",
        seen="QEMU target/i386/sev.c, hw/s390x/s390-virtio-ccw.c, hw/ppc/pef.c",
    ),
    Cause(
        id="device-blocks-migration",
        by=QEMU,
        wordings=(
            "state blocked by non-migratable device",
            "state blocked by non-migratable cpu device",
            "state blocked due to non-migratable cpuid feature",
            "disallowing migration blocker",
            "'migrate': {}does not support migration",
            "cannot migrate domain: {}",
            "virgl is not yet migratable",
            "is not yet migratable",
            "cpu flag prevents migration",
            "live migration disabled due to",
        ),
        cause="something in the guest forbids migration, and QEMU names it: a device, a CPU flag "
        "or its state",
        mend="take what the message names out of the guest (3D acceleration, hv-passthrough, …), "
        "or shut the guest down to move it",
        seen=f"{_ALLOWED} (QEMU's blocked-reasons); QEMU migration/savevm.c",
        logs=(Log.SOURCE_QEMU,),
    ),
    Cause(
        id="guest-memory-poisoned",
        by=QEMU,
        wordings=("can't migrate this vm with hardware poisoned memory",),
        cause="memory of the source host is broken under the guest",
        mend="restart the guest, and look after the host's memory (mcelog, rasdaemon)",
        seen="QEMU migration/migration.c migrate_prepare; since 9.0",
    ),
    Cause(
        id="invtsc-without-frequency",
        by=SOURCE,
        wordings=(
            "domain has 'invtsc' cpu feature but tsc frequency is not specified",
            "domain has cpu feature: invtsc",
            "non-migratable cpu device (invtsc flag)",
            "host doesn't support invariant tsc",
            "requested tsc frequency {n} hz is outside tolerance",
        ),
        cause="the guest counts on an invariant time stamp counter, whose frequency must be the "
        "same on both hosts",
        mend="state the frequency in <clock><timer name='tsc' frequency='…'/>, or take invtsc out "
        "of its CPU",
        seen=f"{_ALLOWED}; qemu_process.c qemuProcessStartValidateTSC",
    ),
    Cause(
        id="cpu-model-missing",
        by=DESTINATION,
        wordings=(
            "guest cpu doesn't match specification",
            "host cpu does not provide required features",
            "host cpu does not strictly match guest cpu",
            "the cpu is incompatible with host cpu",
            "unable to find cpu model",
            "unknown cpu model",
            "cpu model {} is not supported by hypervisor",
            "cpu mode '{word}' for {} domain on {} host is not supported by hypervisor",
            "host doesn't support requested feature",
            "tcg doesn't support requested feature",
            "cpu vendor {} not found",
            "host cpu provides forbidden feature",
            "unknown cpu feature",
            "cannot translate cpu model",
            "cannot find suitable cpu model for given data",
        ),
        cause="the guest's CPU model, or a feature of it, is not what the destination can give: "
        "the hosts' CPUs, microcode, QEMU or accelerator differ",
        mend="give the guest a named model that both hosts have (virsh "
        "hypervisor-cpu-baseline over both), not host-passthrough, and restart it",
        seen="cpu_x86.c virCPUx86UpdateLive, virCPUx86Compare; cpu.c virCPUCompareUnusable; QEMU "
        "target/i386/cpu.c",
        logs=(Log.DESTINATION_DAEMON,),
        alone=frozenset({91}),
    ),
    Cause(
        id="machine-type-missing",
        by=DESTINATION,
        wordings=(
            "does not support machine type",
            "unsupported machine type",
            "machine type received is {} and local is",
        ),
        cause="the destination's QEMU does not have the guest's machine type: it is older than "
        "the source's, or so new that it dropped the type",
        mend="give the guest a versioned machine type that both have (virsh capabilities, "
        "qemu-system-x86_64 -machine help) and restart it; or update the destination",
        seen="qemu_validate.c qemuValidateDomainDef; QEMU hw/core/machine.c, migration/savevm.c",
        logs=(Log.DESTINATION_QEMU,),
    ),
    Cause(
        id="emulator-missing",
        by=DESTINATION,
        wordings=(
            "cannot check qemu binary {}",
            "unable to find {} emulator",
            "does not support virt type",
            "emulator {quoted} does not support",
            "could not find capabilities for",
            "domain requires kvm, but it is not available",
            "failed to initialize kvm",
            "could not access kvm kernel module",
        ),
        cause="the destination lacks the guest's emulator at that path, or KVM",
        mend="install the same QEMU there, or migrate with XML whose <emulator> is the "
        "destination's path; for KVM: /dev/kvm must exist there and be QEMU's to use",
        seen="qemu_capabilities.c virQEMUCapsCacheLookup; qemu_process.c qemuProcessStartValidate; "
        "QEMU accel/kvm/kvm-all.c",
        logs=(Log.DESTINATION_DAEMON,),
    ),
    Cause(
        id="abi-changed",
        by=SOURCE,
        wordings=(
            *(f"target {what}{{}} match source" for what in _COMPARED),
            "state of {} differs: source:",
            "hyperv {} differs: source:",
            "is not compatible with source subsystem type",
            "changing device type to/from spicevmc",
            "differs: source: {}, destination:",
            "smm tseg differs: source",
        ),
        cause="the destination XML changes what the guest sees of its machine (a device, an "
        "address, memory, a name or UUID): a running guest cannot follow that",
        mend="begin with `virsh dumpxml --migratable GUEST` and change only what is the host's: "
        "paths, networks, graphics listen addresses",
        seen="domain_conf.c virDomainDefCheckABIStability; libvirt 9 to 11",
    ),
    Cause(
        id="xml-invalid",
        by=SOURCE,
        wordings=(
            "xml document failed to validate against schema",
            "xml description is invalid or not well formed",
            "^xml error: {}",
            "no domain xml passed",
            "(domain_definition):",
        ),
        cause="the XML given with the plan is not that of a domain",
        mend="begin with `virsh dumpxml --migratable GUEST`, and check it with virt-xml-validate",
        seen="virxml.c; domain_conf.c; virerror.c",
        alone=frozenset({27, 35, 92}),
    ),
)
