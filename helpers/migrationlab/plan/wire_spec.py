"""Describe the effects of the wire between two lab hosts on traffic."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from migrationlab.errors import UsageError
from migrationlab.plan.spec import option, require_valid

#: The default rate of a lab's wire.
DEFAULT_MBIT_S = 1000


@dataclass(frozen=True, slots=True)
class WireSpec:
    """The effects of the wire on traffic, in each direction."""

    rate_mbit_s: float | None = option(
        DEFAULT_MBIT_S, "Rate of the wire in each direction.", unit="Mbit/s",
        minimum=0.1, maximum=100_000, absent="no limit", factor="wire_mbit_s",
    )  # fmt: skip
    _: KW_ONLY
    delay_ms: float = option(
        0, "Delay one way; needs a kernel with netem.", unit="ms", minimum=0, maximum=10_000
    )
    loss_percent: float = option(
        0, "Share of frames that are lost; needs a kernel with netem.", unit="%",
        minimum=0, maximum=100,
    )  # fmt: skip

    def require_possible(self) -> None:
        """Raise UsageError for a figure that is out of its range, or no number."""
        require_valid(self, UsageError)
