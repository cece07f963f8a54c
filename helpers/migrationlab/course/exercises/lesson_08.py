"""Check the exercises of lesson 08: a claim from a few runs, and a figure for a report."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeGuard

import numpy as np
import pandas as pd

from migrationlab.course.answers import is_unfinished, need, need_number
from migrationlab.course.feedback import Feedback, Texts, unfinished
from migrationlab.experiment.results import Results
from migrationlab.experiment.statistics import MIN_FOR_INTERVAL, Verdict, compare, estimate, min_p

METRIC = "total_ms"
BLOCKS = 3
CELLS = ("mode=normal", "mode=peer2peer")
FIELDS = ("n", "median_ms", "low_ms", "high_ms")
_WORDS = ", ".join(f'"{verdict}"' for verdict in Verdict)
#: Other words for the verdict that no claim is possible.
_TOO_FEW = {"too few runs", "too few values", "n too small", "n is too small"}
say = Texts(__file__, words=_WORDS, min_n=MIN_FOR_INTERVAL)


def check_claim(answer: object, recorded: object = None) -> Feedback:
    """Check the claim about the total time that the experiment's first three blocks allow."""
    need(answer, f"Put one of {_WORDS} in the place of the three dots.")
    if not _is_modes(recorded):
        return say.wrong("no-experiment")
    given = re.sub(r"[-_\s]+", " ", str(answer).lower()).strip(" .!")
    given = Verdict.TOO_FEW if given in _TOO_FEW else given
    if given not in list(Verdict):
        return say.wrong("no-verdict", given=given)
    a, b = (_values(recorded, cell, BLOCKS) for cell in CELLS)
    if given == compare(a, b).verdict:
        return say.right("claim")
    few = min_p(len(a), len(b))
    return say.wrong(f"claim-{Verdict(given).name.lower()}", a=len(a), b=len(b), p=few)


def check_figure(answer: object, recorded: object = None) -> Feedback:
    """Check the total time of the peer2peer runs in the form for a report."""
    need(answer, "Fill in four numbers.")
    if not _is_modes(recorded):
        return say.wrong("no-experiment")
    if not isinstance(answer, (Mapping, pd.Series)):
        return say.wrong("figure-kind", kind=type(answer).__name__)
    if missing := [name for name in FIELDS if is_unfinished(answer.get(name))]:
        if missing == ["n"]:
            return say.wrong("no-n")
        return unfinished(f"Fill in {', '.join(missing)}.")
    given = {
        name: need_number(answer[name], f"a number for {name}", "Write it as 10 or 1971.5.")
        for name in FIELDS
    }
    return _check_numbers(given, _values(recorded, CELLS[1]))


def _is_modes(recorded: object) -> TypeGuard[Results]:
    return isinstance(recorded, Results) and {cell.name for cell in recorded.cells} == set(CELLS)


def _check_numbers(given: Mapping[str, float], values: Sequence[float]) -> Feedback:
    """Check n, median and interval of some values."""
    true = estimate(values)
    assert true.median is not None
    without = [value for value, outlier in zip(values, true.outliers, strict=True) if not outlier]
    if given["n"] != true.n:
        if without and given["n"] == len(without):
            return say.wrong("outliers", missing=true.n - len(without), n=true.n)
        return say.wrong("n", n=given["n"])
    if not _near(given["median_ms"], true.median):
        if _near(given["median_ms"], float(np.mean(values))):
            return say.wrong("mean")
        if len(without) < true.n and _near(given["median_ms"], float(np.median(without))):
            return say.wrong("without-outliers")
        return say.wrong("median", median=given["median_ms"])
    if true.low is None or true.high is None:
        return say.wrong("no-interval")
    ends = (given["low_ms"], given["high_ms"])
    if all(map(_near, ends, (true.low, true.high))):
        return say.right("figure")
    if all(map(_near, ends, (true.high, true.low))):
        return say.wrong("exchanged")
    if all(map(_near, ends, (min(values), max(values)))):
        return say.wrong("range")
    return say.wrong("interval")


def _values(recorded: Results, cell: str, blocks: int | None = None) -> list[float]:
    """Return the total times of a cell: of all blocks, or of the first."""
    frame = recorded.frame()
    rows = frame[(frame["cell"] == cell) & (frame["outcome"] == "completed")]
    if blocks is not None:
        rows = rows[rows["block"] <= blocks]
    return [float(value) for value in rows[METRIC].dropna()]


def _near(one: float, other: float) -> bool:
    return math.isclose(one, other, abs_tol=0.6)


CHECKS: dict[str, Callable[..., Feedback]] = {"claim": check_claim, "figure": check_figure}
