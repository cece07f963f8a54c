"""Tests of the release matrix: what its file holds, and what a cell says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from migrationlab.errors import StoreError
from migrationlab.plots.release_matrix import release_matrix
from migrationlab.runs.release_matrix import (
    FAILS,
    LOST,
    MIXED,
    WORKS,
    ReleaseMatrix,
    TriedMigration,
    append,
    load_matrix,
)

#: As the lab recorded it, shortened.
TRIED = TriedMigration(
    source="trixie",
    destination="forky",
    booted_on="trixie",
    mode="normal",
    machine="pc-q35-10.0",
    run_id="20261130-143740-a82fae",
    outcome="completed",
    intact=True,
    downtime_ms=241.3,
    total_ms=2218.2,
    explanation=None,
    error=None,
    destination_log="",
    versions={
        "source_libvirt": "11.3.0",
        "source_qemu": "10.0.13",
        "destination_libvirt": "12.8.0",
        "destination_qemu": "11.1.2",
    },
)
REFUSED = replace(
    TRIED,
    outcome="failed",
    intact=None,
    downtime_ms=None,
    explanation="virtqueue-size",
    error="internal error",
    destination_log="VQ 0 vring.num 1024 exceeds allocated max 256",
)
GONE = replace(TRIED, outcome="guest_lost", intact=None)


def test_matrix_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Each migration is one line; a missing file is an empty matrix."""
    file = tmp_path / "matrix.jsonl"
    assert load_matrix(file).tries == ()
    for tried in (TRIED, REFUSED):
        append(file, tried)
    assert load_matrix(file).tries == (TRIED, REFUSED)


def test_last_line_that_was_cut_is_left_out(tmp_path: Path) -> None:
    """An interrupted write loses one migration; damage elsewhere is an error."""
    file = tmp_path / "matrix.jsonl"
    append(file, TRIED)
    whole = file.read_text()
    file.write_text(whole + whole[:50])
    assert load_matrix(file).tries == (TRIED,)
    file.write_text(whole[:50] + "\n" + whole)
    with pytest.raises(StoreError, match="line 1"):
        load_matrix(file)


@pytest.mark.parametrize(
    ("tries", "word"),
    [
        ((TRIED, TRIED), WORKS),
        ((TRIED, REFUSED), MIXED),
        ((REFUSED, REFUSED), FAILS),
        ((GONE, GONE), LOST),
        ((replace(TRIED, intact=False),), LOST),
    ],
)
def test_cell_says_how_its_tries_ended(tries: tuple[TriedMigration, ...], word: str) -> None:
    """Only a guest that arrives with intact memory counts as working."""
    (cell,) = ReleaseMatrix(tries).cells()
    assert cell.word == word
    assert cell.downtime_ms == (241.3 if TRIED in tries else None)


def test_network_cards_are_cells_of_their_own() -> None:
    """The same way with another network card is another cell."""
    matrix = ReleaseMatrix((REFUSED, replace(TRIED, network_model="vmxnet3")))
    assert [cell.word for cell in matrix.cells()] == [FAILS, WORKS]
    assert matrix.images() == ("trixie", "forky")


def test_disks_are_cells_of_their_own() -> None:
    """A disk, and the length that it asks for, make another cell; older rows have no disk."""
    with_disk = replace(REFUSED, network_model="vmxnet3", disk="local")
    matrix = ReleaseMatrix((TRIED, with_disk, replace(TRIED, disk="local", disk_queue_size=1024)))
    assert [cell.to_dict()["disk"] for cell in matrix.cells()] == [
        "none", "virtio", "virtio, 1024 entries",
    ]  # fmt: skip
    assert [cell.key.plain for cell in matrix.cells()] == [True, False, False]


def test_versions_find_their_cells() -> None:
    """Hosts are known by libvirt's and QEMU's versions, whatever their images are called."""
    matrix = ReleaseMatrix((TRIED,))
    old, new = ("11.3.0", "10.0.13"), ("12.8.0", "11.1.2")
    assert len(matrix.between(old, new)) == 1
    assert matrix.between(new, old) == ()


def test_figure_says_the_result_in_words() -> None:
    """The figure's text names each cell; the way that nobody could try has no cell."""
    drawn = release_matrix(ReleaseMatrix((REFUSED, replace(TRIED, booted_on="forky"))))
    assert drawn.title == "1 of 2 kinds of migration between releases work"
    assert "trixie to forky, normal, booted on trixie: fails" in drawn.alt
    texts = [text.get_text() for text in drawn.figure.axes[0].texts]
    assert "booted on forky:\nworks, 241–241 ms" in texts
    # The way there fails, so nobody could try the way back.
    assert "booted on trixie:\ncannot be there" in texts
    assert "booted on forky:\nnot tried" in texts
