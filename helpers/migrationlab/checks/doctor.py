"""What this machine can do for the lab, found out by trying, and how to mend the rest.

A setting says what should work; only a try says what does. So each check that can be tried is
tried: a namespace is opened, an overlay mounted, a queue discipline set. Every try is a child
process with an argument list and a time limit, in namespaces of its own that die with it, so
nothing is left behind. Settings are read only to name the cause of a refusal.

Imports no libvirt (the binding is asked in a child process: one that cannot be loaded must
not take the doctor with it) and neither IPython nor ipywidgets.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from migrationlab.checks.diagnosis import Check, Diagnosis, Status
from migrationlab.checks.machine import Machine
from migrationlab.errors import LabError
from migrationlab.hosts.program import NOT_RUN
from migrationlab.lab import image

GIB = 1024**3
SUBORDINATE_IDS = 65536
IMAGE_DISK_BYTES = 2 * GIB
"""One image: its archive, the unpacked tree, and both at once while it is built."""
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
"""Programs that the lab calls, and the Debian package that brings each."""
ROOTLESS_PROGRAMS = {"newuidmap": "uidmap", "newgidmap": "uidmap"}

# Migration parameters by the libvirt that brought them. A binding built against older headers
# lacks the constant and sends the value with the wrong type.
CONSTANTS = {
    "VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES": (8, 0),
    "VIR_MIGRATE_ZEROCOPY": (8, 5),
    "VIR_MIGRATE_PARAM_COMPRESSION_ZSTD_LEVEL": (9, 4),
    "VIR_MIGRATE_PARAM_MIGRATE_DISKS_DETECT_ZEROES": (10, 9),
    "VIR_MIGRATE_PARAM_BANDWIDTH_AVAIL_SWITCHOVER": (11, 1),
}


def doctor(machine: Machine | None = None) -> Diagnosis:
    """Find out what this machine can do for the lab.

    Args:
        machine: The machine to look at; this one unless a test says otherwise.

    Returns:
        Every finding, in the order in which to mend them.
    """
    machine = machine or Machine()
    checks = [_system(machine), _programs(machine), _compiler(machine)]
    if not machine.root:
        checks.append(_subordinate_ids(machine))
    opened = _namespaces(machine)
    checks.append(opened)
    for name, check in _INSIDE.items():
        if opened.status is Status.OK:
            checks.append(check(machine, name))
        else:
            checks.append(Check(name, Status.WARN, "not tried: it needs namespaces"))
    checks += [
        _kvm(machine),
        _userfaultfd(machine),
        _libvirt(machine),
        *_images_and_disk(machine),
        _memory(machine),
    ]
    return Diagnosis(tuple(checks))


def _system(machine: Machine) -> Check:
    python = f"Python {platform.python_version()}"
    if machine.system == "Linux x86_64":
        return Check("system", Status.OK, f"{machine.system}, {python}")
    return Check(
        "system",
        Status.FAIL,
        f"{machine.system}, {python}",
        "The lab needs Linux on x86-64; recorded runs can be read and drawn anywhere.",
    )


def _programs(machine: Machine) -> Check:
    wanted = PROGRAMS if machine.root else PROGRAMS | ROOTLESS_PROGRAMS
    missing = {name: package for name, package in wanted.items() if not machine.which(name)}
    if not missing:
        return Check("programs", Status.OK, f"all {len(wanted)} found")
    packages = " ".join(sorted(set(missing.values())))
    return Check(
        "programs",
        Status.FAIL,
        f"missing: {', '.join(missing)}",
        f"`make setup`, or: sudo apt-get install --no-install-recommends {packages}",
    )


def _compiler(machine: Machine) -> Check:
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "try.c"), Path(folder, "try")
        source.write_text('#include <stdio.h>\nint main(void) { return puts("") < 0; }\n')
        answer = machine.run(["gcc", "-static", "-o", str(program), str(source)])
    if answer.status == 0:
        return Check("compiler", Status.OK, "builds a static program, as the guest needs")
    return Check(
        "compiler",
        Status.FAIL,
        answer.complaint,
        "`make setup`, or: sudo apt-get install --no-install-recommends gcc libc6-dev",
    )


def _subordinate_ids(machine: Machine) -> Check:
    short = [
        name for name in ("subuid", "subgid") if _widest_range(machine, name) < SUBORDINATE_IDS
    ]
    if not short:
        return Check("sub-ids", Status.OK, f"{machine.user} has {SUBORDINATE_IDS} of each kind")
    return Check(
        "sub-ids",
        Status.FAIL,
        f"no range of {SUBORDINATE_IDS} for {machine.user} in "
        + " and ".join(f"/etc/{name}" for name in short),
        "`make setup` adds a free range with usermod --add-subuids and --add-subgids.",
    )


def _widest_range(machine: Machine, name: str) -> int:
    lines = (line.split(":") for line in (machine.read(f"etc/{name}") or "").splitlines())
    owners = (machine.user, str(os.getuid()))
    return max((int(line[2]) for line in lines if len(line) == 3 and line[0] in owners), default=0)


def _namespaces(machine: Machine) -> Check:
    kinds = ["--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
    answer = machine.run([*machine.apart(*kinds), "true"])
    if answer.status == 0:
        kind = "as root, no user namespace needed" if machine.root else "in a user namespace"
        return Check("namespaces", Status.OK, f"mount, network and pid opened {kind}")
    cause, hint = _why_no_namespaces(machine, answer.complaint)
    return Check("namespaces", Status.FAIL, f"{cause} ({answer.complaint})", hint)


def _why_no_namespaces(machine: Machine, text: str) -> tuple[str, str]:
    """Name the cause of a refusal, the surest first, and its mend."""
    if "/etc/subuid" in text or "/etc/subgid" in text:
        return f"{machine.user} has no sub-ids", "Mend sub-ids first."
    if "newuidmap" in text or "newgidmap" in text or "not found" in text:
        return "a program is missing", "Mend programs first."
    for kind in ("user", "mnt", "net", "pid", "uts"):
        if machine.read(f"proc/sys/user/max_{kind}_namespaces") == "0":
            setting = f"user.max_{kind}_namespaces"
            return f"{setting} is 0", f"sudo sysctl -w {setting}=10000"
    if not machine.root:
        if machine.read("proc/sys/kernel/unprivileged_userns_clone") == "0":
            hint = "sudo sysctl -w kernel.unprivileged_userns_clone=1"
            return "the kernel forbids them to ordinary users", hint
        if machine.read("proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
            hint = (
                "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (until the next "
                "start; a file in /etc/sysctl.d keeps it), or run the lab as root."
            )
            return "AppArmor forbids them to ordinary users", hint
    if "Seccomp:\t2" in (machine.read("proc/self/status") or ""):
        hint = (
            "Start the container with --privileged, or with --security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined --cap-add SYS_ADMIN --cap-add NET_ADMIN."
        )
        return "a seccomp filter forbids them, as in a container", hint
    return "the machine refuses them", "Try on a machine, or as a user, that may open namespaces."


def _overlay(machine: Machine, name: str) -> Check:
    """Try what a host's root is: the image beneath, and a tmpfs for the host's own changes."""
    parent = machine.cache_parent()
    script = (
        'mount -t tmpfs tmpfs "$1"; cd "$1"; mkdir upper work merged; '
        'options="lowerdir=$2,upperdir=upper,workdir=work"; '
        'mount -t overlay -o "$options" overlay merged 2>/dev/null || '
        'mount -t overlay -o "$options,userxattr" overlay merged'
    )
    with tempfile.TemporaryDirectory() as folder:
        argv = ["sh", "-euc", script, "overlayfs", folder, str(parent)]
        answer = machine.run([*machine.apart("--mount"), *argv])
    if answer.status == 0:
        return Check(name, Status.OK, f"mounts over {parent}")
    return Check(
        name,
        Status.FAIL,
        answer.complaint,
        "Linux 5.11 or later is needed, and a cache on a plain file system: let XDG_CACHE_HOME "
        "name a folder on ext4, xfs or btrfs.",
    )


def _link(machine: Machine, name: str) -> Check:
    """Try a bridge and a veth pair."""
    pair = ["add", "mlab0", "type", "veth", "peer", "name", "mlab1"]
    for what in (pair, ["add", "mlab0", "type", "bridge"]):
        answer = machine.run([*machine.apart("--net"), "ip", "link", *what])
        if answer.status:
            hint = "The kernel needs the modules bridge and veth: sudo modprobe -a bridge veth"
            return Check(name, Status.FAIL, answer.complaint, hint)
    return Check(name, Status.OK, "bridge and veth can be made")


def _tap(machine: Machine, name: str) -> Check:
    argv = ["ip", "tuntap", "add", "dev", "mlab0", "mode", "tap"]
    answer = machine.run([*machine.apart("--net"), *argv])
    if answer.status == 0:
        return Check(name, Status.OK, "a tap device can be made, for the guest's network card")
    if "Permission denied" in answer.complaint:
        hint = "sudo chmod 0666 /dev/net/tun (its usual mode; opening it gives no right by itself)"
    else:
        hint = "sudo modprobe tun"
    return Check(name, Status.FAIL, f"/dev/net/tun: {answer.complaint}", hint)


def _tbf(machine: Machine, name: str) -> Check:
    shape = ["tbf", "rate", "1gbit", "burst", "1mb", "latency", "50ms"]
    answer = machine.run([*machine.apart("--net"), *_QDISC, *shape])
    if answer.status == 0:
        return Check(name, Status.OK, "the wire's rate can be set (tbf)")
    return Check(name, Status.FAIL, answer.complaint, "sudo modprobe sch_tbf")


def _netem(machine: Machine, name: str) -> Check:
    answer = machine.run([*machine.apart("--net"), *_QDISC, "netem", "delay", "1ms"])
    if answer.status == 0:
        return Check(name, Status.OK, "the wire can have delay and loss (netem)")
    return Check(
        name,
        Status.WARN,
        f"no delay or loss on the wire: {answer.complaint}",
        "sudo modprobe sch_netem, where the kernel has it; all else works without.",
    )


_QDISC = ["tc", "qdisc", "add", "dev", "lo", "root"]
_INSIDE: dict[str, Callable[[Machine, str], Check]] = {
    "overlayfs": _overlay,
    "links": _link,
    "tap": _tap,
    "wire rate": _tbf,
    "netem": _netem,
}


def _kvm(machine: Machine) -> Check:
    device = machine.files / "dev/kvm"
    if not device.exists():
        hint = "Turn virtualisation on (in a virtual machine: nested) and: sudo modprobe kvm"
        return Check("kvm", Status.WARN, "no /dev/kvm; guests run under TCG", hint)
    # Rootless, the daemon gives up the user's groups before QEMU opens the device.
    opener = ["sh", "-c", ': <>"$0"', str(device)]
    apart = [] if machine.root else [*machine.apart(), "setpriv", "--clear-groups"]
    answer = machine.run([*apart, *opener])
    if answer.status == NOT_RUN:
        detail = f"not tried, as a program is missing: {answer.complaint}"
        return Check("kvm", Status.WARN, detail, "make setup")
    if answer.status:
        name = machine.user
        if machine.opens(device):
            detail = f"{name} opens /dev/kvm by a group, which a rootless libvirtd gives up"
        else:
            detail = f"{name} cannot open /dev/kvm"
        hint = f"sudo setfacl -m u:{name}:rw /dev/kvm (of the package acl; until the next start)"
        return Check("kvm", Status.WARN, f"{detail}; guests run under TCG", hint)
    try:
        verdict = machine.kvm_verdict()
    except LabError as error:
        detail = f"/dev/kvm opens, but no guest could be made to try it: {error}"
        return Check("kvm", Status.WARN, detail, error.hint)
    if verdict is None:
        detail = "/dev/kvm opens; the first lab tries whether a guest boots with it"
        return Check("kvm", Status.OK, detail)
    if verdict.boots:
        return Check("kvm", Status.OK, "a guest boots with it")
    detail = f"/dev/kvm opens, but guests run under TCG: {verdict.reason}"
    hint = "Usual in a virtual machine: nested virtualisation is its host's to offer."
    return Check("kvm", Status.WARN, detail, hint)


def _userfaultfd(machine: Machine) -> Check:
    reason = machine.userfaultfd()
    if not reason:
        return Check("userfaultfd", Status.OK, "post-copy can be used")
    hint = "sudo sysctl -w vm.unprivileged_userfaultfd=1; all but post-copy works without."
    return Check("userfaultfd", Status.WARN, f"no post-copy: {reason}", hint)


_ASK_BINDING = """
import json, sys
try:
    import libvirt
