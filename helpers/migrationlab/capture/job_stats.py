"""Samples a migration while it runs: libvirt's job statistics.

One thread, on a connection of its own, so that it never waits for the call that migrates.
Statistics by libvirt's names (``virDomainGetJobStats``, include/libvirt/libvirt-domain.h).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import libvirt

from migrationlab.capture.sampler import PeriodicTimer
from migrationlab.hosts.host import Host, refusals

DEFAULT_INTERVAL_S = 0.05

#: libvirt's name of each statistic, and ours with its unit.
STATISTICS = {
    "memory_iteration": "iteration",
    "time_elapsed": "time_elapsed_ms",
    "downtime": "expected_downtime_ms",
    "data_total": "data_total_bytes",
    "data_processed": "data_processed_bytes",
    "data_remaining": "data_remaining_bytes",
    "memory_total": "memory_total_bytes",
    "memory_processed": "memory_processed_bytes",
    "memory_remaining": "memory_remaining_bytes",
    "memory_bps": "memory_bps",
    "memory_dirty_rate": "dirty_rate_pages_s",
    "memory_page_size": "page_size_bytes",
    "memory_constant": "constant_pages",
    "memory_normal": "normal_pages",
    "memory_postcopy_requests": "postcopy_requests",
    "auto_converge_throttle": "throttle_percent",
    "compression_cache": "compression_cache_bytes",
    "compression_bytes": "compression_bytes",
    "compression_pages": "compression_pages",
    "compression_cache_misses": "compression_cache_misses",
    "compression_overflow": "compression_overflows",
    "disk_total": "disk_total_bytes",
    "disk_processed": "disk_processed_bytes",
    "disk_remaining": "disk_remaining_bytes",
    "disk_bps": "disk_bps",
}
#: What the source says once the domain has left it.
LEFT = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)
JOB_COLUMNS = ("time_ns", *STATISTICS.values())


@dataclass(frozen=True, slots=True)
class Sample:
    """Job statistics at one moment.

    Attributes:
        time_ns: When, CLOCK_REALTIME.
        statistics: By the names of :data:`STATISTICS`; libvirt leaves out what it doesn't know.
    """

    time_ns: int
    statistics: dict[str, int]


class JobSampler:
    """Samples from :meth:`start` to :meth:`stop`.

    Args:
        source: The host that the domain leaves.
        uuid: The domain's UUID, which stays whatever it is called where it arrives.
        interval_s: The time from one sample to the next.

    Raises:
        HostError: The host could not be reached, or has no such domain.
    """

    def __init__(self, source: Host, uuid: str, interval_s: float = DEFAULT_INTERVAL_S) -> None:
        self._connection = source.new_connection()
        try:
            with refusals():
                self._domain = self._connection.lookupByUUIDString(uuid)
        except BaseException:
            self._connection.close()
            raise
        self.warnings: list[str] = []
        self._refused = False
        self._samples: list[Sample] = []
        self._on_sample: Callable[[Sample], None] = lambda _: None
        self._timer = PeriodicTimer("migration-sampler", interval_s, self._sample)

    def start(self, on_sample: Callable[[Sample], None]) -> None:
        """Begin to sample.

        Args:
            on_sample: Hears each sample of the job, on the sampler's thread.
        """
        self._on_sample = on_sample
        self._timer.start()

    def stop(self) -> list[Sample]:
        """Stop, and return the samples of the job; once more does no harm."""
        self._timer.stop()
        with contextlib.suppress(libvirt.libvirtError):  # where the host is gone, so is this
            self._connection.close()
        return self._samples

    def _sample(self) -> bool:
        """Take one sample; return whether it is worth asking again."""
        try:
            found = self._domain.jobStats()
        except libvirt.libvirtError as error:
            if error.get_error_code() in LEFT or not self._connection.isAlive():
                # The domain has left, or its host is gone. Whether that is an error, the call
                # that migrates will say.
                return False
            if not self._refused:
                self.warnings.append(f"a sample of the job was refused: {error}")
            self._refused = True
            return True
        values = {
            ours: int(found[theirs]) for theirs, ours in STATISTICS.items() if theirs in found
        }
        # Before QEMU has begun, and once a job is aborted, there are no figures yet or any more:
        # libvirt leaves them out, or says zero bytes in all.
        if values.get("data_total_bytes"):
            sample = Sample(time.time_ns(), values)
            self._samples.append(sample)
            self._on_sample(sample)
        return True
