"""The sample size explorer: the blocks of an experiment, their figure, and the slider."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from migrationlab import plots
from migrationlab.course.lesson import Lesson
from migrationlab.errors import UsageError
from migrationlab.experiment.comparison import Completion
from migrationlab.experiment.experiment import Experiment
from migrationlab.experiment.sample_size import CumulativeComparison, compare_cumulatively
from migrationlab.experiment.statistics import Verdict
from migrationlab.widgets import SampleSize

TIMEOUT_S = 20
LESSON = Lesson("08", live=False)
MODES = LESSON.experiment("modes")
BLOCKS = MODES.design.repeats
#: Apart from the fourth on, and one value is missing.
APART = CumulativeComparison(
    "total_ms", "slow", "quick", (1, 2, 3, 4, 5),
    (100.0, 101.0, 102.0, 103.0, None), (90.0, 91.0, 92.0, 93.0, 94.0),
    (Completion(1, 1),) * 5, (Completion(1, 1),) * 5,
)  # fmt: skip


def test_all_blocks_give_the_experiments_comparison() -> None:
    """All blocks, in any order, give the experiment's own comparison."""
    whole = MODES.compare("mode=normal", "mode=peer2peer", "total_ms")
    for seed in (0, 1):
        last = compare_cumulatively(MODES, seed=seed).comparisons[-1]
        assert (last.n_a, last.n_b) == (whole.n_a, whole.n_b)
        assert (last.difference, last.verdict) == (whole.difference, whole.verdict)


def test_first_blocks_were_measured_first() -> None:
    """Three blocks have the values that the experiment had after three repeats."""
    frame = MODES.frame()
    early = frame[frame["block"] <= 3]
    for cell, values in zip(
        ("mode=normal", "mode=peer2peer"), compare_cumulatively(MODES).first(3), strict=True
    ):
        assert sorted(values) == sorted(early.loc[early["cell"] == cell, "total_ms"].astype(float))


def test_another_order_has_the_same_blocks() -> None:
    """A seed shuffles whole blocks, and each block keeps its values."""
    first, other = compare_cumulatively(MODES), compare_cumulatively(MODES, seed=1)
    assert first.order == tuple(range(1, BLOCKS + 1))
    assert other.order != first.order
    assert sorted(other.order) == sorted(first.order)
    pairs = [set(zip(g.values_a, g.values_b, strict=True)) for g in (first, other)]
    assert pairs[0] == pairs[1]
    assert compare_cumulatively(MODES, seed=1).order == other.order


def test_three_values_are_too_few_and_five_have_no_interval() -> None:
    """For any values, three of each are too few, and five have no interval."""
    for metric in ("total_ms", "downtime_event_ms", "transferred_bytes"):
        told = compare_cumulatively(MODES, metric).comparisons
        assert {one.verdict for one in told[:3]} == {Verdict.TOO_FEW}
        assert all(one.verdict is not Verdict.TOO_FEW for one in told[3:])
        assert [one.low is not None for one in told] == [n >= 6 for n in range(1, BLOCKS + 1)]


def test_separate_values_differ_from_four_on() -> None:
    """Separate values differ from four blocks on, and missing values are not counted."""
    assert [one.verdict for one in APART.comparisons] == [Verdict.TOO_FEW] * 3 + [
        Verdict.DIFFERENT
    ] * 2
    assert (APART.comparisons[-1].n_a, APART.comparisons[-1].n_b) == (4, 5)


def test_setting_that_never_completes_is_reported() -> None:
    """Without a value there is no difference for any number of blocks, but there is a figure."""
    grown = compare_cumulatively(LESSON.experiment("fixes"), pair=("nothing", "zstd"))
    assert {one.difference for one in grown.comparisons} == {None}
    assert "none of 2 migrations with nothing" in grown.comparisons[1].text
    assert "too few" in plots.sample_size(grown, 2).title


def test_missing_value_is_not_an_incomplete_migration() -> None:
    """A completed run without a value of the metric is not reported as never completed."""
    nothing = replace(APART, values_b=(None,) * 5)
    assert not nothing.at(3).never_completes
    assert nothing.at(3).text == "total_ms: no value of quick, so nothing can be compared."
    failed = replace(nothing, ends_b=(Completion(1, 0), *[Completion(0, 0)] * 4))
    assert "none of 1 migrations with quick completed. That is the diff" in failed.at(3).text


