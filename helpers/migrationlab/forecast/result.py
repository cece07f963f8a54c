"""Hold a forecast: what will happen, how sure that is, why, and what it cannot speak about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from migrationlab.forecast.case import Path, StopRule
from migrationlab.plan.plan import Plan

#: An interval holds so much of what can happen.
COVERAGE = 0.9


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with its uncertainty: 90 % of the values lie from ``low`` to ``high``.

    ``median`` is the most likely course. Each is None where the migration does not end.
    """

    low: float | None
    median: float | None
    high: float | None

    def __str__(self) -> str:
        return self.text()

    def text(self, digits: int = 1) -> str:
        """Return "median (low to high)", with a dash for a migration that does not end."""
        low, median, high = (
            "—" if value is None else f"{value:.{digits}f}"
            for value in (self.low, self.median, self.high)
        )
        return f"{median} ({low} to {high})"

    def to_dict(self) -> dict[str, float | None]:
        """Return the three values, for JSON."""
        return {"low": self.low, "median": self.median, "high": self.high}


def interval(median: float | None, draws: Sequence[float | None], digits: int = 3) -> Interval:
    """Return the interval of some draws, None for those that do not end, around a median."""
    values = np.array([math.inf if value is None else value for value in draws] or [math.inf])
    tail = (1 - COVERAGE) / 2
    low = float(np.quantile(values, tail, method="lower"))
    high = float(np.quantile(values, 1 - tail, method="higher"))
    if median is not None:
        low, high = min(low, median), max(high, median)

    def shown(value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else round(value, digits)

    return Interval(shown(low), shown(median), shown(high))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Forecast:
    """The forecast of a migration, made by :func:`migrationlab.forecast`.

    Attributes:
        plan: The plan.
        stop_rule: The rule that ends pre-copy: "qemu" or "per-iteration".
        ends: The probability that the migration completes, within the deadline if there is one.
        deadline_s: The deadline; None for none.
        total_s: Until the guest runs at the destination with all its memory, as libvirt counts.
        call_s: The duration of libvirt's call.
        downtime_ms: From QEMU's STOP at the source to its RESUME at the destination.
        downtime_network_ms: The guest's silence.
        sent_mib: The bytes of the migration's stream.
        iterations: The iterations over memory, as libvirt counts (rule "qemu"), or those of the
            model including the last one, with the guest paused (rule "per-iteration").
        slowdown: The mean share of the guest's work that auto-converge prevents, 0 to 1.
        reasons: Why, in sentences.
        not_modelled: What the forecast cannot speak about, in sentences.
        path: The most likely course, iteration by iteration.
    """

    plan: Plan
    stop_rule: StopRule
    ends: float
    deadline_s: float | None
    total_s: Interval
    call_s: Interval
    downtime_ms: Interval
    downtime_network_ms: Interval
    sent_mib: Interval
    iterations: Interval
    slowdown: Interval
    reasons: tuple[str, ...]
    not_modelled: tuple[str, ...]
    path: Path

    def __repr__(self) -> str:
        if self.total_s.median is None:
            return f"Forecast(ends {self.ends:.0%}, {self.stop_rule})"
        return (
            f"Forecast(ends {self.ends:.0%}, {self.total_s.median:.1f} s, downtime "
            f"{self.downtime_ms.median or 0:.0f} ms, {self.stop_rule})"
        )

    def __str__(self) -> str:
        within = "" if self.deadline_s is None else f" within {self.deadline_s:g} s"
        lines = [
            f"It ends{within} with a probability of {self.ends:.0%}.",
            f"  total time        {self.total_s.text()} s",
            f"  time of the call  {self.call_s.text()} s",
            f"  downtime          {self.downtime_ms.text(0)} ms",
            f"  guest is silent   {self.downtime_network_ms.text(0)} ms",
            f"  sent              {self.sent_mib.text(0)} MiB",
            f"  iterations        {self.iterations.text(0)}",
            f"  slowed down by    {_percent(self.slowdown)}",
            *self.reasons,
            "Not modelled: " + " ".join(self.not_modelled),
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the forecast as plain values, for JSON; the keys are the attributes."""
        names = (
            "total_s", "call_s", "downtime_ms", "downtime_network_ms", "sent_mib", "iterations",
            "slowdown",
        )  # fmt: skip
        intervals = {name: getattr(self, name).to_dict() for name in names}
        return {
            "ends": self.ends,
            **intervals,
            "reasons": list(self.reasons),
            "not_modelled": list(self.not_modelled),
            "stop_rule": self.stop_rule,
            "deadline_s": self.deadline_s,
        }


def _percent(share: Interval) -> str:
    values = (share.low, share.median, share.high)
    percent = (None if value is None else 100 * value for value in values)
    return f"{Interval(*percent).text(0)} %"
