"""The lab: two hosts on this machine, joined by a wire and a LAN, and the guests on them.

A lab belongs to the process that made it and ends with that process, however it ends (see
``rack``); another process can attach to it by its name (see ``registry``).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from defusedxml.ElementTree import fromstring

from migrationlab.errors import GuestError, HostError, LabError, UsageError
from migrationlab.hosts import Host
from migrationlab.lab import (
    accelerator,
    bootfiles,
    hostconfig,
    image,
    namespaces,
    rack,
    registry,
    routes,
)
from migrationlab.lab.beatring import BeatRing
from migrationlab.lab.guest import (
    NAMESPACE,
    Guest,
    GuestBeats,
    GuestSpec,
    Pattern,
    Rate,
    domain_xml,
    spec_from,
)
from migrationlab.lab.inspect import inspect_lab
from migrationlab.lab.layout import FIRST_GUEST, HOST_NAMES, LAST_GUEST
from migrationlab.lab.network import Wire
from migrationlab.steps import Listener, ignore, step

HOSTS_TIMEOUT_S = 30
BOOT_TIMEOUT_S = 60


class Lab:
    """Two real hosts on this machine; up once it is made, gone once it is closed.

    Args:
        name: Its name; by default one that no other lab has.
        images: The Debian release of both hosts, or of each: "trixie" or "bookworm".
        wire_mbit_s: The rate of the wire between them, or None for no limit.
        on_step: Hears how it comes up, how guests boot.

    Raises:
        UsageError: A lab of that name is up already, or the arguments cannot be.
        LabError: This machine does not allow it, or it did not come up. Nothing is left.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        images: str | tuple[str, str] = image.DEFAULT,
        wire_mbit_s: float | None = 1000,
        on_step: Listener = ignore,
        _state: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name or f"lab-{os.getpid()}-{secrets.token_hex(2)}"
        self.on_step = on_step
        self.hosts: tuple[Host, ...] = ()
        self._boot_lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self.files = registry.files(self.name)
        if _state is not None:
            self.images = tuple(_state["images"])
            self.rack = rack.Rack(**_state["rack"])
            self._connect()
            return
        self.images = (images, images) if isinstance(images, str) else tuple(images)
        if len(self.images) != 2:
            raise UsageError("a lab has two hosts", hint='give images=("bookworm", "trixie")')
        registry.sweep()
        self._lock = registry.take(self.name)
        try:
            roots = [image.ensure(release, on_step) for release in self.images]
            with step(on_step, f"starting lab {self.name}"):
                self._start(roots, wire_mbit_s)
        except BaseException:
            self.close()
            raise

    def _start(self, roots: list[Path], wire_mbit_s: float | None) -> None:
        self.files.directory.mkdir(mode=0o700)
        self.files.guests.mkdir()
        hostconfig.write(self.files)
        self.rack, self._process = rack.start(self.files, list(zip(HOST_NAMES, roots, strict=True)))
        routes.write(self.files, self.rack, roots[0] / "bin/busybox")
        state = {
            "name": self.name,
            "owner": os.getpid(),
            "images": list(self.images),
            "rack": dataclasses.asdict(self.rack),
            "rack_started": psutil.Process(self.rack.pid).create_time(),
        }
        self.files.state.write_text(json.dumps(state, indent=1))
        self._connect()
        self.wire.set(wire_mbit_s)

    def _connect(self) -> None:
        self.wire = Wire(self.rack)
        self.ring = BeatRing(self.files.ring)
        for name, release in zip(HOST_NAMES, self.images, strict=True):
            self.hosts = (*self.hosts, self._host(name, release))

    def _host(self, name: str, release: str) -> Host:
        end = time.monotonic() + HOSTS_TIMEOUT_S
        files = self.files.host(name)
        while True:
            try:
                return Host(
                    f"qemu+unix:///system?socket={files.socket}",
                    name=name,
                    peer_uri=f"qemu+ssh://root@{name}/system",
                    image=release,
                    log=files.log,
                    sent_bytes=functools.partial(self.wire.sent_bytes, name),
                    route=functools.partial(routes.route, self.files),
                )
            except HostError as error:
                # libvirtd makes its socket a moment after it starts; there is no event for it.
                if time.monotonic() > end or not self.alive:
                    said = (files.directory / "log/libvirtd.err").read_text(errors="replace")
                    raise LabError(
                        f"libvirtd of {name} did not start: {error}\n{said[-800:]}",
                        hint=f"its log is {files.log}",
                    ) from error
                time.sleep(0.02)

    @classmethod
    def attach(cls, name: str, *, on_step: Listener = ignore) -> Self:
        """Return a lab that another process keeps up; closing it leaves the lab as it is.

        Raises:
            UsageError: No lab of that name is up.
        """
        return cls(name=name, on_step=on_step, _state=registry.state(name))

    def __repr__(self) -> str:
        images = " and ".join(dict.fromkeys(self.images))
        return f"Lab({self.name!r}, {images}, {'up' if self.alive else 'down'})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def host_a(self) -> Host:
        """Return the first host."""
        return self.hosts[0]

    @property
    def host_b(self) -> Host:
        """Return the second host."""
        return self.hosts[1]

    @property
    def alive(self) -> bool:
        """Return whether the lab is up."""
        if self._process is not None:
            return self._process.poll() is None
        return self._lock is None and registry.is_up(self.name)

    def other(self, host: Host) -> Host:
        """Return the host that ``host`` is not."""
        return self.host_b if host is self.host_a else self.host_a

    @property
    def guests(self) -> list[Guest]:
        """Return the guests on both hosts, by number."""
        found: dict[int, Guest] = {}
        for host in self.hosts:
            for domain in host.domains(NAMESPACE):
                if domain.metadata is not None:
                    spec = spec_from(domain.metadata)
                    found[spec.number] = Guest(self, spec)
        return [found[number] for number in sorted(found)]

    def guest(self, name: str) -> Guest:
        """Return the guest called ``name``.

        Raises:
            GuestError: There is none.
        """
        for guest in self.guests:
            if guest.name == name:
                return guest
        known = ", ".join(guest.name for guest in self.guests) or "none yet; lab.boot() makes one"
        raise GuestError(f"the lab has no guest {name!r}", hint=f"its guests: {known}")

    def boot(
        self,
        name: str | None = None,
        *,
        memory_mib: int = 256,
        working_set_mib: int = 64,
        dirty_mib_s: Rate = 40,
        pattern: Pattern = "sequential",
        accelerator: str = "auto",
        on: Host | None = None,
    ) -> Guest:
        """Boot a guest, and return it once its workload runs.

        Args:
            name: Its name; by default "guest-" and its number.
            memory_mib: Its memory.
            working_set_mib: How much of it the workload writes, over and over.
            dirty_mib_s: How fast, 0 to 100,000, or "max" for as fast as it goes.
            pattern: In which order, "sequential" or "random".
            accelerator: "kvm", "tcg", or "auto" for KVM where that really boots guests.
            on: The host to boot it on; by default the first.

        Raises:
            GuestError: It cannot be as asked; nothing was started.
            HostError: libvirt refused it.
            LabError: It did not come up; it is gone again.
        """
        with self._boot_lock:
            taken = self.guests
            numbers = {guest.spec.number for guest in taken}
            number = next((n for n in range(FIRST_GUEST, LAST_GUEST) if n not in numbers), None)
            if number is None:
                raise GuestError("the lab's LAN is full", hint="destroy a guest first")
            name = name or f"guest-{number}"
            if any(guest.name == name for guest in taken):
                raise GuestError(
                    f"the lab has a guest {name!r} already", hint="choose another name"
                )
            spec = GuestSpec(
                name=name,
                number=number,
                memory_mib=memory_mib,
                working_set_mib=working_set_mib,
                dirty_mib_s=dirty_mib_s,
                pattern=pattern,
                accelerator=self._accelerator(accelerator),
                machine=self._machine(),
            )
            spec.require_possible()
            with step(self.on_step, f"booting {name}"):
                return self._boot(Guest(self, spec), on or self.host_a)

    def _boot(self, guest: Guest, host: Host) -> Guest:
        if not (self.files.guests / "kernel").exists():
            made = bootfiles.ensure(image.path_of(self.images[0]), self.on_step)
            shutil.copyfile(made.initramfs, self.files.guests / "initramfs")
            shutil.copyfile(made.kernel, self.files.guests / "kernel")
        beats = guest.beat_source
        first = beats.place()
        host.create(domain_xml(guest.spec))
        try:
            self._await_beat(guest, host, beats, first)
        except BaseException:
            host.destroy(guest.name)
            raise
        return guest

    @staticmethod
    def _await_beat(guest: Guest, host: Host, beats: GuestBeats, first: int) -> None:
        end = time.monotonic() + BOOT_TIMEOUT_S
        while beats.read(first).empty:
            if time.monotonic() > end or guest.name not in host.domain_names():
                raise LabError(
                    f"the guest {guest.name!r} did not come up; its console ends with:\n"
                    f"{guest.console()[-800:]}",
                    hint=f"QEMU's own log is on {host.name}: /var/log/libvirt/qemu",
                )
            time.sleep(0.01)

    def _accelerator(self, wanted: str) -> str:
        if wanted == "tcg":
            return wanted
        if wanted not in ("auto", "kvm"):
            raise GuestError(f"no accelerator {wanted!r}", hint="choose auto, kvm or tcg")
        root = image.path_of(self.images[0])
        boot = bootfiles.ensure(root, self.on_step)
        verdict = accelerator.kvm_verdict(root, boot, self.on_step)
        if verdict.boots:
            return "kvm"
        if wanted == "kvm":
            raise GuestError(
                f"KVM runs no guests here: {verdict.reason}",
                hint='`migrationlab doctor` says more; or boot with accelerator="tcg"',
            )
        return "tcg"

    @functools.lru_cache(maxsize=1)  # noqa: B019 - a lab has one answer, and dies with it
    def _machine(self) -> str:
        """Return the newest q35 machine type that QEMU has on both hosts."""
        common = set.intersection(*(_machines(host) for host in self.hosts))
        return max(common, key=lambda name: [int(part) for part in name[7:].split(".")])

    def lan_socket(self) -> socket.socket:
        """Return a new UDP socket that speaks on the guests' LAN.

        Raises:
            LabError: The lab is down.
        """
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
                visitor.connect(str(self.files.door))
                _, descriptors, _, _ = socket.recv_fds(visitor, 16, 1)
            return socket.socket(fileno=descriptors[0])
        except (OSError, IndexError) as error:
            raise LabError(f"lab {self.name} is down", hint="start a new one") from error

    def inspect(self) -> dict[str, Any]:
        """Return what the lab consists of: hosts, addresses, URIs, wire, guests, processes."""
        return inspect_lab(self)

    def close(self) -> None:
        """End the lab and clear away its folder; of an attached lab, only let go of it."""
        for host in self.hosts:
            try:
                host.close()
            except HostError:
                continue  # its daemon is gone already, which is what we are here for
        self.hosts = ()
        if self._process is not None:
            namespaces.end_guarded(self._process)
            self._process = None
        if self._lock is not None:
            registry.release(self.name, self._lock)
            self._lock = None


def _machines(host: Host) -> set[str]:
    capabilities = fromstring(host.capabilities())
    found: set[str] = set()
    for arch in capabilities.iterfind("guest/arch[@name='x86_64']"):
        for machine in arch.iterfind("machine"):
            found.update([machine.text or "", machine.get("canonical", "")])
    return {name for name in found if re.fullmatch(r"pc-q35-\d+\.\d+", name)}
