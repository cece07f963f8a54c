"""Describe the effects of the wire between two lab hosts on traffic."""

from __future__ import annotations

import dataclasses
from dataclasses import KW_ONLY, dataclass
from typing import Self

from migrationlab.errors import UsageError
from migrationlab.plan.spec import option, require_valid

#: The default rate of a lab's wire.
DEFAULT_MBIT_S = 1000


@dataclass(frozen=True, slots=True)
class WireSpec:
    """The effects of the wire on traffic, in each direction.

    One direction is from the first host of a lab to the second, the other one is back. In a run
    and in an experiment the first host is the source of the migration.
    """

    rate_mbit_s: float | None = option(
        DEFAULT_MBIT_S, "Rate of the wire, in each direction unless back_mbit_s is given.",
        unit="Mbit/s", minimum=0.1, maximum=100_000, absent="no limit", factor="wire_mbit_s",
    )  # fmt: skip
    _: KW_ONLY
    back_mbit_s: float | None = option(
        None, "Rate from the second host back to the first, if it is another one.",
        unit="Mbit/s", minimum=0.1, maximum=100_000, absent="the same rate",
        factor="wire_back_mbit_s",
    )  # fmt: skip
    delay_ms: float = option(
        0, "Delay one way; needs a kernel with netem.", unit="ms", minimum=0, maximum=10_000
    )
    jitter_ms: float = option(
        0, "Most that a frame's delay differs from delay_ms, at random; needs a kernel with netem.",
        unit="ms", minimum=0, maximum=10_000,
    )  # fmt: skip
    loss_percent: float = option(
        0, "Share of frames that are lost; needs a kernel with netem.", unit="%",
        minimum=0, maximum=100,
    )  # fmt: skip

    @property
    def impaired(self) -> bool:
        """Return whether the kernel needs netem for it."""
        return self.delay_ms > 0 or self.jitter_ms > 0 or self.loss_percent > 0

    def reversed(self) -> Self:
        """Return the same wire as the second host sees it."""
        if self.back_mbit_s is None:
            return self
        return dataclasses.replace(self, rate_mbit_s=self.back_mbit_s, back_mbit_s=self.rate_mbit_s)

    def require_possible(self) -> None:
        """Raise UsageError for a figure that is out of its range, or that another one excludes."""
        require_valid(self, UsageError)
        if self.back_mbit_s is not None and self.rate_mbit_s is None:
            raise UsageError(
                f"rate_mbit_s must be a number beside back_mbit_s={self.back_mbit_s:g} (got None)",
                hint="Give rate_mbit_s=100000, which limits nothing here, or leave out "
                "back_mbit_s.",
            )
        if self.jitter_ms > self.delay_ms:
            raise UsageError(
                f"jitter_ms must be at most delay_ms={self.delay_ms:g} (got {self.jitter_ms:g})",
                hint=f"Give delay_ms={self.jitter_ms:g} or more: no frame can arrive before it is "
                "sent.",
            )
