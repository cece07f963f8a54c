"""Start, use and end a lab: two hosts on this machine, a wire, a LAN, and guests.

A lab belongs to the process that made it, and ends with that process in every case (see ``rack``).
Another process can attach to the lab by its name (see ``registry``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import secrets
import shutil
import subprocess
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, get_args

import psutil

from migrationlab.errors import GuestError, LabError, UsageError
from migrationlab.hosts.host import Host
from migrationlab.hosts.poll import wait_until
from migrationlab.lab import (
    accelerator,
    boot_files,
    directories,
    disk_files,
    host_config,
    image,
    modular,
    namespaces,
    proxy,
    rack,
    registry,
    service_image,
)
from migrationlab.lab.admin_client import AdminClient
from migrationlab.lab.booted_spec import BootedSpec, require_machine, require_name
from migrationlab.lab.fault_cases import CASES, FaultCase
from migrationlab.lab.faults import ActiveFault, breaking
from migrationlab.lab.guest import Guest, GuestBeats, domains_of
from migrationlab.lab.guest_xml import domain_xml
from migrationlab.lab.inspect import inspect_lab
from migrationlab.lab.lab_base import LabBase
from migrationlab.lab.layout import FIRST_GUEST, HOST_NAMES, LAST_GUEST, Daemons, LabFiles
from migrationlab.lab.phase_effects import Options
from migrationlab.lab.phase_faults import PhaseFault, Side, phase_fault
from migrationlab.lab.service_load import await_service, task_of
from migrationlab.plan.guest_spec import GuestSpec
from migrationlab.plan.spec import arguments_of
from migrationlab.plan.wire_spec import DEFAULT_MBIT_S, WireSpec
from migrationlab.steps import Listener, ignore, step

BOOT_TIMEOUT_S = 60
#: What guest-init.sh writes on the console when a service has ended.
SERVICE_ENDED = "migrationlab: service ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class BootArguments(GuestSpec):
    """The arguments of :meth:`Lab.boot`: a guest, its name, and where it boots."""

    name: str | None = dataclasses.field(default=None, kw_only=False)
    on: Host | None = None


class Lab(LabBase):
    """Two real hosts on this machine, from construction to :meth:`close`.

    Args:
        name: Its name; by default a free one.
        images: The image of both hosts, or of each: "trixie", "bookworm", "trixie-backports" or
            "forky".
        wire_mbit_s: The rate of the wire between them, or None for no limit.
        daemons: The kind of libvirt's daemons on both hosts, or on each: "monolithic" is libvirtd,
            "modular" is virtqemud and virtproxyd.
        expired_mirror: Whether a missing image may be built from lists of packages that the mirror
            should have renewed.
        on_step: Receives the steps of starting the lab and of booting guests.

    Raises:
        UsageError: A lab of that name is up already, or an argument is not allowed.
        LabError: This machine does not allow it, or it did not come up. Nothing is left.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        images: str | tuple[str, str] = image.DEFAULT,
        wire_mbit_s: float | None = DEFAULT_MBIT_S,
        daemons: Daemons | tuple[Daemons, Daemons] = "monolithic",
        expired_mirror: bool = False,
        on_step: Listener = ignore,
        _state: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name or f"lab-{os.getpid()}-{secrets.token_hex(3)}"
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
            raise UsageError(
                f"images must be one image or two (got {images!r})",
                hint='Give images=("bookworm", "trixie").',
            )
        kinds = (daemons, daemons) if isinstance(daemons, str) else tuple(daemons)
        if len(kinds) != 2 or not {*kinds} <= {*get_args(Daemons)}:
            raise UsageError(
                f"daemons must be monolithic or modular, or one of them for each host "
                f"(got {daemons!r})",
                hint='Give daemons="modular", or daemons=("monolithic", "modular").',
            )
        # Bad arguments are refused before an image is built for a minute.
        for each in pair:
            image.path_of(each)
        wire = WireSpec(rate_mbit_s=wire_mbit_s)
        wire.require_possible()
        self.images = pair
        registry.sweep()
        self._lock = registry.take(self.name)
        try:
            roots = [image.ensure(each, on_step, expired=expired_mirror) for each in pair]
            programs = [
                modular.ensure(each, on_step, expired=expired_mirror) if kind == "modular" else None
                for each, kind in zip(pair, kinds, strict=True)
            ]
            with step(on_step, f"starting lab {self.name}"):
                self._start(files, roots, programs)
                self.wire.set(wire_mbit_s)
        except BaseException:
            self.close()
            raise

    def _start(self, files: LabFiles, roots: list[Path], programs: Sequence[Path | None]) -> None:
        # This process holds the name, so an old folder of that name has no owner.
        namespaces.remove_tree(files.directory)
        files.directory.mkdir(mode=0o700)
        files.guests.mkdir()
        host_config.write(files, ["modular" if each else "monolithic" for each in programs])
        hosts = list(zip(HOST_NAMES, roots, programs, strict=True))
        running, self._process = rack.start(files, hosts)
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

        If no lab of that name is up, :class:`UsageError` lists the labs that are.
        """
        return cls(name=name, on_step=on_step, _state=registry.state(name))

    def __repr__(self) -> str:
        images = " and ".join(dict.fromkeys(self.images))
        return f"Lab({self.name!r}, {images}, {'up' if self.alive else 'down'})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @functools.cached_property
    def client(self) -> AdminClient:
        """Return the lab's admin client, a machine that knows the hosts only by the network.

        It starts at the first use and ends with the lab.
        """
        return AdminClient(self.files, self.rack)

    @property
    def guests(self) -> list[Guest]:
        """Return the guests on both hosts by number, with guests that are only defined."""
        found: dict[str, Guest] = {}
        for domain, guest in domains_of(self):
            if domain.active or domain.uuid not in found:
                found[domain.uuid] = guest
        return sorted(found.values(), key=lambda guest: guest.spec.number)

    def guest(self, name: str) -> Guest:
        """Return the guest called ``name``; raise :class:`GuestError` if there is none."""
        guests = self.guests
        for guest in guests:
            if guest.name == name:
                return guest
        known = ", ".join(guest.name for guest in guests)
        raise GuestError(
            f"the lab has no guest {name!r}",
            hint=f"Choose one of {known}." if known else "Boot one: lab.boot()",
        )

    @arguments_of(BootArguments)
    def boot(self, wanted: BootArguments) -> Guest:
        """Boot a guest, and return it once its workload runs.

        ``name`` is the guest's name, by default "guest-" and its number. ``on`` is the host that
        it boots on, by default the first. A local disk is a file of that host, and an empty one of
        the other host to copy it to.

        Raises:
            UsageError: ``on`` is no host of this lab.
            GuestError: Such a guest cannot exist; nothing was started.
            HostError: libvirt refused it.
            LabError: It did not come up; it is gone again.
        """
        if wanted.on is not None:
            self.require_own("on", wanted.on)
        wanted.require_possible()
        # Otherwise another thread or process could give the guest's number to a second guest.
        with self._boot_lock, directories.locked(self.files.directory / "boot.lock"):
            spec = self._booted_spec(wanted)
            with step(self.on_step, f"booting {spec.name}"):
                return self._boot(Guest(self, spec, str(uuid.uuid4())), wanted.on or self.host_a)

    def _booted_spec(self, wanted: BootArguments) -> BootedSpec:
        """Return the spec with a name, a number and no open choice."""
        taken = self.guests
        numbers = {guest.spec.number for guest in taken}
        number = next((n for n in range(FIRST_GUEST, LAST_GUEST) if n not in numbers), None)
        if number is None:
            raise GuestError("the lab's LAN is full", hint="Destroy a guest first.")
        name = wanted.name if wanted.name is not None else f"guest-{number}"
        require_name(name)
        # A guest's files keep its name at boot, after any change of its name.
        if any(name in (guest.name, guest.spec.name) for guest in taken):
            raise GuestError(
                f"name must be new in the lab (got {name!r})", hint="Choose another name."
            )
        fields = {each.name: getattr(wanted, each.name) for each in dataclasses.fields(GuestSpec)}
        root = image.path_of(self.images[0])
        chosen = {
            "accelerator": accelerator.choose(wanted.accelerator, root, self.on_step),
            "machine": wanted.machine or self.machine,
        }
        spec = BootedSpec(**fields | chosen, name=name, number=number)
        require_machine(spec)
        return spec

    def _boot(self, guest: Guest, host: Host) -> Guest:
        service = guest.spec.service
        if not (self.files.guests / "kernel").exists():
            made = boot_files.ensure(image.path_of(self.images[0]), self.on_step)
            shutil.copyfile(made.initramfs, self.files.guests / "initramfs")
            partial = self.files.guests / ".kernel"
            shutil.copyfile(made.kernel, partial)
            partial.rename(self.files.guests / "kernel")
        if service is not None and not self._initramfs_of(service).exists():
            self._add_service(service)
        beats = guest.beat_source
        first = beats.place()
        # An earlier guest of that name has left its words on the same console.
        said = len(guest.console())
        try:
            disk_files.create(self, guest.spec)
            host.create(domain_xml(guest.spec, guest.uuid), persistent=guest.spec.persistent)
            self._await_beat(guest, host, beats, first)
            if service is not None:
                self._await_service(guest, said)
        except BaseException:
            guest.clear()
            raise
        return guest

    def _initramfs_of(self, service: str) -> Path:
        return self.files.guests / f"initramfs-{service}"

    def _add_service(self, service: str) -> None:
        """Make the initramfs of guests with a service: the kernel unpacks both archives."""
        root = image.path_of(self.images[0])
        files = service_image.ensure(service_image.services()[service], root, self.on_step)
        partial = self.files.guests / f".initramfs-{service}"
        with partial.open("wb") as file:
            for part in (self.files.guests / "initramfs", files.archive):
                file.write(part.read_bytes())
        partial.rename(self._initramfs_of(service))

    @staticmethod
    def _await_service(guest: Guest, said: int) -> None:
        """Wait for the service; the guest's console had ``said`` letters before the boot."""
        task = task_of(guest.spec, guest.lab.files.broker)
        ended = partial(_has_ended, guest, said)
        reason = await_service(task, BOOT_TIMEOUT_S, ended)
        if reason is not None:
            raise LabError(
                f"boot of the guest {guest.name!r} failed: its service {guest.spec.service} does "
                f"not answer ({reason}); its console ends with:\n{guest.console()[said:][-800:]}",
                hint="Give the guest more memory, for example memory_mib="
                f"{guest.spec.memory_mib * 2}, if the service says that it has too little.",
            )

    @staticmethod
    def _await_beat(guest: Guest, host: Host, beats: GuestBeats, first: int) -> None:
        def over() -> bool:
            """Return whether it beats, or has ended."""
            return not beats.read(first).empty or guest.name not in host.domain_names()

        wait_until(over, BOOT_TIMEOUT_S)
        if beats.read(first).empty:
            raise LabError(
                f"boot of the guest {guest.name!r} failed: its workload sends nothing; its "
                f"console ends with:\n{guest.console()[-800:]}",
                hint=f"Read QEMU's log on {host.name}: /var/log/libvirt/qemu",
            )

    @staticmethod
    def fault_cases() -> tuple[FaultCase, ...]:
        """Return every fault that :meth:`broken` can switch on."""
        return CASES

    def broken(
        self, case_id: str, *, source: Host | None = None
    ) -> contextlib.AbstractContextManager[ActiveFault]:
        """Break the lab during a ``with``, so that one plan meets the fault.

        The result has the plan, the guest if the case needs its own, and the id of the error's
        explanation.

        Args:
            case_id: The fault's name, one of :meth:`fault_cases`.
            source: The host that the guest leaves by that plan; by default the first.

        Raises:
            UsageError: There is no such fault, another one is on, or this lab cannot have it.
            LabError: It could not be switched on, or not fixed.
        """
        return breaking(self, case_id, source=source, boot=self.boot)

    def fault(
        self,
        kind: str,
        *,
        phase: str,
        side: Side | None = None,
        guest: Guest | None = None,
        iteration: int | None = None,
        period_s: float = 1.0,
        rate_mbit_s: float = 10.0,
    ) -> contextlib.AbstractContextManager[PhaseFault]:
        """Let a fault happen in a phase of the next migration, during a ``with``.

        The result tells when it fired and on which line. After the ``with`` it is undone, except
        that the dead stay dead. While it waits, only this one guest may migrate: the lines of the
        logs do not name the guest.

        Args:
            kind: The fault, for example "kill-qemu"; `migrationlab lab fault --list` lists them.
            phase: The phase to wait for, for example "switchover".
            side: The host that it concerns, "source" (the default) or "destination".
            guest: The guest that migrates; by default the lab's only one.
            iteration: The iteration of pre-copy to wait for, with phase "perform".
            period_s: How long a flapping wire is down and up again.
            rate_mbit_s: The rate of a throttled wire.

        Raises:
            UsageError: There is no such fault or phase, or this lab cannot have it.
            LabError: It could not be prepared, or not undone.
        """
        options = Options(iteration=iteration, period_s=period_s, rate_mbit_s=rate_mbit_s)
        if guest is None:
            guests = self.guests
            if len(guests) != 1:
                raise UsageError(
                    f"guest must be given: the lab has {len(guests)} guests",
                    hint="Give the one that migrates: lab.fault(..., guest=guest)",
                )
            guest = guests[0]
        return phase_fault(self, kind, phase, guest, side=side, options=options)

    def inspect(self) -> dict[str, Any]:
        """Return the parts of the lab: hosts, addresses, URIs, wire, guests, processes.

        Raises:
            LabError: The lab is down.
        """
        if not self.alive:
            raise self.down_error()
        return inspect_lab(self, self.guests)

    def close(self) -> None:
        """End the lab and delete its folder; of an attached lab, only close the connections."""
        super().close()
        if "client" in self.__dict__:
            self.client.close()
        if self._process is not None:
            namespaces.end_guarded(self._process)
            self._process = None
        if self._lock is not None:
            registry.release(self.name, self._lock)
            self._lock = None


def _has_ended(guest: Guest, said: int) -> bool:
    return SERVICE_ENDED in guest.console()[said:]
