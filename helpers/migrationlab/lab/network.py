"""Set and read the wire between the two hosts, and count its bytes.

The wire is shaped with ``tc`` at both ends, so each direction has the full rate, or the two
have different rates. A token bucket (TBF) sets the rate. Beneath it netem sets delay, jitter and
loss, if the kernel has netem. With jitter netem changes the order of frames (tc-netem(8)), as few
real networks do.
"""

from __future__ import annotations

import dataclasses
import json
import math
import secrets
from pathlib import Path

import psutil

from migrationlab.errors import LabError
from migrationlab.lab import namespaces
from migrationlab.lab.rack import Rack
from migrationlab.plan.spec import arguments_of
from migrationlab.plan.wire_spec import WireSpec

DEVICE = "wire"
#: How much may pass at once, as time at the set rate. Less than about 4 ms does not reach
#: 1 Gbit/s (a bucket is filled each timer tick); much more would blur a slow wire.
BURST_S = 0.008
SMALLEST_BURST_BYTES = 32 * 1024
#: The largest handle that an administrator gives; the kernel's own begin above it
#: (net/sched/sch_api.c).
LAST_HANDLE = 0x7FFF


class Wire:
    """The wire of a running lab."""

    def __init__(self, rack: Rack) -> None:
        self._rack = rack

    def __repr__(self) -> str:
        return f"Wire({self.settings})"

    @property
    def settings(self) -> WireSpec:
        """Return the kernel's present settings of the wire, as the first host sees it."""
        there, back = (self._read(host) for host in self._rack.hosts)
        if there.rate_mbit_s == back.rate_mbit_s:
            return there
        return dataclasses.replace(there, back_mbit_s=back.rate_mbit_s)

    def seen_from(self, host: str) -> WireSpec:
        """Return the kernel's present settings of the wire, as a host sees it."""
        settings = self.settings
        return settings if host == next(iter(self._rack.hosts)) else settings.reversed()

    def _read(self, host: str) -> WireSpec:
        """Return the kernel's settings of what a host sends."""
        argv = [*self._rack.in_host_network(host), "tc", "-json", "qdisc", "show", "dev", DEVICE]
        found = {row["kind"]: row.get("options", {}) for row in json.loads(namespaces.run(argv))}
        netem = found.get("netem", {})
        delay = netem.get("delay", {})
        return WireSpec(
            # tc prints the rate in bytes a second, times in seconds, loss as a share.
            rate_mbit_s=found["tbf"]["rate"] * 8 / 1e6 if "tbf" in found else None,
            delay_ms=delay.get("delay", 0) * 1e3,
            jitter_ms=delay.get("jitter", 0) * 1e3,
            loss_percent=netem.get("loss-random", {}).get("loss", 0) * 1e2,
        )

    @arguments_of(WireSpec)
    def set(self, spec: WireSpec) -> WireSpec:
        """Set the wire, also during traffic.

        Returns:
            The kernel's settings of the wire after the change.

        Raises:
            UsageError: A value is out of its range; the wire is as before.
            LabError: The kernel has no netem; the wire is as before.
        """
        spec.require_possible()
        if spec.impaired and not self.can_impair():
            raise no_netem()
        for host, seen in zip(self._rack.hosts, (spec, spec.reversed()), strict=True):
            argv = [*self._rack.in_host_network(host), "tc", "-batch", "-"]
            namespaces.run(argv, text="\n".join(_queues(seen)))
        return self.settings

    def cut(self) -> None:
        """Take the carrier from the wire until :meth:`join`."""
        self._link("down")

    def join(self) -> None:
        """Give the wire its carrier again; harmless if it has it, or a host is gone."""
        self._link("up")

    def _link(self, state: str) -> None:
        for host, pid in self._rack.hosts.items():
            if psutil.pid_exists(pid):
                argv = [*self._rack.in_host_network(host), "ip", "link", "set", DEVICE, state]
                namespaces.run(argv)

    def can_impair(self) -> bool:
        """Return whether this kernel offers delay, jitter and loss (netem)."""
        tc = [*self._rack.in_rack_network(), "tc", "qdisc"]
        try:
            namespaces.run([*tc, "replace", "dev", "lo", "root", "netem", "delay", "0ms"])
        except LabError:
            return False
        namespaces.run([*tc, "delete", "dev", "lo", "root"])
        return True

    def sent_bytes(self, host: str) -> int:
        """Return the number of bytes that a host has sent on the wire since its start.

        The source is the interface's counters, ``/proc/PID/net/dev``. A packet that is cut into
        frames later (GSO) counts with one header: a cable would carry some 4 % more.
        """
        try:
            text = Path(f"/proc/{self._rack.hosts[host]}/net/dev").read_text()
        except OSError as error:
            raise LabError(f"{host} is gone", hint="Start a new lab.") from error
        parts = (line.partition(":") for line in text.splitlines())
        rows = {name.strip(): row for name, _, row in parts}
        if DEVICE not in rows:
            raise LabError(f"{host} has lost its wire", hint="Start a new lab.")
        return int(rows[DEVICE].split()[8])


def no_netem() -> LabError:
    """Return the error for a wire that this machine's kernel cannot have."""
    return LabError(
        "this machine's kernel has no netem, so the wire cannot delay or lose anything",
        hint="Load it with `sudo modprobe sch_netem`, or leave delay, jitter and loss at 0.",
    )


def _queues(spec: WireSpec) -> list[str]:
    """Return the lines for ``tc`` that shape what one host sends: at ``rate_mbit_s``."""
    # With a handle of their own the queues are new ones, also where what is beneath them
    # differs from before; and what counts the traffic (``capture``) sees them begin anew.
    handle = f"{secrets.randbelow(LAST_HANDLE) + 1:x}:"
    lines = [] if spec.impaired else [f"qdisc replace dev {DEVICE} root noqueue"]
    if spec.rate_mbit_s is not None:
        rate_bit_s = spec.rate_mbit_s * 1e6
        burst = max(math.ceil(rate_bit_s / 8 * BURST_S), SMALLEST_BURST_BYTES)
        bucket = f"rate {rate_bit_s:.0f}bit burst {burst} latency 50ms"
        lines = [f"qdisc replace dev {DEVICE} root handle {handle} tbf {bucket}"]
    if spec.impaired:
        where = f"root handle {handle}" if spec.rate_mbit_s is None else f"parent {handle}1"
        jitter = f" {spec.jitter_ms}ms" if spec.jitter_ms else ""
        netem = f"netem delay {spec.delay_ms}ms{jitter} loss {spec.loss_percent}%"
        lines.append(f"qdisc replace dev {DEVICE} {where} {netem}")
    return lines
