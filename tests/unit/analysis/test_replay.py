"""Every recording of a real migration, replayed: what its timeline and summary say, and do not say.

``tests/recordings/outcomes`` holds one of each way that a migration can end, made by ``record.py``
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
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.schema import FRAMES, SUMMARY, frame
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
#: What can be told of any call, with nothing recorded at all.
ALWAYS = {"call_ms", "downtime_requested_ms"}
#: Where libvirt refused before any memory was sent.
REFUSED = ("refused", "refused-by-destination", "not-connected", "port-closed")
LOST = ("lost-source", "lost-destination")
STOPPED = {"cancelled": "user", "timed-out": "deadline_s", "diverged": "abort_when_diverging_s"}
ARRIVED = ("completed-normal", "completed-peer2peer", "completed-postcopy", "completed-storage")
#: One of each kind, where each takes long.
VARIED = ("completed-normal", "completed-postcopy", "diverged", "interrupted", "refused", *LOST)

#: Whose memory was sent, in part at least, while the wire was counted to the end.
COUNTED = (
    *("20261122-192717-620bc3", "20261122-192719-bf2583", "20261122-192730-6899bc"),
    *("20261122-192739-4662c1", "steered/20261122-222924-87c709"),
    *("cost/20261123-023313-bd9924", "cost/20261123-023324-3ed050"),
    *(f"outcomes/{name}" for name in (*ARRIVED, *STOPPED, "interrupted")),
)

every = pytest.mark.parametrize("name", NAMES)
every_outcome = pytest.mark.parametrize("name", RECIPES)


@functools.cache
def recorded(name: str) -> Run:
    """Give a recording by its folder's name, without the summary that is kept with it."""
    return dataclasses.replace(load_run(PLACES[name]))


@functools.cache
def timeline(name: str) -> Timeline:
    """Give a recording's timeline."""
    return recorded(name).timeline()


def outcome(name: str) -> tuple[Run, Timeline]:
    """Give the recording of an outcome, and its timeline."""
    return recorded(f"outcomes/{name}"), timeline(f"outcomes/{name}")


def states(line: Timeline) -> list[str]:
    """Give the states of the five phases."""
    return [str(state) for state in line.phases["state"]]


def without(run: Run, *origins: str) -> Run:
    """Give the run as it would be if these had not been recorded."""
    events = run.events
    return dataclasses.replace(run, events=events[~events["origin"].isin(origins)])


def heard_of(name: str, *unrecorded: str) -> bool:
    """Return whether either host said anything at all, by what is left."""
    sides = without(recorded(name), *unrecorded).events["side"]
    return bool(sides.isin(["source", "destination"]).any())


def numbers(run: Run) -> Mapping[str, Any]:
    """Give the numbers of a run's summary."""
    summary = run.summary()
    return {name: summary[name] for name in NUMBERS}


def counted_to_the_end(name: str) -> bool:
    """Return whether the bytes on the wire were counted until the call returned, or longer."""
    counted = recorded(name).wire_bytes["time_ns"]
    return len(counted) > 0 and int(counted.iloc[-1]) >= timeline(name).returned_ns


# --- what is recorded -------------------------------------------------------------------------


def test_every_outcome_is_recorded() -> None:
    """What follows says something only while there is a recording of each way to end."""
    places = {path.name: path for path in OUTCOMES.iterdir() if not path.name.startswith(".")}
    assert set(places) == set(RECIPES)
    assert {load_run(path).outcome for path in places.values()} == set(Outcome)
    assert set(RECIPES) == {*ARRIVED, *STOPPED, "interrupted", *REFUSED, *LOST}


@every_outcome
def test_each_ended_as_it_should(name: str) -> None:
    """A recording shows what its name says, whoever made it anew."""
    run, _ = outcome(name)
    assert run.outcome is RECIPES[name].outcome
    assert run.instruments == tuple(FRAMES)
    assert (run.error is None) == (run.outcome is Outcome.COMPLETED)
    if run.error is not None:
        assert run.error.explanation


