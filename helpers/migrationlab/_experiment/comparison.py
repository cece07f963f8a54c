"""A comparison of two cells, and how it is said in words. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from migrationlab._experiment.statistics import ALPHA, Comparison, Verdict, holm
from migrationlab._experiment.words import amount


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CellComparison(Comparison):
    """How a metric of cell ``b`` differs from that of cell ``a``: see :class:`Comparison`.

    Attributes:
        metric: What is compared, a column of the experiment's frame.
        a: The name of the one cell.
        b: That of the other.
        comparisons: How many comparisons it is one of. Of twenty that are none, one seems to be
            a difference by chance alone.
        p_adjusted: ``p_value`` with that allowed for (Holm 1979).
    """

    metric: str
    a: str
    b: str
    comparisons: int
    p_adjusted: float | None

    def __repr__(self) -> str:
        return f"CellComparison({self.text!r})"

    def __str__(self) -> str:
        return self.text

    @property
    def text(self) -> str:
        """Return it in words: by how much they differ, how sure that is, what is to be done."""
        if self.median_a is None or self.median_b is None:
            without = " and ".join(
                name for name, median in ((self.a, self.median_a), (self.b, self.median_b))
                if median is None
            )  # fmt: skip
            return f"{self.metric}: no value of {without}, so nothing can be compared."
        medians = (
            f"{self.metric}: {amount(self.metric, self.median_b)} with {self.b}, "
            f"{amount(self.metric, self.median_a)} with {self.a} "
            f"(medians of {self.n_b} and {self.n_a} runs)"
        )
        return f"{medians}: {self._difference()}. {self._certainty()}"

    def to_dict(self) -> dict[str, object]:
        """Return it as plain values, its words too."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return values | {"verdict": self.verdict.value, "text": self.text}

    def _difference(self) -> str:
        assert self.difference is not None
        if self.difference == 0:
            said = "no difference"
        else:
            share = "" if self.percent is None else f", {abs(self.percent):.0f} %"
            word = "less" if self.difference < 0 else "more"
            said = f"{amount(self.metric, abs(self.difference))}{share} {word}"
        if self.low is None or self.high is None:
            return said
        low, high = amount(self.metric, self.low), amount(self.metric, self.high)
        return f"{said} (95 % interval of the difference {low} to {high})"

    def _same_medians(self) -> bool:
        unsure = self.low is not None and self.high is not None and self.low <= 0 <= self.high
        return self.difference == 0 or unsure

    def _certainty(self) -> str:
        if self.verdict is Verdict.ALIKE:
            return "For practical purposes they are alike: the interval lies within 5 %."
        chance = "" if self.p_value is None else f" (p {_p(self.p_value)})"
        if self.verdict is Verdict.DIFFERENT:
            assert self.p_adjusted is not None
            if self._same_medians():
                # The test is of ranks: values can lie differently about the same median.
                return f"The medians are not told apart, though the values lie differently{chance}."
            if self.p_adjusted < ALPHA:
                return f"That is hardly chance{chance}."
            return (
                f"That is hardly chance by itself{chance}, but may be as one of "
                f"{self.comparisons} comparisons (adjusted p {_p(self.p_adjusted)}): more runs "
                "would tell."
            )
        if self.more_runs is None:
            return f"n is too small to tell{chance}: even 1000 more runs of each might not."
        runs = "run" if self.more_runs == 1 else "runs"
        return (
            f"n is too small to tell{chance}: about {self.more_runs} more {runs} of each would, "
            "if the difference is as great as it seems."
        )


def together(found: Mapping[tuple[str, str], Comparison], metric: str) -> list[CellComparison]:
    """Return comparisons of cells that are read together.

    Args:
        found: The comparisons, by the names of the two cells.
        metric: What was compared.
    """
    adjusted = holm([each.p_value for each in found.values()])
    tested = sum(each.p_value is not None for each in found.values())
    return [
        CellComparison(
            metric=metric,
            a=a,
            b=b,
            comparisons=tested,
            p_adjusted=p_adjusted,
            **{name: getattr(each, name) for name in Comparison.__slots__},
        )
        for ((a, b), each), p_adjusted in zip(found.items(), adjusted, strict=True)
    ]


def _p(value: float | None) -> str:
    assert value is not None
    return "< 0.001" if value < 0.001 else f"= {value:.2g}"
