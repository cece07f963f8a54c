"""Runs cannot be changed, hold plain values, and show as one line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest

from migrationlab.runs.run import Outcome, Run, Runs, new_run_id, remember
from migrationlab.runs.schema import FRAMES, SUMMARY, frame

MakeRun = Callable[..., Run]

SUMMARY_KEYS = (
    "run_id, mode, outcome, source, destination, accelerator, total_ms, call_ms, "
    "downtime_requested_ms, downtime_reported_ms, downtime_reported_error_ms, downtime_event_ms, "
    "downtime_event_error_ms, "
    "downtime_network_ms, downtime_network_low_ms, downtime_network_high_ms, downtime_guest_ms, "
    "guest_behind_ms, postcopy_ms, network_jitter_ms, transferred_bytes, wire_bytes, "
    "throughput_bytes_per_s, iterations, cable_bytes, cable_bytes_per_memory_byte, "
    "migration_cpu_s, vcpu_extra_cpu_s, cpu_s_per_gib, workload_before_mib_s, "
    "workload_sending_mib_s, recovery_ms, guest_intact, downtime_service_ms, service_requests_s, "
    "service_p50_ms, service_p99_ms, service_p999_ms, service_max_ms, service_failed, "
    "service_recovery_ms, service_intact, write_before_p99_us, write_sending_p99_us, "
    "write_sending_max_us, write_after_p99_us, write_after_max_us"
)


def test_summary_has_ordered_keys_and_plain_values(make_run: MakeRun) -> None:
    """Scripts rely on the summary's keys, their order, and JSON's own types."""
    summary = make_run().summary()
    assert ", ".join(summary) == SUMMARY_KEYS
    absent = {"postcopy_ms"} | {key for key in summary if "service" in key or "write_" in key}
    assert {summary.pop(key) for key in absent} == {None}  # there were none
    assert {type(value) for value in summary.values()} <= {str, int, float, bool}
    assert json.loads(json.dumps(summary)) == summary


@pytest.mark.parametrize("outcome", ["cancelled", "timed_out", "diverged", "failed"])
def test_summary_of_incomplete_run_has_null_downtime(make_run: MakeRun, outcome: str) -> None:
    """A migration that never paused the guest has no downtime, rather than one of 0 ms."""
    summary = make_run(outcome=outcome).summary()
    assert summary["outcome"] == outcome
    for kind in ("reported", "event", "network"):
        assert summary[f"downtime_{kind}_ms"] is None
    assert summary["total_ms"] > 0
    assert summary["transferred_bytes"] > 0


def test_run_without_recorded_frames_has_a_summary(make_run: MakeRun) -> None:
    """A migration that was refused at once has empty frames, and still has a summary."""
    empty = {name: frame(name, []) for name in FRAMES}
    run = dataclasses.replace(
        make_run(), outcome=Outcome.FAILED, completed_job={}, guest_check=None, **empty
    )
    summary = run.summary()
    known = {"run_id", "mode", "outcome", "source", "destination", "accelerator", "call_ms"}
    assert {key for key in SUMMARY if summary[key] is not None} == known | {"downtime_requested_ms"}
    assert run.timeline().phases["state"].tolist()[1] == "unknown"


@pytest.mark.parametrize(
    ("outcome", "states", "host"),
    [
        ("completed", ("absent", "running"), "host-b"),
        ("cancelled", ("running", "absent"), "host-a"),
        ("failed", ("running", "unknown"), "host-a"),
        ("interrupted", ("paused", "running"), "host-b"),
        ("completed", ("absent", "paused"), "host-b"),
        ("failed", ("unknown", "absent"), None),
    ],
)
def test_found_at_follows_the_domain_states(
    make_run: MakeRun, outcome: str, states: tuple[str, str], host: str | None
) -> None:
    """The states that both hosts reported afterwards decide, not the outcome."""
    found = dict(zip(("source", "destination"), states, strict=True))
    run = dataclasses.replace(make_run(outcome=outcome), domain_states=found)
    assert run.found_at == host


def test_found_at_follows_the_outcome_without_domain_states(make_run: MakeRun) -> None:
    """Old recordings did not ask the hosts, so the outcome decides."""
    assert dataclasses.replace(make_run(), domain_states=None).found_at == "host-b"
    failed = dataclasses.replace(make_run(outcome="failed"), domain_states=None)
    assert failed.found_at == "host-a"


def test_repr_of_run_is_one_line(make_run: MakeRun) -> None:
    """The repr names run, mode, outcome and both hosts, and holds no memory address."""
    run = make_run(mode="peer2peer")
    assert repr(run) == ("Run('20261122-180100-000001', peer2peer, completed, host-a → host-b)")


def test_changing_a_frame_does_not_change_the_run(make_run: MakeRun) -> None:
    """Each access returns a copy: values, columns and rows can be changed without harm."""
    empty = {name for name in FRAMES if getattr(make_run(), name).empty}
    rows = {name: frame(name, [_row(name)]) for name in empty}
    run = dataclasses.replace(make_run(), **rows)
    for name in FRAMES:
        before = getattr(run, name)
        spoilt = getattr(run, name)
        spoilt.iloc[0, 1] = "7" if spoilt.dtypes.iloc[1] == "str" else 7
        spoilt["new"] = 1
        spoilt.loc[len(spoilt)] = spoilt.iloc[0]
        assert getattr(run, name).equals(before)


def _row(name: str) -> dict[str, int | str]:
    """Return a row of a frame with values that its columns can have."""
    return {column: "x" if kind == "str" else 1 for column, kind in FRAMES[name].items()}


def test_run_copies_the_given_frame(make_run: MakeRun) -> None:
    """A recorder may change its frame afterwards, because the run has a copy."""
    given = make_run().beats
    run = dataclasses.replace(make_run(), beats=given)
    given["sequence"] = 0
    assert run.beats["sequence"].iloc[-1] > 0


@pytest.mark.parametrize("name", ["outcome", "events", "guest"])
def test_fields_of_run_cannot_be_set(make_run: MakeRun, name: str) -> None:
    """Assigning to a field is an error, also for frames."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(make_run(), name, None)


