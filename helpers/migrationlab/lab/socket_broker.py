"""Open sockets on the networks inside the rack, through the lab's socket broker.

The rack (``payload/rack_init.py``) serves the broker, because only it can enter those networks. A
socket stays in the network that it was made in, also in another process. So an ordinary user sends
on the guests' LAN, and asks a host's kernel by netlink, without starting a program.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path

from migrationlab.errors import LabError

#: The guests' LAN, where the rack itself is; the other networks have the hosts' names.
LAN = "lan"
TIMEOUT_S = 5.0


def open_socket(
    broker: Path, network: str, family: int, kind: int, protocol: int = 0
) -> socket.socket:
    """Return a new socket on a network of the rack, neither bound nor connected.

    The ``network`` is :data:`LAN`, or the name of a host. An open socket keeps it up, also after
    the end of its host.

    Raises:
        LabError: The lab is down, the host is dead, or its kernel has no such sockets.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(TIMEOUT_S)
            client.connect(str(broker))
            client.send(json.dumps([network, family, kind, protocol]).encode())
            answer, descriptors, _, _ = socket.recv_fds(client, 256, 1, socket.MSG_CMSG_CLOEXEC)
    except TimeoutError as error:
        raise LabError(
            f"lab {broker.parent.name} did not answer within {TIMEOUT_S:g} s",
            hint="Try again when the machine is less busy.",
        ) from error
    except OSError as error:
        raise LabError(f"lab {broker.parent.name} is down", hint="Start a new one.") from error
    if not descriptors:
        raise LabError(
            f"opening a socket on the network {network} of lab {broker.parent.name} failed: "
            f"{answer.decode(errors='replace') or 'the lab ended'}",
            hint="Start a new lab.",
        )
    return socket.socket(fileno=descriptors[0])
