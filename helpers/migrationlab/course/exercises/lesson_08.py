"""The checks of lesson 08: what few runs allow to claim, and how a figure stands in a report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeGuard

import numpy as np

from migrationlab.course.feedback import (
    Feedback,
    is_unfinished,
    number_of,
    right,
    unfinished,
    wrong,
)
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
    """Check what the first three blocks of the experiment allow to claim of the total time.

    Args:
        answer: One of the verdicts.
        recorded: The experiment.
    """
    if is_unfinished(answer):
        return unfinished(f"Put one of {_WORDS} in the place of the three dots.")
    if not _is_modes(recorded):
        return _NO_EXPERIMENT
    given = str(answer).strip().lower()
    if given not in list(Verdict):
        return wrong(f"{given!r} is none of the verdicts.", f"Choose of {_WORDS}.")
    a, b = (_values(recorded, cell, BLOCKS) for cell in CELLS)
    verdict = compare(a, b).verdict
    if given == verdict:
        return right("Three of each allow no claim, however far apart they lie.")
    least = min_p(len(a), len(b))
    hints = {
        Verdict.DIFFERENT: f"{len(a)} and {len(b)} values have so few orders that even the most "
        f"extreme comes about by chance with p = {least:.1f}, where less than 0.05 is asked.",
        Verdict.ALIKE: "To show that two are alike takes an interval of their difference that lies "
        f"within 5 %, and fewer than {MIN_FOR_INTERVAL} values of each have none.",
        Verdict.UNCLEAR: f"Near, but n = {len(a)} says more: no values could be told apart.",
    }
    return wrong(f"{given} cannot be claimed.", hints.get(Verdict(given), "Look at n."))


def check_figure(answer: object, recorded: object = None) -> Feedback:
    """Check the total time of the peer2peer runs, as it stands in a report.

    Args:
        answer: n, median, and both ends of its interval, by their names.
        recorded: The experiment.
    """
    if is_unfinished(answer):
        return unfinished("Fill in four numbers.")
    if not _is_modes(recorded):
        return _NO_EXPERIMENT
    if not isinstance(answer, Mapping):
        return wrong(
            f"That is a {type(answer).__name__}: a figure alone says nothing of how sure it is.",
            "Keep the braces, and fill in n, the median, and both ends of its interval.",
        )
    if missing := [name for name in FIELDS if is_unfinished(answer.get(name))]:
        if missing == ["n"]:
            return wrong("Without n nobody can judge the figure.", "Count the runs behind it.")
        return unfinished(f"Fill in {', '.join(missing)}.")
    numbers = {name: number_of(answer[name]) for name in FIELDS}
    if bad := [name for name, number in numbers.items() if number is None]:
        return wrong(f"{bad[0]} is no number: {answer[bad[0]]!r}.", "Write it as 10 or 1971.5.")
    values = _values(recorded, CELLS[1])
    return _judge({name: float(number or 0.0) for name, number in numbers.items()}, values)


def _is_modes(recorded: object) -> TypeGuard[Results]:
    return isinstance(recorded, Results) and {cell.name for cell in recorded.cells} == set(CELLS)


def _judge(given: Mapping[str, float], values: Sequence[float]) -> Feedback:
    """Judge n, median and interval of some values."""
    told = estimate(values)
    assert told.median is not None
    kept = [value for value, odd in zip(values, told.outliers, strict=True) if not odd]
    if given["n"] != told.n:
        if kept and given["n"] == len(kept):
            return wrong(
                f"{told.n - len(kept)} of {told.n} runs are missing: those marked as outliers.",
                "An outlier is looked at, and counts like all others. The median bears it.",
            )
        return wrong(
            f"n is not {given['n']:.0f}.", "Count the completed runs of this one setting: summary."
        )
    if not _near(given["median_ms"], told.median):
        if _near(given["median_ms"], float(np.mean(values))):
            return wrong(
                "That is the mean.", "One slow run pulls it along; the median is asked for."
            )
        if len(kept) < told.n and _near(given["median_ms"], float(np.median(kept))):
            return wrong("That is the median without the outliers.", "They count like all others.")
        other = "Of the two rows of the summary it is the one of peer2peer."
        return wrong(f"The median is not {given['median_ms']:g} ms.", other)
    if told.low is None or told.high is None:
        return wrong("So few values have no interval.", "Take the whole experiment.")
    ends = (given["low_ms"], given["high_ms"])
    if all(map(_near, ends, (told.low, told.high))):
        return right("n, median and interval: somebody else can judge that, and repeat it.")
    if all(map(_near, ends, (told.high, told.low))):
        return wrong("Low and high are exchanged.", "low is the lesser.")
    if all(map(_near, ends, (min(values), max(values)))):
        return wrong(
            "Those are the least and the greatest run.",
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
