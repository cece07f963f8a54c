"""Trials: their lines on a host's shell, and the recorded ones of the lessons."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest

from migrationlab.course.trials import lines_of, load_trial, run_trial
from migrationlab.errors import UsageError
from migrationlab.hosts.shell import Shell
from paths import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("0[67]*.ipynb"))


def guest_of(folder: Path) -> Any:
    """Return a guest on a host whose shell prints the script that it gets."""
    program = folder / "host"
    program.write_text("#!/bin/sh\nshift 4\nprintf 'got %s\\n\\n' \"$1\"\n")
    program.chmod(0o700)
    host = SimpleNamespace(name="host-a", shell=Shell((str(program),)))
    return SimpleNamespace(name="web1", host=host, other_host=SimpleNamespace(name="host-b"))


def test_a_trial_names_the_guest_and_the_other_host(tmp_path: Path) -> None:
    """The lines run with the guest's and the other host's name, and their output is kept."""
    trial = run_trial("copy", guest_of(tmp_path))
    assert [line for line, _ in trial.steps][:2] == [
        "virsh dumpxml web1 > /tmp/copy.xml",
        "virsh -c qemu+tcp://host-b/system create /tmp/copy.xml",
    ]
    assert str(trial).startswith("host-a# virsh dumpxml web1 > /tmp/copy.xml\ngot { virsh dumpxml")
    assert "\n\n" not in str(trial)


def test_an_unknown_trial_is_refused() -> None:
    """The message lists the trials, and the hint has the nearest name."""
    with pytest.raises(UsageError, match="numbers, timeout") as refusal:
        load_trial("number")
    assert "'numbers'" in refusal.value.hint


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_trial_of_a_lesson_is_recorded_with_its_present_lines(notebook: Path) -> None:
    """A reader without a lab sees the lines that a reader with a lab runs."""
    cells = nbformat.read(notebook, 4).cells
    keys = re.findall(r'load_trial\("([\w-]+)"\)', "\n".join(c.source for c in cells))
    assert keys
    for key in keys:
        recorded = [line for line, _ in load_trial(key).steps]
        names = {"$GUEST": r"guest-\d+", "$OTHER": "host-[ab]", "$LAN": r"[\d.]+"}
        for line, template in zip(recorded, lines_of(key), strict=True):
            pattern = re.escape(template)
            for name, value in names.items():
                pattern = pattern.replace(re.escape(name), value)
            assert re.fullmatch(pattern, line), (key, line)
