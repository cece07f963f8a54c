"""Timeline and summary of every recording of a real migration.

``tests/recordings/outcomes`` has one recording of each outcome, made by ``record.py``
there; ``tests/recordings``, and ``steered`` and ``cost`` in it, hold those that were made before.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Mapping
from typing import Any

import pytest

from migrationlab.analysis.timeline import PHASES, Timeline
from migrationlab.runs.record import MOVED
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.schema import FRAMES, RECORDED, SUMMARY, frame
from migrationlab.runs.store import load_run
from recordings.record import OUTCOMES, RECIPES

MS = 1_000_000
MIB = 1 << 20
RECORDINGS = OUTCOMES.parent
PLACES = {
    str(path.parent.relative_to(RECORDINGS)): path.parent for path in RECORDINGS.rglob("run.json")
}
NAMES = sorted(PLACES)
NUMBERS = [name for name, kind in SUMMARY.items() if kind in ("Int64", "Float64")]
#: What is known of any call, with nothing recorded.
ALWAYS = {"call_ms", "downtime_requested_ms"}
#: Where libvirt refused before any memory was sent.
REFUSED = ("refused", "refused-by-destination", "not-connected", "port-closed")
LOST = ("lost-source", "lost-destination")
#: Of whose end libvirt said nothing: its call completed, or has not returned.
UNREPORTED = ("guest-lost", "unresolved")
STOPPED = {"cancelled": "user", "timed-out": "deadline_s", "diverged": "abort_when_diverging_s"}
ARRIVED = ("completed-normal", "completed-peer2peer", "completed-postcopy", "completed-storage")
#: One of each kind, where each takes long.
VARIED = ("completed-normal", "completed-postcopy", "diverged", "interrupted", "refused", *LOST)

#: Whose memory was sent, in part at least, while the wire was counted to the end.
COUNTED = (
    *("20261122-192717-620bc3", "20261122-192719-bf2583", "20261122-192730-6899bc"),
    *("20261122-192739-4662c1", "steered/20261122-222924-87c709"),
    *("cost/20261123-023313-bd9924", "cost/20261123-023324-3ed050"),
    *(f"outcomes/{name}" for name in (*ARRIVED, *STOPPED, "interrupted", *UNREPORTED)),
)

every = pytest.mark.parametrize("name", NAMES)
every_outcome = pytest.mark.parametrize("name", RECIPES)


@functools.cache
def recorded(name: str) -> Run:
    """Return a recording by its folder's name, without the summary that is kept with it."""
    return dataclasses.replace(load_run(PLACES[name]))


@functools.cache
def timeline(name: str) -> Timeline:
    """Return a recording's timeline."""
    return recorded(name).timeline()


def outcome(name: str) -> tuple[Run, Timeline]:
    """Return the recording of an outcome, and its timeline."""
    return recorded(f"outcomes/{name}"), timeline(f"outcomes/{name}")


def states(line: Timeline) -> list[str]:
    """Return the states of the five phases."""
    return [str(state) for state in line.phases["state"]]


def without(run: Run, *origins: str) -> Run:
    """Return the run without these records."""
    events = run.events
    return dataclasses.replace(run, events=events[~events["origin"].isin(origins)])


def heard_of(name: str, *unrecorded: str) -> bool:
    """Return whether the remaining records have anything of either host."""
    sides = without(recorded(name), *unrecorded).events["side"]
    return bool(sides.isin(["source", "destination"]).any())


def numbers(run: Run) -> Mapping[str, Any]:
    """Return the numbers of a run's summary."""
    summary = run.summary()
    return {name: summary[name] for name in NUMBERS}


def counted_to_the_end(name: str) -> bool:
    """Return whether the bytes on the wire were counted until the call returned, or longer."""
    counted = recorded(name).wire_bytes["time_ns"]
    return len(counted) > 0 and int(counted.iloc[-1]) >= timeline(name).returned_ns


# --- what is recorded -------------------------------------------------------------------------


