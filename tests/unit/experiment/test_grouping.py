"""Which runs may be pooled, and which differences separate them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from migrationlab.experiment.grouping import group, settings_of
from migrationlab.runs.run import Run

MakeRun = Callable[..., Run]


def with_domain(run: Run, digest: str, **source: Any) -> Run:
    """Return a copy of a run whose domain has a hash, written by a libvirt."""
    return dataclasses.replace(
        run,
        guest={**run.guest, "xml_sha256": digest},
        source={**run.source, **source},
    )


def test_changing_facts_do_not_separate_runs(make_run: MakeRun) -> None:
    """The load, a guest's number and the measured rate of the wire do not separate runs."""
    one, other = make_run(number=1), make_run(number=2)
    other = dataclasses.replace(
        other,
        guest={**other.guest, "name": "guest-2", "number": 2},
        wire={**(other.wire or {}), "measured_mbit_s": 940.1},
    )
    assert group([one, other]).differing == ()
    assert set(settings_of([one, other]).values()) == {"normal"}


@pytest.mark.parametrize(
    ("changes", "source", "differing"),
    [
        # Nothing else explains why the domains differ.
        ({}, {}, ("guest.xml_sha256",)),
        # More memory explains it, and so does another libvirt that wrote the XML.
        ({"memory_mib": 512}, {}, ("guest.memory_mib",)),
        ({}, {"libvirt_version": "9.0.0"}, ("host-a.libvirt_version",)),
    ],
)
def test_domain_hash_separates_runs_only_alone(
    make_run: MakeRun,
    changes: dict[str, Any],
    source: dict[str, Any],
    differing: tuple[str, ...],
) -> None:
    """Domain hashes separate runs only where no other difference explains them.

    A guest that moves back and forth between two releases has two hashes, and is one guest.
    """
    one = with_domain(make_run(number=1), "0f" * 32)
    other = with_domain(make_run(number=2), "1e" * 32, **source)
    other = dataclasses.replace(other, guest={**other.guest, **changes})
    assert group([one, other]).differing == differing


def test_both_directions_between_releases_are_one_group(make_run: MakeRun) -> None:
    """The hashes of two libvirt versions do not separate the two directions."""
    there = with_domain(make_run(number=1), "0f" * 32, libvirt_version="9.0.0")
    back = with_domain(make_run(number=2), "1e" * 32)
    back = dataclasses.replace(back, source=there.destination, destination=there.source)
    assert back.source["libvirt_version"] != there.source["libvirt_version"]
    assert group([there, back]).differing == ()


def test_run_of_an_experiment_has_its_cells_name(make_run: MakeRun) -> None:
    """A run of an experiment belongs to its cell, whatever else differs."""
    placed = dataclasses.replace(make_run(number=2, dirty_mib_s=80.0), experiment={"cell": "busy"})
    plain = make_run(number=1)
    assert settings_of([plain, placed]) == {plain.run_id: "normal", placed.run_id: "busy"}
