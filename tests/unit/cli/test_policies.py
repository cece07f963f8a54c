"""``migrationlab policies``: the list, an explanation with its times, the figure."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from migrationlab.cli import main
from migrationlab.plan.policies import catalog


def run(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["policies", *arguments])


def test_list_has_every_policy() -> None:
    """Without a name every policy is listed, in text and in JSON."""
    lines = run().output.splitlines()[1:]
    assert tuple(line.split()[0] for line in lines) == catalog.names()
    found = json.loads(run("--format", "json").output)["policies"]
    assert tuple(each["name"] for each in found) == catalog.names()


def test_one_policy_is_explained_with_its_times() -> None:
    """A name gives the options with their defaults, and each action with its time."""
    text = run("ovirt-post-copy").output
    assert "oVirt/vdsm fd4b0df20b" in text
    assert "adds to the plan   auto_converge=yes, bandwidth_mib_s=52, postcopy=yes" in text
    assert "40 s  start_postcopy" in text
    record = json.loads(run("nova", "--memory-mib", "4096", "--format", "json").output)
    assert record["actions"][1] == {
        "at_s": 300.5, "action": "set_max_downtime", "value": 95, "why": "step of 300 s",
    }  # fmt: skip


def test_unknown_policy_exits_with_the_nearest_name() -> None:
    """An unknown name is a mistake of the call."""
    result = run("novva")
    assert result.exit_code != 0
    assert "policy must be the name of a policy (got 'novva')" in result.output
    assert "Use nova." in result.output


def test_figure_is_drawn(tmp_path: Path) -> None:
    """-o draws the limit against time."""
    assert run("kubevirt-downtime-ramp", "-o", str(tmp_path / "ramp.png")).exit_code == 0
    assert (tmp_path / "ramp.png").read_bytes().startswith(b"\x89PNG")
