"""Causes that lie in accounts, and in what a kernel or an administrator allows."""

from __future__ import annotations

from migrationlab.explain.cause import Cause, Log, NoticedBy

CLIENT, SOURCE, DESTINATION, QEMU = NoticedBy

RIGHTS = (
    Cause(
        id="tls-required",
        by=SOURCE,
        wordings=("allows migration only with vir_migrate_tls flag",),
        cause="this host's administrator forbids migration without TLS",
        mend="set TLS in the plan (tls=True, virsh --tls), or migrate_tls_force = 0 in qemu.conf",
        seen="qemu_migration.c qemuMigrationSrcBegin, qemuMigrationDstPrepareAny",
    ),
    Cause(
        id="authentication-no-agent",
        by=None,
        wordings=(
            "no polkit agent available to authenticate",
            "polkit text authentication agent unavailable",
        ),
        cause="polkit wants a password for this action, and nobody is there to ask",
        mend="connect as root, or put the account into the group libvirt, or give it a polkit "
        "rule for org.libvirt.unix.manage",
        seen="virpolkit.c virPolkitCheckAuth",
        alone=frozenset({94}),
    ),
    Cause(
        id="authentication-cancelled",
        by=CLIENT,
        wordings=("user cancelled authentication process",),
        cause="the question for a password was dismissed",
        mend="try again and give it, or use an account that needs none",
        seen="virpolkit.c virPolkitCheckAuth",
        alone=frozenset({79}),
    ),
    Cause(
        id="authentication-callback-missing",
        by=None,
        wordings=(
            "no authentication callback available",
            "authentication callback not provided",
            "no user interaction callback provided",
            "failed to collect auth credentials",
        ),
        cause="the server wants a name and a password, and the dialling program has no way to "
        "ask: a daemon in peer2peer has none",
        mend="use keys or certificates; for SASL put the credentials into "
        "/etc/libvirt/auth.conf of the dialling host",
        seen="remote_driver.c remoteAuthSASL; virnetsshsession.c",
    ),
    Cause(
        id="sasl-unsuitable",
        by=None,
        wordings=(
            "sasl mechanism {} not supported by server",
            "negotiation ssf {n} was not strong enough",
            "failed to start sasl negotiation",
            "failed to create sasl client context",
            "requested authentication type {} rejected",
            "unsupported authentication type",
            "unknown authentication type",
        ),
        cause="the two sides have no way of authentication in common",
        mend="compare auth_tcp, auth_tls and the SASL mechanisms (/etc/sasl2/libvirt.conf) of the "
        "server with what the client offers; plain TCP needs a mechanism that encrypts",
        seen="remote_driver.c remoteAuthenticate, remoteAuthSASL",
        logs=(Log.DESTINATION_DAEMON,),
    ),
    Cause(
        id="read-only-connection",
        by=CLIENT,
        wordings=("read only access prevents {word}",),
        cause="the connection was opened read-only, or by an account that may only look",
        mend="open it without read-only (virsh without --readonly), as root or a member of the "
        "group libvirt",
        seen="internal.h virCheckReadOnlyGoto, by libvirt-domain.c",
        alone=frozenset({29}),
    ),
    Cause(
        id="access-denied",
        by=None,
        wordings=(
            "access denied: {quoted} denied access",
            "access denied by policy",
        ),
        cause="polkit, or another access driver of the daemon, forbids that to this account",
        mend="give the account a polkit rule for the action (org.libvirt.api.domain.migrate), or "
        "connect as root; see access_drivers in libvirtd.conf",
        seen="viraccessmanager.c; virpolkit.c virPolkitCheckAuth",
        alone=frozenset({88}),
    ),
    Cause(
        id="userfaultfd-refused",
        by=QEMU,
        wordings=(
            "userfaultfd not available",
            "postcopy is not supported: userfault",
            # QEMU before 8.0 gives the reason only in its own log.
            "': postcopy is not supported",
            "^postcopy is not supported",
            "userfault feature detection failed",
            "uffd_open() failed",
            "uffdio_api failed",
            "syscall __nr_userfaultfd failed",
            "failed to open userfault fd",
            "missing userfault features",
        ),
        cause="post-copy needs userfaultfd on the destination, and its kernel refuses that to QEMU",
        mend="on the destination: sysctl vm.unprivileged_userfaultfd=1, or give QEMU "
        "/dev/userfaultfd, or run QEMU as root; or migrate without post-copy",
        seen="QEMU migration/postcopy-ram.c postcopy_ram_supported_by_host; 7.2 to 10.2",
        logs=(Log.DESTINATION_QEMU,),
    ),
    Cause(
        id="memory-lock-refused",
        by=SOURCE,
        wordings=("cannot limit locked memory of process",),
        cause="libvirtd may not raise how much memory QEMU may lock, as zero-copy, RDMA or a "
        "device needs it: it has not the right (CAP_SYS_RESOURCE), as without root",
        mend="run libvirtd as root, or raise max locked memory of its service (LimitMEMLOCK); or "
        "leave zero-copy or RDMA out",
        seen="virprocess.c virProcessSetMaxMemLock",
        logs=(Log.SOURCE_DAEMON, Log.DESTINATION_DAEMON),
    ),
    Cause(
        id="memory-lock-refused",
        by=QEMU,
        wordings=(
            "process can't lock enough memory for using msg_zerocopy",
            "locking memory failed",
            "vfio_dma_map{}cannot allocate memory",
            "failed to register local dest ram block",
            "unable to write to socket: no buffer space available",
        ),
        cause="QEMU may not lock as much memory as zero-copy, RDMA or a device needs",
        mend="give the guest <memtune><hard_limit> above its memory (libvirt then raises the "
        "limit), or raise max locked memory; or leave zero-copy or RDMA out",
        seen="QEMU io/channel-socket.c qio_channel_socket_writev",
        logs=(Log.SOURCE_QEMU,),
    ),
    Cause(
        id="security-driver-differs",
        by=DESTINATION,
        wordings=(
            "security label driver mismatch",
            "security label model {} is not supported",
            "security driver model {} is not available",
            "cannot load apparmor profile",
            "unable to set apparmor profile",
            "unable to set security context",
        ),
        cause="the hosts use different security drivers (SELinux, AppArmor, none), or the "
        "destination's refused the guest's label",
        mend="use the same security_driver on both hosts, or migrate with XML whose <seclabel> "
        "suits the destination (or is left to it)",
        seen="security/security_manager.c; security_apparmor.c; security_selinux.c",
        logs=(Log.DESTINATION_DAEMON,),
    ),
)
