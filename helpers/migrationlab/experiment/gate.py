"""Judge an experiment against a baseline: may a metric have become worse, and has it?

A limit is written as ``METRIC STATISTIC LIMIT``: ``downtime_event_ms p95 +10%`` allows the 95th
percentile to be 10 % above that of the baseline's cell of the same name; ``+20`` allows 20 ms more;
``300`` is the limit itself. Statistics are ``median`` and ``p1`` to ``p99``.

Each judgement is by an interval, not by one number: a limit *holds* if the whole interval is below
it, and is *exceeded* if the whole interval is above it; in between it is *unclear*. All judgements
together have an error of 5 % (Bonferroni).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from migrationlab.errors import UsageError
from migrationlab.experiment.quantiles import excess
from migrationlab.experiment.results import Results
from migrationlab.experiment.statistics import ALPHA
from migrationlab.runs.numbers import amount

_LIMIT = re.compile(
    r"(?P<metric>[a-z0-9_]+)\s+(?P<statistic>median|p\d{1,2})\s+"
    r"(?P<sign>\+?)(?P<number>\d+(?:\.\d+)?)(?P<percent>%?)"
)
EXAMPLE = "downtime_event_ms p95 +10%"


class GateVerdict(StrEnum):
    """The judgement of one limit in one cell."""

    HOLDS = "holds"
    EXCEEDED = "exceeded"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of a metric.

    Attributes:
        text: As it was written.
        metric: The metric.
        percent: The percentile; 50 for the median.
        factor: What the baseline's value is multiplied by; 0 for a limit without a baseline.
        more: What is added, in the metric's unit.
    """

    text: str
    metric: str
    percent: float
    factor: float
    more: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One limit in one cell.

    Attributes:
        cell: The cell's name.
        limit: The limit, as it was written.
        metric: Its metric.
        n, n_baseline: The numbers of values.
        excess: How far the statistic is above the limit; None without values.
        low, high: The ends of its interval; None if n is too small.
        verdict: The judgement.
        why: The judgement in words.
    """

    cell: str
    limit: str
    metric: str
    n: int
    n_baseline: int
    excess: float | None
    low: float | None
    high: float | None
    verdict: GateVerdict
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Return the judgement as plain values, for JSON."""
        return asdict(self) | {"verdict": self.verdict.value}


@dataclass(frozen=True, slots=True)
class Gate:
    """All judgements together; exceeded if one is, and unclear if one is and none is exceeded."""

    judgements: tuple[Judgement, ...]

    @property
    def verdict(self) -> GateVerdict:
        """Return the judgement of all."""
        found = {each.verdict for each in self.judgements}
        for verdict in (GateVerdict.EXCEEDED, GateVerdict.UNCLEAR):
            if verdict in found:
                return verdict
        return GateVerdict.HOLDS

    def __repr__(self) -> str:
        return f"Gate({self.verdict.value}, {len(self.judgements)} judgements)"


def read_limit(text: str) -> Limit:
    """Return the limit that a text means; UsageError if it means none."""
    found = _LIMIT.fullmatch(text.strip())
    if found is None or found["statistic"] == "p0" or (found["percent"] and not found["sign"]):
        raise UsageError(
            f"a limit must be METRIC STATISTIC LIMIT (got {text!r})", hint=f'Write "{EXAMPLE}".'
        )
    statistic = found["statistic"]
    percent = 50.0 if statistic == "median" else float(statistic[1:])
    number = float(found["number"])
    if found["percent"]:
        factor, more = 1 + number / 100, 0.0
    else:
        factor, more = (1.0 if found["sign"] else 0.0), number
    return Limit(text.strip(), found["metric"], percent, factor, more)


def judge(
    experiment: Results, baseline: Results, limits: Sequence[str], *, mixed: bool = False
) -> Gate:
    """Judge an experiment against a baseline.

    Args:
        experiment: The experiment that must not be worse.
        baseline: An experiment with cells of the same names.
        limits: The limits.
        mixed: Whether runs of different environments within one experiment are pooled.

    Raises:
        UsageError: A limit is wrong, or no cell is in both experiments.
    """
    read = [read_limit(text) for text in limits]
    if not read:
        raise UsageError("limits must have a limit (got none)", hint=f'Give "{EXAMPLE}".')
    for limit in read:
        experiment.require_metric(limit.metric)
    known = {cell.name for cell in baseline.cells}
    cells = [cell.name for cell in experiment.cells if cell.name in known]
    if not cells:
        raise UsageError(
            "the two experiments must have cells of the same names (got none)",
            hint=f"Use a baseline with one of: {'; '.join(c.name for c in experiment.cells)}.",
        )
    confidence = 1 - ALPHA / (len(cells) * len(read))
    ours = _values(experiment, {limit.metric for limit in read}, mixed=mixed)
    theirs = _values(baseline, {limit.metric for limit in read}, mixed=mixed)
    return Gate(
        tuple(
            _judged(
                cell,
                limit,
                (theirs[limit.metric].get(cell, []), ours[limit.metric].get(cell, [])),
                confidence,
            )
            for limit in read
            for cell in cells
        )
    )


def _values(
    experiment: Results, metrics: Iterable[str], *, mixed: bool
) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}
    for metric in metrics:
        points = experiment.points(metric, mixed=mixed)
        found[metric] = {
            str(cell): group["value"].tolist() for cell, group in points.groupby("cell")
        }
    return found


def _judged(
    cell: str, limit: Limit, values: tuple[list[float], list[float]], confidence: float
) -> Judgement:
    before, now = values
    common: dict[str, Any] = {
        "cell": cell, "limit": limit.text, "metric": limit.metric,
        "n": len(now), "n_baseline": len(before),
    }  # fmt: skip
    if not now or (limit.factor and not before):
        where = "here" if not now else "in the baseline"
        # A cell that had values and has none any more is worse, not unknown.
        worse = bool(before) and not now
        verdict = GateVerdict.EXCEEDED if worse else GateVerdict.UNCLEAR
        why = f"no completed migration has a value {where}"
        return Judgement(**common, excess=None, low=None, high=None, verdict=verdict, why=why)
    found = excess(before, now, limit.percent, limit.factor, limit.more, confidence)
    verdict = GateVerdict.UNCLEAR
    if found.low is not None and found.high is not None:
        if found.high <= 0:
            verdict = GateVerdict.HOLDS
        elif found.low > 0:
            verdict = GateVerdict.EXCEEDED
    return Judgement(
        **common, excess=found.value, low=found.low, high=found.high, verdict=verdict,
        why=" ".join(_words(limit, found.value, found.low, found.high)),
    )  # fmt: skip


def _words(limit: Limit, value: float, low: float | None, high: float | None) -> Iterator[str]:
    side = "above" if value > 0 else "below"
    yield f"{amount(limit.metric, abs(value))} {side} the limit"
    if low is None or high is None:
        yield "(n is too small for an interval)"
    else:
        yield f"(interval {amount(limit.metric, low)} to {amount(limit.metric, high)})"
