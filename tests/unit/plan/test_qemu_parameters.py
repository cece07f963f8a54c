"""QEMU's own parameters are judged before anything moves."""

from __future__ import annotations

import re

import pytest

from migrationlab.plan.plan import Plan
from migrationlab.plan.qemu_parameters import PARAMETERS, globals_of, parameters_at
from migrationlab.plan.settings import settings

SLOWED = {"auto_converge": True}


@pytest.mark.parametrize(
    ("given", "settings", "rule", "reason", "hint"),
    [
        ({"anounce-max": 3}, {}, "unknown", "got 'anounce-max'", "Use announce-max"),
        ({"announce_max": 3}, {}, "unknown", "got 'announce_max'", "Use announce-max"),
        ({"x-checkpoint-delay": 3}, {}, "unknown", "begins with x-", "Leave it out"),
        ({"zz": 3}, {}, "unknown", "got 'zz'", "Use one of: announce-initial, "),
        ({"announce-step": 0}, {}, "value", "whole number of 1 to 10000 ms .got '0'", "Give a"),
        ({"announce-max": 100_001}, {}, "value", "0 to 100000 ms", "Give a"),
        ({"announce-rounds": True}, {}, "value", "got 'True'", "Give a"),
        ({"announce-rounds": 2.5}, {}, "value", "got '2.5'", "Give a"),
        ({"announce-rounds": "3"}, {}, "value", "got '3'", "Give a"),
        ({"cpu-throttle-tailslow": 1}, SLOWED, "value", "must be True or False", "Give True"),
        ({"max-cpu-throttle": 50}, {}, "needs", "needs auto_converge=True", "Set auto_converge"),
        ({"max-cpu-throttle": 10}, SLOWED, "value", "less than the 20 %", "Give 20 or more"),
        (
            {"max-cpu-throttle": 50},
            {**SLOWED, "auto_converge_initial_percent": 60},
            "value",
            "less than the 60 %",
            "Give 60 or more",
        ),
    ],
)
def test_wrong_parameter_is_a_problem(
    given: dict[str, object], settings: dict[str, object], rule: str, reason: str, hint: str
) -> None:
    """An unknown or unstable name, a wrong type or value, and a useless one are problems."""
    (problem,) = Plan.from_dict({"qemu_parameters": given, **settings}).problems()
    assert problem.rule == f"qemu-parameter-{rule}"
    assert problem.field == "qemu_parameters"
    assert re.search(reason, problem.reason)
    assert problem.hint.startswith(hint)


def test_ends_of_each_range_are_valid() -> None:
    """The smallest and the largest value of every parameter are no problem, alone or together."""
    for end in (0, 1):
        values = {
            name: bool(end) if about.range is None else about.range[end]
            for name, about in PARAMETERS.items()
        }
        values["max-cpu-throttle"] = max(20, values["max-cpu-throttle"])
        plan = Plan.from_dict({"qemu_parameters": values, "auto_converge": True})
        assert plan.problems() == ()
        assert Plan.from_dict(plan.to_dict()) == plan


def test_each_parameter_goes_to_the_qemu_that_reads_it() -> None:
    """The source's QEMU throttles, the destination's announces."""
    given = {"announce-max": 9, "cpu-throttle-tailslow": True, "announce-rounds": 3}
    assert parameters_at(given, "source") == {"cpu-throttle-tailslow": True}
    assert globals_of(given) == [
        "-global", "migration.announce-max=9", "-global", "migration.announce-rounds=3",
    ]  # fmt: skip
    assert globals_of(None) == []


def test_reference_lists_every_parameter() -> None:
    """The table of settings has each parameter, its range and the first QEMU that has it."""
    note = settings()["qemu_parameters"].constraints
    for name, about in PARAMETERS.items():
        assert name in note
        assert f"{about.takes}; since QEMU {about.since}." in note


def test_notes_have_what_virsh_cannot() -> None:
    """The notes on a virsh command have the monitor's command, and the arguments for the XML."""
    given = {"max-cpu-throttle": 30, "announce-rounds": 3}
    plan = Plan.from_dict({"qemu_parameters": given, "auto_converge": True})
    notes = "\n".join(plan.notes("web1"))
    sent = '{"execute": "migrate-set-parameters", "arguments": {"max-cpu-throttle": 30}}'
    assert f"qemu-monitor-command web1 '{sent}'" in notes
    assert "-global migration.announce-rounds=3" in notes
