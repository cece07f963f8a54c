"""Sample libvirt's job statistics while a migration runs.

One thread samples on its own connection, so it never waits for the call that migrates. The
statistics have libvirt's names (``virDomainGetJobStats``, include/libvirt/libvirt-domain.h).
libvirt 12.9 has the same as 11.3. What QEMU counts besides (its bytes before, during and after the
downtime, and since 11.1 all that remains) libvirt does not report, and while a guest migrates
libvirt lets nobody ask QEMU's monitor for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import libvirt

from migrationlab.capture.periodic_timer import PeriodicTimer
from migrationlab.hosts.connection import close_connection, refusals, waits_on
from migrationlab.hosts.host import Host
from migrationlab.hosts.time_limit import start_call

DEFAULT_INTERVAL_S = 0.05
#: How long to wait for the answer to the last sample.
ANSWER_TIMEOUT_S = 0.5

#: libvirt's name of each statistic, and its column with the unit.
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
#: The errors of the source after the domain has left it.
LEFT = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)


@dataclass(frozen=True, slots=True)
class Sample:
    """Job statistics at one moment, CLOCK_REALTIME."""

    time_ns: int
    statistics: dict[str, int]  # by column; libvirt leaves out unknown values


class JobSampler:
    """Samples from :meth:`start` to :meth:`stop`.

    The domain is known by its UUID: its name can change at the destination. ``on_sample`` is called
    with each sample of the job, on the sampler's thread.

    Raises:
        HostError: The host could not be reached, or has no such domain.
    """

    names: tuple[str, ...] = ("job",)

    def __init__(self, source: Host, uuid: str, interval_s: float = DEFAULT_INTERVAL_S) -> None:
        self._connection = source.new_connection()
        try:
            with refusals():
                self._domain = self._connection.lookupByUUIDString(uuid)
        except BaseException:
            close_connection(self._connection)
            raise
        self._stopped = False
        self.warnings: list[str] = []
        self.on_sample: Callable[[Sample], None] = lambda _: None
        self._samples: list[Sample] = []
        self._timer = PeriodicTimer("migration-sampler", interval_s, self._sample, self.warnings)

    def start(self) -> None:
        """Start to sample."""
        self._timer.start()

    def stop(self) -> dict[str, list[dict[str, int]]]:
        """Stop, and return the rows of the frame ``job``. A second stop returns the same rows."""
        if not self._stopped:
            self._stopped = True
            if not self._timer.stop(ANSWER_TIMEOUT_S):
                # A frozen daemon has not answered the last sample.
                waits_on(self._connection, start_call(self._timer.stop, "migration-answer"))
            close_connection(self._connection)
        return {"job": [{"time_ns": each.time_ns, **each.statistics} for each in self._samples]}

    close = stop

    def _sample(self) -> bool:
        """Take one sample; return whether to ask again."""
        try:
            found = self._domain.jobStats()
        except libvirt.libvirtError as error:
            if error.get_error_code() in LEFT or not self._connection.isAlive():
                # The domain has left, or its host is gone. The call that migrates will say whether
                # that is an error.
                return False
            if not self.warnings:
                self.warnings.append(f"a sample of the job was refused: {error}")
            return True
        values = {column: int(found[name]) for name, column in STATISTICS.items() if name in found}
        # Before QEMU starts and after a job is aborted there are no figures: libvirt leaves them
        # out, or reports a total of zero bytes.
        if values.get("data_total_bytes"):
            sample = Sample(time.time_ns(), values)
            self._samples.append(sample)
            self.on_sample(sample)
        return True
