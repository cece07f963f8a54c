"""Makes a lab's network and hosts inside a rack's new namespaces, and waits for their end.

Runs under ``guard.py``: when this program ends, the whole rack does. Standard library only, and
nothing of the kit: it starts as a file, without the owner's packages.

Reads one JSON object from standard input; answers with JSON lines on standard output:
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
#: For a visitor at the door to say what it wants.
VISIT_TIMEOUT_S = 1.0


def say(**message: Any) -> None:
    """Tell the owner."""
    print(json.dumps(message), flush=True)


def run(*argv: str, text: str | None = None) -> str:
    """Run a program to its end; return what it said, or raise with it if it failed."""
    done = subprocess.run(argv, check=False, input=text, text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def start_host(host: dict[str, str], spec: dict[str, Any]) -> subprocess.Popen[str]:
    """Start a host up to the point where it waits for its network cards."""
    process = subprocess.Popen(
        [
            *("unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"),
            *("--", "sh", str(HERE / "host.sh")),
            *(host["name"], host["image"], host["directory"], spec["guests"]),
            *(f"{spec['disks']}/{host['name']}", host["capabilities"]),
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
        raise RuntimeError(f"{name} did not come as far as {word!r}: see rack.log")


def connect_hosts(hosts: dict[str, subprocess.Popen[str]], spec: dict[str, Any]) -> None:
    """Give the rack its LAN, and each host its ends of the LAN and of the wire."""
    # A host's unshare process is itself in the host's namespaces, so its pid names them.
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


def await_carrier(port: str) -> None:
    """Wait until the LAN passes on what comes in by a port (see ``host-init.sh``)."""
    while " state UP " not in run("ip", "link", "show", "dev", port):
        time.sleep(0.01)


def socket_in(network: int | None, *kind: int) -> socket.socket:
    """Return a new socket of the network namespace of a process, or of the rack's own.

    To be called on a thread that is the rack's own only: meanwhile it is in that namespace.
    Each namespace is opened anew, since whoever held it would keep the network of a dead host up.
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
    """Let this thread go on in another network namespace; ``os.setns`` begins with Python 3.12."""
    if LIBC.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def serve_sockets(path: str, networks: dict[str, int | None]) -> None:
    """Hand sockets on the networks of the rack and of its hosts to whoever connects to ``path``.

    A socket stays in the network namespace that it was made in, so its new owner speaks there
    without entering it. A visitor says a line of JSON, ``[network, family, type, protocol]``; the
    answer is a socket and one word, or without a socket why there is none. The path lies in a
    folder of the owner's alone.
    """
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door.bind(path)
    door.listen()

    def answer(visitor: socket.socket) -> None:
        try:
            network, *kind = json.loads(visitor.recv(256))
            given = socket_in(networks[network], *kind)
        except Exception as error:  # noqa: BLE001 (the visitor is told; the door stays open)
            visitor.send(str(error).encode() or b"no socket")
            return
        with given:
            socket.send_fds(visitor, [b"socket"], [given.fileno()])

    def serve() -> None:
        while True:
            try:
                visitor, _ = door.accept()
            except OSError:
                time.sleep(0.1)  # out of descriptors: the next visitor may fare better
                continue
            visitor.settimeout(VISIT_TIMEOUT_S)
            with visitor, contextlib.suppress(OSError):  # one that went away in between
                answer(visitor)

    threading.Thread(target=serve, daemon=True).start()


def build(spec: dict[str, Any]) -> dict[int, str]:
    """Build the lab; the names of its processes by pid."""
    disks = Path(spec["disks"])
    disks.mkdir(exist_ok=True)
    # The hosts' own changes live in memory that only the rack can see, so they go with it.
    run("mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", str(disks))
    hosts = {host["name"]: start_host(host, spec) for host in spec["hosts"]}
    connect_hosts(hosts, spec)
    address = spec["observer"].partition("/")[0]
    observer = subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", str(HERE / "observer.py")),
            *(address, str(spec["beat_port"]), spec["beats"], str(spec["beat_records"])),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    expect(observer, "ready", "the observer")
    # Else nobody may open a socket for echo requests there.
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
    """Build what the owner asked for, then wait."""
    try:
        names = build(json.loads(sys.stdin.readline()))
    except Exception as error:  # whatever it was, the owner is the one to tell
        say(error=str(error))
        raise
    say(up={name: pid for pid, name in names.items()})
    while True:
        pid, _ = os.wait()
        say(ended=names.get(pid))


main()