def test_every_outcome_is_recorded() -> None:
    """There is a recording of each outcome, so that the other tests compare something."""
    places = {path.name: path for path in OUTCOMES.iterdir() if not path.name.startswith(".")}
    assert set(places) == set(RECIPES)
    assert {load_run(path).outcome for path in places.values()} == set(Outcome)
    assert set(RECIPES) == {*ARRIVED, *STOPPED, "interrupted", *REFUSED, *LOST, *UNREPORTED}


@every_outcome
def test_each_recording_has_the_outcome_of_its_name(name: str) -> None:
    """A recording's outcome is that of its name, also after a new recording."""
    run, _ = outcome(name)
    assert run.outcome is RECIPES[name].outcome
    # These were made before there were frames that an older run may lack.
    assert run.instruments == tuple(name for name in FRAMES if not RECORDED[name].added)
    assert (run.error is None) == (run.outcome is Outcome.COMPLETED)
    if run.error is not None and name not in UNREPORTED:
        assert run.error.explanation


@every
def test_recordings_contain_no_path_of_their_maker(name: str) -> None:
    """No home or temporary folder of the recording user is in a recording."""
    run = recorded(name)
    texts = [str(path) for path in (PLACES[name] / "run.json").read_text().splitlines()]
    for each in FRAMES:
        columns = getattr(run, each).select_dtypes("str")
        texts += [text for column in columns for text in columns[column]]
    assert [text for text in texts if re.search(r"/(home|root|Users|tmp)/", text)] == []


# --- of all of them ---------------------------------------------------------------------------


@every
@pytest.mark.parametrize("unrecorded", [(), ("log",), ("log", "qemu")], ids=str)
def test_five_phases_are_contiguous(name: str, unrecorded: tuple[str, ...]) -> None:
    """The phases are in order and without gaps, end with the call, and none is negative."""
    line = without(recorded(name), *unrecorded).timeline() if unrecorded else timeline(name)
    phases = line.phases
    assert phases["phase"].tolist() == list(PHASES)
    known = phases.dropna(subset=["start_ns"])
    if not heard_of(name, *unrecorded):
        assert phases["state"].tolist() == ["unknown"] * 5
        assert len(known) == 0
        return
    assert known["start_ns"].iloc[0] >= timeline(name).called_ns
    assert known["start_ns"].iloc[1:].tolist() == known["end_ns"].iloc[:-1].tolist()
    assert known["end_ns"].iloc[-1] == timeline(name).returned_ns
    assert (known["duration_ms"] >= 0).all()
    unknown = phases[phases["start_ns"].isna()]
    assert unknown["end_ns"].isna().all()
    assert unknown["duration_ms"].isna().all()
    assert set(unknown["state"]) <= {"missing", "not reached", "left out"}
    assert set(known["state"]) <= {"complete", "cut short", "rolled back"}


@every
def test_only_one_phase_is_cut_short(name: str) -> None:
    """An incomplete migration ended in one phase, and no later phase is complete."""
    found = states(timeline(name))
    if not heard_of(name):
        return
    if recorded(name).outcome in MOVED:
        assert set(found) <= {"complete", "missing", "left out"}
        return
    assert found.count("cut short") == 1
    at = found.index("cut short")
    assert set(found[:at]) <= {"complete", "missing"}
    assert set(found[at + 1 :]) <= {"not reached", "rolled back"}


@every
def test_no_downtime_without_a_stop(name: str) -> None:
    """If no stop was recorded, there is no downtime, no part of it and no silence."""
    line = timeline(name)
    measured = line.downtimes.set_index("kind")["downtime_ms"].drop("requested")
    if line.stop_ns is None:
        assert measured.isna().all()
        assert line.resume_ns is None
        assert len(line.parts) == 0
        assert {line.silent_from_ns, line.silent_until_ns, line.postcopy_ns} == {None}
        assert {line.downtime_event_ms, line.downtime_network_ms, line.guest_behind_ms} == {None}
    elif line.downtime_event_ms is not None:
        assert line.resume_ns is not None
        assert line.downtime_event_ms == pytest.approx((line.resume_ns - line.stop_ns) / MS)
        assert line.downtime_event_ms > 0


