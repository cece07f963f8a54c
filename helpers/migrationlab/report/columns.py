"""What each column of a run's Parquet files means, for those who have no description of the format.

``data/README.md`` says more. Times are CLOCK_REALTIME in nanoseconds unless told otherwise. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

COLUMNS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "events": {
            "time_ns": "when it happened; of libvirt's own events, which bear no stamp, when seen",
            "received_ns": "when the recording process saw it",
            "side": "client, source or destination",
            "origin": "kit, libvirt, qemu, or log (of a lab's daemons and QEMUs)",
            "name": "what happened",
            "detail": "a JSON object with what belongs to it",
        },
        "job": {
            "time_ns": "when libvirt's answer came",
            "iteration": "the pass over memory that is under way, from 1",
            "time_elapsed_ms": "time since the job began",
            "expected_downtime_ms": "the downtime that QEMU would expect now",
            "data_total_bytes": "memory and disks, in all",
            "data_processed_bytes": "of it sent so far",
            "data_remaining_bytes": "of it known to be left to send",
            "memory_total_bytes": "memory, in all",
            "memory_processed_bytes": "of it sent so far",
            "memory_remaining_bytes": "of it known to be left in this pass",
            "memory_bps": "QEMU's own estimate of the rate",
            "dirty_rate_pages_s": "pages that the guest dirties a second, by QEMU's last look",
            "page_size_bytes": "size of such a page",
            "constant_pages": "pages of zeros, sent as a mark only",
            "normal_pages": "pages sent in full",
            "postcopy_requests": "pages that the destination asked for in post-copy",
            "throttle_percent": "how much of its processor auto-converge takes from the guest",
            "compression_cache_bytes": "size of xbzrle's cache; this and the next only with xbzrle",
            "compression_bytes": "bytes of compressed pages",
            "compression_pages": "pages sent compressed",
            "compression_cache_misses": "pages that were not in the cache, so were sent in full",
            "compression_overflows": "pages that would have grown, so were sent in full",
            "disk_total_bytes": "copied disks, in all",
            "disk_processed_bytes": "of them sent so far",
            "disk_remaining_bytes": "of them left to send",
            "disk_bps": "libvirt's own estimate of the rate",
        },
        "beats": {
            "arrival_ns": "when a datagram of the guest's came, by the kernel's stamp",
            "sequence": "its number; one that is missing was lost",
            "guest_ns": "the guest's CLOCK_MONOTONIC when it sent it",
            "writes": "pages of 4,096 bytes that the workload had written by then",
        },
        "echoes": {
            "sequence": "number of a request that the guest was to answer",
            "sent_ns": "when it was sent",
            "arrival_ns": "when its first answer came, by the kernel's stamp; none where none came",
        },
        "wire_bytes": {
            "time_ns": "when the counters were read",
            "sent_bytes": "sent by the source's interface on the wire since the call",
            "received_bytes": "received by it",
            "cable_sent_bytes": "sent, as a cable would carry it: every frame's header counted",
            "cable_received_bytes": "received, likewise",
        },
        "connections": {
            "purpose": "what a TCP connection was for: memory, storage, control or other",
            "local_port": "its port at the source",
            "remote_port": "its port at the destination",
            "opened_ns": "when it was opened; none: before the run",
            "closed_ns": "when it was closed; none: it was still open at the end",
            "sent_bytes": "payload sent, each byte once",
            "received_bytes": "payload received",
            "sent_segments": "TCP segments sent, of every kind",
            "received_segments": "TCP segments received",
            "retransmitted_bytes": "payload that was sent once more",
        },
        "processes": {
            "time_ns": "when it was read",
            "side": "source or destination",
            "process": "qemu or libvirtd",
            "thread": "empty: the whole process; else a thread of QEMU, or several of one name",
            "cpu_ns": "processor time that it has used since it began, user and system",
            "memory_bytes": "what of its memory is resident; none for threads",
        },
    }
)
