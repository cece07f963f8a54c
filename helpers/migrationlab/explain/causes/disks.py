"""Causes that lie in the guest's disks, their locks and their storage."""

from __future__ import annotations

from migrationlab.explain.cause import Cause, Log, NoticedBy

CLIENT, SOURCE, DESTINATION, QEMU = NoticedBy

_ALLOWED = "qemu_migration.c qemuMigrationSrcIsAllowed"

DISKS = (
    Cause(
        id="cache-mode-unsafe",
        by=SOURCE,
        wordings=(
            "migration may lead to data corruption if disks use cache",
            "disks use cache other than none or directsync",
        ),
        cause="a disk's cache mode lets the destination read old data, and this QEMU, or this "
        "storage, cannot drop its cache on the way",
        mend="set cache='none' or 'directsync' on the guest's disks; with a cluster file system "
        "that is coherent, the flag UNSAFE (virsh --unsafe)",
        seen="qemu_migration.c qemuMigrationSrcIsSafe",
    ),
    Cause(
        id="disk-not-shared",
        by=SOURCE,
        wordings=("migration without shared storage is unsafe",),
        cause="a disk of the guest lies on the source alone, so the destination would not have it",
        mend="put it on shared storage, or copy it along (virsh --copy-storage-all); the flag "
        "UNSAFE only if both hosts truly see the same file",
        seen="qemu_migration.c qemuMigrationSrcIsSafe",
    ),
    Cause(
        id="image-locked",
        by=QEMU,
        wordings=(
            "failed to get 'write' lock",
            "failed to get shared 'write' lock",
            "failed to get '{}' lock",
            "failed to get shared '{}' lock",
            "failed to lock byte {n}",
            "is another process using the image",
        ),
        never=("/var/lib/dpkg", "apt", "yum", "postgres", "mysql"),
        cause="another QEMU or tool has the disk image open: the guest runs twice, or an earlier "
        "migration left a QEMU behind, or a backup is under way",
        mend="find who has it (fuser, lsof, and virsh list on both hosts), and end that; never "
        "switch the lock off",
        seen="QEMU block/file-posix.c raw_check_lock_bytes",
        logs=(Log.DESTINATION_QEMU,),
    ),
    Cause(
        id="lock-manager-conflict",
        by=DESTINATION,
        wordings=(
            "lockspace resource {} is locked",
            "unable to acquire lock on",
            "failed to acquire lock:",
            "source host lock driver {} different from target",
            "missing {} lock state for migration cookie",
            "migration with lock driver {} requires cookie support",
            "disks were present, but no leases specified",
            "lockspace for path {} does not exist",
            "missing lock driver name in migration cookie",
        ),
        cause="the lock manager (lockd or sanlock) keeps the disk for another guest, or the two "
        "hosts use different lock managers",
        mend="use the same lock_manager in both hosts' qemu.conf with the same lockspace; see who "
        "holds the lease before freeing it",
        seen="virlockspace.c virLockSpaceAcquireResource; qemu_migration_cookie.c "
        "qemuMigrationCookieParse",
        logs=(Log.DESTINATION_DAEMON,),
    ),
    Cause(
        id="disk-format-unmigratable",
        by=QEMU,
        wordings=("format used by node {} does not support live migration",),
        cause="QEMU cannot migrate a guest with a disk of this format",
        mend="convert it to qcow2 or raw (qemu-img convert) while the guest is off",
        seen="QEMU block/vmdk.c, vdi.c, vhdx.c, vpc.c, qcow.c, parallels.c, vvfat.c",
    ),
    Cause(
        id="disk-transient",
        by=SOURCE,
        wordings=("migration with transient disk is not supported",),
        cause="a disk is <transient/>: its changes lie in a file of the source alone",
        mend="remove <transient/>, or the disk",
        seen=_ALLOWED,
    ),
    Cause(
        id="disk-io-error",
        by=SOURCE,
        wordings=("cannot migrate domain with i/o error", "failed due to i/o error"),
        cause="a disk of the guest fails, and the guest stands still for it (or ABORT_ON_ERROR "
        "ended the migration)",
        mend="mend the storage (virsh domblkerror), resume the guest, and migrate again",
        seen=f"{_ALLOWED}, qemuMigrationAnyCompleted",
        logs=(Log.SOURCE_QEMU,),
    ),
    Cause(
        id="disk-target-unknown",
        by=SOURCE,
        wordings=(
            "disk target {} not found",
            "unable to find disk target {} for non-shared",
            "unable to find disk by target",
            "cannot migrate empty or read-only disk",
            "malformed disk target",
            "malformed disk path",
        ),
        cause="a disk that was chosen for copying is not one of the guest's, or is empty or "
        "read-only",
        mend="name the disks as in <target dev='…'> (virsh domblklist)",
        seen="qemu_migration.c qemuMigrationSrcBeginPhaseValidateDiskTargetList, "
        "qemuMigrationDstStartNBDServer",
    ),
    Cause(
        id="disk-copy-target-missing",
        by=DESTINATION,
        wordings=(
            "cannot precreate storage for disk type",
            "pre-creation of storage target{}for incremental storage migration",
            "pre-creation of storage targets for incremental",
            "non-shared storage migration into {} target is not supported",
        ),
        cause="the destination cannot make the file or volume into which the disk is to be copied",
        mend="make an image of the same size, format and path at the destination first (for an "
        "incremental copy, with the same backing file), or a storage pool of that folder",
        seen="qemu_migration.c qemuMigrationDstPrecreateDisk, qemuMigrationDstPrepareStorage",
        logs=(Log.DESTINATION_DAEMON,),
    ),
    Cause(
        id="disk-copy-failed",
        by=SOURCE,
        wordings=(
            "migration of disk {word} failed",
            "migration of non-shared disks requested but nbd is not set up",
            "missing block job data for disk",
            "unable to stop nbd server",
        ),
        cause="the copying of a disk broke off: the destination's disk is full or smaller, the "
        "wire went, or its port is closed",
        mend="see that the target has the size of the source and room, and that the disks port is "
        "open between the hosts",
        seen="qemu_migration.c qemuMigrationNBDReportMirrorError",
        logs=(Log.SOURCE_QEMU, Log.DESTINATION_QEMU),
    ),
    Cause(
        id="disk-size-differs",
        by=QEMU,
        wordings=("source and target image have different sizes",),
        codes=frozenset({1, 9}),
        cause="the image at the destination is not as large as the source's",
        mend="make it the same virtual size (qemu-img info, qemu-img create)",
        seen="QEMU block/mirror.c mirror_start_job",
        logs=(Log.DESTINATION_QEMU,),
    ),
    Cause(
        id="block-job-active",
        by=SOURCE,
        wordings=(
            "domain has active block job",
            "has a blockjob assigned",
            "block copy still active",
            "block job {} is still being ended",
            "disk {} already in active block job",
        ),
        cause="a disk of the guest is being copied, committed or backed up",
        mend="wait for it or end it (virsh blockjob GUEST DISK --info, --abort), then migrate",
        seen=_ALLOWED,
        alone=frozenset({83}),
    ),
    Cause(
        id="storage-pool-missing",
        by=DESTINATION,
        wordings=(
            "storage pool not found",
            "no storage pool with matching",
            "storage pool {quoted} is not active",
            "storage pool {quoted} containing volume {quoted} is not active",
        ),
        cause="a disk of the guest lies in a storage pool that the destination does not have, or "
        "that is not started there",
        mend="define and start a pool of that name there (virsh pool-define, pool-start), or "
        "migrate with XML that names the file",
        seen="storage/storage_driver.c storagePoolLookupByName",
        logs=(Log.DESTINATION_DAEMON,),
        alone=frozenset({49}),
    ),
    Cause(
        id="storage-volume-missing",
        by=DESTINATION,
        wordings=("no storage vol with matching",),
        cause="a disk's volume is not in that storage pool at the destination",
        mend="refresh the pool there (virsh pool-refresh) and see that it is the same storage",
        seen="storage/storage_driver.c storageVolLookupByName",
        logs=(Log.DESTINATION_DAEMON,),
        alone=frozenset({50}),
    ),
    Cause(
        id="storage-volume-exists",
        by=DESTINATION,
        wordings=("storage volume {} exists already", "this storage volume exists already"),
        cause="the volume that a copied disk needs exists at the destination already",
        mend="delete it there if it is old (virsh vol-delete), or make it the right size yourself",
        seen="storage/storage_driver.c storageVolCreateXML",
        alone=frozenset({90}),
    ),
    Cause(
        id="firmware-missing",
        by=DESTINATION,
        wordings=(
            "unable to find any master var store for loader",
            "unable to find '{word}' firmware that is compatible",
            "unable to find any firmware to satisfy",
            "failed to open file {}nvram",
            "could not open '/usr/share/{}': no such file or directory",
            "could not load pc bios",
            "could not open option rom",
            "unable to find nvram template",
            "failed to find romfile",
        ),
        cause="the destination lacks the guest's firmware (OVMF, its variable store) or a device's "
        "boot ROM at that path",
        mend="install the same firmware packages there (ovmf, ipxe-qemu, seabios); keep the "
        "NVRAM file on shared storage",
        seen="qemu_process.c qemuPrepareNVRAMFile; qemu_firmware.c; QEMU hw/core/loader.c",
        logs=(Log.DESTINATION_QEMU,),
    ),
    Cause(
        id="firmware-size-differs",
        by=QEMU,
        wordings=(
            "size mismatch: {word}{}: 0x{word} != 0x{}",
            "length mismatch: {word}{}: 0x{word} in != 0x{}",
        ),
        cause="a block of memory (often a device's boot ROM or the firmware) has another size on "
        "the destination: the packages differ",
        mend="install the same versions of ipxe-qemu, seabios and ovmf on both hosts, then restart "
        "the guest there; or set <rom enabled='no'/> on the card; if it names pc.ram, "
        "give the guest as much memory in the XML for the destination",
        seen="QEMU migration/ram.c parse_ramblock, qemu_ram_resize",
        logs=(Log.DESTINATION_QEMU,),
    ),
    Cause(
        id="disk-file-missing",
        by=DESTINATION,
        wordings=(
            "cannot access storage file {}: no such file or directory",
            "cannot access backing file",
            "could not open '/{}': no such file or directory",
            "could not open backing file",
            "could not open '{word}': no such file or directory",
            "failed to open file {quoted}: no such file or directory",
            "unable to stat: /{}: no such file or directory",
        ),
        codes=frozenset({1, 9, 38}),
        cause="a file of the guest (a disk, its backing file, an ISO) is not at that path on the "
        "destination: the storage is not mounted there, or is local to the source",
        mend="mount the shared storage at the same path there, copy the disks along, or eject the "
        "ISO (virsh change-media --eject)",
        seen="storage_source.c virStorageSourceReportBrokenChain; QEMU block.c bdrv_open_driver",
        logs=(Log.DESTINATION_QEMU, Log.DESTINATION_DAEMON),
    ),
    Cause(
        id="disk-file-refused",
        by=DESTINATION,
        wordings=(
            "cannot access storage file {}: permission denied",
            "cannot access storage file {} (as uid:",
            "could not open '/{}': permission denied",
            "unable to set user and group to {} on",
            "could not open '/{}': operation not permitted",
            "could not open '/{}': read-only file system",
        ),
        codes=frozenset({1, 9, 38}),
        cause="QEMU's account on the destination may not open a file of the guest: its owner, "
        "mode or label, or the export's root squash",
        mend="give both hosts the same account for QEMU (user, group in qemu.conf) and the "
        "storage the rights for it; for NFS with SELinux: setsebool -P virt_use_nfs 1",
        seen="storage_source.c virStorageSourceReportBrokenChain; security/security_dac.c; QEMU "
        "block/file-posix.c",
        logs=(Log.DESTINATION_QEMU,),
    ),
    Cause(
        id="storage-unreachable",
        by=DESTINATION,
        wordings=(
            "could not open {}: stale file handle",
            "could not open {}: transport endpoint is not connected",
            "iscsi: failed to connect to lun",
            "could not open 'rbd:",
            "error reading header from {}: no such file",
            "no secret with matching",
        ),
        codes=frozenset({1, 9, 38, 66}),
        cause="the destination cannot reach the guest's network storage (Ceph, iSCSI, NFS, NBD), "
        "or lacks the secret for it",
        mend="open the storage from the destination by hand first; define the same secret there "
        "(virsh secret-define, secret-set-value)",
        seen="QEMU block/rbd.c, block/iscsi.c, block/nbd.c; secret/secret_driver.c",
        logs=(Log.DESTINATION_QEMU,),
        alone=frozenset({66}),
    ),
    Cause(
        id="disk-full",
        by=DESTINATION,
        wordings=(
            "unable to write {}: no space left on device",
            "unable to save {}: no space left on device",
            "cannot write {}: no space left on device",
            "cannot create {}: no space left on device",
            "failed to create {}: no space left on device",
            "cannot extend file {}: no space left on device",
            "could not write {}: no space left on device",
        ),
        codes=frozenset({1, 9, 38}),
        never=("cp:", "dpkg", "docker", "git", "tar:", "[errno 28]"),
        cause="a file system that the migration writes to is full",
        mend="make room (df -h on both hosts: the images' folder, /var/log, /var/lib/libvirt)",
        seen="virfile.c; QEMU block/file-posix.c",
        logs=(Log.DESTINATION_DAEMON, Log.DESTINATION_QEMU),
    ),
)
