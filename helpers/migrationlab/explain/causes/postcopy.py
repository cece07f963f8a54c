"""Causes that lie in post-copy: asking for it, breaking in it, resuming it."""

from __future__ import annotations

from migrationlab.explain.cause import Cause, Log, NoticedBy

CLIENT, SOURCE, DESTINATION, QEMU = NoticedBy

_JOB = "qemu_migration.c qemuMigrationJobCheckStatus"

POSTCOPY = (
    Cause(
        id="postcopy-needs-live",
        by=SOURCE,
        wordings=("post-copy migration is not supported with non-live or paused migration",),
        cause="post-copy has the guest run at the destination while its memory follows: that "
        "needs LIVE, and forbids PAUSED",
        mend="set LIVE and leave PAUSED out, or leave post-copy out",
        seen="qemu_migration.c qemuMigrationSrcBeginPhase, qemuMigrationDstPrepareAny",
    ),
    Cause(
        id="postcopy-with-multifd",
        by=QEMU,
        wordings=("postcopy is not yet compatible with multifd",),
        cause="this QEMU cannot do post-copy with parallel connections",
        mend="choose one: leave parallel out, or post-copy; QEMU 10.2 can do both",
        seen="QEMU migration/options.c migrate_caps_check; 10.0, gone in 10.2",
    ),
    Cause(
        id="postcopy-incompatible",
        by=QEMU,
        wordings=(
            "postcopy is not compatible with ignore-shared",
            "host backend files need to be tmpfs or hugetlbfs only",
            "postcopy requires ram blocks to be a page size multiple",
            "target page size bigger than host page size",
            "userfault on this host does not support huge pages",
            "postcopy preempt requires postcopy-ram",
            "vfio migration is not supported with postcopy migration",
            "postcopy needs matching ram page sizes",
            "postcopy needs matching target page sizes",
            "postcopy is not supported: {}",
        ),
        cause="this guest's memory or devices cannot be moved by post-copy: where its memory lies, "
        "its page size, or a device forbids it",
        mend="migrate without post-copy; or give the guest ordinary memory of the same page size "
        "on both hosts",
        seen="QEMU migration/postcopy-ram.c postcopy_ram_supported_by_host, savevm.c",
    ),
    Cause(
        id="postcopy-flag-missing",
        by=SOURCE,
        wordings=(
            "switching to post-copy requires migration to be started with vir_migrate_postcopy",
            "enable postcopy with migrate_set_capability before the start of migration",
        ),
        cause="a migration can only be switched to post-copy where it was begun with POSTCOPY",
        mend="begin it with POSTCOPY (virsh --postcopy)",
        seen="qemu_driver.c qemuDomainMigrateStartPostCopy; QEMU migration.c",
    ),
    Cause(
        id="postcopy-too-early",
        by=QEMU,
        wordings=(
            "postcopy must be started after migration has been started",
            "post-copy can only be started while outgoing migration is in progress",
        ),
        cause="there is no outgoing migration yet, or no longer, that could switch to post-copy",
        mend="wait until its first pass is under way (memory_iteration of the job statistics is "
        "1 or more)",
        seen="qemu_driver.c qemuDomainMigrateStartPostCopy; QEMU migration.c",
    ),
    Cause(
        id="cancel-in-postcopy",
        by=SOURCE,
        wordings=(
            "cannot abort migration in post-copy mode",
            "postcopy migration in progress, cannot cancel",
        ),
        cause="once in post-copy the guest's memory is spread over both hosts: there is no way "
        "back",
        mend="let it finish; after a broken connection resume it (POSTCOPY_RESUME, virsh "
        "--postcopy-resume), since libvirt 8.5",
        seen="qemu_driver.c qemuDomainAbortJobPostcopy; QEMU migration/migration.c",
    ),
    Cause(
        id="postcopy-failed",
        by=SOURCE,
        wordings=(
            "failed in post-copy phase",
            "failed during post-copy",
            "detected io failure for postcopy. migration paused",
            "postcopy migration is paused by the user",
            "loadvm failed during postcopy",
            "leaving the domain paused",
        ),
        cause="the connection broke in post-copy: the guest stands still at the destination, and "
        "waits for the rest of its memory from the source",
        mend="mend the wire and resume it: the same call with POSTCOPY_RESUME added (virsh "
        "--postcopy-resume; libvirt 8.5, but not 11.2 and 11.3 at the destination); destroy "
        "neither side",
        seen=f"{_JOB}; qemu_migration.c qemuMigrationSrcPostcopyFailed; QEMU migration/migration.c",
        logs=(Log.SOURCE_QEMU, Log.DESTINATION_QEMU),
    ),
    Cause(
        id="postcopy-resume-refused",
        by=SOURCE,
        wordings=(
            "post-copy migration of domain {} has not failed",
            "migration of domain {} is not in post-copy phase",
            "resuming failed post-copy migration of domain {} already in progress",
            "cannot resume if there is no paused migration",
            "migrate recover can only be run when postcopy is paused",
            "postcopy recovery cannot work when release-ram",
        ),
        cause="there is no broken post-copy migration to resume: it goes on, or has ended, or was "
        "never in post-copy",
        mend="see virsh domstate --reason and domjobinfo on both hosts; leave POSTCOPY_RESUME out "
        "of a fresh migration",
        seen="qemu_migration.c qemuMigrationAnyCanResume; QEMU migration/migration.c",
    ),
)
