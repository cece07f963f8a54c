"""The wire between the two hosts: what it lets through, and what went through it.

Shaped with ``tc`` at both ends, so each direction has the rate for itself: a token bucket
(TBF) for the rate; beneath it netem for delay and loss, where the kernel has that.
"""

from __future__ import annotations

import json
import math
import secrets
from dataclasses import dataclass
from pathlib import Path

from migrationlab.errors import LabError, UsageError
from migrationlab.lab import namespaces
from migrationlab.lab.rack import Rack

DEVICE = "wire"
LOWEST_MBIT_S, HIGHEST_MBIT_S = 0.1, 100_000
#: How much may pass at once, as time at the set rate. Less than about 4 ms does not reach
#: 1 Gbit/s (a bucket is filled each timer tick); much more would blur a slow wire.
BURST_S = 0.008
SMALLEST_BURST_BYTES = 32 * 1024
#: Of those that an administrator gives; the kernel's own begin above (net/sched/sch_api.c).
LAST_HANDLE = 0x7FFF


@dataclass(frozen=True, slots=True)
class WireSettings:
    """What the wire does to what passes, in each direction.

    Attributes:
        rate_mbit_s: Its rate, or None where it is as fast as the machine.
        delay_ms: How long everything takes longer, one way.
        loss_percent: Share of frames that are lost.
    """

    rate_mbit_s: float | None
    delay_ms: float = 0.0
    loss_percent: float = 0.0


class Wire:
    """The wire of a running lab.

    Args:
        rack: The lab's rack.
    """

    def __init__(self, rack: Rack) -> None:
        self._rack = rack

    def __repr__(self) -> str:
        return f"Wire({self.settings})"

    @property
    def settings(self) -> WireSettings:
        """Return what the kernel says the wire does now."""
        host = next(iter(self._rack.hosts))
        argv = [*self._rack.in_host_network(host), "tc", "-json", "qdisc", "show", "dev", DEVICE]
        found = {row["kind"]: row.get("options", {}) for row in json.loads(namespaces.run(argv))}
        netem = found.get("netem", {})
        return WireSettings(
            # tc prints the rate in bytes a second, the delay in seconds, loss as a share.
            rate_mbit_s=found["tbf"]["rate"] * 8 / 1e6 if "tbf" in found else None,
            delay_ms=netem.get("delay", {}).get("delay", 0) * 1e3,
            loss_percent=netem.get("loss-random", {}).get("loss", 0) * 1e2,
        )

    def set(
        self, rate_mbit_s: float | None, *, delay_ms: float = 0, loss_percent: float = 0
    ) -> WireSettings:
        """Set the wire, also while something passes.

        Args:
            rate_mbit_s: Its rate in each direction, 0.1 to 100,000; None for no limit.
            delay_ms: Delay one way, 0 to 10,000; needs a kernel with netem.
            loss_percent: Share of frames lost, 0 to 100; needs a kernel with netem.

        Returns:
            What the kernel says the wire does now.

        Raises:
            UsageError: A figure out of its range; the wire is as before.
            LabError: The kernel has no netem; the wire is as before.
        """
        require_possible(rate_mbit_s, delay_ms, loss_percent)
        impaired = delay_ms > 0 or loss_percent > 0
        if impaired and not self.can_impair():
            raise LabError(
                "this machine's kernel has no netem, so the wire cannot delay or lose anything",
                hint="load it with `sudo modprobe sch_netem`, or leave delay and loss at 0",
            )
        # A handle of their own makes the queues new ones, also where what is beneath them differs
        # from before; and whoever counts what went through (``capture.wire``) sees it begin anew.
        handle = f"{secrets.randbelow(LAST_HANDLE) + 1:x}:"
        lines = [] if impaired else [f"qdisc replace dev {DEVICE} root noqueue"]
        if rate_mbit_s is not None:
            burst = max(math.ceil(rate_mbit_s * 1e6 / 8 * BURST_S), SMALLEST_BURST_BYTES)
            bucket = f"rate {rate_mbit_s * 1e6:.0f}bit burst {burst} latency 50ms"
            lines = [f"qdisc replace dev {DEVICE} root handle {handle} tbf {bucket}"]
        if impaired:
            where = f"root handle {handle}" if rate_mbit_s is None else f"parent {handle}1"
            netem = f"netem delay {delay_ms}ms loss {loss_percent}%"
            lines.append(f"qdisc replace dev {DEVICE} {where} {netem}")
        for host in self._rack.hosts:
            argv = [*self._rack.in_host_network(host), "tc", "-batch", "-"]
            namespaces.run(argv, text="\n".join(lines))
        return self.settings

    def can_impair(self) -> bool:
        """Return whether this kernel offers delay and loss (netem)."""
        argv = [*self._rack.in_rack_network(), "tc", "qdisc", "replace", "dev", "lo", "root"]
        try:
            namespaces.run([*argv, "netem", "delay", "0ms"])
        except LabError:
            return False
        namespaces.run([*argv[:-5], "tc", "qdisc", "delete", "dev", "lo", "root"])
        return True

    def sent_bytes(self, host: str) -> int:
        """Return how many bytes a host has put on the wire since it started."""
        return self.counters(host)[0]

    def counters(self, host: str) -> tuple[int, int]:
        """Return the bytes that a host sent and received on the wire since it started.

        From its interface's counters, ``/proc/PID/net/dev``. What leaves the network stack as
        one piece, to be cut into frames later (GSO), is counted with its headers once: a cable
        would carry some 4 % more.

        Raises:
            LabError: The host is gone.
        """
        try:
            text = Path(f"/proc/{self._rack.hosts[host]}/net/dev").read_text()
        except OSError as error:
            raise LabError(f"{host} is gone", hint="start a new lab") from error
        parts = (line.partition(":") for line in text.splitlines())
        rows = {name.strip(): row for name, _, row in parts}
        if DEVICE not in rows:
            raise LabError(f"{host} has lost its wire", hint="start a new lab")
        numbers = rows[DEVICE].split()
        return int(numbers[8]), int(numbers[0])


def require_possible(
    rate_mbit_s: float | None, delay_ms: float = 0, loss_percent: float = 0
) -> None:
    """Refuse a wire that cannot be.

    Raises:
        UsageError: A figure is out of its range, or none.
    """
    for name, value, least, most, unit in (
        ("rate", rate_mbit_s, LOWEST_MBIT_S, HIGHEST_MBIT_S, "Mbit/s, or None for no limit"),
        ("delay", delay_ms, 0, 10_000, "ms"),
        ("loss", loss_percent, 0, 100, "%"),
    ):
        if value is None and name == "rate":
            continue
        if not isinstance(value, int | float) or not least <= value <= most:
            raise UsageError(
                f"a wire with a {name} of {value} cannot be", hint=f"give {least} to {most} {unit}"
            )