def test_experiment_without_runs_names_the_cell_to_run(tmp_path: Path) -> None:
    """Before anything is measured the error names the cell to run."""
    unmade = Experiment("Which?", grid={"mode": ["normal", "peer2peer"]}, directory=tmp_path)
    with pytest.raises(UsageError, match="must have runs") as caught:
        SampleSize(unmade)
    assert ".run()" in caught.value.hint


def test_unknown_cell_metric_and_block_are_refused() -> None:
    """The error names the unknown cell, the unknown metric or the missing blocks."""
    for n in (0, 6):
        with pytest.raises(UsageError, match=f"n must be an integer from 1 to 5 .got {n}"):
            plots.sample_size(APART, n)
    with pytest.raises(UsageError, match="gremlins"):
        compare_cumulatively(MODES, pair=("mode=normal", "gremlins"))
    with pytest.raises(UsageError, match="gremlins_ms"):
        compare_cumulatively(MODES, "gremlins_ms")


@pytest.mark.parametrize("n", [1, 3, 5])
def test_figure_states_number_of_runs_and_verdict(n: int) -> None:
    """Title and description have the number of runs and the verdict."""
    picture = plots.sample_size(APART, n)
    assert f"with {n} runs of each" in picture.title
    assert ("they differ" in picture.title) == (n >= 4)
    assert f"the first {n} of each filled" in picture.alt
    assert "for the first time with 4 of each" in picture.alt
    assert "quick" in picture.alt


def test_figure_says_if_no_difference_is_found() -> None:
    """If no number of blocks shows a difference, the description states it."""
    values, ends = (1.0, 2.0, 3.0), (Completion(1, 1),) * 3
    same = CumulativeComparison("total_ms", "a", "b", (1, 2, 3), values, values, ends, ends)
    assert "at no number of runs" in plots.sample_size(same, 3).alt


# --- the slider ---------------------------------------------------------------------------------


def test_slider_changes_text_and_figure() -> None:
    """For each number of runs the text changes at once, and the figure follows."""
    sizes = SampleSize(MODES)
    for number in (3, 6, BLOCKS):
        sizes.number.value = number
        assert f"(medians of {number} and {number} runs)" in sizes.verdict.value
        assert ("95 % interval" in sizes.verdict.value) == (number >= 6)
        assert 'role="status"' in sizes.verdict.value
        assert sizes.wait(TIMEOUT_S)
        assert f"with {number} runs of each" in sizes.figure.value
    sizes.close()


def test_order_and_metric_can_be_changed() -> None:
    """Another order or another metric keeps the number of runs."""
    sizes = SampleSize(MODES)
    order = sizes.grown.order
    sizes.again_button.click()
    assert sizes.grown.order != order
    shuffled = sizes.grown.order
    sizes.metric.value = "transferred_bytes"
    assert sizes.grown.order == shuffled
    assert sizes.grown.metric == "transferred_bytes"
    assert "transferred_bytes" in sizes.verdict.value
    assert sizes.number.value == 3
    assert sizes.wait(TIMEOUT_S)
    sizes.close()


def test_slider_ends_at_the_number_of_blocks() -> None:
    """The slider of three blocks ends at three, and each pair of cells can be chosen."""
    sizes = SampleSize(
        LESSON.experiment("compression"), "downtime_event_ms", pair=("zstd", "plain")
    )
    assert (sizes.number.min, sizes.number.max) == (2, 3)
    assert (sizes.grown.a, sizes.grown.b) == ("zstd", "plain")
    assert sizes.wait(TIMEOUT_S)
    sizes.close()


def test_saved_explorer_shows_figure_and_text() -> None:
    """Without a kernel there are text and figure, and the repr has no memory address."""
    sizes = SampleSize(MODES)
    bundle = sizes._repr_mimebundle_()
    assert bundle["text/plain"] == repr(sizes) == f"SampleSize('total_ms', 3 of {BLOCKS})"
    assert "n is too small to tell" in bundle["text/html"]
    assert "<img " in bundle["text/html"]
    sizes.close()
