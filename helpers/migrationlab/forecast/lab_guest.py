"""Know from the description of a lab's guest what a forecast needs: curve, memory, compression.

Nothing is measured: a :class:`migrationlab.plan.guest_spec.GuestSpec`, or the record that a run has
of it, says what the guest writes. The sizes and ratios here are from recorded runs of the lab.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from migrationlab.forecast.case import Memory
from migrationlab.forecast.curve import MIB, RANDOM_POINTS, DirtyCurve

PAGE_BYTES = 4096
#: A lab's guest uses so much memory beside what its workload writes: this, and a share of all.
KERNEL_MIB, KERNEL_SHARE = 44.0, 0.039
#: So much of it lies behind the free memory, which is all zeros.
BEHIND_ZEROS_MIB = 12.5
#: Different pages that an idle guest of the lab writes, and within which time (migrations of guests
#: whose workload is known show it in iterations of 50 to 350 ms).
SYSTEM_MIB, SYSTEM_S = 0.9, 0.04
#: What a service and its data use besides (medians of recorded runs; n = 4, 3 and 3).
SERVICE_MIB = {"redis": 24.0, "nginx": 16.0, "postgresql": 208.0}
#: What a service writes to new memory, as a share of the values that its clients send (median of 70
#: migrations of a guest with Redis, 300 requests a second of 8 KiB: 4 MiB/s). It is foreseen for so
#: long, and for so much of the memory that the workload does not write.
SERVICE_WRITES, SERVICE_S, SERVICE_SHARE = {"redis": 1.7}, 60.0, 0.5
#: The use of a virtual processor under TCG: of an idle guest, more for each MiB/s written and for
#: each of noise, and of a service.
IDLE_USE, USE_OF_MIB_S, USE_OF_NOISE, SERVICE_USE = 0.27, 0.0005, 0.0018, 0.2
#: The bytes sent for each byte of memory that the workload does not write: the kernel and programs.
KERNEL_RATIO = {"zlib": 0.29, "zstd": 0.32}
#: The same of written memory, for the part that compresses, and for the other one.
EMPTY_RATIO, NOISE_RATIO = 0.02, 1.0
#: The seconds that two channels need to compress a MiB, and more for one of noise, on two CPUs
#: that run two guests under TCG besides. That of zstd for noise is from nine runs over 1000 Mbit/s:
#: over slower links the link is the limit.
COMPRESSOR_S = {"zlib": (0.008, 0.0175), "zstd": (0.0032, 0.004)}


def curve_of_guest(guest: Mapping[str, Any]) -> DirtyCurve | None:
    """Return the dirty curve of a described guest; None if its description does not give it.

    It does not if the workload writes as fast as it can, or at a rate that changes.
    """
    rate, working_set = guest.get("dirty_mib_s"), guest.get("working_set_mib")
    if not isinstance(rate, int | float) or not isinstance(working_set, int | float):
        return None
    pattern = guest.get("pattern") or "sequential"
    if guest.get("phases"):
        return None
    served = _served(guest)
    if pattern == "sequential" or rate <= 0:
        return _with_system(DirtyCurve.constant(rate, working_set), served)
    if pattern == "random":
        return _with_system(DirtyCurve.constant(rate, working_set, "random"), served)
    classes = {"hot-cold": _hot_cold, "zipf": _zipf}.get(pattern)
    if classes is None:
        return None
    pages = working_set * MIB / PAGE_BYTES
    return _with_system(curve_of_classes(classes(pages, guest), rate * MIB / PAGE_BYTES), served)


def _served(guest: Mapping[str, Any]) -> tuple[float, float]:
    """Return the pages of new memory that the guest's service writes in a second, and how long."""
    share = SERVICE_WRITES.get(guest.get("service") or "", 0.0)
    sent = (guest.get("requests_s") or 0) * (guest.get("value_bytes") or 0)
    if not share * sent:
        return 0.0, 0.0
    pages_s = share * sent / PAGE_BYTES
    room = SERVICE_SHARE * (guest["memory_mib"] - guest["working_set_mib"]) * MIB / PAGE_BYTES
    return pages_s, min(SERVICE_S, room / pages_s)


def _with_system(curve: DirtyCurve, served: tuple[float, float]) -> DirtyCurve:
    """Return a workload's curve with what the guest's system and its service write besides."""
    workload, pages = curve.written(), SYSTEM_MIB * MIB / PAGE_BYTES
    pages_s, seconds = served
    known = {*(ms / 1000 for ms in curve.period_ms), SYSTEM_S, 2 * SYSTEM_S}
    times = sorted(known | ({seconds} if seconds else set()))
    return DirtyCurve(
        period_ms=tuple(1000 * time for time in times),
        dirty_pages=tuple(
            workload(time) + pages * min(time / SYSTEM_S, 1.0) + pages_s * min(time, seconds)
            for time in times
        ),
        sampled_pages=curve.sampled_pages + math.ceil(pages + pages_s * seconds),
    )  # fmt: skip