def test_mappings_of_run_cannot_be_changed(make_run: MakeRun) -> None:
    """Guest, hosts, environment and statistics are read-only, and hold plain types only."""
    environment = {"load": np.float64(0.5), "lost": float("nan"), "modules": ["a", "b"]}
    run = dataclasses.replace(make_run(), environment=environment)
    environment["load"] = 9.0
    assert run.environment == {"load": 0.5, "lost": None, "modules": ("a", "b")}
    assert type(run.environment["load"]) is float
    with pytest.raises(TypeError):
        run.guest["name"] = "other"  # type: ignore[index]


def test_run_refuses_what_json_cannot_hold(make_run: MakeRun) -> None:
    """An object that could not be stored is refused when the run is made, not when it is saved."""
    with pytest.raises(TypeError, match="cannot hold a datetime"):
        dataclasses.replace(make_run(), environment={"now": datetime.now(UTC)})


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", ".hidden", "a b", "x" * 81, "a\n"])
def test_run_id_is_a_plain_name(make_run: MakeRun, name: str) -> None:
    """The id becomes the name of a folder, so it must be no path and not hidden."""
    with pytest.raises(ValueError, match="matching regex"):
        dataclasses.replace(make_run(), run_id=name)


def test_new_ids_sort_by_time_and_differ() -> None:
    """Two runs of the same second have two names."""
    moment = datetime(2026, 11, 22, 18, 36, 15, tzinfo=UTC)
    first, second = new_run_id(moment), new_run_id(moment)
    assert first.startswith("20261122-183615-")
    assert first != second


def test_frame_has_its_columns_and_missing_values() -> None:
    """A value that a sample lacks is missing, and the types are the documented ones."""
    job = frame("job", [{"time_ns": 1, "iteration": 2}])
    assert dict(job.dtypes.astype(str)) == dict(FRAMES["job"])
    assert job["memory_bps"].isna().all()
    assert job["iteration"].iloc[0] == 2


