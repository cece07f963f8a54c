"""Downtimes of real migrations: against a packet capture, by part, and for a client."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import packets
from migrationlab.analysis.downtime_parts import PARTS
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.start import migrate
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode
from migrationlab.runs.run import Outcome, Run

pytestmark = pytest.mark.lab

#: How far the network downtime may be from the truth.
TRUTH_MS = 2.0
PLANS = {
    "normal": Plan(),
    "peer2peer": Plan(mode=Mode.PEER2PEER),
    "postcopy": Plan(mode=Mode.PEER2PEER, postcopy=True, postcopy_after_s=0.2),
}
#: The steps that both pre-copy and post-copy have, in the order of QEMU's migration/migration.c and
#: migration/savevm.c, "precopy" and "postcopy" left out of their names.
STEPS = {
    "source": (
        *("src-downtime-start", "src-vm-stopped", "src-iterable-saved"),
        *("src-non-iterable-saved", "src-downtime-end"),
    ),
    "destination": ("dst-bh-enter", "dst-bh-announced", "dst-bh-vm-started"),
}


@pytest.fixture(
    scope="module",
    params=[
        # It has the parts of the other two.
        pytest.param(name, marks=[pytest.mark.thorough] * (name == "normal"))
        for name in PLANS
    ],
)
def watched(
    request: pytest.FixtureRequest,
    lab: Lab,
    shared_guest: Guest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """Return a migration of each kind."""
    shared_guest.set_workload(20, "sequential")
    run = migrate(shared_guest, to=shared_guest.other_host, plan=PLANS[request.param])
    assert run.outcome is Outcome.COMPLETED
    return run


@pytest.mark.skipif(packets.TCPDUMP is None, reason=packets.WITHOUT)
@pytest.mark.parametrize(
    "mode", [pytest.param(Mode.NORMAL, marks=pytest.mark.thorough), Mode.PEER2PEER]
)
def test_network_downtime_agrees_with_tcpdump(
    lab: Lab, guest: Guest, mode: Mode, tmp_path: Path
) -> None:
    """Beats and tcpdump show the same downtime, and the observer misses no beat that was sent."""
    apart = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        with packets.captured(lab, guest, folder) as files:
            run = migrate(guest, to=guest.other_host, plan=Plan(mode=mode))
        seen, line = packets.beats(files), run.timeline()
        assert line.stop_ns is not None
        assert line.resume_ns is not None
        assert line.downtime_network_ms is not None
        truth_ms = packets.silence_ms(seen, line.stop_ns, line.resume_ns)
        assert truth_ms > 10
        apart.append(line.downtime_network_ms - truth_ms)
        # From the capture's first to the run's last.
        recorded = run.beats["sequence"]
        left = seen["sequence"]
        both = left[left.between(recorded.min(), recorded.max())]
        assert len(both) > 500
        assert set(both) <= set(recorded)
    assert max(map(abs, apart)) < TRUTH_MS, apart


def test_parts_add_up_to_the_downtime(watched: Run) -> None:
    """The parts of the downtime, read from QEMU's log, add up to the event downtime."""
    line = watched.timeline()
    found = line.parts
    assert tuple(found["part"]) == PARTS
    assert list(found["basis"]) == ["events", "log", "log", "log", "events", "beats"]
    assert (found["duration_ms"] >= 0).all()
    assert (found["error_ms"] == 0).all()
    until_resume = found[found["part"] != "first packet"]
    assert until_resume["duration_ms"].sum() == pytest.approx(line.downtime_event_ms, abs=0.01)
    assert found["start_ns"].iloc[0] == line.stop_ns
    arrivals = watched.beats["arrival_ns"]
    assert found["end_ns"].iloc[-1] == arrivals[arrivals >= line.resume_ns].min()


def test_qemu_logs_its_checkpoints_in_order(watched: Run) -> None:
    """Each QEMU logs its checkpoints once, in order, between call and return."""
    logged = watched.events.query("origin == 'log' and name == 'downtime'")
    steps = list(zip(logged["side"], logged["detail"], strict=True))
    assert len(steps) == len(set(steps))
    assert {side for side, _ in steps} == {"source", "destination"}
    assert (logged["time_ns"] > watched.called_ns).all()
    assert (logged["time_ns"] < watched.returned_ns).all()
    for side, order in STEPS.items():
        mine = logged[logged["side"] == side]
        names = [json.loads(detail)["checkpoint"] for detail in mine["detail"]]
        plain = [re.sub("-(pre|post)copy-", "-", name) for name in names]
        assert [name for name in plain if name in order] == list(order)
        # So stamped, too: they are sorted by that, and by their names only where it is the same.
        assert mine["time_ns"].is_monotonic_increasing
        assert mine["time_ns"].nunique() > len(order) // 2


def test_client_sees_the_downtime(watched: Run) -> None:
    """A guest of a lab answers echo requests, and a paused guest does not."""
    assert "echoes" in (watched.instruments or ())
    line = watched.timeline()
    assert line.network_basis == "beats"
    assert line.stop_ns is not None
    assert line.resume_ns is not None
    trips = line.latency
    assert len(trips) == len(watched.echoes)
    before = trips[trips["sent_ns"] < line.stop_ns - 50_000_000]
    assert before["round_trip_ms"].median() < 50
    assert before["round_trip_ms"].isna().mean() < 0.2
    # A request during the pause is lost, or answered after the guest runs again.
    answered_ns = trips["sent_ns"] + (trips["round_trip_ms"] * 1e6).fillna(0).round().astype(
        "int64"
    )
    answered = answered_ns[trips["round_trip_ms"].notna()]
    assert not answered.between(line.stop_ns + 2_000_000, line.resume_ns).any()
    assert (answered > line.resume_ns).any()


@pytest.mark.thorough
def test_renamed_guest_has_its_parts(guest: Guest) -> None:
    """The parts of a renamed guest's downtime are read from the log under its new name."""
    name = guest.name
    try:
        run = migrate(guest, to=guest.other_host, plan=Plan(destination_name="renamed"))
        assert tuple(run.timeline().parts["part"]) == PARTS
    finally:
        back = migrate(guest, to=guest.other_host, plan=Plan(destination_name=name))
    assert tuple(back.timeline().parts["part"]) == PARTS
    assert guest.name == name
