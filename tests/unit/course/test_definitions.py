"""Lesson 01's recording: where a guest runs and which host keeps its definition."""

from __future__ import annotations

import pytest

from migrationlab.course import definitions
from migrationlab.errors import UsageError

MIGRATED = {
    "host-a": {"guest": "shut off", "definition": "yes"},
    "host-b": {"guest": "running", "definition": "no"},
}


def test_default_migration_leaves_the_definition_at_the_source() -> None:
    """The destination runs a transient guest."""
    assert definitions.table(definitions.recorded("migrated")).to_dict("index") == MIGRATED


def test_source_starts_a_second_copy() -> None:
    """Nothing stops a guest without a disk from running twice."""
    assert {place.guest for place in definitions.recorded("started twice")} == {"running"}


def test_unknown_moment_is_refused_with_the_known_ones() -> None:
    """The hint lists the moments of the recording."""
    with pytest.raises(UsageError, match=r"moment must be .* \(got 'later'\)") as refused:
        definitions.recorded("later")
    assert "migrated, started twice, ended, moved" in str(refused.value.hint)
