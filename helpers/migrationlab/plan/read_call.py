"""Read a migration that somebody wrote down, whatever its form."""

from __future__ import annotations

from migrationlab.errors import UsageError
from migrationlab.plan import flags_reader, virsh_reader
from migrationlab.plan.given_call import GivenCall

#: A longer text is no command line.
LONGEST_CALL = 64 * 1024


def read_call(text: str) -> GivenCall:
    """Read a ``virsh migrate`` line, or the flags of a call of libvirt's API.

    Args:
        text: A virsh line as it was typed, with a prompt, ``sudo`` or continued lines if it has
            them; a list of flags, such as nova's ``VIR_MIGRATE_LIVE, VIR_MIGRATE_PEER2PEER``; a
            call in Python or Go with its flags and parameters; or the flags' number.

    Raises:
        UsageError: The text has neither.
    """
    if len(text) > LONGEST_CALL:
        raise UsageError(
            f"the text must be a command or a call of at most {LONGEST_CALL} characters "
            f"(got {len(text)})",
            hint='Give only the command: migrationlab plan --virsh "virsh migrate …"',
        )
    for reader in (virsh_reader.read, flags_reader.read):
        if found := reader(text):
            return found
    raise UsageError(
        "the text must be a virsh migrate line or the flags of a call (got neither)",
        hint='Give, for example: migrationlab plan --virsh "virsh migrate --live web '
        'qemu+ssh://root@host-b/system"',
    )
