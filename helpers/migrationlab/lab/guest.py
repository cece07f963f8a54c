"""Guests of the lab: where one is, and how one speaks with the workload inside.

A guest is a libvirt domain, known by its UUID: its name may change as it arrives. Times from
beats are CLOCK_REALTIME nanoseconds.
"""

from __future__ import annotations

import dataclasses
import secrets
import socket
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from migrationlab.capture.ping import EchoProbe
from migrationlab.errors import GuestError, HostError, LabError
from migrationlab.hosts.connection import refusals
from migrationlab.hosts.host import DomainState, Host, domain_sha256
from migrationlab.lab import disk_files
from migrationlab.lab.beat_buffer import BeatBuffer
from migrationlab.lab.guest_spec import (
    PAGES_PER_MIB,
    GuestSpec,
    Pattern,
    Rate,
    blocks_per_second,
    pages_per_second,
)
from migrationlab.lab.layout import CONTROL_PORT, LAST_GUEST, guest_address
from migrationlab.lab.site import Site
from migrationlab.lab.socket_broker import LAN, open_socket
from migrationlab.plan.validation import DomainFacts, domain_facts

#: Since this libvirt a host can be told that a folder is shared (``hostconfig``); an older one
#: takes every file on a file system of this machine for a local one.
SHARES_FOLDERS = (10, 10)
#: How often a guest is asked for an echo while it migrates. 200 a second take 3 % of a processor
#: here and as much of an emulated guest's; its beats tell a silence to the millisecond anyway.
ECHO_INTERVAL_S = 0.02


@dataclass(frozen=True, slots=True)
class MemoryCheck:
    """What a guest found when it compared its memory and disk with what it last wrote there.

    Attributes:
        intact: Whether every page and every block held what it must.
        pages: The pages of its working set, all of which it looked at.
        bad_pages: How many did not hold what they must.
        writes: How many page writes the workload has made by then.
        disk_blocks: The blocks of its disk, all of which it read; None without a disk.
        bad_blocks: How many did not hold what they must, or could not be read.
    """

    intact: bool
    pages: int
    bad_pages: int
    writes: int
    disk_blocks: int | None = None
    bad_blocks: int | None = None


class GuestBeats:
    """The beats of one guest in the lab's ring.

    Args:
        ring: The ring of all guests' beats.
        number: The guest's number.
    """

    def __init__(self, ring: BeatBuffer, number: int) -> None:
        self._ring = ring
        self._number = number

    def place(self, back_s: float = 0.0) -> int:
        """Return a place in the stream of beats, ``back_s`` before now or a little earlier."""
        if back_s == 0:
            return self._ring.count
        since = time.time_ns() - round(back_s * 1e9)
        count = self._ring.count
        # So many that they reach back far enough even if all guests of a LAN send.
        newest = self._ring.read(-round(back_s * 1000 * LAST_GUEST), count)
        return count - int(np.count_nonzero(newest["arrival_ns"] >= since))

    def read(self, first: int) -> pd.DataFrame:
        """Return the guest's beats from a place on.

        Returns:
            A frame with ``arrival_ns`` (CLOCK_REALTIME), ``sequence``, ``guest_ns`` (the
            guest's own clock) and ``writes`` (pages written so far), in order of arrival.
        """
        taken = self._ring.read(first)
        mine = taken[taken["guest"] == self._number]
        columns = ("arrival_ns", "sequence", "guest_ns", "writes")
        return pd.DataFrame({name: mine[name].astype("int64") for name in columns})


