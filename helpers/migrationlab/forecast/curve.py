"""Hold a dirty curve: how many different pages a guest writes within a time.

Theory of operation. Pre-copy sends a page again if the guest wrote it since the last iteration
began, however often. So not the rate of writing matters, but D(t): the number of *different* pages
written within t seconds. D rises, and it is concave: the longer the time, the more writes go to
pages that were written before. A *rate* is D(t)/t for one t, and says little about another t.

A curve is a list of measured points, linear from (0, 0) between them. Beyond the last point it
goes on with the last slope, the most that a concave curve can do, up to the guest's pages that are
not zero. Before the first point it can only lie between the line and the first value: see
``early`` of :meth:`DirtyCurve.written`.

Counts are of a *sample* of pages, as QEMU's ``calc-dirty-rate`` takes them. A sample is noisy:
points that fall, or that bend upwards, within :data:`NOISE` standard deviations are pooled
(isotonic regression of the slopes); beyond that they are an error.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from migrationlab.errors import UsageError
from migrationlab.forecast.job_curve import curve_of_job
from migrationlab.forecast.numbers import require_within
from migrationlab.forecast.written import Written, concave
from migrationlab.plan.wording import quote

Pattern = Literal["sequential", "random"]

MIB = 1024 * 1024
#: So many standard deviations of the sample a point may lie below a concave curve.
NOISE = 3.0
#: Less is nothing: a page in an hour.
LEAST_MIB_S = 1e-6
#: The points that represent the curve of random writes.
RANDOM_POINTS = 24
_KEYS = ("period_ms", "dirty_pages", "sampled_pages", "zero_pages", "total_pages", "page_bytes")
#: The same in the answer of the extended ``query-dirty-rate`` proposed to QEMU (A. Gudkov,
#: "migration/calc-dirty-rate: tool to predict migration time", qemu-devel, 2023).
_QMP = dict(
    zip(
        ("periods", "n-dirty-pages", "n-sampled-pages", "n-zero-pages", "n-total-pages",
         "page-size"), _KEYS, strict=True,
    )
)  # fmt: skip
_HINT = (
    'Give JSON such as {"period_ms": [1000, 2000], "dirty_pages": [90, 150], '
    '"sampled_pages": 512, "zero_pages": 100, "total_pages": 262144, "page_bytes": 4096}.'
)
_MEASURE = "Measure it again: migrationlab dirty-rate DOMAIN --on URI -o FILE"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DirtyCurve:
    """How many different pages of a guest are written within a time.

    Make one with :meth:`constant`, :meth:`from_points`, :meth:`from_run` or :meth:`from_json`, or
    measure one with :func:`migrationlab.measure_dirty_rate`.

    Attributes:
        period_ms: The times, ascending.
        dirty_pages: The pages of the sample that were written within each time.
        sampled_pages: The size of the sample.
        zero_pages: The pages of the sample that were all zeros.
        total_pages: The guest's pages; None if only the written part is known.
        page_bytes: The size of a page.

    Raises:
        UsageError: The values cannot be those of a guest.
    """

    period_ms: tuple[float, ...]
    dirty_pages: tuple[float, ...]
    sampled_pages: int
    zero_pages: int = 0
    total_pages: int | None = None
    page_bytes: int = 4096

    def __post_init__(self) -> None:
        for name in ("period_ms", "dirty_pages"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        if not self.period_ms:
            raise UsageError("period_ms must have at least one point (got none)", hint=_HINT)
        if len(self.period_ms) != len(self.dirty_pages):
            raise UsageError(
                f"dirty_pages must have one count for each of the {len(self.period_ms)} periods "
                f"(got {len(self.dirty_pages)})",
                hint=_HINT,
            )
        _require_counts(self)
        _require_periods(self.period_ms)
        _require_concave(self)

    def __repr__(self) -> str:
        count = len(self.period_ms)
        points = f"{count} point{'s' if count > 1 else ''}"
        return (
            f"DirtyCurve({points} to {self.period_ms[-1] / 1000:g} s, "
            f"{self.rate_mib_s():.1f} MiB/s within {self.period_ms[0]:g} ms, "
            f"{self.working_set_mib():.0f} MiB written at most)"
        )

    @classmethod
    def constant(
        cls,
        rate_mib_s: float,
        working_set_mib: float,
        pattern: Pattern = "sequential",
        *,
        memory_mib: float | None = None,
        zero_mib: float = 0,
    ) -> Self:
        """Return the curve of a guest that writes a working set at a constant rate.

        In sequence, D(t) is ``rate * t`` up to the working set W. At random, it is
        ``W * (1 - exp(-rate * t / W))``: the expected number of different pages of independent
        draws.

        Args:
            rate_mib_s: The rate of writing.
            working_set_mib: The part of memory that is written again and again.
            pattern: "sequential" or "random".
            memory_mib: The guest's memory; None leaves it to :func:`migrationlab.forecast`.
            zero_mib: The part of the memory that is all zeros.

        Raises:
            UsageError: A value is impossible.
        """
        require_within("rate_mib_s", rate_mib_s, 0, 1e7, "MiB/s")
        require_within("working_set_mib", working_set_mib, 4096 / MIB, 1e9, "MiB")
        if memory_mib is not None:
            require_within("memory_mib", memory_mib, 4096 / MIB, 1e9, "MiB")
            if memory_mib < working_set_mib:
                raise UsageError(
                    f"memory_mib must be at least the working set of {working_set_mib:g} MiB "
                    f"(got {memory_mib:g})",
                    hint=f"Give memory_mib={working_set_mib:g} or more.",
                )
        if pattern not in ("sequential", "random"):
            raise UsageError(
                f"pattern must be 'sequential' or 'random' (got {quote(str(pattern))})",
                hint="Write pattern='sequential'.",
            )
        pages = working_set_mib * MIB / 4096
        total = None if memory_mib is None else round(memory_mib * MIB / 4096)
        sampled = math.ceil(pages) if total is None else total
        if rate_mib_s < LEAST_MIB_S:
            times, written = [1.0], [0.0]
        elif pattern == "sequential":
            times, written = [working_set_mib / rate_mib_s], [pages]
            # A second point says that nothing more is written.
            times.append(2 * times[0])
            written.append(pages)
        else:
            # The last points are at 99.9 % of the working set, and where no more is left.
            shares = [1 - 0.001 ** (i / (RANDOM_POINTS - 2)) for i in range(1, RANDOM_POINTS - 1)]
            scale = working_set_mib / rate_mib_s
            times = [-scale * math.log1p(-share) for share in shares]
            written = [share * pages for share in shares]
            times += [2 * times[-1], 3 * times[-1]]
            written += [pages, pages]
        return cls(
            period_ms=tuple(1000 * seconds for seconds in times), dirty_pages=tuple(written),
            sampled_pages=sampled, zero_pages=round(zero_mib * MIB / 4096), total_pages=total,
        )  # fmt: skip

    @classmethod
    def from_points(  # noqa: PLR0917 (the order of the measured answer)
        cls,
        period_ms: Sequence[float],
        dirty_pages: Sequence[float],
        sampled_pages: int,
        total_pages: int,
        zero_pages: int = 0,
        page_bytes: int = 4096,
    ) -> Self:
        """Return the curve of measured points.

        Args:
            period_ms: The times in milliseconds, ascending.
            dirty_pages: For each time, how many pages of the sample were written by then.
            sampled_pages: The size of the sample.
            total_pages: The guest's pages.
            zero_pages: The pages of the sample that were all zeros.
            page_bytes: The size of a page.

        Raises:
            UsageError: The values cannot be those of a guest.
        """
        return cls(
            period_ms=tuple(period_ms), dirty_pages=tuple(dirty_pages),
            sampled_pages=sampled_pages, zero_pages=zero_pages, total_pages=total_pages,
            page_bytes=page_bytes,
        )  # fmt: skip

    @classmethod
    def from_run(cls, run: Any) -> Self:
        """Return the curve that a recorded migration shows: each of its iterations is a point.

        See :mod:`migrationlab.forecast.job_curve`.

        Raises:
            UsageError: The run has no two iterations with samples of the job.
        """
        return cls(**curve_of_job(run.job, f"run {run.run_id}"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the curve of a JSON text, as :meth:`to_json` writes it; other keys are ignored.

        Raises:
            UsageError: The text is no JSON of a curve, or its values are impossible.
        """
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"the curve must be JSON (got {error})", hint=_HINT) from error
        if not isinstance(found, Mapping):
            raise UsageError(
                f"the curve must be a JSON object (got {type(found).__name__})", hint=_HINT
            )
        values = {_QMP.get(name, name): value for name, value in found.items()}
        if missing := [name for name in _KEYS if name not in values]:
            raise UsageError(
                f"the curve must have {', '.join(_KEYS)} (got no {', '.join(missing)})", hint=_HINT
            )
        if values["total_pages"] is None:
            raise UsageError("total_pages must be a whole number (got null)", hint=_HINT)
        return cls(**{name: values[name] for name in _KEYS})

    def to_json(self) -> str:
        """Return the curve as a JSON object, whose keys are the attributes.

        Raises:
            UsageError: The guest's memory is not known.
        """
        if self.total_pages is None:
            raise UsageError(
                "total_pages must be known (got None)", hint="Give constant(…, memory_mib=256)."
            )
        return json.dumps({name: getattr(self, name) for name in _KEYS})

    @property
    def scale(self) -> float:
        """Return the guest's pages for each page of the sample."""
        return 1.0 if self.total_pages is None else self.total_pages / self.sampled_pages

    def rate_mib_s(self, within_s: float | None = None) -> float:
        """Return D(t)/t in MiB/s; by default for the shortest measured time."""
        seconds = self.period_ms[0] / 1000 if within_s is None else within_s
        return self.written()(seconds) * self.page_bytes / MIB / seconds

    def working_set_mib(self) -> float:
        """Return the memory that was written within the longest measured time, in MiB."""
        return self.written().pages[-1] * self.page_bytes / MIB

    def written(
        self,
        *,
        dirty_pages: Iterable[float] | None = None,
        early: float = 1.0,
        beyond: float = 1.0,
        most: float | None = None,
    ) -> Written:
        """Return D(t) of the whole guest.

        Args:
            dirty_pages: Other counts for the same times, for example of a resampling.
            early: The exponent of the curve before the first point, from 0 (all of it written at
                once) to 1 (a line): concavity allows no more.
            beyond: The slope beyond the last point, as a share of the last slope: 0 to 1.
            most: The pages that can be written; by default the guest's pages that are not zero.
        """
        seconds = np.array(self.period_ms) / 1000
        counts = np.array(self.dirty_pages if dirty_pages is None else list(dirty_pages))
        pages = concave(seconds, counts) * self.scale
        slope = pages[-1] - (pages[-2] if len(pages) > 1 else 0.0)
        slope /= seconds[-1] - (seconds[-2] if len(pages) > 1 else 0.0)
        if most is None:
            most = (self.sampled_pages - self.zero_pages) * self.scale
        return Written(
            (0.0, *seconds.tolist()), (0.0, *pages.tolist()), max(float(slope), 0.0) * beyond,
            float(max(most, pages[-1])), early,
        )  # fmt: skip

    def resampled(self, random: np.random.Generator) -> list[float]:
        """Return counts that another sample of the same guest could have."""
        if self.total_pages is None or self.sampled_pages >= self.total_pages:
            return list(self.dirty_pages)
        # The same pages are looked at for each time, so it is the increments that vary.
        steps = np.diff(np.array([0.0, *concave(np.array(self.period_ms), self.dirty_pages)]))
        left = max(self.sampled_pages - float(steps.sum()), 0.0)
        shares = np.maximum(np.append(steps, left), 0.5)  # a count of 0 is not certain either
        drawn = random.dirichlet(shares) * self.sampled_pages
        spread = math.sqrt(1 - self.sampled_pages / self.total_pages)
        steps += (drawn[:-1] - steps) * spread
        return [float(count) for count in np.cumsum(steps).clip(0)]

    def replaced(self, **changes: Any) -> Self:
        """Return a copy with other values."""
        return dataclasses.replace(self, **changes)


