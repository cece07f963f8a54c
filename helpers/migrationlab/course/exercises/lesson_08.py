"""The checks of lesson 08: what a few runs allow to claim, and how a figure stands in a report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeGuard

import numpy as np

from migrationlab.course.answers import is_unfinished, need, need_number
from migrationlab.course.feedback import Feedback, right, unfinished, wrong
from migrationlab.experiment.results import Results
from migrationlab.experiment.statistics import (
    MIN_FOR_INTERVAL,
    Verdict,
    compare,
    estimate,
    min_p,
)

METRIC = "total_ms"
BLOCKS = 3
CELLS = ("mode=normal", "mode=peer2peer")
FIELDS = ("n", "median_ms", "low_ms", "high_ms")
_WORDS = ", ".join(f'"{verdict}"' for verdict in Verdict)
_NO_EXPERIMENT = wrong(
    "The check did not get the experiment of the two modes.",
    "Run the cell that makes modes, then this one.",
)


def check_claim(answer: object, recorded: object = None) -> Feedback:
    """Check what the first three blocks of the experiment allow to claim about the total time.

    Args:
        answer: One of the verdicts.
        recorded: The experiment.
    """
    need(answer, f"Put one of {_WORDS} in the place of the three dots.")
    if not _is_modes(recorded):
        return _NO_EXPERIMENT
    given = str(answer).strip().lower()
    if given not in list(Verdict):
        return wrong(f"{given!r} is none of the verdicts.", f"Choose one of {_WORDS}.")
    a, b = (_values(recorded, cell, BLOCKS) for cell in CELLS)
    if given == compare(a, b).verdict:
        return right("Three of each allow no claim, also where they lie far apart.")
    hints = {
        Verdict.DIFFERENT: f"{len(a)} and {len(b)} values have so few orders that even the most "
        f"extreme order has a chance of p = {min_p(len(a), len(b)):.1f}; less than 0.05 is needed.",
        Verdict.EQUIVALENT: f"To show that two are {Verdict.EQUIVALENT}, the interval of their "
        f"difference must lie within 5 %; fewer than {MIN_FOR_INTERVAL} values of each have none.",
        Verdict.UNCLEAR: f"Near, but n = {len(a)} says more: no values could show a difference.",
    }
    return wrong(f"{given} cannot be claimed.", hints.get(Verdict(given), "Look at n."))


def check_figure(answer: object, recorded: object = None) -> Feedback:
    """Check the total time of the peer2peer runs, as it stands in a report.

    Args:
        answer: n, median, and both ends of its interval, by their names.
        recorded: The experiment.
    """
    need(answer, "Fill in four numbers.")
    if not _is_modes(recorded):
        return _NO_EXPERIMENT
    if not isinstance(answer, Mapping):
        return wrong(
            f"This is a {type(answer).__name__}: a single number does not show how sure it is.",
            "Keep the braces, and fill in n, the median, and both ends of its interval.",
        )
    if missing := [name for name in FIELDS if is_unfinished(answer.get(name))]:
        if missing == ["n"]:
            return wrong("Without n nobody can judge the figure.", "Count the runs behind it.")
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
            return wrong(
                f"{true.n - len(without)} of {true.n} runs are missing: those marked as outliers.",
                "Look at an outlier, and count it like all others. It barely moves the median.",
            )
        return wrong(
            f"n is not {given['n']:.0f}.", "Count the completed runs of this one setting: summary."
        )
    if not _near(given["median_ms"], true.median):
        if _near(given["median_ms"], float(np.mean(values))):
            return wrong("This is the mean.", "One slow run moves it; give the median.")
        if len(without) < true.n and _near(given["median_ms"], float(np.median(without))):
            return wrong("This is the median without the outliers.", "They count like all others.")
        other = "Of the two rows of the summary, read the one of peer2peer."
        return wrong(f"The median is not {given['median_ms']:g} ms.", other)
    if true.low is None or true.high is None:
        return wrong("So few values have no interval.", "Take the whole experiment.")
    ends = (given["low_ms"], given["high_ms"])
    if all(map(_near, ends, (true.low, true.high))):
        return right("n, median and interval: other people can judge that, and repeat it.")
    if all(map(_near, ends, (true.high, true.low))):
        return wrong("Low and high are exchanged.", "low is the smaller one.")
    if all(map(_near, ends, (min(values), max(values)))):
        return wrong(
            "These are the minimum and the maximum of the runs.",
            "The interval says where the median lies, and narrows with n: columns low and high.",
        )
    return wrong("These are not the ends of the median's interval.", "Columns low and high.")


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
