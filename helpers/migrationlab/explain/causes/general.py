"""What is left when nothing else fits: a class of errors that libvirt's own code tells.

Every wording here is the one that libvirt puts before the message of such a code
(virerror.c virErrorMsgStrings).
"""

from __future__ import annotations

from migrationlab.explain.cause import Cause, Log, NoticedBy

CLIENT, SOURCE, DESTINATION, QEMU = NoticedBy

GENERAL = (
    Cause(
        id="migration-unsafe",
        by=SOURCE,
        wordings=("unsafe migration: {}",),
        cause="libvirt holds that the guest's disks would suffer at the destination",
        mend="use shared storage with cache='none', or copy the disks; or the flag UNSAFE",
        seen="virerror.c VIR_ERR_MIGRATE_UNSAFE",
        alone=frozenset({81}),
    ),
    Cause(
        id="operation-timed-out",
        by=SOURCE,
        wordings=("timed out during operation: {}",),
        cause="another call held the domain or the host too long",
        mend="wait or end it; see virsh domjobinfo, domcontrol and the libvirtd's log",
        seen="virerror.c VIR_ERR_OPERATION_TIMEOUT",
        logs=(Log.SOURCE_DAEMON,),
        alone=frozenset({68}),
    ),
    Cause(
        id="resource-busy",
        by=DESTINATION,
        wordings=("^resource busy: {}",),
        cause="something that the guest needs is in another's hands",
        mend="the message names it: find who holds it before freeing it",
        seen="virerror.c VIR_ERR_RESOURCE_BUSY",
        logs=(Log.DESTINATION_DAEMON,),
        alone=frozenset({87}),
    ),
    Cause(
        id="authentication-failed",
        by=None,
        wordings=("authentication failed: authentication failed",),
        cause="the libvirtd that was dialled did not let this account in",
        mend="try the same URI with virsh as the same account (in peer2peer: root of the source); "
        "the other libvirtd's log says what it disliked",
        seen="virerror.c VIR_ERR_AUTH_FAILED",
        logs=(Log.DESTINATION_DAEMON,),
        alone=frozenset({45}),
    ),
    Cause(
        id="ssh-transport-error",
        by=None,
        wordings=("ssh transport error: {}", "libssh transport error: {}"),
        cause="the connection by ssh (libssh, libssh2) failed",
        mend="try it with qemu+ssh:// and ssh itself from the same host and account",
        seen="virerror.c VIR_ERR_SSH, VIR_ERR_LIBSSH",
        alone=frozenset({85, 98}),
    ),
    Cause(
        id="hypervisor-unreachable",
        by=CLIENT,
        wordings=("^failed to connect to the hypervisor",),
        cause="virsh found no libvirtd behind its connection URI",
        mend="see that libvirtd runs there and the URI is right: virsh --connect "
        "qemu+ssh://root@HOST/system version; the line below this one says more",
        seen="virsh.c virshConnect",
    ),
)