def _numbers(name: str, values: object) -> tuple[float, ...]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise UsageError(f"{name} must be a list of numbers (got {quote(str(values))})", hint=_HINT)
    listed = list(values)
    for value in listed:
        require_within(f"each of {name}", value, 0, 1e15, "")
    return tuple(value if isinstance(value, int) else float(value) for value in listed)


def _require_counts(curve: DirtyCurve) -> None:
    for name in ("sampled_pages", "zero_pages", "total_pages", "page_bytes"):
        value = getattr(curve, name)
        least = 0 if name == "zero_pages" else 1
        if name == "total_pages" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**52:
            raise UsageError(
                f"{name} must be a whole number of at least {least} (got {quote(str(value))})",
                hint=_HINT,
            )
    bytes_ = curve.page_bytes
    if bytes_ & (bytes_ - 1) or not 1024 <= bytes_ <= 2**30:
        raise UsageError(
            f"page_bytes must be a power of two from 1024 to 2^30 (got {bytes_})",
            hint="Give page_bytes=4096, as on x86.",
        )
    if curve.total_pages is not None and curve.sampled_pages > curve.total_pages:
        raise UsageError(
            f"sampled_pages must be at most total_pages, {curve.total_pages} "
            f"(got {curve.sampled_pages})",
            hint="Exchange the two if they were confused.",
        )
    for name, most in (("zero_pages", curve.zero_pages), ("dirty_pages", max(curve.dirty_pages))):
        if most > curve.sampled_pages:
            raise UsageError(
                f"{name} must be at most sampled_pages, {curve.sampled_pages} (got {most:g}): "
                "they count pages of the sample",
                hint="Divide a count of the whole guest by total_pages / sampled_pages.",
            )


