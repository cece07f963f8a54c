"""Measure how a domain writes its memory, before it is migrated.

Theory of operation. libvirt asks QEMU for the different pages that a domain writes within whole
seconds (``virDomainStartDirtyRateCalc``, libvirt 7.2), and answers in whole MiB a second
(``domstats --dirtyrate``). Each time that is measured gives a point of the dirty curve: the rate
times the seconds.

The mode is the best one that the domain can have. *dirty-ring* and *dirty-bitmap* count pages, and
need KVM and libvirt 8.1; the ring must be part of the domain. *page-sampling* compares the hashes
of 512 pages a GiB (DIRTYRATE_DEFAULT_SAMPLE_PAGES in QEMU's ``migration/dirtyrate.c``) and leaves
out blocks of memory under 128 MiB (MIN_RAMBLOCK_SIZE there). It misses what is written with the
same content, and a small guest gets few samples: a guest of 256 MiB has 128, so a rate of 40 MiB/s
is off by a third. Without KVM, dirty-bitmap answers 0.

libvirt does not tell which pages are zeros. The pages that QEMU never touched are: the guest's
memory less the resident memory of QEMU. It is a lower bound, because QEMU needs memory besides:
for a small guest under TCG it is 0. Give ``memory`` where more is known.

A measurement cannot be stopped, but it ends by itself and changes nothing. During a migration it
would disturb, or be disturbed, so it is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import libvirt
import numpy as np

from migrationlab.errors import HostError, UsageError
from migrationlab.forecast.curve import DirtyCurve
from migrationlab.forecast.written import concave
from migrationlab.hosts.connection import refusals
from migrationlab.hosts.host import Host
from migrationlab.hosts.poll import wait_until
from migrationlab.plan.outside_xml import read_xml
from migrationlab.plan.wording import quote
from migrationlab.steps import Listener, Step, ignore, step

MIB = 1 << 20
PAGE_BYTES = 4096
#: QEMU's sample, and the least memory that it looks at.
SAMPLED_PER_GIB, LEAST_MIB = 512, 128
#: libvirt's limits of a measurement, in whole seconds.
SHORTEST_S, LONGEST_S = 1, 60
#: How long an answer may take after its time.
ANSWER_S = 10.0
POLL_S = 0.1
#: libvirt 8.1 counts pages by bitmap and ring.
COUNTS_PAGES = 8_001_000
MEASURED = getattr(libvirt, "VIR_DOMAIN_DIRTYRATE_MEASURED", 2)
MEASURING = getattr(libvirt, "VIR_DOMAIN_DIRTYRATE_MEASURING", 1)
#: libvirt's virDomainDirtyRateCalcFlags; a binding with old headers lacks them.
MODES = {"page-sampling": 0, "dirty-bitmap": 1, "dirty-ring": 2}


@dataclass(frozen=True, slots=True)
class _Memory:
    """What is known of a domain's memory: pages in all, and those that were never touched."""

    pages: int
    zero: int


def measure_dirty_rate(
    domain: str,
    *,
    host: Host,
    seconds: Sequence[int] = (1, 2, 4, 8),
    on_step: Listener = ignore,
) -> DirtyCurve:
    """Measure the dirty curve of a running domain; Ctrl-C ends it between two looks.

    Args:
        domain: Its name or UUID.
        host: The host that it runs on.
        seconds: The times to measure, in whole seconds; together they take as long.
        on_step: Is told about the progress.

    Returns:
        A curve with a point for each time. The sample's counts are computed from libvirt's rate,
        so they need not be whole numbers.

    Raises:
        GuestError: The host has no such domain, or it is off.
        HostError: libvirt refused, or gave no answer.
        UsageError: A time is impossible, the domain migrates or is paused, or it is too small.
    """
    times = _times(seconds)
    found = host.domain(domain)
    with refusals():
        _require_measurable(found, host)
        text: str = found.XMLDesc()
    mode = _mode(text, host)
    memory = _memory(found)
    rates = []
    what = f"measure the dirty rate of {domain}"
    with step(on_step, what):
        for index, period_s in enumerate(times):
            done_s = sum(times[:index])

            def told(elapsed_s: float, done_s: int = done_s, period_s: int = period_s) -> None:
                share = (done_s + min(elapsed_s, period_s)) / sum(times)
                on_step(Step(what, "progress", f"{period_s} s by {mode}", share))

            rates.append(_measured(found, host, period_s, mode, told))
    return _curve(times, rates, memory, sampled=mode == "page-sampling")


