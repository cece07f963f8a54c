"""Define the questions of a migration to its guest, and answer for a domain of a real host.

A guest of the lab (``lab.guest.Guest``) has the same methods as :class:`PlainDomain`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from migrationlab.capture.ping import EchoProbe
from migrationlab.capture.recorder import Beats, Service
from migrationlab.capture.write_probe import WriteProbe
from migrationlab.hosts.connection import refusals
from migrationlab.hosts.host import Host, domain_sha256
from migrationlab.plan.outside_xml import read_xml
from migrationlab.plan.validation import DomainFacts, domain_facts


class GuestLike(Protocol):
    """A guest that can be migrated. If its lab is down, it raises LabError."""

    @property
    def name(self) -> str:
        """Return the domain's name."""

    @property
    def host(self) -> Host:
        """Return the host that it runs on now."""

    @property
    def lab_hosts(self) -> tuple[Host, ...]:
        """Return the hosts of its lab; empty for a domain that migrationlab did not make."""

    @property
    def accelerator(self) -> str:
        """Return "tcg" or "kvm"."""

    def facts(self) -> DomainFacts:
        """Return what a plan is validated against: state, disks and memory."""

    @property
    def beat_source(self) -> Beats | None:
        """Return the source of its beats, None if it sends no beats."""

    def echo_probe(self) -> EchoProbe | None:
        """Return a probe that asks it for echoes, None if its address is not known."""

    def write_probe(self) -> WriteProbe | None:
        """Return a probe that asks how long its writes to memory took, None if it does not tell."""

    def service_load(self) -> Service | None:
        """Start clients of its service; return None if it has none.

        Raises:
            MigrationLabError: They could not start.
        """

    def record(self) -> Mapping[str, object]:
        """Return the run's record of the guest."""

    def wire(self) -> Mapping[str, object] | None:
        """Return the run's record of the wire, None if the wire is not known."""

    def checked(self) -> Mapping[str, object] | None:
        """Return the result of the guest's memory check, None if it has no check."""


class PlainDomain:
    """A domain that migrationlab did not make: it has no beats, no probe and no check.

    Args:
        name: The domain's name or UUID.
        host: The host that has it; GuestError if it does not, or if the domain is not running.
        inactive: Whether it may be defined and not running, as in an offline migration.
    """

    def __init__(self, name: str, host: Host, *, inactive: bool = False) -> None:
        domain = host.domain(name, inactive=inactive)
        with refusals():
            text: str = domain.XMLDesc()
            self._xml_sha256 = domain_sha256(domain)
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
        os_type = read_xml(text).find("os/type")
        self._machine = os_type.get("machine", "") if os_type is not None else ""

    def __repr__(self) -> str:
        return f"PlainDomain({self.name!r}, {self.host!r})"

    @property
    def lab_hosts(self) -> tuple[Host, ...]:
        """Return nothing: it is no guest of a lab."""
        return ()

    @property
    def beat_source(self) -> Beats | None:
        """Return None: it sends no beats."""
        return None

    def echo_probe(self) -> EchoProbe | None:
        """Return None: only its user knows its address."""
        return None

    def write_probe(self) -> WriteProbe | None:
        """Return None: it does not time its writes."""
        return None

    def service_load(self) -> Service | None:
        """Return None: nothing is known of its service."""
        return None

    def facts(self) -> DomainFacts:
        """Return what a plan is validated against: state, disks and memory."""
        return self._facts

    def record(self) -> dict[str, object]:
        """Return its name, memory and machine type, and the hash of its XML."""
        return {
            "name": self.name,
            "memory_mib": self._memory_mib,
            "machine": self._machine,
            "xml_sha256": self._xml_sha256,
        }

    def wire(self) -> Mapping[str, object] | None:
        """Return None: nothing is known of the network between real hosts."""
        return None

    def checked(self) -> Mapping[str, object] | None:
        """Return None: it has no memory check."""
        return None