def curve_of_classes(classes: Sequence[tuple[float, float]], writes_s: float) -> DirtyCurve:
    """Return the curve of random writes to classes of pages.

    D(t) is the sum of n (1 - exp(-s w t / n)) over the classes: the expected number of different
    pages of independent draws.

    Args:
        classes: For each class its pages n and its share s of the writes.
        writes_s: The writes w of all in a second.
    """
    known = [(pages, share) for pages, share in classes if pages > 0 and share > 0]
    rates = [share * writes_s / pages for pages, share in known]
    # From a tenth of the fastest class's time until the slowest is written but for 0.1 %.
    times = np.geomspace(0.1 / max(rates), -math.log(0.001) / min(rates), RANDOM_POINTS)
    written = sum(
        pages * -np.expm1(-rate * times) for (pages, _), rate in zip(known, rates, strict=True)
    )
    return DirtyCurve(
        period_ms=tuple((1000 * times).tolist()), dirty_pages=tuple(np.asarray(written).tolist()),
        sampled_pages=math.ceil(sum(pages for pages, _ in known)),
    )  # fmt: skip


def _hot_cold(pages: float, guest: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return the classes of the pattern hot-cold (hot_cold in the lab's ``payload/pages.h``)."""
    hot = max(pages * guest["hot_memory_percent"] / 100, 1.0)
    share = guest["hot_writes_percent"] / 100
    return [(hot, share), (pages - hot, 1 - share)]


def _zipf(pages: float, guest: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return the classes of the pattern zipf: octaves that are written equally often.

    The last octave can be cut off: zipf in the lab's ``payload/pages.h``.
    """
    last = int(math.log2(pages + 1))
    cut = pages - (2**last - 1)
    octaves = last + cut / 2**last
    whole = [(2.0**octave, 1 / octaves) for octave in range(last)]
    return [*whole, (cut, cut / 2**last / octaves)]


def lab_memory(memory_mib: float, written_mib: float, *, service: str | None = None) -> Memory:
    """Return the memory of a lab's guest, by a rule from recorded runs of 128 to 512 MiB.

    Args:
        memory_mib: All of it.
        written_mib: What its workload writes: the working set, and what it fills once.
        service: The name of its service.
    """
    used = KERNEL_MIB + KERNEL_SHARE * memory_mib + written_mib + SERVICE_MIB.get(service or "", 0)
    used = min(used, memory_mib)
    behind = min(BEHIND_ZEROS_MIB / used, 1.0)
    return Memory(total_mib=memory_mib, zero_mib=memory_mib - used, before_zeros=1 - behind)


def memory_of_guest(guest: Mapping[str, Any]) -> Memory:
    """Return the memory of a described guest."""
    written = guest["working_set_mib"] + (guest.get("fill_mib") or 0)
    return lab_memory(guest["memory_mib"], written, service=guest.get("service"))


def compression_of_guest(
    guest: Mapping[str, Any], method: str, memory: Memory
) -> tuple[float, float] | None:
    """Return the bytes sent for each byte of a described guest's memory, by a method.

    The first is for all of its memory, the second for what it writes; None if the method is none
    of those that were measured.
    """
    kernel = KERNEL_RATIO.get(method)
    if kernel is None:
        return None
    again = EMPTY_RATIO + _noise(guest) * (NOISE_RATIO - EMPTY_RATIO)
    written = _written_share(guest, memory)
    return kernel * (1 - written) + again * written, again


def compressor_of_guest(
    guest: Mapping[str, Any], method: str, memory: Memory
) -> tuple[float, float] | None:
    """Return the MiB of a described guest's memory that are compressed in a second, by a method.

    The first is for all of its memory, the second for what it writes, as above.
    """
    if method not in COMPRESSOR_S:
        return None
    base_s, noise_s = COMPRESSOR_S[method]
    noise = _noise(guest)
    return 1 / (base_s + noise_s * noise * _written_share(guest, memory)), 1 / (
        base_s + noise_s * noise
    )


def _noise(guest: Mapping[str, Any]) -> float:
    """Return the share of what the workload writes that does not compress."""
    plain = guest.get("content", "zeros") == "zeros"
    return 0.0 if plain else float(guest.get("incompressible") or 0.0)


def _written_share(guest: Mapping[str, Any], memory: Memory) -> float:
    """Return the share of the memory in use that the workload writes."""
    used = memory.total_mib - memory.zero_mib
    return min(float(guest["working_set_mib"] + (guest.get("fill_mib") or 0)) / used, 1.0)


def vcpu_use_of_guest(guest: Mapping[str, Any]) -> float:
    """Return the share of its virtual processors' time that a described guest uses, under TCG."""
    writes = (USE_OF_MIB_S + USE_OF_NOISE * _noise(guest)) * float(guest["dirty_mib_s"])
    served = SERVICE_USE if guest.get("service") else 0.0
    return min((IDLE_USE + writes + served) / (guest.get("vcpus") or 1), 1.0)
