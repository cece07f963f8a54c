"""Try each requirement of the lab on this machine, and suggest fixes.

A setting only promises; a try proves. So each requirement is tried, if that is possible: a
namespace is opened, an overlay mounted, a queue discipline set. Every try is a child process with
an argument list and a time limit, in its own namespaces that end with it, so nothing is left
behind. Settings are read only to name the cause of a refusal.

libvirt's binding is asked in a child process too: a binding that cannot be loaded must not end the
doctor.

The texts of the findings are in ``doctor.toml``.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from migrationlab.checks.diagnosis import Check, Diagnosis, Status, finding
from migrationlab.checks.machine import Machine
from migrationlab.errors import LabError
from migrationlab.hosts.program import NOT_RUN
from migrationlab.lab import image, recipes

GIB = 1024**3
SUBORDINATE_IDS = 65536
IMAGE_DISK_BYTES = 2 * GIB
"""One image: its archive and the unpacked tree, both at once while it is built."""
LAB_MEMORY_BYTES = GIB
"""Two daemons, and one guest of the default size twice while it migrates."""

PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "ip": "iproute2",
    "tc": "iproute2",
    "gcc": "gcc",
}
"""Programs that the lab calls, and the Debian package of each."""
ROOTLESS_PROGRAMS = {"newuidmap": "uidmap", "newgidmap": "uidmap"}

# Migration parameters, and the libvirt that introduced each. A binding built against older headers
# lacks the constant and sends the value with the wrong type.
CONSTANTS = {
    "VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES": (8, 0),
    "VIR_MIGRATE_ZEROCOPY": (8, 5),
    "VIR_MIGRATE_PARAM_COMPRESSION_ZSTD_LEVEL": (9, 4),
    "VIR_MIGRATE_PARAM_MIGRATE_DISKS_DETECT_ZEROES": (10, 9),
    "VIR_MIGRATE_PARAM_BANDWIDTH_AVAIL_SWITCHOVER": (11, 1),
}

_found = partial(finding, "doctor")


def doctor(machine: Machine | None = None) -> Diagnosis:
    """Check this machine for the lab; return all findings, in the order to fix them.

    A test gives a made-up machine.
    """
    machine = machine or Machine()
    checks: dict[str, Check] = {}
    for name, examine in _CHECKS.items():
        if name == "sub-ids" and machine.root:
            continue
        if name in _IN_NAMESPACES and checks["namespaces"].status is not Status.OK:
            found = _found("without-namespaces", "not-tried")
        else:
            found = examine(machine)
        checks[name] = found.named(name)
    return Diagnosis(tuple(checks.values()))


def _system(machine: Machine) -> Check:
    detail = f"{machine.system}, Python {platform.python_version()}"
    return _found("system", "ok" if machine.system == "Linux x86_64" else "other", detail=detail)


def _programs(machine: Machine) -> Check:
    wanted = PROGRAMS if machine.root else PROGRAMS | ROOTLESS_PROGRAMS
    missing = {name: package for name, package in wanted.items() if not machine.which(name)}
    if not missing:
        return _found("programs", "ok", count=len(wanted))
    packages = " ".join(sorted(set(missing.values())))
    return _found("programs", "missing", names=", ".join(missing), packages=packages)


def _try(machine: Machine, check: str, argv: Sequence[str], **values: object) -> Check:
    """Try a command, and return its finding."""
    result = machine.run(argv)
    outcome = "refused" if result.status else "ok"
    return _found(check, outcome, complaint=result.complaint, **values)


def _compiler(machine: Machine) -> Check:
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "try.c"), Path(folder, "try")
        source.write_text('#include <stdio.h>\nint main(void) { return puts("") < 0; }\n')
        return _try(machine, "compiler", ["gcc", "-static", "-o", str(program), str(source)])


def _subordinate_ids(machine: Machine) -> Check:
    files = [
        f"/etc/{name}"
        for name in ("subuid", "subgid")
        if _widest_range(machine, name) < SUBORDINATE_IDS
    ]
    return _found(
        "sub-ids",
        "missing" if files else "ok",
        user=machine.user,
        count=SUBORDINATE_IDS,
        files=" and ".join(files),
    )


def _widest_range(machine: Machine, name: str) -> int:
    lines = (line.split(":") for line in (machine.read(f"etc/{name}") or "").splitlines())
    owners = (machine.user, str(os.getuid()))
    return max((int(line[2]) for line in lines if len(line) == 3 and line[0] in owners), default=0)


def _namespaces(machine: Machine) -> Check:
    kinds = ["--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
    result = machine.run([*machine.apart(*kinds), "true"])
    if result.status == 0:
        return _found("namespaces", "root" if machine.root else "user")
    text, read, rootless = result.complaint, machine.read, not machine.root
    kinds = ["user", "mnt", "net", "pid", "uts"]
    limited = [kind for kind in kinds if read(f"proc/sys/user/max_{kind}_namespaces") == "0"]
    userns_clone = read("proc/sys/kernel/unprivileged_userns_clone")
    apparmor = read("proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    # The most certain first.
    causes = {
        "no-sub-ids": "/etc/subuid" in text or "/etc/subgid" in text,
        "no-program": any(word in text for word in ("newuidmap", "newgidmap", "not found")),
        "none-allowed": bool(limited),
        "kernel": rootless and userns_clone == "0",
        "apparmor": rootless and apparmor == "1",
        "seccomp": "Seccomp:\t2" in (read("proc/self/status") or ""),
        "refused": True,
    }
    cause = next(name for name, applies in causes.items() if applies)
    kind = limited[0] if limited else ""
    return _found("namespaces", cause, complaint=text, user=machine.user, kind=kind)


def _overlay(machine: Machine) -> Check:
    """Try the root of a host: the image below, and a tmpfs for the host's own changes."""
    parent = machine.cache_parent()
    script = (
        'mount -t tmpfs tmpfs "$1"; cd "$1"; mkdir upper work merged; '
        'options="lowerdir=$2,upperdir=upper,workdir=work"; '
        'mount -t overlay -o "$options" overlay merged 2>/dev/null || '
        'mount -t overlay -o "$options,userxattr" overlay merged'
    )
    with tempfile.TemporaryDirectory() as folder:
        argv = ["sh", "-euc", script, "overlayfs", folder, str(parent)]
        return _try(machine, "overlayfs", [*machine.apart("--mount"), *argv], folder=parent)