def test_frame_with_wrong_columns_is_refused(make_run: MakeRun) -> None:
    """The error names the column that is missing or unknown."""
    run = make_run()
    with pytest.raises(ValueError, match="writes"):
        dataclasses.replace(run, beats=run.beats.drop(columns="writes"))
    with pytest.raises(ValueError, match="extra"):
        dataclasses.replace(run, beats=run.beats.assign(extra=1))


def test_runs_are_equal_by_name(make_run: MakeRun) -> None:
    """A run loaded from disk equals the saved one, and can be found in a set."""
    assert make_run(number=1) == make_run(number=1)
    assert make_run(number=1) != make_run(number=2)
    assert len({make_run(number=1), make_run(number=1)}) == 1
    assert make_run() != "20261122-180100-000001"


def test_runs_sort_by_time_and_show_as_one_line(make_run: MakeRun) -> None:
    """Runs are sorted by the time when they were made, in whatever order they are given."""
    runs = Runs([make_run(number=2, mode="peer2peer"), make_run(number=1), make_run(number=3)])
    assert [run.run_id[-1] for run in runs] == ["1", "2", "3"]
    assert repr(runs) == "Runs(2 normal, 1 peer2peer; 3 completed)"
    assert repr(Runs()) == "Runs(none)"
    assert repr(runs[:1]) == "Runs(1 normal; 1 completed)"


def test_summary_is_computed_once(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run cannot change, so its summary is computed once; a changed copy has a new one."""
    run = make_run()
    first = run.summary()
    first["call_ms"] = -1.0
    other = dataclasses.replace(run, returned_ns=run.returned_ns + 1_000_000)
    assert other.summary()["call_ms"] == run.summary()["call_ms"] + 1
    monkeypatch.setattr("migrationlab.runs.summary.timeline_of", None)
    assert run.summary()["call_ms"] > 0


def test_summary_with_other_keys_is_refused(make_run: MakeRun) -> None:
    """A run does not accept a summary that was computed by another definition."""
    run = make_run()
    summary = run.summary()
    remember(run, summary | {"call_ms": 1.0})
    assert run.summary()["call_ms"] == 1
    with pytest.raises(ValueError, match="must have the keys"):
        remember(run, summary | {"more": 1})


def test_frame_of_runs_has_a_row_per_run_and_keeps_types(make_run: MakeRun) -> None:
    """Integers stay integers beside missing values, and do not become floats."""
    table = Runs([make_run(), make_run(number=2, outcome="cancelled")]).frame()
    assert list(table.columns) == list(SUMMARY)
    assert table["downtime_reported_ms"].dtype == "Int64"
    assert table["downtime_reported_ms"].isna().tolist() == [False, True]
    assert dict(Runs().frame().dtypes.astype(str)) == dict(SUMMARY)


def test_downtimes_have_a_row_per_number_of_completed_runs(make_run: MakeRun) -> None:
    """The long table leaves out incomplete runs and numbers that were not measured."""
    table = Runs(
        [make_run(), make_run(number=2, with_beats=False), make_run(number=3, outcome="failed")]
    ).downtimes()
    assert list(table.columns) == ["run_id", "mode", "kind", "downtime_ms", "low_ms", "high_ms"]
    assert (table["low_ms"] <= table["downtime_ms"]).all()
    assert (table["high_ms"] >= table["downtime_ms"]).all()
    assert table["kind"].value_counts().to_dict() == {
        "requested": 2,
        "reported": 2,
        "event": 2,
        "network": 1,
    }


@pytest.mark.parametrize(("qemu", "notes"), [("10.0.13", 0), ("11.1.3", 1), ("unknown", 0)])
def test_run_says_that_a_newer_qemu_expects_another_downtime(
    make_run: MakeRun, qemu: str, notes: int
) -> None:
    """QEMU 11.1 computes the expected downtime in another way, and the run's timeline says so."""
    run = make_run()
    job = run.job.assign(expected_downtime_ms=300)
    newer = dataclasses.replace(run, job=job, source={**run.source, "qemu_version": qemu})
    said = [note for note in newer.timeline().notes if "expected_downtime_ms" in note]
    assert len(said) == notes
