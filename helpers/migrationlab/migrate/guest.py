"""What a migration needs to know of the guest that it moves.

A guest of the lab brings its own answers (``lab.guest.Guest`` has the same methods); a domain
of a real host is wrapped here. Never imports ``lab``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from defusedxml.ElementTree import fromstring

from migrationlab.capture.ping import EchoProbe
from migrationlab.capture.recorder import Beats
from migrationlab.hosts.host import Host, kind_of, refusals
from migrationlab.plan.validation import DomainFacts, domain_facts


class GuestLike(Protocol):
    """A guest that can be migrated."""

    @property
    def name(self) -> str:
        """Return the domain's name."""

    @property
    def host(self) -> Host:
        """Return the host that it runs on now."""

    @property
    def accelerator(self) -> str:
        """Return what runs it: "tcg" or "kvm"."""

    def facts(self) -> DomainFacts:
        """Return what a plan is judged by: its state, disks and memory."""

    @property
    def beat_source(self) -> Beats | None:
        """Return where its beats come from, None where it sends none."""

    def echo_probe(self) -> EchoProbe | None:
        """Return what asks it for echoes, None where only its user knows how to reach it.

        Raises:
            LabError: The lab that it lives in is down.
        """

    def record(self) -> Mapping[str, object]:
        """Return what a run should say of it."""

    def wire(self) -> Mapping[str, object] | None:
        """Return what a run should say of the wire, None where that isn't known."""

    def checked(self) -> Mapping[str, object] | None:
        """Return what it finds when it checks its memory, None where it has no check.

        Raises:
            LabError: It was asked and did not answer.
        """


class PlainDomain:
    """A domain that knows nothing of the kit.

    Args:
        name: The domain's name, or its UUID.
        host: The host that has it.
        inactive: Whether it may be one that is defined and not running, as an offline
            migration moves it.

    Raises:
        GuestError: The host has no such domain, or that isn't running.
    """

    def __init__(self, name: str, host: Host, *, inactive: bool = False) -> None:
        domain = host.domain(name, inactive=inactive)
        with refusals():
            text: str = domain.XMLDesc()
            self._kind = kind_of(domain)
            self._memory_mib = domain.maxMemory() >> 10
            self.uuid: str = domain.UUIDString()
            self.name: str = domain.name()
            state = host.find(self.uuid)
            self._facts = domain_facts(
                text,
                active=state is not None and state.active,
                persistent=bool(domain.isPersistent()),
                paused=state is not None and state.paused,
            )
        self.host = host
        self.accelerator = self._facts.accelerator or ""
        os_type = fromstring(text).find("os/type")
        self._machine = os_type.get("machine", "") if os_type is not None else ""

    def __repr__(self) -> str:
        return f"PlainDomain({self.name!r}, {self.host!r})"

    @property
    def beat_source(self) -> Beats | None:
        """Return None: it sends no beats."""
        return None

    def echo_probe(self) -> EchoProbe | None:
        """Return None: its address is its user's to know."""
        return None

    def facts(self) -> DomainFacts:
        """Return what a plan is judged by: its state, disks and memory."""
        return self._facts

    def record(self) -> dict[str, object]:
        """Return its name, memory and machine type, and the hash of what it is made of."""
        return {
            "name": self.name,
            "memory_mib": self._memory_mib,
            "machine": self._machine,
            "xml_sha256": self._kind,
        }

    def wire(self) -> Mapping[str, object] | None:
        """Return None: the network between real hosts is not the kit's to know."""
        return None

    def checked(self) -> Mapping[str, object] | None:
        """Return None: it has no check of its memory."""
        return None
