"""Hold the figures of a migration's progress, in one set of units."""

from __future__ import annotations

from dataclasses import asdict, dataclass

MIB = 1024 * 1024
_BINARY = {"b": 1, "bytes": 1, "kib": 1024, "kbytes": 1024, "mib": MIB, "gib": MIB * 1024,
           "tib": MIB * MIB}  # fmt: skip
_DECIMAL = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
UNITS = _BINARY | _DECIMAL
#: Larger than any figure of a migration, in any unit.
LARGEST = 1e15


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """The figures of a report; None for what it does not say.

    Attributes:
        form: The program that wrote it.
        state: active, setup, completed, none, postcopy, paused (post-copy), cancelled or failed.
        operation: What the job does, where that is not said to be a migration.
        elapsed_ms: The time since the start.
        bandwidth_mib_s: Memory sent in a second.
        dirty_mib_s: Memory that the guest wrote in a second, each page of an iteration once.
        page_size_known: Whether the report says how large a page is.
        iteration: The number of the iteration over memory, from 1.
        remaining_mib: Memory left to send in this iteration.
        total_mib: The guest's memory.
        processed_mib: Memory sent so far.
        expected_downtime_ms: QEMU's expectation, while the job runs.
        downtime_ms: The measured downtime of a completed job.
        downtime_limit_ms: The limit, where the report has it.
        throttle_percent: What auto-converge takes from the guest.
        disk_remaining_mib: What is left of the copied disks.
        percents: The values of a progress line, in their order.
        limit_raised: How often Proxmox has doubled the downtime limit.

    Raises:
        ValueError: A figure is too large for any migration.
    """

    form: str
    state: str
    operation: str = ""
    elapsed_ms: float | None = None
    bandwidth_mib_s: float | None = None
    dirty_mib_s: float | None = None
    page_size_known: bool = True
    iteration: int | None = None
    remaining_mib: float | None = None
    total_mib: float | None = None
    processed_mib: float | None = None
    expected_downtime_ms: float | None = None
    downtime_ms: float | None = None
    downtime_limit_ms: float | None = None
    throttle_percent: float | None = None
    disk_remaining_mib: float | None = None
    percents: tuple[float, ...] = ()
    limit_raised: int = 0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, int | float) and not abs(value) <= LARGEST:
                raise ValueError(f"{name} must be at most {LARGEST:g}")

    def to_dict(self) -> dict[str, object]:
        """Return the report as plain values, for JSON."""
        return asdict(self) | {"percents": list(self.percents)}


def to_mib(amount: str, unit: str) -> float:
    """Return an amount with its unit, as programs print it, in MiB."""
    # virsh prints three decimals, in some languages behind a comma.
    return float(amount.replace(",", ".")) * UNITS[unit.lower()] / MIB
