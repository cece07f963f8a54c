"""Causes that show while a migration is under way: its job, and its two QEMUs."""

from __future__ import annotations

from migrationlab.explain.cause import Cause, Log, NoticedBy

CLIENT, SOURCE, DESTINATION, QEMU = NoticedBy

_JOB = "qemu_migration.c qemuMigrationJobCheckStatus"

RUNNING = (
    Cause(
        id="cancelled",
        by=SOURCE,
        wordings=(
            "job '{}' canceled by client",
            "{word}: canceled by client",
            "migration out job: canceled by client",
            "migration successfully aborted",
        ),
        cause="somebody cancelled it, or its deadline passed; often because it never converged: "
        "the guest dirtied memory faster than the wire carries it",
        mend="if it did not converge: raise the bandwidth or the maximum downtime, or use "
        "auto-converge, compression or post-copy; the guest goes on at the source",
        seen=f"{_JOB}; libvirt 1.0 to 11; virsh-domain.c",
        alone=frozenset({78, 93}),
    ),
    Cause(
        id="cancel-at-destination",
        by=DESTINATION,
        wordings=(
            "cannot abort incoming migration; use virdomaindestroy",
            "cannot abort vm start; use virdomaindestroy",
        ),
        cause="a migration is cancelled at its source; the destination can only destroy what came",
        mend="abort the job on the source host (virsh domjobabort there)",
        seen="qemu_driver.c qemuDomainAbortJobFlags",
    ),
    Cause(
        id="no-job",
        by=SOURCE,
        wordings=(
            "no job is active on the domain",
            "job 'migration {word}' is not active",
            "current job is not outgoing migration in post-copy mode",
        ),
        cause="no job is under way on that domain: it is over, or not begun yet",
        mend="see virsh domjobinfo GUEST on the source; nothing needs an end",
        seen="qemu_driver.c qemuDomainAbortJobFlags",
    ),
    Cause(
        id="statistics-at-source-only",
        by=DESTINATION,
        wordings=("migration statistics are available only on the source host",),
        cause="a running migration's statistics are known to its source alone",
        mend="ask on the source host; the completed job's are at the destination (virsh "
        "domjobinfo --completed)",
        seen="qemu_driver.c qemuDomainGetJobStatsInternal",
    ),
    Cause(
        id="job-under-way",
        by=SOURCE,
        wordings=(
            "another migration job is already running for domain",
            "there's a migration process in progress",
            "guest is waiting for an incoming migration",
            "the incoming migration has already been started",
            "qemu reports migration is still running",
            "is being actively monitored by another thread",
        ),
        codes=frozenset({1, 9, 55}),
        cause="the guest is being migrated already, in or out",
        mend="wait for that migration (virsh domjobinfo GUEST), or cancel it (virsh domjobabort)",
        seen="qemu_migration.c qemuMigrationJobIsAllowed; QEMU migration/migration.c",
    ),
    Cause(
        id="state-change-lock",
        by=SOURCE,
        wordings=("cannot acquire state change lock",),
        cause="another call holds the domain: a job under way, a QEMU that does not answer, or a "
        "guest agent that hangs; the message names the holder",
        mend="end that call or wait; if QEMU hangs (its storage is gone, say), mend that; see "
        "virsh domjobinfo and domcontrol",
        seen="virdomainjob.c virDomainObjBeginJobInternal; libvirt 9 to 11",
        logs=(Log.SOURCE_DAEMON,),
    ),
    Cause(
        id="agent-unresponsive",
        by=SOURCE,
        wordings=(
            "guest agent is not responding",
            "qemu guest agent is not connected",
            "qemu guest agent is not configured",
            "guest agent didn't respond",
            "guest agent disappeared while executing",
            "guest agent command timed out",
            "guest agent command failed",
            "guest agent replied with wrong id",
            "unable to execute qemu agent command",
            "end of file from agent socket",
        ),
        cause="the agent in the guest does not answer: not installed, not running, or the guest "
        "stands still",
        mend="install and start qemu-guest-agent in the guest; a migration itself does not need it",
        seen="qemu_agent.c",
        alone=frozenset({86, 97, 112, 113}),
    ),
    Cause(
        id="autodestroy",
        by=SOURCE,
        wordings=("domain is marked for auto destroy",),
        cause="the guest was started so that it ends with its starter's connection, so it may not "
        "leave",
        mend="start it without the auto-destroy flag (virsh start --autodestroy)",
        seen="qemu_migration.c qemuMigrationSrcIsAllowed",
    ),
    Cause(
        id="device-state-mismatch",
        by=QEMU,
        wordings=(
            "error while loading state for instance",
            "error while loading state section",
            "unknown savevm section",
            "features {word} unsupported. allowed features",
            "failed to load virtio-{word}:virtio",
            "failed to load element of type {} for",
            "incoming version_id {n} is too new",
            "incoming version_id {n} is too old",
            "savevm: unsupported version",
            "missing section footer for",
            "mismatched section id in footer",
            "load state of device {} failed",
            "unknown ramblock",
            "unknown combination of migration flags",
            "ram blocks mismatch",
            "received unknown capability",
            "capability {} is {}, but received capability is",
            "received target_page_bits is",
            "get_pci_config_device: bad config data",
            "loading vm subsection {} failed",
            "post load hook failed for",
            "pre load hook failed for",
            "uuid received is {} and local is",
            "vmstate_load_state error",
            "failed to load device state",
            "failed to read instance/version id",
            "loadvm failed: {n}",
        ),
        cause="the destination's QEMU cannot take the state of a device: its version, or the "
        "guest's devices as it was started there, differ from the source's",
        mend="use the same, or a newer, QEMU at the destination with the same machine type; going "
        "back to an older one works only if the machine type is as old; compare the XMLs",
        seen="QEMU migration/savevm.c qemu_loadvm_section_start_full, migration/vmstate.c; 7.2 to "
        "10.2",
        logs=(Log.DESTINATION_QEMU,),
    ),
    Cause(
        id="stream-broken",
        by=QEMU,
        wordings=(
            "not a migration stream",
            "in wrong postcopy state",
            "cmd_packaged: buffer receive fail",
            "mig_cmd {word} unknown",
            "read section footer failed",
            "unable to read id string for section",
            "failed to read section id",
            "failed to load section id",
            "postcopy_start: migration stream errored",
            "rp: received",
            "rp: failed reading data",
            "unsupported migration stream version",
            "failed to peek at channel",
            "unable to read from socket: connection reset",
            "unable to write to socket: connection reset",
            "unable to write to socket: broken pipe",
            "unexpected end-of-file before all data were read",
            "channel error: input/output error",
            "multifd: received packet magic",
            "multifd {n}: {}",
            "multifd: {}",
            "failed to establish preempt channel",
            "sibling indicated error",
            "error in migration completion",
            "tunnelled migration failed to read from qemu",
            "poll failed in migration tunnel",
            "unable to create migration thread",
            "failed to wakeup migration tunnel",
            "cannot create pipe for tunnelled migration",
            "cannot pass pipe for tunnelled migration",
        ),
        cause="the stream of memory between the two QEMUs broke, or something else than QEMU "
        "talks on that port: the other QEMU died, the wire went, or TLS is on at one side only",
        mend="see both QEMUs' logs: the one that died first says why; give the same flags (TLS, "
        "parallel) to both sides",
        seen="QEMU migration/savevm.c, channel.c, multifd.c, io/channel-socket.c; "
        "qemu_migration.c qemuMigrationSrcIOFunc",
        logs=(Log.DESTINATION_QEMU, Log.SOURCE_QEMU),
    ),
    Cause(
        id="destination-qemu-died",
        by=DESTINATION,
        wordings=(
            "load of migration failed",
            "qemu unexpectedly closed the monitor",
            "process exited while connecting to monitor",
            "guest unexpectedly quit",
            "end of file from qemu monitor",
            "unable to read from monitor: connection reset",
            "unable to write to monitor: broken pipe",
            "qemu monitor was closed",
            "child quit during startup handshake",
            "failed to connect to monitor socket",
            "domain {} didn't show up",
            "process exited prior to exec",
            "guest crashed while connecting to the guest agent",
        ),
        cause="a QEMU ended, mostly the destination's: it could not take in what the source sent, "
        "or could not start as the XML says",
        mend="the last lines of that QEMU's own log say why; the guest goes on at the source",
        seen="qemu_monitor.c qemuMonitorIO; qemu_process.c qemuProcessReportLogError; QEMU "
        "migration/migration.c process_incoming_migration_co",
        logs=(Log.DESTINATION_QEMU, Log.DESTINATION_DAEMON),
    ),
    Cause(
        id="source-stop-failed",
        by=QEMU,
        wordings=(
            "migration_stop_vm failed",
            "postcopy_start: failed to stop the vm",
            "block inactivate failed during switchover",
            "switchover is interrupted",
            "bdrv_inactivate_all() failed",
            "unable to open return-path for postcopy",
            "failed to save savestateentry",
        ),
        cause="the source's QEMU could not stop the guest or give up its disks at the end of the "
        "pre-copy",
        mend="see the source QEMU's own log; often its storage fails; the guest goes on there",
        seen="QEMU migration/migration.c migration_completion; 8.2 to 10.2",
        logs=(Log.SOURCE_QEMU,),
    ),
    Cause(
        id="paused-by-earlier-migration",
        by=QEMU,
        wordings=(
            "can't migrate the vm that was paused due to previous migration",
            "probably left in 'paused' state on source",
            "could not refresh migration statistics",
        ),
        cause="an earlier migration left the guest standing still",
        mend="find the one host where it should run; resume it there (virsh resume), destroy the "
        "other",
        seen="QEMU migration/migration.c migrate_prepare; libvirt-domain.c "
        "virDomainMigrateVersion3Full",
    ),
    Cause(
        id="resume-failed",
        by=DESTINATION,
        wordings=(
            "resume operation failed",
            "failed to resume guest",
            "failed to re-activate block nodes",
            "finish step ignored that migration was cancelled",
        ),
        cause="the guest has arrived, or went back, but QEMU did not set it going again",
        mend="virsh resume on the host where it is; if its disk is locked, see that the other "
        "QEMU is gone",
        seen="qemu_migration.c qemuMigrationDstFinishFresh, qemuMigrationSrcRestoreDomainState",
        logs=(Log.DESTINATION_QEMU,),
    ),
    Cause(
        id="dirty-rate-refused",
        by=QEMU,
        wordings=(
            "the dirty rate is already being measured",
            "calculation time is out of range",
            "mode {} is not enabled, use other method instead",
        ),
        cause="the dirty rate is being measured already, or for a time that QEMU does not allow",
        mend="wait for the first to end; measure for 1 to 60 s",
        seen="QEMU migration/dirtyrate.c qmp_calc_dirty_rate",
    ),
    Cause(
        id="job-failed-without-reason",
        by=SOURCE,
        wordings=(
            "job 'migration {word}' unexpectedly failed",
            "job 'migration {word}' failed",
            "migration out job: unexpectedly failed",
            "migration job: unexpectedly failed",
            "^operation failed: job: unexpectedly failed",
            "unable to execute qemu command 'migrate{}'",
            "migration failed. message from the source host",
        ),
        cause="the migration failed, and the source says no more: the reason is the destination's",
        mend="see the last lines of the destination QEMU's own log, then its libvirtd's; the "
        "guest goes on at the source",
        seen=_JOB,
        logs=(Log.DESTINATION_QEMU, Log.DESTINATION_DAEMON, Log.SOURCE_QEMU),
    ),
    Cause(
        id="domain-not-running",
        by=SOURCE,
        wordings=(
            "domain is not running",
            "domain is no longer running",
        ),
        codes=frozenset({1, 9, 55}),
        cause="the domain does not run (any more): a live migration has nothing to move, or it "
        "has left already",
        mend="virsh list --all on both hosts shows where it is; start it first, or migrate it "
        "offline",
        seen="virdomainobj / qemu_domain.c qemuDomainObjCheckActive",
    ),
)
