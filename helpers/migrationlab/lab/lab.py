"""The lab: two hosts on this machine, joined by a wire and a LAN, and the guests on them.

A lab belongs to the process that made it and ends with that process, however it ends (see
``rack``); another process can attach to it by its name (see ``registry``).
"""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import json
import os
import secrets
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from migrationlab.errors import GuestError, LabError, UsageError
from migrationlab.hosts.host import Host
from migrationlab.lab import (
    boot_files,
    disk_files,
    host_config,
    image,
    namespaces,
    proxy,
    rack,
    registry,
)
from migrationlab.lab.accelerator import choose
from migrationlab.lab.admin_client import Client
from migrationlab.lab.fault_cases import CASES, FaultCase
from migrationlab.lab.faults import Faults, breaking
from migrationlab.lab.guest import Guest, GuestBeats
from migrationlab.lab.guest_spec import (
    NAMESPACE,
    DiskCache,
    DiskKind,
    GuestSpec,
    Pattern,
    Rate,
    domain_xml,
    spec_from,
)
from migrationlab.lab.inspect import inspect_site
from migrationlab.lab.layout import FIRST_GUEST, HOST_NAMES, LAST_GUEST, LabFiles
from migrationlab.lab.network import require_possible
from migrationlab.lab.site import Site
from migrationlab.steps import Listener, ignore, step

BOOT_TIMEOUT_S = 60


