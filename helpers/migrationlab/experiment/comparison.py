"""Compare two cells, and describe the result in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from migrationlab.experiment.statistics import ALPHA, Comparison, Verdict, holm, more_runs
from migrationlab.runs.numbers import amount


class Completion(NamedTuple):
    """The number of completed migrations of a cell."""

    made: int
    completed: int

    @property
    def never(self) -> bool:
        """Return whether migrations were made, and none completed."""
        return self.made > 0 and not self.completed


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CellComparison(Comparison):
    """A metric of cell ``b`` compared with the metric of cell ``a``: see :class:`Comparison`.

    Attributes:
        metric: The metric, a column of the experiment's frame.
        a, b: The names of the cells.
        comparisons: The number of comparisons made together. Of twenty comparisons without any real
            difference, one seems different by chance; ``more_runs`` allows for it.
        p_adjusted: ``p_value``, adjusted for the number of comparisons (Holm 1979).
        ends_a, ends_b: The numbers of completed migrations of ``a`` and ``b``.
    """

    metric: str
    a: str
    b: str
    comparisons: int
    p_adjusted: float | None
    ends_a: Completion
    ends_b: Completion

    def __repr__(self) -> str:
        return f"CellComparison({self.text!r})"

    def __str__(self) -> str:
        return self.text

    @property
    def text(self) -> str:
        """Return the result in words: the difference, its certainty, and advice."""
        if self.median_a is None or self.median_b is None:
            return f"{self.metric}: {self._without_value()}"
        medians = (
            f"{self.metric}: {amount(self.metric, self.median_b)} with {self.b}, "
            f"{amount(self.metric, self.median_a)} with {self.a} "
            f"(medians of {self.n_b} and {self.n_a} runs)"
        )
        return f"{medians}: {self._difference()}. {self._certainty()}"

    def to_dict(self) -> dict[str, object]:
        """Return the comparison as plain values, with its text."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values |= {key: values[key]._asdict() for key in ("ends_a", "ends_b")}
        return values | {"verdict": self.verdict.value, "text": self.text}

    @property
    def never_completes(self) -> bool:
        """Return whether a cell has no completed migration, so that more runs give no value."""
        return self.ends_a.never or self.ends_b.never

    def _without_value(self) -> str:
        sides = ((self.a, self.median_a, self.ends_a), (self.b, self.median_b, self.ends_b))
        if not self.never_completes:
            without = " and ".join(name for name, median, _ in sides if median is None)
            return f"no value of {without}, so nothing can be compared."
        counts = ", ".join(
            f"{ends.completed or 'none'} of {ends.made} migrations with {name}"
            for name, _, ends in sides
        )
        if all(ends.never for *_, ends in sides):
            return f"{counts} completed, so neither has a value."
        if not all(ends.made for *_, ends in sides):
            return f"{counts} completed, so nothing can be compared yet."
        return f"{counts} completed. That is the difference between them: more runs give no value."

    def _difference(self) -> str:
        assert self.difference is not None
        if self.difference == 0:
            text = "no difference"
        else:
            share = "" if self.percent is None else f", {abs(self.percent):.0f} %"
            word = "less" if self.difference < 0 else "more"
            text = f"{amount(self.metric, abs(self.difference))}{share} {word}"
        if self.low is None or self.high is None:
            return text
        low, high = amount(self.metric, self.low), amount(self.metric, self.high)
        return f"{text} (95 % interval of the difference {low} to {high})"

    def _same_medians(self) -> bool:
        unsure = self.low is not None and self.high is not None and self.low <= 0 <= self.high
        return self.difference == 0 or unsure

    def _certainty(self) -> str:
        if self.verdict is Verdict.EQUIVALENT:
            return "They are equivalent for practical purposes: the interval lies within 5 %."
        chance = "" if self.p_value is None else f" (p {_p(self.p_value)})"
        if self.verdict is Verdict.DIFFERENT:
            assert self.p_adjusted is not None
            if self._same_medians():
                # The test compares ranks: values can be distributed differently about one median.
                return (
                    f"The medians may be equal, but the values are distributed differently{chance}."
                )
            if self.p_adjusted < ALPHA:
                return f"That is hardly chance{chance}."
            return (
                f"Alone that is hardly chance{chance}, but it may be as one of "
                f"{self.comparisons} comparisons (adjusted p {_p(self.p_adjusted)}). n is too "
                f"small to tell: {self._advice()}"
            )
        return f"n is too small to tell{chance}: {self._advice()}"

    def _advice(self) -> str:
        if self.more_runs is None:
            return "even 1000 more runs of each might not be enough."
        runs = "run" if self.more_runs == 1 else "runs"
        return (
            f"about {self.more_runs} more {runs} of each would be enough, if the difference is as "
            "great as it seems."
        )


def adjust_for_multiple_comparisons(
    comparisons: Mapping[tuple[str, str], Comparison],
    metric: str,
    completions: Mapping[str, Completion],
) -> list[CellComparison]:
    """Return comparisons by the names of two cells, with p adjusted for their number."""
    adjusted = holm([each.p_value for each in comparisons.values()])
    tested = sum(each.p_value is not None for each in comparisons.values())
    never = {name: each.never for name, each in completions.items()}
    # With enough runs all pairs are tested, except pairs with a cell that never has a value.
    to_test = sum(not (never[a] or never[b]) for a, b in comparisons)
    return [
        CellComparison(
            metric=metric,
            a=a,
            b=b,
            comparisons=tested,
            p_adjusted=p_adjusted,
            ends_a=completions[a],
            ends_b=completions[b],
            **{name: getattr(each, name) for name in Comparison.__slots__ if name != "more_runs"},
            more_runs=_more_runs(each, p_adjusted, to_test, never=never[a] or never[b]),
        )
        for ((a, b), each), p_adjusted in zip(comparisons.items(), adjusted, strict=True)
    ]


def _more_runs(
    found: Comparison, p_adjusted: float | None, tests: int, *, never: bool
) -> int | None:
    """Return the number of further runs that would decide one of the comparisons made together."""
    if never:
        return None
    chance = p_adjusted is not None and p_adjusted >= ALPHA
    if found.verdict is Verdict.EQUIVALENT or (found.verdict is Verdict.DIFFERENT and not chance):
        return 0
    return more_runs(found.superiority, found.n_a, found.n_b, tests=tests)


def _p(value: float | None) -> str:
    assert value is not None
    return "< 0.001" if value < 0.001 else f"= {value:.2g}"