@every
def test_none_names_the_place_where_it_was_made(name: str) -> None:
    """No home and no scratch folder of whoever recorded it is in a recording."""
    run = recorded(name)
    texts = [str(path) for path in (PLACES[name] / "run.json").read_text().splitlines()]
    for each in FRAMES:
        columns = getattr(run, each).select_dtypes("str")
        texts += [text for column in columns for text in columns[column]]
    assert [text for text in texts if re.search(r"/(home|root|Users|tmp)/", text)] == []


# --- of all of them ---------------------------------------------------------------------------


@every
@pytest.mark.parametrize("unrecorded", [(), ("log",), ("log", "qemu")], ids=str)
def test_five_phases_in_order(name: str, unrecorded: tuple[str, ...]) -> None:
    """They stand in order, touch each other, end with the call, and none is negative."""
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
def test_what_is_cut_short_is_so_once(name: str) -> None:
    """A migration that did not complete broke off in one phase, after which nothing is complete."""
    found = states(timeline(name))
    if not heard_of(name):
        return
    if recorded(name).outcome is Outcome.COMPLETED:
        assert set(found) <= {"complete", "missing", "left out"}
        return
    assert found.count("cut short") == 1
    at = found.index("cut short")
    assert set(found[:at]) <= {"complete", "missing"}
    assert set(found[at + 1 :]) <= {"not reached", "rolled back"}


@every
def test_no_downtime_without_a_stop(name: str) -> None:
    """Where the guest was not seen to stop there is no downtime, none of its parts, no silence."""
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
def test_a_downtime_has_bounds_or_a_reason_why_there_is_none(name: str) -> None:
    """What is missing says why; what is there lies between how small and how great it may be."""
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
def test_a_summary_has_its_keys_and_plain_values(name: str) -> None:
    """The keys are those of the table, in its order; what is unknown is None and no NaN."""
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
def test_a_number_of_what_was_not_recorded_is_missing(name: str) -> None:
    """Taking a frame away makes its numbers unknown, or tells them by another; none gets 0."""
    run, _ = outcome(name)
    whole = numbers(run)
    for each in FRAMES:
        left = numbers(dataclasses.replace(run, **{each: frame(each, [])}))
        zeros = [key for key, value in left.items() if value == 0 and whole[key] != 0]
        assert zeros == [], each


@pytest.mark.parametrize("name", VARIED)
def test_of_nothing_recorded_nothing_is_told(name: str) -> None:
    """With every frame empty, and no statistics, only the call and the limit are known."""
    run, _ = outcome(name)
    nothing = {each: frame(each, []) for each in FRAMES}
    left = numbers(dataclasses.replace(run, **nothing, completed_job={}))
    assert {key for key, value in left.items() if value is not None} == ALWAYS


@pytest.mark.parametrize("name", COUNTED)
def test_the_wire_carried_no_less_than_was_sent(name: str) -> None:
    """What was counted on the wire to the end of the call holds what libvirt says it sent."""
    line = timeline(name)
    assert counted_to_the_end(name)
    assert line.transferred_bytes is not None
    assert line.wire_bytes is not None
    assert line.wire_bytes >= line.transferred_bytes


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(COUNTED)))
def test_where_it_was_not_counted_or_nothing_was_sent_there_is_nothing_to_hold_against(
    name: str,
) -> None:
    """What the other test leaves out has no such figures: none is left out that could fail it."""
    line = timeline(name)
    if counted_to_the_end(name):
        assert line.transferred_bytes is None
    else:
        assert line.wire_bytes is None


@every
def test_a_kept_summary_is_the_recordings_own(name: str) -> None:
    """What a run's file keeps of its figures is what they are by today's definition."""
    assert load_run(PLACES[name]).summary() == recorded(name).summary()


@pytest.mark.parametrize("name", LOST)
def test_bytes_that_were_not_counted_to_the_end_are_missing(name: str) -> None:
    """Where a host went the wire's counters ended with it: their sum, be it 0, is of a part."""
    run, line = outcome(name)
    assert not counted_to_the_end(f"outcomes/{name}")
    assert line.wire_bytes is None
    assert run.summary()["cable_bytes"] is None
    assert run.summary()["cable_bytes_per_memory_byte"] is None


