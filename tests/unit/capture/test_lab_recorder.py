"""The instruments of a lab together, and what is left when one fails."""

from __future__ import annotations

import os
import socket

import pytest

from migrationlab.capture.lab_recorder import LabRecorder
from migrationlab.errors import LabError
from migrationlab.runs.schema import frame

UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"


class Machine:
    """Counters of this machine, whose libvirtd is this process; it can be gone, or deaf."""

    device = "lo"

    def __init__(self, address: str) -> None:
        self.address = address
        self.gone = self.deaf = False

    def sent_bytes(self) -> int:
        """Return a figure, while it is there."""
        if self.gone:
            raise LabError("host-a is gone")
        return 1000

    def netlink(self, protocol: int) -> socket.socket:
        """Return a netlink socket of this process's network, unless it is deaf."""
        if self.deaf:
            raise LabError("no such sockets")
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)

    def processes(self, uuid: str) -> dict[str, int]:
        """Return this process, while the machine is there."""
        return {} if self.gone else {"libvirtd": os.getpid()}


@pytest.fixture
def machines() -> tuple[Machine, Machine]:
    """Return a source and a destination."""
    return Machine("127.0.44.1"), Machine("127.0.44.2")


def recorded(instruments: LabRecorder) -> dict[str, int]:
    """Record for as long as nothing takes, and return how many rows each frame has."""
    instruments.start()
    instruments.returned()
    rows = instruments.stop()
    instruments.close()
    instruments.close()
    return {name: len(frame(name, rows[name])) for name in rows}


def test_short_migration_has_a_first_and_a_last_row(machines: tuple[Machine, Machine]) -> None:
    """A short migration has rows of bytes and processes at its start and its end."""
    instruments = LabRecorder(*machines, UUID, 60)
    assert instruments.names == ("wire_bytes", "connections", "processes")
    # Of two sides' processes one row each as it is made ready, too.
    assert recorded(instruments) == {"wire_bytes": 2, "connections": 0, "processes": 6}
    assert instruments.warnings == []


def test_without_netlink_the_rest_is_recorded(
    machines: tuple[Machine, Machine],
) -> None:
    """Without netlink the run lacks connections and has a warning and all other records."""
    for machine in machines:
        machine.deaf = True
    instruments = LabRecorder(*machines, UUID, 60)
    assert instruments.names == ("wire_bytes", "processes")
    assert recorded(instruments) == {"wire_bytes": 2, "connections": 0, "processes": 6}
    assert sorted(instruments.warnings) == [
        "watching the connections over the wire failed: no such sockets",
        "what a cable would carry cannot be counted: no such sockets",
    ]


def test_lost_source_leaves_rows_of_the_destination(machines: tuple[Machine, Machine]) -> None:
    """If the source is lost, the destination's processes are still sampled."""
    machines[0].gone = True
    instruments = LabRecorder(*machines, UUID, 60)
    assert recorded(instruments) == {"wire_bytes": 0, "connections": 0, "processes": 3}
    assert instruments.warnings == ["the bytes on the wire end early: host-a is gone"]
