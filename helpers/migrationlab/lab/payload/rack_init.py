"""Make a lab's network and hosts inside the rack's new namespaces, and wait for their end.

It runs under ``guard.py``: when this program ends, the whole rack does. It uses the standard
library only: it starts as a file, without the owner's packages.

It reads one JSON object from standard input, and answers with JSON lines on standard output:
``{"up": {…pids…}}`` or ``{"error": "…"}``, later ``{"ended": "host-a"}``.
"""

import contextlib
import ctypes
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
#: How long a client of the broker may take to send its request.
REQUEST_TIMEOUT_S = 1.0


def send(**message: Any) -> None:
    """Send the owner a message."""
    print(json.dumps(message), flush=True)


def run(*argv: str, text: str | None = None) -> str:
    """Run a program until it ends; return its output, or raise with its errors."""
    done = subprocess.run(argv, check=False, input=text, text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def start_host(host: dict[str, str], spec: dict[str, Any]) -> subprocess.Popen[str]:
    """Start a host; return when it waits for its network cards."""
    process = subprocess.Popen(
        [
            *("unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"),
            *("--", "sh", str(HERE / "host.sh")),
            *(host["name"], host["image"], host["directory"], spec["guests"]),
            *(f"{spec['disks']}/{host['name']}", host["capabilities"], host["daemons"]),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    expect(process, "ready", host["name"])
    return process


def expect(process: subprocess.Popen[str], word: str, name: str) -> None:
    """Read one line from a host, which must be ``word``."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if line != word:
        raise RuntimeError(f"{name} did not report {word!r}: see rack.log")


def connect_hosts(hosts: dict[str, subprocess.Popen[str]], spec: dict[str, Any]) -> None:
    """Make the rack's LAN, and each host's ends of the LAN and of the wire."""
    # A host's unshare process is in the host's namespaces, so its pid names them.
    (a, b) = (process.pid for process in hosts.values())
    lines = [
        "link set lo up",
        f"link add lan address {spec['bridge_mac']} type bridge",
        f"address add {spec['observer']} dev lan",
        "link set lan up",
        f"link add wire netns {a} type veth peer name wire netns {b}",
    ]
    for number, process in enumerate(hosts.values()):
        lines += [
            f"link add port{number} type veth peer name uplink netns {process.pid}",
            f"link set port{number} master lan",
            f"link set port{number} up",
        ]
    run("ip", "-batch", "-", text="\n".join(lines))


def add_ipv6(address: str) -> bool:
    """Give the LAN an IPv6 address; return whether this machine's kernel has IPv6."""
    try:
        run("ip", "address", "add", address, "dev", "lan", "nodad")
    except RuntimeError as error:
        print(f"the LAN has no IPv6: {error}", file=sys.stderr, flush=True)
        return False
    return True


def await_carrier(port: str) -> None:
    """Wait until the LAN forwards what a port receives (see ``host-init.sh``)."""
    while " state UP " not in run("ip", "link", "show", "dev", port):
        time.sleep(0.01)


def socket_in(network: int | None, *kind: int) -> socket.socket:
    """Return a new socket of the network namespace of a process, or of the rack's own.

    Meanwhile the thread is in that namespace, so it must be a thread of this program's own. Each
    namespace is opened for each call: an open one would keep the network of a dead host up.
    """
    if network is None:
        return socket.socket(*kind)
    with open(f"/proc/{network}/ns/net") as there, open("/proc/thread-self/ns/net") as here:
        set_namespace(there.fileno())
        try:
            return socket.socket(*kind)
        finally:
            set_namespace(here.fileno())


def set_namespace(descriptor: int) -> None:
    """Move this thread to another network namespace; ``os.setns`` exists from Python 3.12 on."""
    if LIBC.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def serve_sockets(path: str, networks: dict[str, int | None]) -> None:
    """Serve sockets of the rack's and the hosts' networks to clients of ``path``.

    A socket stays in the network namespace that it was made in, so the client uses it there
    without entering it. A client sends a line of JSON, ``[network, family, type, protocol]``. The
    answer is a socket and one word, or the reason why there is none. Only the owner can open the
    folder of the path.
    """
    broker = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    broker.bind(path)
    broker.listen()

    def answer(client: socket.socket) -> None:
        try:
            network, *kind = json.loads(client.recv(256))
            given = socket_in(networks[network], *kind)
        except Exception as error:  # noqa: BLE001 (the client gets the reason; the broker goes on)
            client.send(str(error).encode() or b"no socket")
            return
        with given:
            socket.send_fds(client, [b"socket"], [given.fileno()])

    def serve() -> None:
        while True:
            try:
                client, _ = broker.accept()
            except OSError:
                time.sleep(0.1)  # out of descriptors: the next client may succeed
                continue
            client.settimeout(REQUEST_TIMEOUT_S)
            with client, contextlib.suppress(OSError):  # the client has left
                answer(client)

    threading.Thread(target=serve, daemon=True).start()


def build(spec: dict[str, Any]) -> dict[int, str]:
    """Build the lab; return the names of its processes by pid."""
    disks = Path(spec["disks"])
    disks.mkdir(exist_ok=True)
    # The hosts' own changes are in memory that only the rack sees, so they end with it. Each host
    # has its own, so that one can be full.
    for host in spec["hosts"]:
        place = disks / host["name"]
        place.mkdir(exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", str(place))
    hosts = {host["name"]: start_host(host, spec) for host in spec["hosts"]}
    connect_hosts(hosts, spec)
    # The socket of this address receives over IPv4 too (ipv6(7), IPV6_V6ONLY).
    both = add_ipv6(spec["observer6"])
    address = "::" if both else spec["observer"].partition("/")[0]
    observer = subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", str(HERE / "observer.py")),
            *(address, str(spec["beat_port"]), spec["beats"], str(spec["beat_records"])),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    expect(observer, "ready", "the observer")
    # Without this nobody may open a socket for echo requests there.
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 0")
    networks = {name: process.pid for name, process in hosts.items()}
    serve_sockets(spec["broker"], {"lan": None, **networks})
    for process in hosts.values():
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for name, process in hosts.items():
        expect(process, "running", name)
    for number in range(len(hosts)):
        await_carrier(f"port{number}")
    return {observer.pid: "observer", **{process.pid: name for name, process in hosts.items()}}


def main() -> None:
    """Build the lab that the owner asked for, then wait."""
    try:
        names = build(json.loads(sys.stdin.readline()))
    except Exception as error:  # the owner must know any error
        send(error=str(error))
        raise
    send(up={name: pid for pid, name in names.items()})
    while True:
        pid, _ = os.wait()
        send(ended=names.get(pid))


main()
