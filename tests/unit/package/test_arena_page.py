"""The page of the arena follows from the recorded runs."""

from __future__ import annotations

from bench.arena_page import FOLDER, PAGE, text
from migrationlab.experiment.experiment import Experiment


def test_page_is_that_of_the_recorded_arena() -> None:
    """No number of ``data/arena.md`` is written by hand."""
    assert PAGE.read_text("utf-8") == text(Experiment.load(FOLDER))
