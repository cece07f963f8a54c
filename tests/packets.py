"""Capture the lab's LAN by tcpdump, as a reference for migrationlab's own figures.

The capture is where each host's cable to the LAN begins: the kernel stamps a datagram there as it
leaves the host, while the observer's socket, which records beats, stamps it as it arrives. The
capture shares only the format of a beat with migrationlab (``struct beat`` in ``workload.c``).
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from migrationlab.lab import namespaces
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.lab.layout import BEAT_PORT, guest_address

TCPDUMP = shutil.which("tcpdump", path="/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin")
WITHOUT = "tcpdump is not installed: nothing here says what really went over the LAN"
_FILE = struct.Struct("<IHHiIII")  # https://www.tcpdump.org/manpages/pcap-savefile.5.html
_RECORD = struct.Struct("<IIII")
_NANOSECONDS = 0xA1B23C4D
_BEAT = struct.Struct("<4sIQ")  # its magic, the guest's number, the beat's
_HEADERS = 14 + 20 + 8  # Ethernet, IPv4, UDP
#: Around a stop, as far as a silence is looked for: the kit's own definition.
AROUND_NS = 50_000_000


@contextmanager
def captured(lab: Lab, guest: Guest, folder: Path) -> Iterator[list[Path]]:
    """Capture a guest's beats as they leave the hosts; yield files that are complete afterwards."""
    assert TCPDUMP is not None, WITHOUT
    heard = f"udp dst port {BEAT_PORT} and src host {guest_address(guest.spec.number)}"
    files = [folder / f"{host.name}.pcap" for host in lab.hosts]
    with ExitStack() as running:
        for host, file in zip(lab.hosts, files, strict=True):
            process = subprocess.Popen(
                [
                    *namespaces.nsenter(lab.rack.hosts[host.name], "--net"),
                    # Else it would wait up to a second with what has arrived, and lose that in the
                    # end; and become another user, which the lab does not have.
                    *(TCPDUMP, "--immediate-mode", "-U", "-Z", "root"),
                    *("--time-stamp-precision", "nano", "-i", "uplink", "-Q", "out"),
                    *("-w", str(file), heard),
                ],
                stderr=subprocess.PIPE,
                text=True,
            )
            running.callback(_end, process)
            assert process.stderr is not None
            said = process.stderr.readline()
            assert "listening on uplink" in said, said + process.stderr.read()
        yield files


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.communicate()


def beats(files: list[Path]) -> pd.DataFrame:
    """Return the beats of some captures as they left: ``left_ns``, ``sequence``."""
    rows = [row for file in files for row in _read(file)]
    return pd.DataFrame(sorted(rows), columns=["left_ns", "sequence"]).astype("int64")


def _read(file: Path) -> Iterator[tuple[int, int]]:
    data = file.read_bytes()
    assert _FILE.unpack_from(data)[0] == _NANOSECONDS, "not a capture of this machine's"
    place = _FILE.size
    while place < len(data):
        seconds, nanoseconds, length, _ = _RECORD.unpack_from(data, place)
        place += _RECORD.size
        magic, _, sequence = _BEAT.unpack_from(data, place + _HEADERS)
        assert magic == b"MLB1"
        yield seconds * 1_000_000_000 + nanoseconds, sequence
        place += length


def silence_ms(seen: pd.DataFrame, stop_ns: int, resume_ns: int) -> float:
    """Return the longest time between two beats around a guest's pause."""
    left = seen["left_ns"].to_numpy()
    before, after = left[:-1], left[1:]
    near = (after >= stop_ns - AROUND_NS) & (before <= resume_ns + AROUND_NS)
    return float(np.max((after - before)[near])) / 1e6
