"""The warnings of runs and of experiments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from migrationlab.experiment.experiment import Experiment
from migrationlab.experiment.warnings import WarningKind, find
from migrationlab.runs.run import Run, Runs

MODES = ("normal", "peer2peer")
Keep = Callable[..., Run]


def kinds(runs: Sequence[Run], **more: Any) -> set[WarningKind]:
    """Return the kinds of the warnings of some runs."""
    known = Runs(runs)
    return {warning.kind for warning in find(known, known.frame(), **more)}


@pytest.fixture
def quiet(recording: type) -> Callable[..., list[Run]]:
    """Return a function that makes runs without warnings, except for what is changed."""

    def make_runs(
        count: int = 8,
        first: Any = None,
        environment: dict[str, Any] | None = None,
        **changes: Any,
    ) -> list[Run]:
        around = {"cpus": 4, "load_1min": 0.5, "cpu_busy_percent": 40.0} | (environment or {})
        given = {"accelerator": "kvm", "environment": around} | changes
        played = [first or recording(number=10 + number) for number in range(count)]
        return [one.build(**given) for one in played]

    return make_runs


def test_quiet_runs_have_no_warnings(quiet: Callable[..., list[Run]]) -> None:
    """Equal runs on KVM, on an idle machine, give no warning."""
    assert kinds(quiet(), planned=8) == set()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"accelerator": "tcg"}, WarningKind.EMULATED),
        ({"environment": {"cpu_busy_percent": 97.0}}, WarningKind.BUSY),
        ({"environment": {"load_1min": 4.4}}, WarningKind.LOAD),
        ({"guest_check": {"intact": False}}, WarningKind.DAMAGE),
        ({"warnings": ("a listener failed",)}, WarningKind.NOTED),
        ({"clock": {"source": None, "destination": None}}, WarningKind.CLOCK),
        (
            {
                "clock": {
                    s: {"offset_ms": 0.1, "error_ms": 4.0, "method": "ssh"}
                    for s in ("source", "destination")
                }
            },
            WarningKind.CLOCK,
        ),
        ({"count": 5}, WarningKind.FEW),
        ({"guest": {"name": "guest-1", "dirty_mib_s": 50}}, WarningKind.WORKLOAD),
    ],
)
def test_each_problem_gives_one_warning(
    quiet: Callable[..., list[Run]], changes: dict[str, Any], kind: WarningKind
) -> None:
    """Each problem gives its warning, and no other."""
    assert kinds(quiet(**changes)) == {kind}


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": {"cpu_busy_percent": None, "load_1min": None}},
        {
            "clock": {
                s: {"offset_ms": 900.0, "error_ms": 0.2, "method": "ssh"}
                for s in ("source", "destination")
            }
        },
        {"guest_check": None},
    ],
)
def test_unknown_or_corrected_facts_give_no_warning(
    quiet: Callable[..., list[Run]], changes: dict[str, Any]
) -> None:
    """An unmeasured load is not high, and a known clock offset is corrected."""
    assert kinds(quiet(**changes)) == set()


def test_wide_spread_gives_a_warning(recording: type) -> None:
    """A relative MAD of more than 10 % within a setting gives a warning."""
    runs = [
        recording(number=n, downtime_ms=100.0 + 60 * (n % 2)).build(accelerator="kvm")
        for n in range(10, 20)
    ]
    assert WarningKind.SPREAD in kinds(runs)


def test_different_settings_are_neither_spread_nor_drift(recording: type) -> None:
    """Runs of two settings have no spread and no drift together; each setting has too few runs.

    The second half has a slower guest, and so another downtime.
    """
    runs = [
        recording(
            number=10 + n, downtime_ms=100.0 if n < 5 else 900.0, dirty_mib_s=40.0 if n < 5 else 20
        ).build(accelerator="kvm")
        for n in range(10)
    ]
    assert kinds(runs) & {WarningKind.FEW, WarningKind.SPREAD, WarningKind.DRIFT} == {
        WarningKind.FEW
    }
    more = [recording(number=30 + n, dirty_mib_s=20.0).build(accelerator="kvm") for n in range(6)]
    known = Runs([*runs[:5], *more])
    (few,) = [each for each in find(known, known.frame()) if each.kind is WarningKind.FEW]
    assert few.text.startswith("normal, guest writing 40 MiB/s has fewer than 6 completed runs")


def test_drift_gives_a_warning(recording: type) -> None:
    """A trend from run to run gives a warning; random order does not."""
    shift = [0.0, 8, 3, 12, 9, 18, 14, 22, 19, 30, 26, 35]
    runs = [
        recording(number=10 + n, downtime_ms=300.0 + ms).build(accelerator="kvm")
        for n, ms in enumerate(shift)
    ]
    found = find(Runs(runs), Runs(runs).frame())
    drift = next(warning for warning in found if warning.kind is WarningKind.DRIFT)
    assert "downtime_event_ms rose by" in drift.text
    assert drift.advice
    mixed = [shift[index] for index in (5, 0, 9, 3, 11, 1, 7, 2, 10, 4, 8, 6)]
    runs = [
        recording(number=10 + n, downtime_ms=300.0 + ms).build(accelerator="kvm")
        for n, ms in enumerate(mixed)
    ]
    assert WarningKind.DRIFT not in kinds(runs)


def test_outcomes_and_gaps_give_warnings(quiet: Callable[..., list[Run]], recording: type) -> None:
    """Migrations that did not complete, missing runs and cut-short runs each give a warning."""
    failed = quiet(1, recording(number=50, outcome="timed_out"))[0]
    runs = [*quiet(), failed]
    assert kinds(runs, planned=10, cut_short=2) == {
        WarningKind.NOT_COMPLETED, WarningKind.UNFINISHED, WarningKind.CUT_SHORT,
    }  # fmt: skip
    known = Runs(runs)
    (found,) = [c for c in find(known, known.frame()) if c.kind is WarningKind.NOT_COMPLETED]
    assert "1 of 9" in found.text
    assert "1 timed out" in found.text


def test_experiment_has_its_warnings(done: Experiment) -> None:
    """An experiment has its warnings, as text and as plain values."""
    found = done.warnings()
    assert [warning.kind for warning in found] == [WarningKind.EMULATED]
    assert str(found[0]) == f"{found[0].text} {found[0].advice}"
    assert found[0].to_dict()["kind"] == "emulated"