except ImportError as error:
    sys.exit(str(error))
print(json.dumps([libvirt.getVersion(), [n for n in sys.argv[1:] if not hasattr(libvirt, n)]]))
"""


def _libvirt(machine: Machine) -> Check:
    answer = machine.run([sys.executable, "-I", "-c", _ASK_BINDING, *CONSTANTS])
    rebuild = "`make setup` builds the binding against the installed headers."
    if answer.status:
        return Check(
            "libvirt", Status.FAIL, f"the binding does not load: {answer.complaint}", rebuild
        )
    number, absent = json.loads(answer.stdout)
    version = (number // 1_000_000, number // 1000 % 1000, number % 1000)
    text = "libvirt " + ".".join(map(str, version))
    lost = [name for name in absent if CONSTANTS[name] <= version]
    if lost:
        detail = f"{text}, but its binding was built against older headers: no {', '.join(lost)}"
        return Check("libvirt", Status.WARN, detail, rebuild)
    return Check("libvirt", Status.OK, f"{text}, and the binding knows its migration parameters")


def _images_and_disk(machine: Machine) -> list[Check]:
    try:
        have = [release for release in image.RELEASES if machine.cached(release)]
    except (LabError, OSError) as error:
        hint = getattr(error, "hint", "") or "Let XDG_CACHE_HOME name a folder of your own."
        return [Check("images", Status.FAIL, str(error), hint)]
    built = image.DEFAULT in have
    detail = f"cached: {', '.join(have)}" if built else "the first lab builds one, about a minute"
    images = Check("images", Status.OK, detail)

    parent = machine.cache_parent()
    free = machine.free_disk(parent)
    detail = f"{free / GIB:.1f} GiB free under {parent}"
    if free >= IMAGE_DISK_BYTES:
        return [images, Check("disk", Status.OK, detail)]
    need = f"An image takes {IMAGE_DISK_BYTES / GIB:g} GiB to build"
    hint = f"{need}: free some, or let XDG_CACHE_HOME name a folder elsewhere."
    return [images, Check("disk", Status.WARN if built else Status.FAIL, detail, hint)]


def _memory(machine: Machine) -> Check:
    free = machine.free_memory()
    detail = f"{free / GIB:.1f} GiB available"
    if free >= LAB_MEMORY_BYTES:
        return Check("memory", Status.OK, detail)
    hint = f"Two hosts and a migrating guest of 256 MiB want {LAB_MEMORY_BYTES / GIB:g} GiB."
    return Check("memory", Status.WARN, detail, hint)
