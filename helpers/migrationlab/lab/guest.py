"""Own a guest of the lab: find where it is, and talk to the workload inside.

A guest is a libvirt domain, known by its UUID: its name may change as it arrives. Times from
beats are CLOCK_REALTIME nanoseconds.
"""

from __future__ import annotations

import dataclasses
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from migrationlab.capture.ping import EchoProbe
from migrationlab.capture.write_probe import WriteProbe
from migrationlab.errors import GuestError, HostError, LabError
from migrationlab.hosts.connection import ask, refusals
from migrationlab.hosts.host import DomainState, Host, domain_sha256
from migrationlab.lab import disk_files, image, service_image
from migrationlab.lab.beat_buffer import BeatBuffer
from migrationlab.lab.booted_spec import PAGES_PER_MIB, BootedSpec, pages_per_second
from migrationlab.lab.guest_xml import NAMESPACE, spec_from
from migrationlab.lab.lab_base import LabBase
from migrationlab.lab.layout import CONTROL_PORT, LAST_GUEST, guest_address
from migrationlab.lab.service_image import services
from migrationlab.lab.service_load import ServiceLoad, task_of
from migrationlab.lab.socket_broker import LAN, open_socket
from migrationlab.plan.guest_spec import Content, Pattern, Rate
from migrationlab.plan.validation import DomainFacts, domain_facts

#: The first libvirt that can be told that a folder is shared (``host_config``); an older one takes
#: every file on a file system of this machine for a local one.
SHARES_FOLDERS = (10, 10)
#: How often a guest is asked for an echo while it migrates. 200 a second take 3 % of a processor
#: here and as much of an emulated guest's; its beats tell a silence to the millisecond anyway.
ECHO_INTERVAL_S = 0.02
#: As in ``payload/workload.c``: added to the guest's number in beats of normal priority.
NORMAL_PRIORITY = 1 << 16
#: How long a host, or the workload after a change of its settings, may take to answer.
ANSWER_TIMEOUT_S = 5.0
#: How long it may take to compare its memory, and how fast even a busy machine compares more of it.
CHECK_TIMEOUT_S = 10.0
CHECKED_MIB_S = 100


@dataclass(frozen=True, slots=True)
class MemoryCheck:
    """The result of comparing a guest's memory and disk with the workload's last writes."""

    #: Whether every page and every block was right.
    intact: bool
    #: The number of pages of the working set and of filled memory; all were compared.
    pages: int
    #: The number of wrong pages.
    bad_pages: int
    #: The number of page writes by the workload before the check.
    writes: int
    #: The number of blocks of the disk; all were read. None without a disk.
    disk_blocks: int | None = None
    #: The number of blocks that were wrong or could not be read.
    bad_blocks: int | None = None


class GuestBeats:
    """The beats of the guest ``number`` in the lab's beat buffer."""

    def __init__(self, buffer: BeatBuffer, number: int) -> None:
        self._buffer = buffer
        self._number = number

    def place(self, back_s: float = 0.0) -> int:
        """Return a position in the stream of beats, ``back_s`` before now or a little earlier."""
        if back_s == 0:
            return self._buffer.count
        since = time.time_ns() - round(back_s * 1e9)
        count = self._buffer.count
        # Enough to reach back far enough even if all guests of a LAN send.
        newest = self._buffer.read(-round(back_s * 1000 * LAST_GUEST), count)
        return count - int(np.count_nonzero(newest["arrival_ns"] >= since))

    def read(self, first: int) -> pd.DataFrame:
        """Return the guest's beats from a position on, in order of arrival.

        The frame has ``arrival_ns`` (CLOCK_REALTIME), ``sequence``, ``guest_ns`` (the guest's own
        clock) and ``writes`` (pages written so far).
        """
        taken = self._buffer.read(first)
        mine = taken[taken["guest"] == self._number]
        columns = ("arrival_ns", "sequence", "guest_ns", "writes")
        return pd.DataFrame({name: mine[name].astype("int64") for name in columns})


