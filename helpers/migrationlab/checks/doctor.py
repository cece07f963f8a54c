"""Find out by trying what this machine can do for the lab, and how to fix the rest.

A setting says what should work; only a try says what does. So whatever can be tried is tried: a
namespace is opened, an overlay mounted, a queue discipline set. Every try is a child process with
an argument list and a time limit, in its own namespaces that end with it, so nothing is left
behind. Settings are read only to name the cause of a refusal.

libvirt's binding is asked in a child process too: a binding that cannot be loaded must not end the
doctor.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from migrationlab.checks.diagnosis import Check, Diagnosis, Status, fail, ok, warn
from migrationlab.checks.machine import Machine
from migrationlab.errors import LabError
from migrationlab.hosts.program import NOT_RUN
from migrationlab.lab import image

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


INSTALL = "Run `make setup`, or: sudo apt-get install --no-install-recommends"


def doctor(machine: Machine | None = None) -> Diagnosis:
    """Find out what this machine can do for the lab.

    Args:
        machine: The machine to examine; a test gives a made-up one.

    Returns:
        Every finding, in the order in which to fix them.
    """
    machine = machine or Machine()
    checks: dict[str, Check] = {}
    for name, examine in _CHECKS.items():
        if name == "sub-ids" and machine.root:
            continue
        if name in _IN_NAMESPACES and checks["namespaces"].status is not Status.OK:
            found = warn("not tried: it needs namespaces", "Fix namespaces first.")
        else:
            found = examine(machine)
        checks[name] = found.named(name)
    return Diagnosis(tuple(checks.values()))


def _system(machine: Machine) -> Check:
    detail = f"{machine.system}, Python {platform.python_version()}"
    if machine.system == "Linux x86_64":
        return ok(detail)
    return fail(
        detail,
        "Use a machine with Linux on x86-64 for the lab. Reading and plotting recorded runs works "
        "on any machine.",
    )


def _programs(machine: Machine) -> Check:
    wanted = PROGRAMS if machine.root else PROGRAMS | ROOTLESS_PROGRAMS
    missing = {name: package for name, package in wanted.items() if not machine.which(name)}
    if not missing:
        return ok(f"all {len(wanted)} found")
    packages = " ".join(sorted(set(missing.values())))
    return fail(f"missing: {', '.join(missing)}", f"{INSTALL} {packages}")


def _try(
    machine: Machine,
    argv: Sequence[str],
    good: str,
    hint: str,
    bad: Callable[[str, str], Check] = fail,
) -> Check:
    """Return a good finding if a command succeeds, else its complaint with the hint."""
    result = machine.run(argv)
    return ok(good) if result.status == 0 else bad(result.complaint, hint)


def _compiler(machine: Machine) -> Check:
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "try.c"), Path(folder, "try")
        source.write_text('#include <stdio.h>\nint main(void) { return puts("") < 0; }\n')
        argv = ["gcc", "-static", "-o", str(program), str(source)]
        good = "builds a static program, as the guest needs"
        return _try(machine, argv, good, f"{INSTALL} gcc libc6-dev")


def _subordinate_ids(machine: Machine) -> Check:
    files = [
        f"/etc/{name}"
        for name in ("subuid", "subgid")
        if _widest_range(machine, name) < SUBORDINATE_IDS
    ]
    if not files:
        return ok(f"{machine.user} has {SUBORDINATE_IDS} of each kind")
    return fail(
        f"no range of {SUBORDINATE_IDS} for {machine.user} in {' and '.join(files)}",
        "Run `make setup`: it adds a free range with usermod --add-subuids and --add-subgids.",
    )


def _widest_range(machine: Machine, name: str) -> int:
    lines = (line.split(":") for line in (machine.read(f"etc/{name}") or "").splitlines())
    owners = (machine.user, str(os.getuid()))
    return max((int(line[2]) for line in lines if len(line) == 3 and line[0] in owners), default=0)


def _namespaces(machine: Machine) -> Check:
    kinds = ["--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
    result = machine.run([*machine.apart(*kinds), "true"])
    if result.status == 0:
        kind = "as root, no user namespace needed" if machine.root else "in a user namespace"
        return ok(f"mount, network and pid opened {kind}")
    cause, hint = _why_no_namespaces(machine, result.complaint)
    return fail(f"{cause} ({result.complaint})", hint)


def _why_no_namespaces(machine: Machine, text: str) -> tuple[str, str]:
    """Return the cause of a refusal and its fix, the most certain first."""
    if "/etc/subuid" in text or "/etc/subgid" in text:
        return f"{machine.user} has no sub-ids", "Fix sub-ids first."
    if "newuidmap" in text or "newgidmap" in text or "not found" in text:
        return "a program is missing", "Fix programs first."
    for kind in ("user", "mnt", "net", "pid", "uts"):
        if machine.read(f"proc/sys/user/max_{kind}_namespaces") == "0":
            setting = f"user.max_{kind}_namespaces"
            return f"{setting} is 0", f"Run: sudo sysctl -w {setting}=10000"
    if not machine.root:
        if machine.read("proc/sys/kernel/unprivileged_userns_clone") == "0":
            hint = "Run: sudo sysctl -w kernel.unprivileged_userns_clone=1"
            return "the kernel forbids them to ordinary users", hint
        if machine.read("proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
            hint = (
                "Run: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (until the "
                "next boot; a file in /etc/sysctl.d makes it permanent), or run the lab as root."
            )
            return "AppArmor forbids them to ordinary users", hint
    if "Seccomp:\t2" in (machine.read("proc/self/status") or ""):
        hint = (
            "Start the container with --privileged, or with --security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined --cap-add SYS_ADMIN --cap-add NET_ADMIN."
        )
        return "a seccomp filter forbids them, as in a container", hint
    return "the machine refuses them", "Try on a machine, or as a user, that may open namespaces."


def _overlay(machine: Machine) -> Check:
    """Try the root of a host: the image below, and a tmpfs for the host's own changes."""
    parent = machine.cache_parent()
    script = (
        'mount -t tmpfs tmpfs "$1"; cd "$1"; mkdir upper work merged; '
        'options="lowerdir=$2,upperdir=upper,workdir=work"; '
        'mount -t overlay -o "$options" overlay merged 2>/dev/null || '
        'mount -t overlay -o "$options,userxattr" overlay merged'
    )
    hint = (
        "Set XDG_CACHE_HOME to a folder on ext4, xfs or btrfs: the cache must be on a plain file "
        "system. The kernel must be Linux 5.11 or later."
    )
    with tempfile.TemporaryDirectory() as folder:
        argv = ["sh", "-euc", script, "overlayfs", folder, str(parent)]
        return _try(machine, [*machine.apart("--mount"), *argv], f"mounts over {parent}", hint)


