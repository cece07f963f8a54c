"""A plan is read from texts, for the command line and for forms."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.errors import PlanError
from migrationlab.plan.parsing import plan_of_texts
from migrationlab.plan.plan import Plan
from migrationlab.plan.settings import settings


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("mode", "peer2peer", "peer2peer"),
        ("bandwidth_mib_s", "50", 50),
        ("deadline_s", "2.5", 2.5),
        ("suspend_after_s", "1e1", 10.0),
        ("postcopy", "yes", True),
        ("live", "No", False),
        ("live", False, False),
        ("compression", "zlib, zstd", ("zlib", "zstd")),
        ("compression", "default", ()),
        ("copy_disks", "vda", ("vda",)),
        ("copy_storage", "full", "full"),
        ("migration_uri", "", ""),
    ],
)
def test_texts_become_values(name: str, text: Any, value: object) -> None:
    """A text becomes a value of the type of its setting."""
    plan, problems = plan_of_texts({name: text, "connection_uri": None})
    assert problems == ()
    assert plan == Plan.from_dict({name: value})


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("bandwidth_mib_s", "fast", "Give a whole number of MiB/s, such as 1."),
        ("max_downtime_ms", "0.5", "Give a whole number of ms, such as 1."),
        ("deadline_s", "soon", "Give a number of s."),
        ("zlib_level", "", "Give a whole number."),
        ("postcopy", "perhaps", "Give yes or no."),
        ("mode", "p2p", "Write mode='peer2peer'."),
    ],
)
def test_texts_that_are_no_value_are_problems(name: str, text: str, hint: str) -> None:
    """A text that is no value is a problem of its field, and the rest becomes the plan."""
    plan, (problem,) = plan_of_texts({name: text, "tls": True})
    assert plan == Plan(tls=True)
    assert (problem.field, problem.hint) == (name, hint)
    assert problem.reason.startswith(f"{name} must be ")
    assert problem.reason.endswith(f"(got {text!r})")


def test_unknown_names_are_refused() -> None:
    """A name of no setting is an error, whose hint has the closest one."""
    with pytest.raises(PlanError, match="no setting 'bandwith'"):
        plan_of_texts({"bandwith": "5"})


@given(
    st.dictionaries(st.sampled_from([about.name for about in settings()]), st.text(), max_size=8)
)
def test_any_text_gets_an_answer(texts: dict[str, str]) -> None:
    """Any text makes a plan, or is a problem of the field that it was typed for."""
    plan, problems = plan_of_texts(texts)
    assert {problem.field for problem in problems} <= set(texts)
    plan.problems(source="node1", destination="node2")
