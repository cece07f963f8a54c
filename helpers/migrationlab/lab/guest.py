"""Guests of the lab: how they are made, and how one speaks with the workload inside.

A guest is a transient libvirt domain. All that makes it the kit's stands in its domain XML,
as metadata of the kit's own namespace, so that it can be found again on whichever host it
runs, by this process or another. Times from beats are CLOCK_REALTIME nanoseconds.
"""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
import time
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import psutil
from defusedxml.ElementTree import fromstring

from migrationlab.errors import GuestError, LabError
from migrationlab.hosts import Host
from migrationlab.lab.beatring import BeatRing
from migrationlab.lab.layout import (
    BEAT_PORT,
    CONTROL_PORT,
    GUESTS_AT_HOST,
    LAN_PREFIX,
    LAST_GUEST,
    OBSERVER,
    guest_address,
)
from migrationlab.lab.site import Site

NAMESPACE = "urn:migrationlab:guest"
PAGE_BYTES = 4096
PAGES_PER_MIB = (1 << 20) // PAGE_BYTES
#: What the guest's kernel, its tables and the check need beside the working set.
RESERVED_MIB = 80
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,59}")
HIGHEST_DIRTY_MIB_S = 100_000
#: What a guest of a lab has no use for, and a processor that TCG emulates takes a second for.
QUICKER = (
    "nosmp noreplace-smp mitigations=off tsc=reliable cryptomgr.notests ipv6.disable=1 "
    "initcall_blacklist=jent_mod_init,trace_eval_init,load_system_certificate_list"
)
Pattern = Literal["sequential", "random"]
Rate = float | Literal["max"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestSpec:
    """What a guest is made of.

    Attributes:
        name: Its name.
        number: Its number on the LAN.
        memory_mib: Its memory.
        working_set_mib: How much of it the workload writes, over and over.
        dirty_mib_s: How fast: MiB of pages a second, 0 for not at all, "max" for as fast as
            it goes.
        pattern: In which order: "sequential" or "random".
        accelerator: "tcg" or "kvm".
        machine: QEMU's machine type, one that both hosts have.
    """

    name: str
    number: int
    memory_mib: int
    working_set_mib: int
    dirty_mib_s: Rate
    pattern: Pattern
    accelerator: str
    machine: str

    def require_possible(self) -> None:
        """Refuse what cannot be.

        Raises:
            GuestError: A figure out of its range, or too little memory for the working set.
        """
        if not NAME.fullmatch(str(self.name)):
            raise GuestError(
                f"{self.name!r} cannot name a guest",
                hint="use letters, digits and hyphens, no hyphen first",
            )
        for what, value in (("memory", self.memory_mib), ("working set", self.working_set_mib)):
            if not _is_whole(value):
                raise GuestError(f"a {what} of {value!r} MiB cannot be", hint="give a whole number")
        if self.working_set_mib < 1:
            raise GuestError("a working set is at least 1 MiB", hint="give working_set_mib=64")
        here_mib = psutil.virtual_memory().total >> 20
        if self.memory_mib > here_mib:
            raise GuestError(
                f"{self.memory_mib} MiB of memory are more than this machine has",
                hint=f"give at most {here_mib}, and leave room for a second copy while it migrates",
            )
        needed = self.working_set_mib + RESERVED_MIB
        if self.memory_mib < needed:
            raise GuestError(
                f"{self.memory_mib} MiB of memory are too little for a working set of "
                f"{self.working_set_mib} MiB",
                hint=f"give memory_mib={needed} or more: the guest's system needs {RESERVED_MIB}",
            )
        pages_per_second(self.dirty_mib_s)
        if self.pattern not in ("sequential", "random"):
            raise GuestError(
                f"no workload writes in the order {self.pattern!r}",
                hint="choose sequential or random",
            )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def pages_per_second(dirty_mib_s: object) -> int:
    """Return a dirty rate as the workload takes it; -1 is as fast as it goes.

    Raises:
        GuestError: The rate is negative, absurd, or no number.
    """
    if dirty_mib_s == "max":
        return -1
    if (
        not isinstance(dirty_mib_s, int | float)
        or isinstance(dirty_mib_s, bool)
        or not 0 <= dirty_mib_s <= HIGHEST_DIRTY_MIB_S
    ):
        raise GuestError(
            f"a dirty rate of {dirty_mib_s} MiB/s cannot be",
            hint=f'give 0 to {HIGHEST_DIRTY_MIB_S}, or "max" for as fast as it goes',
        )
    return round(dirty_mib_s * PAGES_PER_MIB)


@dataclass(frozen=True, slots=True)
class MemoryCheck:
    """What a guest found when it compared its memory with what it last wrote there.

    Attributes:
        intact: Whether every page held what it must.
        pages: The pages of its working set, all of which it looked at.
        bad_pages: How many did not hold what they must.
        writes: How many page writes the workload has made by then.
    """

    intact: bool
    pages: int
    bad_pages: int
    writes: int


def domain_xml(spec: GuestSpec) -> str:
    """Return the domain XML of a guest."""
    settings = {
        "guest": spec.number,
        "pages": spec.working_set_mib * PAGES_PER_MIB,
        "rate": pages_per_second(spec.dirty_mib_s),
        "pattern": spec.pattern,
        "address": f"{guest_address(spec.number)}/{LAN_PREFIX}",
        "observer": OBSERVER,
        "beat_port": BEAT_PORT,
        "control_port": CONTROL_PORT,
    }
    words = " ".join(f"migrationlab.{name}={value}" for name, value in settings.items())
    cpu = (
        "<cpu mode='host-model'/>"
        if spec.accelerator == "kvm"
        else "<cpu mode='custom' match='exact'><model>qemu64</model></cpu>"
    )
    domain: ET.Element = fromstring(f"""
<domain type='{"kvm" if spec.accelerator == "kvm" else "qemu"}'>
  <name>{spec.name}</name>
  <metadata><m:guest xmlns:m='{NAMESPACE}'/></metadata>
  <memory unit='MiB'>{spec.memory_mib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='{spec.machine}'>hvm</type>
    <kernel>{GUESTS_AT_HOST}/kernel</kernel>
    <initrd>{GUESTS_AT_HOST}/initramfs</initrd>
    <cmdline>console=ttyS0 quiet oops=panic {QUICKER} {words}</cmdline>
  </os>
  <features><acpi/></features>
  {cpu}
  <on_reboot>destroy</on_reboot>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='bridge'>
      <mac address='52:54:00:11:0b:{spec.number:02x}'/>
      <source bridge='lan'/>
      <model type='virtio'/>
    </interface>
    <serial type='file'><source path='{GUESTS_AT_HOST}/{spec.name}.console' append='on'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>""")
    element = domain.find(f"metadata/{{{NAMESPACE}}}guest")
    assert element is not None
    element.text = json.dumps(dataclasses.asdict(spec))
    return ET.tostring(domain, encoding="unicode")


def spec_from(metadata: str) -> GuestSpec:
    """Return what a guest was made of, from its domain's metadata of :data:`NAMESPACE`."""
    return GuestSpec(**json.loads(fromstring(metadata).text or "{}"))


class GuestBeats:
    """The beats of one guest in the lab's ring.

    Args:
        ring: The ring of all guests' beats.
        number: The guest's number.
    """

    def __init__(self, ring: BeatRing, number: int) -> None:
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
    """A running guest of the lab.

    Args:
        lab: The lab that it lives in.
        spec: What it was made of.
    """

    def __init__(self, lab: Site, spec: GuestSpec) -> None:
        self.lab = lab
        self.spec = spec

    def __repr__(self) -> str:
        rate = self.spec.dirty_mib_s
        return (
            f"Guest({self.name!r}, {self.spec.memory_mib} MiB, "
            f"{self.spec.working_set_mib} MiB dirtied at {rate} MiB/s)"
        )

    @property
    def name(self) -> str:
        """Return the guest's name."""
        return self.spec.name

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
        """Return the host that the guest runs on now.

        Raises:
            GuestError: It runs on neither.
        """
        waiting = None
        for host in self.lab.hosts:
            for domain in host.domains():
                if domain.name == self.name:
                    if not domain.paused:
                        return host
                    # While it arrives it is there already, paused, but runs elsewhere yet.
                    waiting = waiting if domain.moving else host
        if waiting is not None:
            return waiting
        raise GuestError(
            f"the guest {self.name!r} runs on neither host", hint="boot a new one with lab.boot()"
        )

    def record(self) -> dict[str, object]:
        """Return what a run should say of the guest."""
        return dataclasses.asdict(self.spec)

    def wire(self) -> dict[str, object]:
        """Return what a run should say of the wire."""
        return dataclasses.asdict(self.lab.wire.settings)

    @property
    def beat_source(self) -> GuestBeats:
        """Return where this guest's beats are read."""
        return GuestBeats(self.lab.ring, self.spec.number)

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

        The workload pauses for that; the beats go on.

        Raises:
            LabError: The guest did not answer.
        """
        answer = self._ask("check", timeout_s)
        bad = int(answer["bad_pages"])
        return MemoryCheck(bad == 0, int(answer["pages"]), bad, int(answer["writes"]))

    def checked(self) -> dict[str, object]:
        """Return what :meth:`check` finds, as a run keeps it."""
        return dataclasses.asdict(self.check())

    def set_workload(self, dirty_mib_s: Rate, pattern: Pattern | None = None) -> None:
        """Change how fast, and in which order, the workload writes.

        Raises:
            GuestError: A rate or an order that cannot be.
            LabError: The guest did not answer.
        """
        spec = dataclasses.replace(
            self.spec, dirty_mib_s=dirty_mib_s, pattern=pattern or self.spec.pattern
        )
        spec.require_possible()
        self._ask(f"set {pages_per_second(dirty_mib_s)} {spec.pattern}", 5.0)
        self.spec = spec

    def spoil(self, page: int) -> None:
        """Damage one page behind the workload's back: a check must find it."""
        self._ask(f"spoil {page}", 5.0)

    def console(self) -> str:
        """Return what the guest has written to its serial console."""
        path = self.lab.files.guests / f"{self.name}.console"
        return path.read_text(errors="replace") if path.exists() else ""

    def destroy(self) -> None:
        """Stop the guest at once."""
        self.host.destroy(self.name)

    def _ask(self, request: str, timeout_s: float) -> dict[str, str]:
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
                        raise LabError(f"the guest {self.name!r} did not understand {request!r}")
                    return answer
        tail = self.console()[-500:]
        raise LabError(
            f"the guest {self.name!r} does not answer"
            + (f"; its console ends with:\n{tail}" if tail else ""),
            hint="if its kernel has panicked, its memory is damaged: boot a new guest",
        )
