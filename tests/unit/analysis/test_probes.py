"""What slower probes would have reported of a pause, from beats each millisecond."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from migrationlab.analysis.probes import ANSWER_MS, INTERVALS_MS, probe_reports
from migrationlab.runs.store import load_run
from paths import RECORDINGS

MS = 1_000_000
START = 1_800_000_000_000 * MS


def beats(silent_from: int, silent_until: int, end: int = 3000) -> pd.DataFrame:
    """Return a beat each millisecond, except in a silence."""
    ms = np.array([n for n in range(end) if not silent_from < n < silent_until])
    return pd.DataFrame({"arrival_ns": START + ms * MS, "sequence": np.arange(len(ms))})


def reports(silence_ms: int, interval_ms: int) -> pd.Series:
    """Return what a probe reports of a silence that begins after 1,000 ms."""
    found = probe_reports(beats(1000, 1000 + silence_ms), START, START + 2900 * MS, [interval_ms])
    return found.iloc[0]


@pytest.mark.parametrize(("silence_ms", "percent"), [(320, 70), (520, 50), (920, 10)])
def test_probe_each_second_misses_a_pause_as_often_as_it_is_short(
    silence_ms: int, percent: float
) -> None:
    """A question is lost if it falls into the silence, less the time that an answer may take."""
    found = reports(silence_ms, 1000)
    assert found["starts"] == 1000
    assert found["unnoticed_percent"] == pytest.approx(percent, abs=0.2)
    assert (found["least_ms"], found["most_ms"]) == (0, 1000)


def test_probe_each_50_ms_is_wrong_by_its_interval() -> None:
    """A silence of 320 ms, of which 300 ms are lost to questions, is reported as 300 ms."""
    found = reports(300 + ANSWER_MS, 50)
    assert found["unnoticed_percent"] == 0
    assert (found["least_ms"], found["median_ms"], found["most_ms"]) == (250, 300, 300)


def test_no_question_is_lost_while_the_guest_runs() -> None:
    """Without a silence no probe reports a downtime."""
    assert reports(1, 50)["most_ms"] == 0


def test_nothing_is_reported_without_beats() -> None:
    """A guest without beats has an empty frame."""
    assert not len(probe_reports(beats(0, 0, 0), START, START + MS))


def test_recorded_pause_is_missed_by_a_probe_each_second() -> None:
    """Of a real pause of some 300 ms, two of three probes each second notice nothing."""
    run = load_run(next(RECORDINGS.glob("outcomes/completed-normal")))
    line = run.timeline()
    assert line.silent_from_ns is not None
    assert line.silent_until_ns is not None
    found = probe_reports(
        run.beats, line.silent_from_ns - 1000 * MS, line.silent_until_ns + 1000 * MS
    ).set_index("interval_ms")
    assert tuple(found.index) == INTERVALS_MS
    silence = line.downtime_network_ms
    assert silence is not None
    missed = 100 - (silence - ANSWER_MS) / 10
    assert found.loc[1000, "unnoticed_percent"] == pytest.approx(missed, abs=1)
    assert abs(found.loc[50, "median_ms"] - silence) <= 50 + ANSWER_MS
