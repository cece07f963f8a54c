"""Which runs were made alike, and which of their differences set them apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from migrationlab.experiment.grouping import group, settings_of
from migrationlab.runs.run import Run

MakeRun = Callable[..., Run]


def with_domain(run: Run, digest: str, **source: Any) -> Run:
    """Give a copy of a run whose domain has a hash, written by a libvirt."""
    return dataclasses.replace(
        run,
        guest={**run.guest, "xml_sha256": digest},
        source={**run.source, **source},
    )


def test_what_changes_by_itself_sets_no_runs_apart(make_run: MakeRun) -> None:
    """Load, a guest's number and what the wire was measured to carry make no other setting."""
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
        # Nothing else explains that the domains are not the same.
        ({}, {}, ("guest xml_sha256",)),
        # More memory does, and the version of libvirt that wrote it does.
        ({"memory_mib": 512}, {}, ("guest memory_mib",)),
        ({}, {"libvirt_version": "9.0.0"}, ("host host-a",)),
    ],
)
def test_a_domains_hash_sets_apart_what_nothing_else_does(
    make_run: MakeRun,
    changes: dict[str, Any],
    source: dict[str, Any],
    differing: tuple[str, ...],
) -> None:
    """Guests of the same settings with other domains are no pair; of others the hash says nothing.

    A guest that goes to and fro between two releases has a hash by each, and is one guest.
    """
    one = with_domain(make_run(number=1), "0f" * 32)
    other = with_domain(make_run(number=2), "1e" * 32, **source)
    other = dataclasses.replace(other, guest={**other.guest, **changes})
    assert group([one, other]).differing == differing


def test_to_and_fro_between_two_releases_is_one_setting(make_run: MakeRun) -> None:
    """The hash by the one libvirt and that by the other do not set the directions apart."""
    there = with_domain(make_run(number=1), "0f" * 32, libvirt_version="9.0.0")
    back = with_domain(make_run(number=2), "1e" * 32)
    back = dataclasses.replace(back, source=there.destination, destination=there.source)
    assert back.source["libvirt_version"] != there.source["libvirt_version"]
    assert group([there, back]).differing == ()


def test_a_trial_says_itself_which_setting_it_is(make_run: MakeRun) -> None:
    """A run of an experiment has its cell's name, whatever else it differs in."""
    trial = dataclasses.replace(make_run(number=2, dirty_mib_s=80.0), experiment={"cell": "busy"})
    plain = make_run(number=1)
    assert settings_of([plain, trial]) == {plain.run_id: "normal", trial.run_id: "busy"}
