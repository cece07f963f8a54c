"""The demo's order, and what it refuses before anything starts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from migrationlab.cli.demo_steps import demo, order
from migrationlab.errors import StoreError, UsageError
from migrationlab.plan.uris import Mode


def test_modes_alternate() -> None:
    """Each pair has both modes, in the reverse order of the pair before."""
    normal, peer2peer = Mode.NORMAL, Mode.PEER2PEER
    assert list(order(1)) == [normal, peer2peer]
    assert list(order(3)) == [normal, peer2peer, peer2peer, normal, normal, peer2peer]


@pytest.mark.parametrize("repeats", [2, 4, 10])
def test_each_mode_has_both_directions(repeats: int) -> None:
    """As each migration goes back where the last one came from, each mode goes both ways alike."""
    directions = Counter((mode, number % 2) for number, mode in enumerate(order(repeats)))
    assert len(directions) == 4
    assert set(directions.values()) == {repeats // 2}


@pytest.mark.parametrize("repeats", [0, -1, 1001])
def test_repeats_out_of_range_are_refused(tmp_path: Path, repeats: int) -> None:
    """A number of repeats that makes no sense is refused, and nothing is written."""
    with pytest.raises(UsageError, match="repeats must be an integer") as caught:
        demo(tmp_path, repeats=repeats)
    assert caught.value.hint == "Give --repeats 3."
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_found_before_the_lab_starts(tmp_path: Path) -> None:
    """Where nothing can be written that is found out first, before a lab starts."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as caught:
        demo(tmp_path / "file" / "beneath")
    assert caught.value.hint