class Guest:
    """A guest of the lab.

    Methods that need the domain raise GuestError if neither host has it, and HostError if libvirt
    refuses. The domain's ``name`` may have changed since the guest was booted.
    """

    def __init__(self, lab: LabBase, spec: BootedSpec, uuid: str, name: str | None = None) -> None:
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
    def _address(self) -> str:
        return guest_address(self.spec.number, self.spec.ip)

    @property
    def name(self) -> str:
        """Return the domain's name at the present or last host of the guest."""
        self._find()
        return self._name

    @property
    def other_host(self) -> Host:
        """Return the host that the guest can migrate to."""
        return self.lab.other(self.host)

    @property
    def lab_hosts(self) -> tuple[Host, ...]:
        """Return the hosts of its lab."""
        return self.lab.hosts

    @property
    def accelerator(self) -> str:
        """Return its accelerator: "tcg" or "kvm"."""
        return self.spec.accelerator

    @property
    def host(self) -> Host:
        """Return the host of the guest, which runs there, is paused there, or is defined there.

        Raises:
            GuestError: It is on neither, or it runs on neither and both have a definition.
            HostError: It runs on neither, but one could not be asked.
        """
        found = self._find()
        if found is None:
            raise GuestError(
                f"the guest {self._name!r} runs on neither host",
                hint="Boot a new one with lab.boot(). A guest that both hosts define is not lost: "
                "start it on one of them.",
            )
        return found[0]

    def _find(self) -> tuple[Host, DomainState] | None:
        """Return the guest's host and state, and remember its name.

        A dead host does not answer, but the other host may have the guest.
        """
        running, waiting, moving, defined = None, None, False, []
        unanswered: HostError | None = None
        for host in self.lab.hosts:
            try:
                domain = ask(host.connection, partial(host.find, self.uuid), ANSWER_TIMEOUT_S)
            except HostError as error:
                unanswered = error
                continue
            except TimeoutError:
                unanswered = HostError(
                    f"{host.name} does not answer within {ANSWER_TIMEOUT_S:g} s",
                    hint=f"Check that libvirtd of {host.name} runs.",
                )
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
                # An arriving guest exists here already, paused, while it still runs elsewhere.
                moving = True
        found = running or waiting
        if found is None and unanswered is not None:
            raise unanswered
        # A host that the guest has left may keep its definition.
        if found is None and not moving and len(defined) == 1:
            found = defined[0]
        if found is not None:
            self._name = found[1].name
        return found

    @property
    def paused(self) -> bool:
        """Return whether the guest is there and paused."""
        found = self._find()
        return found is not None and found[1].paused

    def suspend(self) -> None:
        """Pause the guest until :meth:`resume`."""
        with refusals():
            self._domain().suspend()

    def resume(self) -> None:
        """Resume the guest."""
        with refusals():
            self._domain().resume()

    def _domain(self) -> Any:
        host = self.host
        with refusals():
            return host.connection.lookupByUUIDString(self.uuid)

    def facts(self) -> DomainFacts:
        """Return the facts for validation of a plan: the domain's state, disks and memory."""
        host = self.host
        with refusals():
            domain = self._domain()
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
        """Return the run's record of the guest."""
        return {**dataclasses.asdict(self.spec), "xml_sha256": domain_sha256(self._domain())}

    def wire(self) -> dict[str, object]:
        """Return the run's record of the wire, as the guest's host sees it."""
        settings = self.lab.wire.seen_from(self.host.name)
        check = self.lab.wire_checks.get(settings)
        measured = None if check is None else check.payload_mbit_s
        return {**dataclasses.asdict(settings), "measured_mbit_s": measured}

    @property
    def beat_source(self) -> GuestBeats:
        """Return the reader of this guest's beats."""
        return GuestBeats(self.lab.beat_buffer, self.spec.number)

    def echo_probe(self) -> EchoProbe:
        """Return a probe that pings the guest from where its clients are."""
        kind = (socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
        if self.spec.ip == "ipv6":
            kind = (socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6)
        opened = open_socket(self.lab.files.broker, self._client_network(), *kind)
        return EchoProbe(self._address, interval_s=ECHO_INTERVAL_S, opened=opened)

    def write_probe(self) -> WriteProbe:
        """Return a probe that asks the guest how long its writes to memory took."""
        return WriteProbe((self._address, CONTROL_PORT), self.lab.lan_socket(self.spec.ip))

    def service_load(self) -> ServiceLoad | None:
        """Start clients of the guest's service, at its spec's rate; None without a service.

        They are where ``client_side`` says, seen from the guest's present host.

        Raises:
            LabError: They could not connect.
        """
        if self.spec.service is None:
            return None
        root = image.path_of(self.lab.images[0])
        version = service_image.ensure(services()[self.spec.service], root).version
        task = task_of(self.spec, self.lab.files.broker, self._client_network())
        load = ServiceLoad(task, version)
        load.start()
        return load

    def _client_network(self) -> str:
        """Return the network of the socket broker that the clients and pings are on now."""
        if self.spec.client_side == "outside":
            return LAN
        return (self.host if self.spec.client_side == "source" else self.other_host).name

    def reached_mib_s(self, window_s: float = 1.0) -> float | None:
        """Return the guest's real dirty rate during the given time before its newest beat.

        The result is None if fewer than two beats came.
        """
        source = self.beat_source
        beats = source.read(source.place(window_s))
        if len(beats) < 2:
            return None
        first, last = beats.iloc[0], beats.iloc[-1]
        seconds = (last["guest_ns"] - first["guest_ns"]) / 1e9
        return float((last["writes"] - first["writes"]) / PAGES_PER_MIB / seconds)

    def check(self, timeout_s: float | None = None) -> MemoryCheck:
        """Compare every page of the working set with the last write of the workload's writers.

        The guest itself compares the pages, and also every block of its disk, which it reads from
        the disk. The workload pauses meanwhile; the beats go on.

        Args:
            timeout_s: How long to wait for the answer; by default 10 s, and more for much memory.

        Raises:
            LabError: The guest did not answer.
        """
        if timeout_s is None:
            written_mib = self.spec.working_set_mib + self.spec.fill_mib
            timeout_s = CHECK_TIMEOUT_S + written_mib / CHECKED_MIB_S
        answer = self._ask("check", timeout_s)
        values = {name: int(text) for name, text in answer.items()}
        intact = values["bad_pages"] == 0 and values.get("bad_blocks", 0) == 0
        return MemoryCheck(intact, **values)

    def checked(self) -> dict[str, object] | None:
        """Return the run's record of a :meth:`check`; None for a paused guest."""
        return None if self.paused else dataclasses.asdict(self.check())

    def set_workload(
        self,
        dirty_mib_s: Rate,
        pattern: Pattern | None = None,
        *,
        disk_mib_s: float | None = None,
        incompressible: float | None = None,
        content: Content | None = None,
    ) -> None:
        """Change the rate, the order and the content of the workload's writes.

        Its phases begin anew. Another order begins with a write to each page of the working set,
        and another content with a write to all of the workload's memory.

        Args:
            dirty_mib_s: The rate of writes to memory, or "max".
            pattern: The order of writes to memory; None to keep it.
            disk_mib_s: The rate of writes to the disk; None to keep it.
            incompressible: The share of each page that does not compress; None to keep it.
            content: What does not compress; None to keep it.

        Raises:
            GuestError: A value is not allowed, or the guest has no disk.
            LabError: The guest did not answer.
        """
        changes: dict[str, Any] = {
            "dirty_mib_s": dirty_mib_s,
            "pattern": pattern,
            "disk_mib_s": disk_mib_s,
            "incompressible": incompressible,
            "content": content,
        }
        given = {name: value for name, value in changes.items() if value is not None}
        spec: BootedSpec = dataclasses.replace(self.spec, **given)
        if disk_mib_s is not None and spec.disk is None:
            raise GuestError(
                f"the guest {self.name!r} has no disk",
                hint='Boot one that has: lab.boot(disk="local")',
            )
        spec.require_possible()
        rate = pages_per_second(dirty_mib_s)
        self._ask(f"set {rate} {spec.pattern} {spec.noise_words} {spec.fresh}")
        if disk_mib_s is not None:
            self._ask(f"set-disk {pages_per_second(disk_mib_s)}")
        self.spec = spec

    def beat_normally(self) -> GuestBeats:
        """Let it send beats from a thread of normal priority too; return the reader of these."""
        self._ask("normal-beats")
        return GuestBeats(self.lab.beat_buffer, self.spec.number + NORMAL_PRIORITY)

    def spoil(self, page: int) -> None:
        """Damage one page behind the workload's back, for a check to find."""
        self._ask(f"spoil {page}")

    def spoil_block(self, block: int) -> None:
        """Damage one block of the disk behind the workload's back."""
        self._ask(f"spoil-block {block}")

    def console(self) -> str:
        """Return the guest's output on its serial console."""
        path = self.lab.files.guests / f"{self.spec.name}.console"
        return path.read_text(errors="replace") if path.exists() else ""

    def destroy(self) -> None:
        """End the guest at once, and delete its definitions and its disk."""
        _ = self.host
        self.clear()

    def clear(self) -> None:
        """Delete all remains of the guest, like :meth:`destroy`.

        Raises:
            HostError: One host refused, or is dead. The other host's part is deleted.
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

    def _ask(self, request: str, timeout_s: float = ANSWER_TIMEOUT_S) -> dict[str, str]:
        """Send the workload a request, and return the values of its answer."""
        token = secrets.token_hex(8)
        with self.lab.lan_socket(self.spec.ip) as lan:
            # The LAN can lose a datagram while the guest moves, so ask more than once.
            lan.settimeout(timeout_s / 4)
            for _ in range(4):
                lan.sendto(f"{token} {request}".encode(), (self._address, CONTROL_PORT))
                try:
                    words = lan.recv(512).decode(errors="replace").split()
                except OSError:
                    continue
                if words[:1] == [token]:
                    answer = dict(word.split("=", 1) for word in words[1:])
                    if "error" in answer:
                        raise LabError(f"request {request!r} to the guest {self._name!r} failed")
                    return answer
        tail = self.console()[-500:]
        raise LabError(
            f"the guest {self._name!r} does not answer"
            + (f"; its console ends with:\n{tail}" if tail else ""),
            hint="Boot a new guest if its kernel has panicked: its memory is damaged.",
        )


def domains_of(lab: LabBase) -> Iterator[tuple[DomainState, Guest]]:
    """Yield each domain of a lab's guests and the guest, also those that are only defined."""
    for host in lab.hosts:
        for domain in host.domains(NAMESPACE, inactive=True):
            if domain.metadata is not None:
                yield domain, Guest(lab, spec_from(domain.metadata), domain.uuid, domain.name)