class Guest:
    """A guest of the lab.

    Args:
        lab: The lab that it lives in.
        spec: What it was made of.
        uuid: Its domain's UUID.
        name: Its domain's name by now, where that isn't the one it was made with.
    """

    def __init__(self, lab: Site, spec: GuestSpec, uuid: str, name: str | None = None) -> None:
        self.lab = lab
        self.spec = spec
        self.uuid = uuid
        self._name = name or spec.name

    def __repr__(self) -> str:
        rate = self.spec.dirty_mib_s
        return (
            f"Guest({self._name!r}, {self.spec.memory_mib} MiB, "
            f"{self.spec.working_set_mib} MiB dirtied at {rate} MiB/s)"
        )

    @property
    def name(self) -> str:
        """Return the domain's name: where the guest is now, or where it was last seen."""
        self._find()
        return self._name

    @property
    def other_host(self) -> Host:
        """Return the host that the guest doesn't run on now: where it can migrate to."""
        return self.lab.other(self.host)

    @property
    def accelerator(self) -> str:
        """Return what runs it: "tcg" or "kvm"."""
        return self.spec.accelerator

    @property
    def host(self) -> Host:
        """Return the host that the guest is on now: it runs there, or stands still, or is defined.

        Raises:
            GuestError: It is on neither, or it runs on neither and both have a definition.
            HostError: It runs on neither, but one could not be asked.
        """
        found = self._find()
        if found is None:
            raise GuestError(
                f"the guest {self._name!r} runs on neither host",
                hint="boot a new one with lab.boot(); one that both hosts define is not lost: "
                "start it on one",
            )
        return found[0]

    def _find(self) -> tuple[Host, DomainState] | None:
        """Return where the guest is, and how; and learn its name.

        A host that is dead says nothing, but a guest that is there on the other is there.
        """
        running, waiting, moving, defined = None, None, False, []
        unheard: HostError | None = None
        for host in self.lab.hosts:
            try:
                domain = host.find(self.uuid)
            except HostError as error:
                unheard = error
                continue
            if domain is None:
                continue
            if not domain.active:
                defined.append((host, domain))
            elif not domain.paused:
                running = (host, domain)
            elif not domain.moving:
                waiting = (host, domain)
            else:
                # While it arrives it is there already, paused, but runs elsewhere yet.
                moving = True
        found = running or waiting
        if found is None and unheard is not None:
            raise unheard
        # A host that it has left may keep its definition.
        if found is None and not moving and len(defined) == 1:
            found = defined[0]
        if found is not None:
            self._name = found[1].name
        return found

    @property
    def paused(self) -> bool:
        """Return whether the guest is there and stands still."""
        found = self._find()
        return found is not None and found[1].paused

    def suspend(self) -> None:
        """Let the guest stand still, until :meth:`resume`.

        Raises:
            GuestError: It runs nowhere.
            HostError: libvirt refused.
        """
        with refusals():
            self._domain().suspend()

    def resume(self) -> None:
        """Let the guest run on.

        Raises:
            GuestError: It runs nowhere.
            HostError: libvirt refused.
        """
        with refusals():
            self._domain().resume()

    def _domain(self) -> Any:
        host = self.host
        with refusals():
            return host.connection.lookupByUUIDString(self.uuid)

    def facts(self) -> DomainFacts:
        """Return what a plan is judged by: the domain's state, its disks and memory.

        Raises:
            GuestError: It is on neither host.
            HostError: libvirt refused.
        """
        host = self.host
        with refusals():
            domain = host.connection.lookupByUUIDString(self.uuid)
            facts = domain_facts(
                domain.XMLDesc(),
                active=bool(domain.isActive()),
                persistent=bool(domain.isPersistent()),
                paused=self.paused,
            )
        shared = self.spec.disk == "shared" and host.facts.libvirt >= SHARES_FOLDERS
        disks = tuple(dataclasses.replace(each, shared=shared) for each in facts.disks or ())
        return dataclasses.replace(facts, disks=disks)

    def record(self) -> dict[str, object]:
        """Return what a run should say of the guest."""
        return {**dataclasses.asdict(self.spec), "xml_sha256": domain_sha256(self._domain())}

    def wire(self) -> dict[str, object]:
        """Return what a run should say of the wire."""
        settings = self.lab.wire.settings
        check = self.lab.wire_checks.get(settings)
        measured = None if check is None else check.payload_mbit_s
        return {**dataclasses.asdict(settings), "measured_mbit_s": measured}

    @property
    def beat_source(self) -> GuestBeats:
        """Return where this guest's beats are read."""
        return GuestBeats(self.lab.ring, self.spec.number)

    def echo_probe(self) -> EchoProbe:
        """Return what asks the guest for echoes, from where a client of its service would stand.

        Raises:
            LabError: The lab is down.
        """
        way = (socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
        opened = open_socket(self.lab.files.door, LAN, *way)
        return EchoProbe(guest_address(self.spec.number), interval_s=ECHO_INTERVAL_S, opened=opened)

    def reached_mib_s(self, window_s: float = 1.0) -> float | None:
        """Return the dirty rate that the guest really reached lately.

        Args:
            window_s: Over how long, up to the newest beat.

        Returns:
            MiB of pages written a second, or None where fewer than two beats came.
        """
        source = self.beat_source
        beats = source.read(source.place(window_s))
        if len(beats) < 2:
            return None
        first, last = beats.iloc[0], beats.iloc[-1]
        seconds = (last["guest_ns"] - first["guest_ns"]) / 1e9
        return float((last["writes"] - first["writes"]) / PAGES_PER_MIB / seconds)

    def check(self, timeout_s: float = 10.0) -> MemoryCheck:
        """Let the guest compare every page of its working set with what it last wrote there.

        Likewise every block of its disk, read from there. The workload pauses for that; the
        beats go on.

        Raises:
            LabError: The guest did not answer.
        """
        answer = self._ask("check", timeout_s)
        values = {name: int(text) for name, text in answer.items()}
        intact = values["bad_pages"] == 0 and values.get("bad_blocks", 0) == 0
        return MemoryCheck(intact, **values)

    def checked(self) -> dict[str, object] | None:
        """Return what :meth:`check` finds, as a run keeps it; None while it stands still."""
        return None if self.paused else dataclasses.asdict(self.check())

    def set_workload(
        self,
        dirty_mib_s: Rate,
        pattern: Pattern | None = None,
        *,
        disk_mib_s: float | None = None,
    ) -> None:
        """Change how fast, and in which order, the workload writes.

        Args:
            dirty_mib_s: How fast to memory.
            pattern: In which order to memory; None for the one that it has.
            disk_mib_s: How fast to the disk; None for as fast as now.

        Raises:
            GuestError: A rate or an order that cannot be, or no disk.
            LabError: The guest did not answer.
        """
        spec = dataclasses.replace(
            self.spec, dirty_mib_s=dirty_mib_s, pattern=pattern or self.spec.pattern
        )
        if disk_mib_s is not None:
            spec = dataclasses.replace(spec, disk_mib_s=disk_mib_s)
            if spec.disk is None:
                raise GuestError(
                    f"the guest {self.name!r} has no disk", hint='lab.boot(disk="local") gives one'
                )
        spec.require_possible()
        self._ask(f"set {pages_per_second(dirty_mib_s)} {spec.pattern}", 5.0)
        if disk_mib_s is not None:
            self._ask(f"set-disk {blocks_per_second(disk_mib_s)}", 5.0)
        self.spec = spec

    def spoil(self, page: int) -> None:
        """Damage one page behind the workload's back: a check must find it."""
        self._ask(f"spoil {page}", 5.0)

    def spoil_block(self, block: int) -> None:
        """Damage one block of the disk likewise."""
        self._ask(f"spoil-block {block}", 5.0)

    def console(self) -> str:
        """Return what the guest has written to its serial console."""
        path = self.lab.files.guests / f"{self.spec.name}.console"
        return path.read_text(errors="replace") if path.exists() else ""

    def destroy(self) -> None:
        """End the guest at once, and clear away its definitions and its disk.

        Raises:
            GuestError: It is on neither host.
            HostError: libvirt refused.
        """
        _ = self.host
        self.clear()

    def clear(self) -> None:
        """Do as :meth:`destroy` does, whatever is there of the guest.

        Raises:
            HostError: One host refused, or is dead; the other has let go of it.
        """
        refused: HostError | None = None
        for host in self.lab.hosts:
            try:
                host.forget(self.uuid)
            except HostError as error:
                refused = error
        if refused is not None:
            raise refused
        disk_files.remove(self.lab, self.spec)

    def _ask(self, request: str, timeout_s: float) -> dict[str, str]:
        """Ask the workload, and return its answer's words."""
        token = secrets.token_hex(8)
        with self.lab.lan_socket() as lan:
            # The LAN can lose a datagram while the guest moves, so ask more than once.
            lan.settimeout(timeout_s / 4)
            for _ in range(4):
                lan.sendto(
                    f"{token} {request}".encode(), (guest_address(self.spec.number), CONTROL_PORT)
                )
                try:
                    words = lan.recv(512).decode(errors="replace").split()
                except OSError:
                    continue
                if words[:1] == [token]:
                    answer = dict(word.split("=", 1) for word in words[1:])
                    if "error" in answer:
                        raise LabError(f"the guest {self._name!r} did not understand {request!r}")
                    return answer
        tail = self.console()[-500:]
        raise LabError(
            f"the guest {self._name!r} does not answer"
            + (f"; its console ends with:\n{tail}" if tail else ""),
            hint="if its kernel has panicked, its memory is damaged: boot a new guest",
        )
