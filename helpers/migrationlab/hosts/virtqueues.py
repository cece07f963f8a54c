"""Ask QEMU for the lengths of virtqueues: those of a running guest, and those of a host's QEMU.

The guest's driver agrees on the length of each queue with the QEMU that the guest is booted on, and
keeps it over migrations. QEMU 11.1 refuses a guest with a queue that is longer than its own
device's: "VQ 0 vring.num 1024 exceeds allocated max 256" (hw/virtio/virtio.c, virtio_load). QEMU
7.2 takes it: in data/matrix, guests of trixie run on bookworm. Neither libvirt nor the machine type
tells the lengths; both QEMUs do, by ``x-query-virtio-queue-status`` (from QEMU 7.2 on).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import libvirt_qemu

from migrationlab.hosts.connection import refusals
from migrationlab.hosts.host import Host
from migrationlab.plan.outside_xml import read_xml

#: The newest release of QEMU that is known to take a longer queue than its own.
TAKES_LONGER = (10, 0)
#: The devices that are asked for, by QEMU's names.
DEVICES = ("virtio-net", "virtio-blk")
#: A name of a machine type or a device, or a number.
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,128}")
#: More queues than a device without multiqueue has.
_MOST_QUEUES = 4
#: A QEMU that is never started: it has no disk, no network and no memory of a guest.
_PROBE = """
commands=$1 emulator=$2 machine=$3
shift 3
printf '%s\\n' "$commands" | timeout 20 "$emulator" -machine "$machine,accel=tcg" -nodefaults \\
    -display none -S -m 16 -qmp stdio -name migrationlab-probe "$@"
"""


@dataclass(frozen=True, slots=True)
class VirtioDevice:
    """A virtio device of a domain, as its XML describes it.

    Attributes:
        alias: Its name in this domain, which is also the name in the running QEMU.
        kind: One of :data:`DEVICES`.
        asked: The lengths that the XML asks for, by the names of QEMU's properties.
    """

    alias: str
    kind: str
    asked: tuple[tuple[str, str], ...] = ()


#: The lengths of the queues of each device, by its alias.
Queues = Mapping[str, tuple[int, ...]]


def guest_queues(host: Host, domain: str) -> Queues:
    """Return the lengths of a running guest's virtqueues.

    It uses QEMU's monitor, which taints the domain, so it is for guests of a lab only.

    Raises:
        HostError: The host, or its QEMU, gave no answer.
    """
    found = host.domain(domain)

    def ask(command: str, **arguments: object) -> Any:
        text = json.dumps({"execute": command, "arguments": arguments})
        with refusals():
            answer = libvirt_qemu.qemuMonitorCommand(found, text, 0)
        return json.loads(answer).get("return")

    devices = ask("x-query-virtio") or ()
    return _lengths([each["path"] for each in devices if each["name"] in DEVICES], ask)


def host_queues(
    host: Host, machine: str, emulator: str, devices: Sequence[VirtioDevice]
) -> Queues | None:
    """Return the lengths that a host's QEMU gives to such devices; None if it cannot be asked.

    A QEMU of that machine type is started there for a moment, which runs no guest. The domain's XML
    names it, and another host's libvirtd can have written that: so it must be one of those that
    this host's own libvirtd has, and no word may contain an option of QEMU.
    """
    words = [
        machine,
        *(word for each in devices for word in (each.alias, *dict(each.asked).values())),
    ]
    if host.shell is None or not all(map(_PLAIN.fullmatch, words)):
        return None
    if emulator not in _emulators(host):
        return None
    paths = [f"/machine/peripheral/{each.alias}/virtio-backend" for each in devices]
    asked: list[dict[str, object]] = [{"execute": "qmp_capabilities"}]
    asked += [_status(path, queue) for path in paths for queue in range(_MOST_QUEUES)]
    text = "\n".join(json.dumps(each) for each in [*asked, {"execute": "quit"}])
    argv = (text, emulator, machine, *_probe_arguments(devices))
    done = host.shell.run("sh", "-c", _PROBE, "sh", *argv, timeout_s=30)
    try:
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    except (ValueError, RecursionError):
        return None
    # The greeting and events are no answers.
    answers = [each for each in answers if "return" in each or "error" in each][1:]
    statuses = iter(each.get("return") for each in answers)

    def ask(command: str, **arguments: object) -> Any:
        return next(statuses, None)

    found = _lengths(paths, ask, always=True)
    return found or None


def _emulators(host: Host) -> frozenset[str | None]:
    """Return the paths of the QEMUs that a host's libvirtd has."""
    return frozenset(each.text for each in read_xml(host.capabilities()).iter("emulator"))


def _probe_arguments(devices: Sequence[VirtioDevice]) -> list[str]:
    arguments = []
    for number, each in enumerate(devices):
        asked = "".join(f",{name}={value}" for name, value in each.asked)
        drive = ""
        if each.kind == "virtio-blk":
            arguments += ["-blockdev", f"null-co,node-name=disk{number}"]
            drive = f",drive=disk{number}"
        arguments += ["-device", f"{each.kind}-pci,id={each.alias}{drive}{asked}"]
    return arguments


def longer(devices: Sequence[VirtioDevice], guest: Queues, host: Queues) -> str:
    """Return the queues of a guest that are longer than those of a host, as text; empty if none."""
    found = [
        f"queue {number} of {each.kind} has {length} entries, the destination allows {most}"
        for each in devices
        for number, (length, most) in enumerate(
            zip(guest.get(each.alias, ()), host.get(each.alias, ()), strict=False)
        )
        if length > most
    ]
    return "; ".join(dict.fromkeys(found))


def _status(path: str, queue: int) -> dict[str, object]:
    arguments = {"path": path, "queue": queue}
    return {"execute": "x-query-virtio-queue-status", "arguments": arguments}


def _lengths(
    paths: Sequence[str], ask: Callable[..., Any], *, always: bool = False
) -> dict[str, tuple[int, ...]]:
    """Return the lengths of all queues; ``always`` asks for each queue, after a missing one too."""
    found: dict[str, tuple[int, ...]] = {}
    for path in paths:
        lengths = []
        for queue in range(_MOST_QUEUES):
            status = ask("x-query-virtio-queue-status", path=path, queue=queue)
            length = status.get("vring-num") if isinstance(status, dict) else None
            if isinstance(length, int) and length > 0:
                lengths.append(length)
            elif not always:
                break
        if lengths:
            # QEMU keeps a device at /machine/peripheral/ALIAS/virtio-backend.
            found[path.split("/")[-2]] = tuple(lengths)
    return found