def _times(seconds: Sequence[int]) -> tuple[int, ...]:
    """Return the times in order, each once."""
    times = tuple(sorted(set(seconds)))
    given: tuple[object, ...] = times
    for value in given:
        if not isinstance(value, int) or not SHORTEST_S <= value <= LONGEST_S:
            raise UsageError(
                f"seconds must be whole numbers from {SHORTEST_S} to {LONGEST_S} "
                f"(got {quote(str(value))})",
                hint="Write seconds=(1, 2, 4, 8).",
            )
    if not times:
        raise UsageError("seconds must have a time (got none)", hint="Write seconds=(1, 2, 4, 8).")
    return times


def _require_measurable(domain: libvirt.virDomain, host: Host) -> None:
    """Raise UsageError if a domain migrates, is paused, or is too small to be sampled."""
    name = domain.name()
    if domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE:
        raise UsageError(
            f"the domain must not migrate while its dirty rate is measured (got {quote(name)} of "
            f"{host.name} in a job)",
            hint="Wait until it is over; while it runs, migration.forecast() knows more.",
        )
    if domain.state()[0] != libvirt.VIR_DOMAIN_RUNNING:
        raise UsageError(
            f"the domain must be running (got {quote(name)} of {host.name} paused)",
            hint=f"Resume it: virsh resume {name}",
        )
    if (memory_mib := domain.maxMemory() >> 10) < LEAST_MIB:
        raise UsageError(
            f"the domain must have at least {LEAST_MIB} MiB (got {memory_mib}): QEMU samples no "
            "smaller memory",
            hint="Use DirtyCurve.constant(…) with what you know of its load.",
        )
    if _statistics(domain).get("dirtyrate.calc_status") == MEASURING:
        raise UsageError(
            f"the domain must not be measured by somebody else (got {quote(name)} of {host.name})",
            hint="Wait until that is over: at most a minute.",
        )


def _mode(text: str, host: Host) -> str:
    """Return the best mode for a domain, by its XML."""
    root = read_xml(text)
    with refusals():
        version = host.connection.getLibVersion()
    if root.get("type") != "kvm" or version < COUNTS_PAGES:
        return "page-sampling"
    ring = root.find("features/kvm/dirty-ring")
    return "dirty-ring" if ring is not None and ring.get("state") == "on" else "dirty-bitmap"


def _memory(domain: libvirt.virDomain) -> _Memory:
    with refusals():
        total_kib: int = domain.maxMemory()
        resident_kib = domain.memoryStats().get("rss", total_kib)
    pages = total_kib * 1024 // PAGE_BYTES
    return _Memory(pages, max(pages - resident_kib * 1024 // PAGE_BYTES, 0))


def _statistics(domain: libvirt.virDomain) -> dict[str, Any]:
    connection = domain.connect()
    ((_, found),) = connection.domainListGetStats([domain], libvirt.VIR_DOMAIN_STATS_DIRTYRATE)
    return dict(found)


def _measured(
    domain: libvirt.virDomain,
    host: Host,
    period_s: int,
    mode: str,
    told: Callable[[float], None],
) -> int:
    """Measure once; return the rate in MiB/s."""
    began = time.monotonic()
    with refusals():
        _require_measurable(domain, host)
        domain.startDirtyRateCalc(period_s, MODES[mode])

    def answer() -> dict[str, Any] | None:
        told(time.monotonic() - began)
        with refusals():
            found = _statistics(domain)
        over = found.get("dirtyrate.calc_status") == MEASURED
        return found if over and found.get("dirtyrate.calc_period") == period_s else None

    found = wait_until(answer, period_s + ANSWER_S, POLL_S)
    if found is None or "dirtyrate.megabytes_per_second" not in found:
        raise HostError(
            f"measuring the dirty rate failed: {host.name} gave no answer within "
            f"{period_s + ANSWER_S:g} s",
            hint=f"Look at `virsh domstats --dirtyrate {domain.name()}`, and measure again.",
        )
    return int(found["dirtyrate.megabytes_per_second"])


def _curve(
    times: tuple[int, ...], rates: list[int], memory: _Memory, *, sampled: bool
) -> DirtyCurve:
    """Return the curve of measured rates."""
    sample = memory.pages
    if sampled:
        sample = max(memory.pages * PAGE_BYTES * SAMPLED_PER_GIB // (1024 * MIB), 1)
    share = sample / memory.pages
    counts = [
        min(rate * period_s * MIB / PAGE_BYTES * share, sample)
        for rate, period_s in zip(rates, times, strict=True)
    ]
    # Whole MiB/s, at different times: what falls or bends upwards is noise.
    even = concave(np.array(times, dtype=float), counts)
    return DirtyCurve.from_points(
        [1000 * period_s for period_s in times], [round(float(count), 3) for count in even],
        sample, memory.pages, int(memory.zero * share), PAGE_BYTES,
    )  # fmt: skip