class Lab(Site):
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
        self._boot_lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        files = registry.files(self.name)
        if _state is not None:
            running = rack.Rack(**_state["rack"])
            super().__init__(self.name, files, tuple(_state["images"]), running)
            return
        pair = (images, images) if isinstance(images, str) else tuple(images)
        if len(pair) != 2:
            raise UsageError("a lab has two hosts", hint='give images=("bookworm", "trixie")')
        # What cannot be is refused before anything is made, or built for a minute.
        for release in pair:
            image.path_of(release)
        require_possible(rate_mbit_s=wire_mbit_s)
        self.images = pair
        registry.sweep()
        self._lock = registry.take(self.name)
        try:
            roots = [image.ensure(release, on_step) for release in pair]
            with step(on_step, f"starting lab {self.name}"):
                self._start(files, roots)
                self.wire.set(wire_mbit_s)
        except BaseException:
            self.close()
            raise

    def _start(self, files: LabFiles, roots: list[Path]) -> None:
        # We hold the name, so what stands there belongs to nobody.
        namespaces.remove_tree(files.directory)
        files.directory.mkdir(mode=0o700)
        files.guests.mkdir()
        host_config.write(files)
        running, self._process = rack.start(files, list(zip(HOST_NAMES, roots, strict=True)))
        proxy.write(files, running, roots[0] / "bin/busybox")
        state = {
            "name": self.name,
            "owner": os.getpid(),
            "images": list(self.images),
            "rack": dataclasses.asdict(running),
            "rack_started": psutil.Process(running.pid).create_time(),
        }
        files.state.write_text(json.dumps(state, indent=1))
        super().__init__(self.name, files, self.images, running)

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

    @functools.cached_property
    def client(self) -> Client:
        """Return the lab's client machine, which knows the hosts only by the network.

        Started when it is first asked for, and ended with the lab.
        """
        return Client(self.files, self.rack)

    @property
    def guests(self) -> list[Guest]:
        """Return the guests on both hosts, those too that are only defined, by number."""
        found: dict[str, Guest] = {}
        for host in self.hosts:
            for domain in host.domains(NAMESPACE, inactive=True):
                if domain.metadata is not None and (domain.active or domain.uuid not in found):
                    spec = spec_from(domain.metadata)
                    found[domain.uuid] = Guest(self, spec, domain.uuid, domain.name)
        return sorted(found.values(), key=lambda guest: guest.spec.number)

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
        disk: DiskKind | None = None,
        disk_mib: int = 32,
        disk_mib_s: float = 1,
        disk_cache: DiskCache = "writeback",
        persistent: bool = False,
        cpu: str | None = None,
        machine: str | None = None,
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
            disk: "local", a disk on the file system of the host that it boots on, with an empty
                one at the other host to copy it to; "shared", one that both hosts see; or None.
            disk_mib: The disk's size.
            disk_mib_s: How fast the workload writes to it, round and round.
            disk_cache: How QEMU caches it: "writeback", "none", "writethrough", "directsync" or
                "unsafe".
            persistent: Whether the host keeps its definition.
            cpu: Its processor: a model's name, "host-model", "host-passthrough" or "maximum"; by
                default one that both hosts have.
            machine: QEMU's machine type; by default the newest that both hosts have.
            on: The host to boot it on; by default the first.

        Raises:
            GuestError: It cannot be as asked; nothing was started.
            HostError: libvirt refused it.
            LabError: It did not come up; it is gone again.
        """
        if on is not None and on not in self.hosts:
            raise GuestError(f"{on!r} is no host of this lab", hint="give lab.host_a or lab.host_b")
        with self._boot_lock, self._alone():
            taken = self.guests
            numbers = {guest.spec.number for guest in taken}
            number = next((n for n in range(FIRST_GUEST, LAST_GUEST) if n not in numbers), None)
            if number is None:
                raise GuestError("the lab's LAN is full", hint="destroy a guest first")
            name = name or f"guest-{number}"
            # Its files have the name that it was booted by, whatever it is called by now.
            if any(name in (guest.name, guest.spec.name) for guest in taken):
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
                accelerator=choose(accelerator, image.path_of(self.images[0]), self.on_step),
                machine=machine or self.machine,
                disk=disk,
                disk_mib=disk_mib,
                disk_mib_s=disk_mib_s,
                disk_cache=disk_cache,
                persistent=persistent,
                cpu=cpu,
            )
            spec.require_possible()
            with step(self.on_step, f"booting {name}"):
                return self._boot(Guest(self, spec, str(uuid.uuid4())), on or self.host_a)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from giving a guest's number away a second time."""
        with (self.files.directory / "boot.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _boot(self, guest: Guest, host: Host) -> Guest:
        if not (self.files.guests / "kernel").exists():
            made = boot_files.ensure(image.path_of(self.images[0]), self.on_step)
            shutil.copyfile(made.initramfs, self.files.guests / "initramfs")
            partial = self.files.guests / ".kernel"
            shutil.copyfile(made.kernel, partial)
            partial.rename(self.files.guests / "kernel")
        beats = guest.beat_source
        first = beats.place()
        try:
            disk_files.create(self, guest.spec)
            host.create(domain_xml(guest.spec, guest.uuid), persistent=guest.spec.persistent)
            self._await_beat(guest, host, beats, first)
        except BaseException:
            guest.clear()
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

    @staticmethod
    def broken_cases() -> tuple[FaultCase, ...]:
        """Return every broken case that :meth:`broken` can switch on."""
        return CASES

    def broken(self, case_id: str, *, source: Host | None = None) -> AbstractContextManager[Faults]:
        """Break the lab for as long as a ``with`` takes, so that one plan runs into it.

        The result has the plan, the guest where the case needs one of its own, and the id of
        the explanation of what happens then.

        Args:
            case_id: The case's name, one of :meth:`broken_cases`.
            source: The host that a guest is to leave by that plan; by default the first.

        Raises:
            UsageError: There is no such case, another one is on, or this lab cannot have it.
            LabError: It could not be switched on, or not mended.
        """
        return breaking(self, case_id, source=source, boot=self.boot)

    def inspect(self) -> dict[str, Any]:
        """Return what the lab consists of: hosts, addresses, URIs, wire, guests, processes.

        Raises:
            LabError: The lab is down.
        """
        if not self.alive:
            raise LabError(f"lab {self.name} is down", hint="start a new one")
        return inspect_site(self, self.guests)

    def close(self) -> None:
        """End the lab and clear away its folder; of an attached lab, only let go of it."""
        super().close()
        if "client" in self.__dict__:
            self.client.close()
        if self._process is not None:
            namespaces.end_guarded(self._process)
            self._process = None
        if self._lock is not None:
            registry.release(self.name, self._lock)
            self._lock = None