def _network(check: str, *argv: str) -> Callable[[Machine], Check]:
    """Return the check that tries a command in a network namespace."""
    return lambda machine: _try(machine, check, [*machine.apart("--net"), *argv])


def _tap(machine: Machine) -> Check:
    argv = ["ip", "tuntap", "add", "dev", "mlab0", "mode", "tap"]
    result = machine.run([*machine.apart("--net"), *argv])
    denied = "denied" if "Permission denied" in result.complaint else "refused"
    return _found("tap", denied if result.status else "ok", complaint=result.complaint)


def _kvm(machine: Machine) -> Check:
    device = machine.files / "dev/kvm"
    if not device.exists():
        return _found("kvm", "absent")
    # Without root, the daemon drops the user's groups before QEMU opens the device.
    opener = ["sh", "-c", ': <>"$0"', str(device)]
    apart = [] if machine.root else [*machine.apart(), "setpriv", "--clear-groups"]
    result = machine.run([*apart, *opener])
    if result.status == NOT_RUN:
        return _found("kvm", "not-tried", complaint=result.complaint)
    if result.status:
        outcome = "by-group" if machine.opens(device) else "denied"
        return _found("kvm", outcome, user=machine.user)
    try:
        verdict = machine.kvm_verdict()
    except LabError as error:
        return _found("kvm", "no-guest", error=error, advice=error.hint)
    if verdict is None:
        return _found("kvm", "opens")
    return _found("kvm", "boots" if verdict.boots else "no-boot", reason=verdict.reason)


def _userfaultfd(machine: Machine) -> Check:
    reason = machine.userfaultfd()
    return _found("userfaultfd", "refused" if reason else "ok", reason=reason)


_ASK_BINDING = """
import json, sys
try:
    import libvirt
except ImportError as error:
    sys.exit(str(error))
print(json.dumps([libvirt.getVersion(), [n for n in sys.argv[1:] if not hasattr(libvirt, n)]]))
"""


def _libvirt(machine: Machine) -> Check:
    result = machine.run([sys.executable, "-I", "-c", _ASK_BINDING, *CONSTANTS])
    if result.status:
        return _found("libvirt", "not-loaded", complaint=result.complaint)
    number, absent = json.loads(result.stdout)
    version = (number // 1_000_000, number // 1000 % 1000, number % 1000)
    lost = [name for name in absent if CONSTANTS[name] <= version]
    outcome, text = "older" if lost else "ok", ".".join(map(str, version))
    return _found("libvirt", outcome, version=text, names=", ".join(lost))


def _images(machine: Machine) -> Check:
    try:
        cached = [name for name in recipes.RECIPES if machine.cached(name)]
    except (LabError, OSError) as error:
        advice = getattr(error, "hint", "") or "Set XDG_CACHE_HOME to a folder of your own."
        return _found("images", "unreadable", error=error, advice=advice)
    outcome = "cached" if image.DEFAULT in cached else "none"
    return _found("images", outcome, names=", ".join(cached))


def _disk(machine: Machine) -> Check:
    parent = machine.cache_parent()
    free = machine.free_disk(parent)
    outcome = "ok"
    if free < IMAGE_DISK_BYTES:
        try:
            outcome = "short-with-image" if machine.cached(image.DEFAULT) else "short"
        except (LabError, OSError):
            outcome = "short"
    sizes = {"free": f"{free / GIB:.1f}", "needed": f"{IMAGE_DISK_BYTES / GIB:g}"}
    return _found("disk", outcome, folder=parent, **sizes)


def _memory(machine: Machine) -> Check:
    free = machine.free_memory()
    outcome = "ok" if free >= LAB_MEMORY_BYTES else "short"
    sizes = {"free": f"{free / GIB:.1f}", "needed": f"{LAB_MEMORY_BYTES / GIB:g}"}
    return _found("memory", outcome, **sizes)


_LINKS = "ip link add mlab0 type veth peer name mlab1; ip link add mlab2 type bridge"
_QDISC = ("tc", "qdisc", "add", "dev", "lo", "root")
_TBF = ("tbf", "rate", "1gbit", "burst", "1mb", "latency", "50ms")
#: In the order in which to fix them.
_CHECKS: dict[str, Callable[[Machine], Check]] = {
    "system": _system,
    "programs": _programs,
    "compiler": _compiler,
    "sub-ids": _subordinate_ids,
    "namespaces": _namespaces,
    "overlayfs": _overlay,
    "links": _network("links", "sh", "-euc", _LINKS),
    "tap": _tap,
    "wire rate": _network("wire rate", *_QDISC, *_TBF),
    "netem": _network("netem", *_QDISC, "netem", "delay", "1ms"),
    "kvm": _kvm,
    "userfaultfd": _userfaultfd,
    "libvirt": _libvirt,
    "images": _images,
    "disk": _disk,
    "memory": _memory,
}
_IN_NAMESPACES = frozenset({"overlayfs", "links", "tap", "wire rate", "netem"})
