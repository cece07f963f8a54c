"""Test whether KVM really runs guests here, by booting one.

``/dev/kvm`` can exist, and QEMU can report KVM as enabled, on machines where no guest gets past its
first instruction. So the lab's own guest is booted once, with a time limit. The verdict is cached
until the machine reboots or the image changes.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from migrationlab.errors import GuestError
from migrationlab.hosts.poll import readable
from migrationlab.lab import boot_files, directories, namespaces
from migrationlab.lab.boot_files import PAYLOAD, BootFiles
from migrationlab.steps import Listener, ignore, step

DEVICE = Path("/dev/kvm")
#: A guest that KVM runs is up in well under a second; under TCG it takes about two.
TIME_LIMIT_S = 6.0
MARK = b"migrationlab: workload runs"


@dataclass(frozen=True, slots=True)
class KvmVerdict:
    """Whether a guest boots with KVM here, and if not, the reason in a few words."""

    boots: bool
    reason: str = ""


def known_verdict(root: Path) -> KvmVerdict | None:
    """Return the verdict on a host image's QEMU if it is known without a boot, else None."""
    if not DEVICE.exists():
        return KvmVerdict(boots=False, reason="there is no /dev/kvm")
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return KvmVerdict(boots=False, reason="this user has no access to /dev/kvm")
    try:
        cached = json.loads(_file(root).read_text())
    except (OSError, ValueError):
        return None
    return KvmVerdict(**cached["verdict"]) if cached.get("about") == _about(root) else None


def kvm_verdict(root: Path, boot: BootFiles, on_step: Listener = ignore) -> KvmVerdict:
    """Return whether a guest boots with KVM here; boot one if that is not known yet.

    The trial can take some seconds.
    """
    verdict = known_verdict(root)
    if verdict is None:
        with step(on_step, "testing whether KVM boots a guest here"):
            verdict = _try(root, boot)
        cached = {"about": _about(root), "verdict": asdict(verdict)}
        partial = _file(root).with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(cached))
        partial.replace(_file(root))
    return verdict


def choose(wanted: str, root: Path, on_step: Listener = ignore) -> str:
    """Return the accelerator for a guest, "kvm" or "tcg"; "auto" is KVM where it boots guests.

    Raises:
        GuestError: KVM was asked for and runs no guests here.
    """
    if wanted == "tcg":
        return wanted
    verdict = kvm_verdict(root, boot_files.ensure(root, on_step), on_step)
    if wanted == "kvm" and not verdict.boots:
        raise GuestError(
            f"KVM runs no guests here: {verdict.reason}",
            hint='Boot with accelerator="tcg", or run `migrationlab doctor` for details.',
        )
    return "kvm" if verdict.boots else "tcg"


def _file(root: Path) -> Path:
    return directories.cache() / f"kvm-{root.name}.json"


def _about(root: Path) -> list[str]:
    """Return all inputs of the verdict."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return [boot_id, platform.release(), root.name, str(os.geteuid())]


def _try(root: Path, boot: BootFiles) -> KvmVerdict:
    script = [str(PAYLOAD / "kvm-trial.sh"), str(root), str(boot.kernel), str(boot.initramfs)]
    process = namespaces.start_guarded(
        ["sh", *script],
        "--net",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    output = b""
    try:
        end = time.monotonic() + TIME_LIMIT_S
        while MARK not in output:
            ready = readable(process.stdout, max(end - time.monotonic(), 0))
            more = os.read(process.stdout.fileno(), 4096) if ready else b""
            if not more:
                break
            output += more
        ended = process.poll() is not None
    finally:
        namespaces.end_guarded(process)
    if MARK in output:
        return KvmVerdict(boots=True)
    if not ended:
        return KvmVerdict(
            boots=False, reason=f"a guest did not boot with KVM within {TIME_LIMIT_S:g} s"
        )
    last = output.decode(errors="replace").strip().splitlines()
    return KvmVerdict(boots=False, reason=f"QEMU failed: {last[-1] if last else 'no message'}")
