"""The order of the tries of a release matrix, with hosts and guests that only count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from migrationlab.experiment import release_matrix as module
from migrationlab.experiment.release_matrix import OTHER_HARDWARE, run_matrix
from migrationlab.plan.plan import Plan
from migrationlab.runs.release_matrix import CellKey, TriedMigration

NEWER = "forky"


@dataclass(eq=False)
class CountedHost:
    """A host of an image."""

    image: str


@dataclass(eq=False)
class CountedGuest:
    """A guest that is on one of two hosts."""

    lab: CountedLab
    host: CountedHost
    spec: dict[str, Any]

    @property
    def other_host(self) -> CountedHost:
        """Return the host that it can go to."""
        return self.lab.other(self.host)

    def clear(self) -> None:
        """End it."""


@dataclass(eq=False)
class CountedLab:
    """A lab that keeps the specs of its guests."""

    images: tuple[str, str]
    on_step: object
    machine: str = "pc-q35-10.0"
    hosts: tuple[CountedHost, ...] = ()
    booted: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.hosts = tuple(CountedHost(name) for name in self.images)
        return self

    def __exit__(self, *error: object) -> None:
        """Stop it."""

    def other(self, host: CountedHost) -> CountedHost:
        """Return the one host that is not this one."""
        return next(each for each in self.hosts if each is not host)

    def boot(self, on: CountedHost, **spec: Any) -> CountedGuest:
        """Keep the spec, and give a guest on the host."""
        self.booted.append(spec)
        return CountedGuest(self, on, spec)


def refused(key: CellKey) -> bool:
    """Return whether the newer host refuses the guest of a cell, as in data/matrix."""
    if key.booted_on == NEWER or key.destination != NEWER:
        return False
    return key.network_model == "virtio" or (key.disk is not None and key.disk_queue_size is None)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """Let the matrix use such labs; give the plans of all its migrations."""
    made: list[Plan] = []

    def migrate(guest: CountedGuest, *, to: CountedHost, plan: Plan) -> CountedHost:
        made.append(plan)
        return to

    def tried(key: CellKey, run: CountedHost, to: CountedHost, guest: CountedGuest) -> object:
        no = refused(key)
        if not no:
            guest.host = to
        return TriedMigration(
            **{name: getattr(key, name) for name in CellKey.__dataclass_fields__},
            run_id="r", outcome="failed" if no else "completed", intact=True,
            downtime_ms=200.0, total_ms=900.0, error="no" if no else None,
            explanation=module.VIRTQUEUES if no else None, destination_log="", versions={},
        )  # fmt: skip

    monkeypatch.setattr(module, "Lab", CountedLab)
    monkeypatch.setattr(module, "migrate", migrate)
    monkeypatch.setattr(module, "_tried", tried)
    return made


def test_refusal_of_queues_is_tried_with_other_hardware(tmp_path: Path, plans: list[Plan]) -> None:
    """A refused guest is tried with another card, with a disk, and with a longer queue."""
    cells = run_matrix(["trixie", NEWER], tmp_path, repeats=1).cells()
    there = [
        (cell.key.network_model, cell.key.disk_words, cell.word)
        for cell in cells
        if cell.key.mode == "normal" and cell.key.booted_on == "trixie"
        if (cell.key.source, cell.key.destination) == ("trixie", NEWER)
    ]
    assert there == [
        ("virtio", "none", "fails"),
        ("vmxnet3", "none", "works"),
        ("vmxnet3", "virtio", "fails"),
        ("vmxnet3", "virtio, 1024 entries", "works"),
    ]
    # A guest of the newer host goes both ways as it is.
    assert all(cell.key.plain for cell in cells if cell.key.booted_on == NEWER)
    copied = [plan for plan in plans if plan.copy_storage == "full"]
    assert len(copied) == sum(cell.key.disk is not None for cell in cells)


@pytest.mark.parametrize("after", range(1, 16))
def test_interrupted_matrix_is_continued(
    tmp_path: Path, plans: list[Plan], monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Wherever it was stopped, the same call makes what is missing; a third one makes nothing."""
    whole = run_matrix(["trixie", NEWER], tmp_path / "whole", repeats=1)
    go_on: Callable[..., object] = module.migrate

    def stop(*arguments: Any, **settings: Any) -> object:
        if len(plans) == after:
            raise KeyboardInterrupt
        return go_on(*arguments, **settings)

    plans.clear()
    monkeypatch.setattr(module, "migrate", stop)
    with pytest.raises(KeyboardInterrupt):
        run_matrix(["trixie", NEWER], tmp_path / "cut", repeats=1)
    monkeypatch.setattr(module, "migrate", go_on)
    again = run_matrix(["trixie", NEWER], tmp_path / "cut", repeats=1)
    assert {cell.key for cell in again.cells()} == {cell.key for cell in whole.cells()}
    calls = len(plans)
    run_matrix(["trixie", NEWER], tmp_path / "cut", repeats=1)
    assert len(plans) == calls


def test_other_hardware_never_names_another_setting_of_a_cell() -> None:
    """What is tried is a cell's own field, so no two lanes share a cell."""
    assert all(
        hardware.keys() <= CellKey.__dataclass_fields__.keys() for hardware in OTHER_HARDWARE
    )
    assert len({tuple(sorted(hardware.items())) for hardware in OTHER_HARDWARE}) == 3