# --- each way to end --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ARRIVED)
def test_completed(name: str) -> None:
    """All five phases are complete, the guest is at the destination, whole, and each number told.

    libvirt's downtime is QEMU's but for what libvirt's own clocks add; in post-copy it ends before
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
def test_who_asked(name: str, leader: str) -> None:
    """In both modes the same five work, and either the client or the source's libvirtd asks."""
    _, line = outcome(name)
    assert set(line.phases["asked_by"]) == {leader}
    assert line.phases["by"].tolist() == [
        *("source libvirtd", "destination libvirtd", "source QEMU"),
        *("destination libvirtd", "source libvirtd"),
    ]
    assert line.downtime_reported_ms == pytest.approx(line.downtime_event_ms, abs=30)


def test_completed_postcopy() -> None:
    """The guest goes over in the middle of it, and its memory follows."""
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
    """The disk goes by a connection of its own, and over the wire beside the memory."""
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
def test_stopped_on_purpose(name: str, by: str) -> None:
    """Perform is cut short, the destination told to let go, the guest whole where it was."""
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


def test_diverged() -> None:
    """It was given up after pass upon pass, having sent more than the guest's memory."""
    run, line = outcome("diverged")
    assert len(line.iterations) > 2
    assert line.transferred_bytes is not None
    assert line.transferred_bytes > run.guest["memory_mib"] * MIB


def test_interrupted() -> None:
    """The guest ran at the destination when its memory ceased to come: half there, for good."""
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
def test_refused(name: str) -> None:
    """Nothing of the guest was sent, no pass was made, and it never stopped nor left."""
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
    """A wrong URI, a host that is the same, a connection that fails: Perform is not reached."""
    _, line = outcome(name)
    assert line.phases["start_ns"].iloc[2:4].isna().all()
    assert set(states(line)[2:4]) <= {"not reached", "unknown"}


def test_refused_uri_of_2011() -> None:
    """A connection URI in the migration URI's place is refused by libvirt, and explained."""
    run, line = outcome("refused")
    assert run.plan.migration_uri == "qemu+ssh://root@host-b/system"
    assert run.error is not None
    assert run.error.explanation == "migration-uri-scheme-unsupported"
    assert states(line)[0] == "cut short"


def test_not_connected_reached_no_phase() -> None:
    """Where not even the destination's libvirtd was reached, no phase is said to have begun."""
    _, line = outcome("not-connected")
    assert line.phases["start_ns"].isna().all()


def test_port_closed() -> None:
    """The destination had prepared; the source's libvirtd dials in Perform, and gets no answer."""
    _, line = outcome("port-closed")
    assert states(line) == ["complete", "complete", "cut short", "rolled back", "rolled back"]


@pytest.mark.parametrize("name", LOST)
def test_lost_host(name: str) -> None:
    """Memory was being sent when it went, and no number claims more than was seen."""
    run, line = outcome(name)
    assert states(line)[:3] == ["complete", "complete", "cut short"]
    assert len(line.iterations) == 1
    assert line.active_ns is not None
    assert line.completed_ns is None
    assert line.transferred_bytes
    assert any("the bytes on the wire end early" in warning for warning in run.warnings)


def test_lost_destination() -> None:
    """The guest is found running at the source, whole; of the destination nothing is known."""
    run, _ = outcome("lost-destination")
    assert run.domain_states == {"source": "running", "destination": "unknown"}
    assert run.found_at == "host-a"
    assert run.guest_check is not None
    assert run.guest_check["intact"] is True
    assert run.beats["arrival_ns"].max() > run.returned_ns


def test_lost_source() -> None:
    """Nobody knows of the guest: it is not said to run anywhere, nor to be whole."""
    run, _ = outcome("lost-source")
    assert run.domain_states == {"source": "unknown", "destination": "absent"}
    assert run.found_at is None
    assert run.guest_check is None
    assert run.summary()["guest_intact"] is None
    assert any("could not be checked" in warning for warning in run.warnings)
    assert run.beats["arrival_ns"].max() < run.returned_ns


def test_a_lost_guest_is_not_said_to_have_gone_on() -> None:
    """That no stop was seen of a guest that went with its host does not say that it ran on."""
    _, line = outcome("lost-source")
    assert "the guest did not stop" not in set(line.downtimes["reason"])
    assert any("nothing arrived from the guest" in note for note in line.notes)
