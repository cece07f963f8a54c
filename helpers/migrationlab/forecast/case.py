"""Hold what a simulation of a migration needs: memory, link, constants, plan.

A :class:`Case` has no uncertainty. ``forecast`` draws many cases and simulates each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from migrationlab.errors import UsageError
from migrationlab.forecast.curve import MIB, DirtyCurve
from migrationlab.forecast.numbers import require_number
from migrationlab.forecast.written import Written
from migrationlab.plan.downtime_steps import downtime_steps
from migrationlab.plan.plan import Mode, Plan
from migrationlab.plan.policies.action import Action

#: On the wire a page has a header of 8 bytes: its address and flags (save_page_header in QEMU's
#: ``migration/ram.c``). A page of zeros is the header, and a byte that this model leaves out.
HEADER_BYTES = 8
#: QEMU's own limit of the downtime (``migration/options.c``).
DEFAULT_DOWNTIME_MS = 300
#: QEMU's default number of multifd channels.
MULTIFD_CHANNELS = 2

StopRule = Literal["qemu", "per-iteration"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A guest's memory.

    Attributes:
        total_mib: The whole memory.
        zero_mib: The part that is all zeros.
        before_zeros: Where these pages lie: the share of the other pages that come before them, if
            they lie in one block (0.92 in a guest of the lab); None: they are spread evenly.
    """

    total_mib: float
    zero_mib: float = 0.0
    before_zeros: float | None = None

    def __post_init__(self) -> None:
        for name in ("total_mib", "zero_mib"):
            require_number(name, getattr(self, name))
        if not 0 < self.total_mib < 1e9:
            raise UsageError(
                f"memory must be more than 0 MiB (got {self.total_mib})",
                hint="Give the guest's memory in MiB, such as memory=1024.",
            )
        if not 0 <= self.zero_mib <= self.total_mib:
            raise UsageError(
                f"zero_mib must be from 0 to total_mib, {self.total_mib:g} (got {self.zero_mib})",
                hint="Give the memory that is all zeros in MiB, or 0.",
            )
        if self.before_zeros is not None and not 0 <= self.before_zeros <= 1:
            raise UsageError(
                f"before_zeros must be from 0 to 1, or None (got {self.before_zeros})",
                hint="Write before_zeros=None if the place is not known.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """What the model takes from measurements: durations and sizes.

    The defaults are medians of the recorded runs in data/ (one machine, TCG, QEMU 10.0):
    ``tests/bench/forecast_errors.py`` prints how well they fit. Fit those of other hosts with
    ``migrationlab calibrate``.

    Attributes:
        before_s: From libvirt's call to the first byte of memory, in normal mode.
        before_peer2peer_s: The same in peer2peer mode, where one host more has to connect.
        before_spread_s: How much less these are in one of twenty migrations.
        before_late_s: How much more they are in one of twenty migrations.
        after_s: From the guest's running at the destination to the return of libvirt's call.
        look_s: How long QEMU sends before it looks at what is left (MAX_WAIT in ``ram.c``).
        wake_bytes: How much of the socket's buffer must be free before a blocked QEMU goes on:
            the kernel wakes a writer when a third is free (sk_stream_is_writeable).
        buffer_bytes: What still lies in buffers when QEMU counts it as sent.
        queue_bytes: The same for each channel of multifd.
        devices_s: What the downtime has besides memory: devices, and the start of the guest there.
        network_s: From the guest's running to the arrival of its first packet.
        zero_pages_per_s: How many pages of zeros QEMU recognizes in a second.
        postcopy_s: What the downtime of a switch to post-copy has besides what lies in buffers.
        postcopy_network_s: How much longer a guest in post-copy is silent.
        compressor_speed: How fast the hosts compress. 1 is the speed of the hosts on which the rule
            for guests of the lab was measured (``lab_guest.py``).
        time_spread: How far the time of sending is off, as a share, in nine of ten migrations.
        compressor_spread: The same if the compressor's speed is part of it.
        downtime_spread_s: How far the downtime is off in nine of ten migrations.
        parallel_spread_s: The same over parallel connections.
    """

    before_s: float = 0.46
    before_peer2peer_s: float = 0.59
    before_spread_s: float = 0.13
    before_late_s: float = 0.33
    after_s: float = 0.233
    look_s: float = 0.05
    wake_bytes: float = 1.1e6
    buffer_bytes: float = 3.0e6
    queue_bytes: float = 1.6e6
    devices_s: float = 0.02
    network_s: float = 0.042
    zero_pages_per_s: float = 3e6
    postcopy_s: float = 0.01
    postcopy_network_s: float = 0.25
    compressor_speed: float = 1.0
    time_spread: float = 0.055
    compressor_spread: float = 0.13
    downtime_spread_s: float = 0.05
    parallel_spread_s: float = 0.085


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One migration to simulate, without uncertainty.

    Attributes:
        written: D(t) of the guest.
        normal_pages: The pages that are not all zeros.
        zero_pages: The pages that are.
        page_bytes: The size of a page.
        sent_page_bytes: What a page costs in the first iteration: the bytes that the link carries
            in its time.
        again_page_bytes: What a page costs that was written since.
        compresses: Whether the compressor's speed is part of the costs.
        filled: The share of that which is sent; less than 1 if the compressor is slower.
        rate_bytes_s: The rate of sending while the guest runs.
        link_bytes_s: The rate of the link, without the plan's limit.
        before_zeros: As in :class:`Memory`.
        limits: The downtime limits: seconds since the call, seconds of downtime.
        plan: The plan, for its policies.
        constants: The constants.
        vcpu_use: How much of its virtual processors' time the guest uses, 0 to 1.
        phase: Where QEMU's look is when the rest falls below the threshold, 0 to 1 of an interval.
        phase_step: By how much the phase moves on with each iteration.
    """

    written: Written
    normal_pages: float
    zero_pages: float
    page_bytes: int
    sent_page_bytes: float
    again_page_bytes: float
    rate_bytes_s: float
    link_bytes_s: float
    before_zeros: float | None
    limits: tuple[tuple[float, float], ...]
    plan: Plan
    constants: Constants
    vcpu_use: float
    compresses: bool = False
    filled: float = 1.0
    phase: float = 0.5
    phase_step: float = 0.0

    @property
    def before_s(self) -> float:
        """Return the time from libvirt's call to the first byte."""
        about = self.constants
        peer2peer = self.plan.mode is Mode.PEER2PEER
        return about.before_peer2peer_s if peer2peer else about.before_s

    @property
    def look_s(self) -> float:
        """Return the interval of QEMU's looks: it may have to wait for the socket besides."""
        about = self.constants
        return about.look_s + about.wake_bytes / self.rate_bytes_s

    def page_cost(self, iteration: int) -> float:
        """Return the bytes that a page costs on the wire in an iteration, counted from 1."""
        return self.sent_page_bytes if iteration == 1 else self.again_page_bytes

    @property
    def zero_page_s(self) -> float:
        """Return the time to send the mark of a page of zeros."""
        return max(HEADER_BYTES / self.rate_bytes_s, 1 / self.constants.zero_pages_per_s)

    @property
    def queued_bytes(self) -> float:
        """Return what lies in buffers when QEMU counts it as sent."""
        about = self.constants
        # Buffers are empty where nothing waits for the link.
        if self.rate_bytes_s < self.link_bytes_s or self.filled < 1:
            return 0.0
        if not self.plan.parallel:
            return about.buffer_bytes
        return about.queue_bytes * (self.plan.parallel_connections or MULTIFD_CHANNELS)


@dataclass(frozen=True, slots=True)
class Sent:
    """An iteration of a simulation.

    Its number counts from 1, its times are in seconds from the first byte. ``pending_pages`` are
    to be sent when it begins, ``left_pages`` when it ends.
    """

    number: int
    start_s: float
    end_s: float
    pending_pages: float
    left_pages: float
    throttle: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """What one simulation gives.

    Attributes:
        end: How it ends: "switchover", "post-copy", "suspended", "cancelled", or "never".
        iterations: The iterations while the guest ran at the source.
        count: The number of iterations, as libvirt counts.
        sending_s: From the first byte until the guest runs at the destination with all memory.
        downtime_s: How long it is paused; None unless it ends.
        network_s: How long it is silent; None unless it ends.
        sent_bytes: The bytes on the wire, without the headers of packets.
        slowdown: The mean share of the guest's work that auto-converge prevents.
        acted: What a named policy did, with the seconds since the call.
    """

    end: str
    iterations: tuple[Sent, ...]
    count: int
    sending_s: float
    downtime_s: float | None
    network_s: float | None
    sent_bytes: float
    slowdown: float = 0.0
    acted: tuple[tuple[float, Action], ...] = ()

    @property
    def ends(self) -> bool:
        """Return whether the migration completes."""
        return self.end in ("switchover", "post-copy", "suspended")


def case_of(
    plan: Plan,
    curve: DirtyCurve,
    memory: Memory | None,
    bandwidth_mbit_s: float,
    *,
    constants: Constants,
    compression_ratios: tuple[float, float] = (1.0, 1.0),
    compressors_mib_s: tuple[float, float] | None = None,
    vcpu_use: float = 1.0,
) -> Case:
    """Return the case without uncertainty; the arguments are those of ``forecast``."""
    page = curve.page_bytes
    if memory is None:
        if curve.total_pages is None:
            raise UsageError(
                "memory must be given: the curve does not have it (got None)",
                hint="Give the guest's memory in MiB, such as memory=1024.",
            )
        zero = curve.zero_pages * curve.scale
        normal, place = curve.total_pages - zero, None
    else:
        zero = memory.zero_mib * MIB / page
        normal, place = memory.total_mib * MIB / page - zero, memory.before_zeros
        if memory.total_mib + 1 < curve.working_set_mib():
            raise UsageError(
                f"memory must be at least the working set of {curve.working_set_mib():.0f} MiB "
                f"(got {memory.total_mib:g})",
                hint="Give the whole memory of the guest in MiB.",
            )
    link = bandwidth_mbit_s * 1e6 / 8
    limit = plan.bandwidth_mib_s
    rate = link if limit is None else min(link, limit * MIB)
    sizes = [page * ratio + HEADER_BYTES for ratio in compression_ratios]
    # While the compressor works, the link could carry so much.
    least = [rate / (speed * MIB) * page for speed in compressors_mib_s or (math.inf,) * 2]
    costs = [max(pair) for pair in zip(sizes, least, strict=True)]
    return Case(
        written=curve.written(most=normal if normal > 0 else None),
        normal_pages=normal,
        zero_pages=zero,
        page_bytes=page,
        sent_page_bytes=costs[0],
        again_page_bytes=costs[1],
        compresses=compressors_mib_s is not None,
        filled=sizes[1] / costs[1],
        rate_bytes_s=rate,
        link_bytes_s=link,
        before_zeros=place,
        limits=tuple((at, ms / 1000) for at, ms in downtime_steps(plan))
        or ((0.0, DEFAULT_DOWNTIME_MS / 1000),),
        plan=plan,
        constants=constants,
        vcpu_use=vcpu_use,
    )