def _links(machine: Machine) -> Check:
    script = "ip link add mlab0 type veth peer name mlab1; ip link add mlab2 type bridge"
    argv = [*machine.apart("--net"), "sh", "-euc", script]
    return _try(machine, argv, "bridge and veth can be made", "Run: sudo modprobe -a bridge veth")


def _tap(machine: Machine) -> Check:
    argv = ["ip", "tuntap", "add", "dev", "mlab0", "mode", "tap"]
    result = machine.run([*machine.apart("--net"), *argv])
    if result.status == 0:
        return ok("a tap device can be made, for the guest's network card")
    hint = "Run: sudo modprobe tun"
    if "Permission denied" in result.complaint:
        hint = "Run: sudo chmod 0666 /dev/net/tun (its usual mode: opening it gives no rights)"
    return fail(f"/dev/net/tun: {result.complaint}", hint)


def _tbf(machine: Machine) -> Check:
    shape = ["tbf", "rate", "1gbit", "burst", "1mb", "latency", "50ms"]
    argv = [*machine.apart("--net"), *_QDISC, *shape]
    return _try(machine, argv, "the wire's rate can be set (tbf)", "Run: sudo modprobe sch_tbf")


def _netem(machine: Machine) -> Check:
    argv = [*machine.apart("--net"), *_QDISC, "netem", "delay", "1ms"]
    hint = "Run: sudo modprobe sch_netem (if the kernel has it; everything else works without)"

    def bad(complaint: str, hint: str) -> Check:
        return warn(f"no delay or loss on the wire: {complaint}", hint)

    return _try(machine, argv, "the wire can have delay and loss (netem)", hint, bad)


_QDISC = ["tc", "qdisc", "add", "dev", "lo", "root"]