@every
def test_downtime_has_bounds_or_a_reason(name: str) -> None:
    """A missing figure has a reason; a known one is between its bounds."""
    for row in timeline(name).downtimes.itertuples():
        missing = any(map(math.isnan, (row.downtime_ms, row.low_ms, row.high_ms)))
        assert bool(row.reason) == missing, row.kind
        assert row.method
        if math.isnan(row.downtime_ms):
            assert math.isnan(row.low_ms), row.kind
            assert math.isnan(row.high_ms), row.kind
        else:
            assert not row.low_ms > row.downtime_ms, row.kind
            assert not row.high_ms < row.downtime_ms, row.kind


@every
def test_summary_has_its_keys_and_plain_values(name: str) -> None:
    """The keys are those of the table, in its order; unknown is None, not NaN."""
    summary = recorded(name).summary()
    assert list(summary) == list(SUMMARY)
    kinds: dict[str, type | tuple[type, ...]] = {
        "Int64": int,
        "Float64": (int, float),
        "boolean": bool,
        "str": str,
    }
    for key, value in summary.items():
        if value is None:
            assert SUMMARY[key] != "str", key
            continue
        assert isinstance(value, kinds[SUMMARY[key]]), key
        assert not (isinstance(value, float) and math.isnan(value)), key


# --- silent zeros -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIED)
def test_missing_frame_makes_no_number_zero(name: str) -> None:
    """Without a frame its numbers are unknown or come from another frame; none becomes 0."""
    run, _ = outcome(name)
    whole = numbers(run)
    for each in FRAMES:
        left = numbers(dataclasses.replace(run, **{each: frame(each, [])}))
        zeros = [key for key, value in left.items() if value == 0 and whole[key] != 0]
        assert zeros == [], each


@pytest.mark.parametrize("name", VARIED)
def test_empty_recording_gives_no_numbers(name: str) -> None:
    """With all frames empty and no statistics, only the call and the limit are known."""
    run, _ = outcome(name)
    nothing = {each: frame(each, []) for each in FRAMES}
    left = numbers(dataclasses.replace(run, **nothing, completed_job={}))
    assert {key for key, value in left.items() if value is not None} == ALWAYS


@pytest.mark.parametrize("name", COUNTED)
def test_wire_carried_at_least_what_was_sent(name: str) -> None:
    """The bytes on the wire, counted to the end, include what libvirt reports as sent."""
    line = timeline(name)
    assert counted_to_the_end(name)
    assert line.transferred_bytes is not None
    assert line.wire_bytes is not None
    assert line.wire_bytes >= line.transferred_bytes


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(COUNTED)))
def test_other_recordings_have_no_bytes_to_compare(
    name: str,
) -> None:
    """The recordings that the previous test leaves out have no such bytes."""
    line = timeline(name)
    if counted_to_the_end(name):
        assert line.transferred_bytes is None
    else:
        assert line.wire_bytes is None


@every
def test_stored_summary_equals_the_computed_one(name: str) -> None:
    """The summary stored with a run equals the one computed today."""
    assert load_run(PLACES[name]).summary() == recorded(name).summary()


@pytest.mark.parametrize("name", LOST)
def test_bytes_not_counted_to_the_end_are_missing(name: str) -> None:
    """If a host was lost, the counters of the wire ended early: their sum is unknown, not 0."""
    run, line = outcome(name)
    assert not counted_to_the_end(f"outcomes/{name}")
    assert line.wire_bytes is None
    assert run.summary()["cable_bytes"] is None
    assert run.summary()["cable_bytes_per_memory_byte"] is None


