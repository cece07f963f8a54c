"""Plans out of texts: what a command line and a form share."""

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
    """A text becomes the value that its setting has."""
    plan, problems = plan_of_texts({name: text, "connection_uri": None})
    assert problems == ()
    assert plan == Plan.from_dict({name: value})


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("bandwidth_mib_s", "fast", "Give a whole number of MiB/s."),
        ("max_downtime_ms", "0.5", "Give a whole number of ms."),
        ("deadline_s", "soon", "Give a number of s."),
        ("zlib_level", "", "Give a whole number."),
        ("postcopy", "perhaps", "Give yes or no."),
        ("mode", "p2p", "Did you mean peer2peer?"),
    ],
)
def test_texts_that_are_no_value_are_problems(name: str, text: str, hint: str) -> None:
    """A text that is no value is a problem of its field, and the rest of the plan is made."""
    plan, (problem,) = plan_of_texts({name: text, "tls": True})
    assert plan == Plan(tls=True)
    assert (problem.field, problem.hint) == (name, hint)


def test_unknown_names_are_refused() -> None:
    """A name that is no setting's is an error, with the one that was meant."""
    with pytest.raises(PlanError, match="no 'bandwith'"):
        plan_of_texts({"bandwith": "5"})


@given(
    st.dictionaries(st.sampled_from([about.name for about in settings()]), st.text(), max_size=8)
)
def test_any_text_gets_an_answer(texts: dict[str, str]) -> None:
    """Whatever is typed, a plan comes of it, or a problem of the field that it was typed for."""
    plan, problems = plan_of_texts(texts)
    assert {problem.field for problem in problems} <= set(texts)
    plan.problems(source="node1", destination="node2")