def _kvm(machine: Machine) -> Check:
    device = machine.files / "dev/kvm"
    if not device.exists():
        return warn(
            "no /dev/kvm; guests run under TCG",
            "Turn virtualisation on (in a virtual machine: nested), and run: sudo modprobe kvm",
        )
    # Without root, the daemon drops the user's groups before QEMU opens the device.
    opener = ["sh", "-c", ': <>"$0"', str(device)]
    apart = [] if machine.root else [*machine.apart(), "setpriv", "--clear-groups"]
    result = machine.run([*apart, *opener])
    if result.status == NOT_RUN:
        return warn(f"not tried: {result.complaint}", "Run `make setup`.")
    if result.status:
        name = machine.user
        detail = f"{name} cannot open /dev/kvm"
        if machine.opens(device):
            detail = f"{name} opens /dev/kvm by a group, which a rootless libvirtd gives up"
        hint = f"Run: sudo setfacl -m u:{name}:rw /dev/kvm (package acl; until the next boot)"
        return warn(f"{detail}; guests run under TCG", hint)
    try:
        verdict = machine.kvm_verdict()
    except LabError as error:
        return warn(f"/dev/kvm opens, but no guest could be made to try it: {error}", error.hint)
    if verdict is None:
        return ok("/dev/kvm opens; the first lab tries whether a guest boots with it")
    if verdict.boots:
        return ok("a guest boots with it")
    return warn(
        f"/dev/kvm opens, but guests run under TCG: {verdict.reason}",
        "Enable nested virtualisation on the host of this virtual machine.",
    )


def _userfaultfd(machine: Machine) -> Check:
    reason = machine.userfaultfd()
    if not reason:
        return ok("post-copy can be used")
    hint = "Run: sudo sysctl -w vm.unprivileged_userfaultfd=1 (everything else works without)"
    return warn(f"no post-copy: {reason}", hint)


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
    rebuild = "Run `make setup`: it builds the binding against the installed headers."
    if result.status:
        return fail(f"the binding does not load: {result.complaint}", rebuild)
    number, absent = json.loads(result.stdout)
    version = (number // 1_000_000, number // 1000 % 1000, number % 1000)
    text = "libvirt " + ".".join(map(str, version))
    lost = [name for name in absent if CONSTANTS[name] <= version]
    if lost:
        detail = f"{text}, but its binding was built against older headers: no {', '.join(lost)}"
        return warn(detail, rebuild)
    return ok(f"{text}, and the binding knows its migration parameters")


def _images(machine: Machine) -> Check:
    try:
        cached = [release for release in image.RELEASES if machine.cached(release)]
    except (LabError, OSError) as error:
        hint = getattr(error, "hint", "") or "Set XDG_CACHE_HOME to a folder of your own."
        return fail(str(error), hint)
    if image.DEFAULT in cached:
        return ok(f"cached: {', '.join(cached)}")
    return ok("the first lab builds one, about a minute")


def _disk(machine: Machine) -> Check:
    parent = machine.cache_parent()
    free = machine.free_disk(parent)
    detail = f"{free / GIB:.1f} GiB free under {parent}"
    if free >= IMAGE_DISK_BYTES:
        return ok(detail)
    hint = (
        f"Free space there ({IMAGE_DISK_BYTES / GIB:g} GiB are needed to build an image), or set "
        "XDG_CACHE_HOME to a folder elsewhere."
    )
    try:
        built = machine.cached(image.DEFAULT)
    except (LabError, OSError):
        built = False
    return warn(detail, hint) if built else fail(detail, hint)


def _memory(machine: Machine) -> Check:
    free = machine.free_memory()
    detail = f"{free / GIB:.1f} GiB available"
    if free >= LAB_MEMORY_BYTES:
        return ok(detail)
    need = f"{LAB_MEMORY_BYTES / GIB:g} GiB"
    return warn(detail, f"Free memory: two hosts and a migrating guest of 256 MiB need {need}.")


#: In the order in which to fix them.
_CHECKS: dict[str, Callable[[Machine], Check]] = {
    "system": _system,
    "programs": _programs,
    "compiler": _compiler,
    "sub-ids": _subordinate_ids,
    "namespaces": _namespaces,
    "overlayfs": _overlay,
    "links": _links,
    "tap": _tap,
    "wire rate": _tbf,
    "netem": _netem,
    "kvm": _kvm,
    "userfaultfd": _userfaultfd,
    "libvirt": _libvirt,
    "images": _images,
    "disk": _disk,
    "memory": _memory,
}
_IN_NAMESPACES = frozenset({"overlayfs", "links", "tap", "wire rate", "netem"})