def _require_periods(period_ms: tuple[float, ...]) -> None:
    before = 0.0
    for value in period_ms:
        if value <= before:
            raise UsageError(
                f"period_ms must rise from above 0 (got {value:g} after {before:g})",
                hint="Sort the points by time, each time once.",
            )
        before = value


def _require_concave(curve: DirtyCurve) -> None:
    """Raise UsageError if the points fall or bend upwards by more than the sample's noise."""
    times = (0.0, *curve.period_ms)
    counts = (0.0, *curve.dirty_pages)
    noise = _noise(curve)
    for i in range(1, len(times) - 1):
        if counts[i + 1] < counts[i] - NOISE * (noise(counts[i]) + noise(counts[i + 1])):
            raise UsageError(
                f"dirty_pages must not fall with time (got {counts[i]:g} within {times[i]:g} ms, "
                f"and {counts[i + 1]:g} within {times[i + 1]:g} ms)",
                hint=_MEASURE,
            )
        share = (times[i] - times[i - 1]) / (times[i + 1] - times[i - 1])
        line = counts[i - 1] + share * (counts[i + 1] - counts[i - 1])
        allowed = noise(counts[i]) + noise(line)
        if counts[i] < line - NOISE * allowed - 1.0:  # counts are whole pages
            raise UsageError(
                f"dirty_pages must be concave: new pages cannot come faster and faster (got "
                f"{counts[i]:g} within {times[i]:g} ms, less than {line:.0f} on the line between "
                "its neighbours)",
                hint=_MEASURE,
            )


def _noise(curve: DirtyCurve) -> Callable[[float], float]:
    """Return the standard deviation of a count, by the count (hypergeometric)."""
    sampled, total = curve.sampled_pages, curve.total_pages
    unseen = 0.0 if total is None or total <= 1 else (total - sampled) / (total - 1)

    def deviation(count: float) -> float:
        # A page more or less is noise in any sample.
        share = min(max(count, 1.0), max(sampled - 1.0, 1.0)) / sampled
        return math.sqrt(max(sampled * share * (1 - share), 0.0) * unseen)

    return deviation