# --- each way to end --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ARRIVED)
def test_completed_migration_has_every_number(name: str) -> None:
    """All phases are complete, the guest is intact at the destination, every number is known.

    libvirt's downtime is QEMU's plus what libvirt's own clocks add; in post-copy it ends before
    the guest runs.
    """
    run, line = outcome(name)
    assert states(line) == ["complete"] * 5
    assert run.domain_states == {"source": "absent", "destination": "running"}
    assert run.found_at == "host-b"
    assert run.guest_check is not None
    assert run.guest_check["intact"] is True
    assert line.downtimes["downtime_ms"].notna().all()
    assert line.downtime_event_ms is not None
    assert line.downtime_network_ms is not None
    assert line.downtime_network_ms > line.downtime_event_ms
    assert line.iterations["iteration"].tolist() == list(range(1, len(line.iterations) + 1))
    assert len(line.parts) > 0
    assert line.notes == ()


@pytest.mark.parametrize(
    ("name", "leader"),
    [("completed-normal", "client"), ("completed-peer2peer", "source libvirtd")],
)
def test_leader_depends_on_the_mode(name: str, leader: str) -> None:
    """Both modes have the same five phases; the client or the source's libvirtd leads."""
    _, line = outcome(name)
    assert set(line.phases["asked_by"]) == {leader}
    assert line.phases["by"].tolist() == [
        *("source libvirtd", "destination libvirtd", "source QEMU"),
        *("destination libvirtd", "source libvirtd"),
    ]
    assert line.downtime_reported_ms == pytest.approx(line.downtime_event_ms, abs=30)


def test_completed_postcopy() -> None:
    """The guest switches over during the migration, and its memory follows."""
    _, line = outcome("completed-postcopy")
    assert line.postcopy_ns is not None
    assert line.resume_ns is not None
    assert line.completed_ns is not None
    assert line.postcopy_ns < line.resume_ns < line.completed_ns
    assert line.postcopy_ms == pytest.approx((line.completed_ns - line.postcopy_ns) / MS)
    assert line.steering["name"].tolist() == ["start_postcopy"]
    assert line.downtime_reported_ms is not None
    assert line.downtime_event_ms is not None
    assert line.downtime_reported_ms < line.downtime_event_ms


def test_completed_with_copied_storage() -> None:
    """The disk uses its own connection, beside the memory."""
    run, line = outcome("completed-storage")
    sent = run.connections.groupby("purpose")["sent_bytes"].sum()
    assert set(sent.index) == {"memory", "storage"}
    assert sent["storage"] >= 16 * MIB
    assert line.wire_bytes is not None
    assert line.wire_bytes >= sent.sum()
    assert run.guest_check is not None
    assert run.guest_check["bad_blocks"] == 0
    assert run.guest_check["disk_blocks"] > 0


@pytest.mark.parametrize(("name", "by"), STOPPED.items())
def test_cancelled_leaves_guest_on_source(name: str, by: str) -> None:
    """Perform is cut short and rolled back, and the guest is intact at the source."""
    run, line = outcome(name)
    assert states(line) == ["complete", "complete", "cut short", "rolled back", "not reached"]
    assert line.steering["by"].tolist() == [by]
    assert len(line.iterations) >= 1
    assert line.iterations["guest_running"].all()
    assert line.stop_ns is None
    assert line.transferred_bytes
    assert run.completed_job == {}
    assert line.downtime_reported_ms is None
    assert run.domain_states == {"source": "running", "destination": "absent"}
    assert run.found_at == "host-a"
    assert run.guest_check is not None
    assert run.guest_check["intact"] is True


def test_diverged_after_several_iterations() -> None:
    """The migration ended after it had sent more than the guest's memory."""
    run, line = outcome("diverged")
    assert len(line.iterations) > 2
    assert line.transferred_bytes is not None
    assert line.transferred_bytes > run.guest["memory_mib"] * MIB


