"""The lab's door: sockets on the networks inside the rack, for whoever may open the lab's folder.

Made by the rack (``payload/rack_init.py``), which alone can be on those networks; what it hands
out speaks there without having entered. So one can be heard on the guests' LAN, and ask a host's
kernel by netlink, as an ordinary user and without starting a program.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path

from migrationlab.errors import LabError

#: The guests' LAN, as the rack itself stands on it; the other networks have the hosts' names.
LAN = "lan"
TIMEOUT_S = 5.0


def open_socket(
    door: Path, network: str, family: int, kind: int, protocol: int = 0
) -> socket.socket:
    """Return a new socket on a network of the rack, neither bound nor connected.

    While it is open that network stays up, also when its host dies.

    Args:
        door: The lab's door.
        network: :data:`LAN`, or the name of a host.
        family: As ``socket.socket`` takes it; likewise the two that follow.
        kind: Its type.
        protocol: Its protocol.

    Raises:
        LabError: The lab is down, the host is dead, or its kernel has no such sockets.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
            visitor.settimeout(TIMEOUT_S)
            visitor.connect(str(door))
            visitor.send(json.dumps([network, family, kind, protocol]).encode())
            said, descriptors, _, _ = socket.recv_fds(visitor, 256, 1, socket.MSG_CMSG_CLOEXEC)
    except TimeoutError as error:
        raise LabError(
            f"lab {door.parent.name} did not answer within {TIMEOUT_S:g} s",
            hint="try again once the machine is less busy",
        ) from error
    except OSError as error:
        raise LabError(f"lab {door.parent.name} is down", hint="start a new one") from error
    if not descriptors:
        raise LabError(
            f"no socket on the network {network} of lab {door.parent.name}: "
            f"{said.decode(errors='replace') or 'the lab ended'}",
            hint="start a new lab",
        )
    return socket.socket(fileno=descriptors[0])
