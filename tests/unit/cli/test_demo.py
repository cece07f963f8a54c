"""The demo's order, and what it refuses before anything starts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from migrationlab.cli.demo_steps import demo, order
from migrationlab.errors import StoreError, UsageError
from migrationlab.plan.uris import Mode


def test_modes_alternate() -> None:
    """Each pair of migrations has both modes, in the reverse order of the previous pair."""
    normal, peer2peer = Mode.NORMAL, Mode.PEER2PEER
    assert list(order(1)) == [normal, peer2peer]
    assert list(order(3)) == [normal, peer2peer, peer2peer, normal, normal, peer2peer]


@pytest.mark.parametrize("repeats", [2, 4, 10])
def test_each_mode_has_both_directions(repeats: int) -> None:
    """Each mode migrates equally often in each direction."""
    directions = Counter((mode, number % 2) for number, mode in enumerate(order(repeats)))
    assert len(directions) == 4
    assert set(directions.values()) == {repeats // 2}


@pytest.mark.parametrize("repeats", [0, -1, 1001])
def test_repeats_out_of_range_are_refused(tmp_path: Path, repeats: int) -> None:
    """A number of repeats out of range is refused, and no file is written."""
    with pytest.raises(UsageError, match="repeats must be an integer") as caught:
        demo(tmp_path, repeats=repeats)
    assert caught.value.hint == "Give --repeats 3."
    assert list(tmp_path.iterdir()) == []


def test_unwritable_output_folder_is_refused_before_the_lab_starts(tmp_path: Path) -> None:
    """An output folder that cannot be written is refused before a lab starts."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as caught:
        demo(tmp_path / "file" / "beneath")
    assert caught.value.hint