def test_interrupted_postcopy_leaves_memory_on_both_hosts() -> None:
    """The guest ran at the destination when its memory stopped to arrive."""
    run, line = outcome("interrupted")
    assert states(line) == ["complete", "complete", "complete", "cut short", "rolled back"]
    assert line.postcopy_ns is not None
    assert line.postcopy_ms is None
    assert line.completed_ns is None
    assert line.stop_ns is not None
    assert line.resume_ns is not None
    assert line.downtime_event_ms is not None
    assert line.downtime_reported_ms is None
    assert line.steering["name"].tolist() == ["start_postcopy", "pause_postcopy"]
    assert run.domain_states == {"source": "paused", "destination": "running"}
    assert run.found_at == "host-b"
    assert run.guest_check is None
    assert run.summary()["guest_intact"] is None
    assert any("could not be checked" in warning for warning in run.warnings)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_migration_sent_nothing(name: str) -> None:
    """No memory was sent, there was no iteration, and the guest never stopped."""
    run, line = outcome(name)
    assert len(line.iterations) == 0
    assert len(run.job) == 0
    assert {line.active_ns, line.stop_ns, line.completed_ns} == {None}
    assert {line.transferred_bytes, line.throughput_bytes_per_s, line.iteration_count} == {None}
    assert line.total_ms is None
    assert run.summary()["workload_sending_mib_s"] is None
    assert "memory" not in set(run.connections["purpose"])
    assert run.domain_states == {"source": "running", "destination": "absent"}
    assert run.found_at == "host-a"
    assert run.guest_check is not None
    assert run.guest_check["intact"] is True


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "port-closed"])
def test_refused_before_perform(name: str) -> None:
    """With a wrong URI, the same host or a failed connection, Perform is not reached."""
    _, line = outcome(name)
    assert line.phases["start_ns"].iloc[2:4].isna().all()
    assert set(states(line)[2:4]) <= {"not reached", "unknown"}


def test_connection_uri_as_migration_uri_is_refused() -> None:
    """libvirt refuses a connection URI as migration URI, and the error is explained."""
    run, line = outcome("refused")
    assert run.plan.migration_uri == "qemu+ssh://root@host-b/system"
    assert run.error is not None
    assert run.error.explanation == "migration-uri-scheme-unsupported"
    assert states(line)[0] == "cut short"


def test_not_connected_reached_no_phase() -> None:
    """If the destination's libvirtd was not reached, no phase started."""
    _, line = outcome("not-connected")
    assert line.phases["start_ns"].isna().all()


def test_closed_port_fails_in_perform() -> None:
    """The source's libvirtd connects in Perform and gets no answer."""
    _, line = outcome("port-closed")
    assert states(line) == ["complete", "complete", "cut short", "rolled back", "rolled back"]


@pytest.mark.parametrize("name", LOST)
def test_lost_host_ends_in_perform(name: str) -> None:
    """The host was lost while memory was sent, and no number claims more than was recorded."""
    run, line = outcome(name)
    assert states(line)[:3] == ["complete", "complete", "cut short"]
    assert len(line.iterations) == 1
    assert line.active_ns is not None
    assert line.completed_ns is None
    assert line.transferred_bytes
    assert any("the bytes on the wire end early" in warning for warning in run.warnings)


def test_lost_destination_leaves_guest_on_source() -> None:
    """The guest runs at the source and is intact; the destination's state is unknown."""
    run, _ = outcome("lost-destination")
    assert run.domain_states == {"source": "running", "destination": "unknown"}
    assert run.found_at == "host-a"
    assert run.guest_check is not None
    assert run.guest_check["intact"] is True
    assert run.beats["arrival_ns"].max() > run.returned_ns


def test_lost_source_leaves_guest_unknown() -> None:
    """The guest is not reported as running anywhere, nor as intact."""
    run, _ = outcome("lost-source")
    assert run.domain_states == {"source": "unknown", "destination": "absent"}
    assert run.found_at is None
    assert run.guest_check is None
    assert run.summary()["guest_intact"] is None
    assert any("could not be checked" in warning for warning in run.warnings)
    assert run.beats["arrival_ns"].max() < run.returned_ns


def test_lost_guest_is_not_reported_as_running() -> None:
    """If the guest was lost with its host, no reason claims that it did not stop."""
    _, line = outcome("lost-source")
    assert "the guest did not stop" not in set(line.downtimes["reason"])
    assert any("nothing arrived from the guest" in note for note in line.notes)
