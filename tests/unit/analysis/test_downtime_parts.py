"""The parts of a downtime: by QEMU's own log, by events alone, and with steps missing."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd
import pytest

from migrationlab.analysis.downtime_parts import COLUMNS, PARTS, parts
from migrationlab.analysis.events import Clocks, Event
from migrationlab.runs import store
from migrationlab.runs.run import Outcome, Run
from paths import RECORDINGS

MS = 1_000_000
BEGIN_NS = 1_795_400_940_000_000_000
REAL = [run for folder in ("", "steered") for run in store.load_runs(RECORDINGS / folder)]
#: Beats around both: the last before the stop, and the first after it.
ARRIVALS = pd.DataFrame(
    {"arrival_ns": [BEGIN_NS - MS, BEGIN_NS + 272 * MS, BEGIN_NS + 273 * MS], "sequence": [7, 8, 9]}
)
NOTHING = ARRIVALS[:0]
SURE = Clocks({}, {"source": 0, "destination": 0}, ())

#: A pre-copy migration between two daemons of Debian 13 (QEMU 10.0), rounded: ms, side, what.
PRECOPY = (
    (0.0, "source", "STOP"),
    (0.2, "source", "src-vm-stopped"),
    (1.0, "source", "pre-switchover"),
    (5.0, "source", "device"),
    (160.0, "source", "src-iterable-saved"),
    (161.0, "source", "src-non-iterable-saved"),
    (192.9, "destination", "dst-precopy-loadvm-completed"),
    (193.0, "destination", "dst-precopy-bh-vm-started"),
    (193.1, "destination", "completed"),
    (193.5, "source", "src-downtime-end"),
    (193.6, "source", "completed"),
    (214.0, "destination", "RESUME"),
)
#: A migration that switched to post-copy, rounded too.
POSTCOPY = (
    (0.0, "source", "STOP"),
    (1.0, "source", "pre-switchover"),
    (2.0, "source", "device"),
    (2.1, "source", "src-iterable-saved"),
    (3.0, "source", "src-non-iterable-saved"),
    (3.2, "source", "postcopy-active"),
    (16.0, "destination", "postcopy-active"),
    (46.0, "destination", "dst-postcopy-bh-vm-started"),
    (49.0, "destination", "RESUME"),
    (690.0, "destination", "completed"),
    (692.0, "source", "completed"),
)
#: At how many milliseconds, on which side, what.
Step = tuple[float, str, str]


def happened(steps: Iterable[Step]) -> list[Event]:
    """Return what happened as records."""
    found = []
    for ms, side, what in steps:
        time_ns = BEGIN_NS + round(ms * MS)
        if what.isupper():
            found.append(Event(time_ns, side, "qemu", what, {}))
        elif what.startswith(("src-", "dst-")):
            found.append(Event(time_ns, side, "log", "downtime", {"checkpoint": what}))
        else:
            found.append(Event(time_ns, side, "qemu", "MIGRATION", {"status": what}))
    return found


def unlogged(steps: Iterable[Step]) -> list[Step]:
    """Return the steps without those of QEMU's log."""
    return [each for each in steps if not each[2].startswith(("src-", "dst-"))]


def spans(found: pd.DataFrame) -> dict[str, tuple[float, str]]:
    """Return each part's duration and basis."""
    return {row.part: (row.duration_ms, row.basis) for row in found.itertuples()}


def test_qemus_log_separates_all_parts() -> None:
    """With QEMU's log and beats there are all six parts."""
    found = parts(happened(PRECOPY), SURE, arrivals=ARRIVALS, basis="beats")
    assert tuple(found["part"]) == PARTS
    assert spans(found) == {
        "pre-switchover": (5.0, "events"),
        "last iteration": (155.0, "log"),
        "device state": (1.0, "log"),
        "loading": (32.0, "log"),
        "resume": (21.0, "events"),
        "first packet": (58.0, "beats"),
    }
    assert (found["error_ms"] == 0).all()


def test_post_copy_has_the_same_parts() -> None:
    """In post-copy the guest switches over before its memory: the same parts, other checkpoints."""
    assert spans(parts(happened(POSTCOPY), SURE, arrivals=NOTHING, basis="beats")) == {
        "pre-switchover": (2.0, "events"),
        "last iteration": (0.1, "log"),
        "device state": (0.9, "log"),
        "loading": (43.0, "log"),
        "resume": (3.0, "events"),
    }


def test_events_alone_join_parts() -> None:
    """Without QEMU's log some parts are joined, and so are their names."""
    assert spans(parts(happened(unlogged(PRECOPY)), SURE, arrivals=NOTHING, basis="beats")) == {
        "pre-switchover": (5.0, "events"),
        "last iteration + device state + loading": (188.1, "events"),
        "resume": (20.9, "events"),
    }
    assert spans(parts(happened(unlogged(POSTCOPY)), SURE, arrivals=NOTHING, basis="beats")) == {
        "pre-switchover": (2.0, "events"),
        "last iteration + device state": (1.2, "events"),
        "loading + resume": (45.8, "events"),
    }


@pytest.mark.parametrize("steps", [PRECOPY, POSTCOPY])
@pytest.mark.parametrize("left_out", range(1, 9))
def test_parts_add_up_to_the_event_downtime(steps: tuple[Step, ...], left_out: int) -> None:
    """If any one step is missing, the parts still have no gap and add up to STOP until RESUME."""
    seen = [each for n, each in enumerate(steps) if n != left_out or each[2] == "RESUME"]
    found = parts(happened(seen), SURE, arrivals=NOTHING, basis="beats")
    assert (found["start_ns"].iloc[1:].to_numpy() == found["end_ns"].iloc[:-1].to_numpy()).all()
    resumed = next(ms for ms, _, what in steps if what == "RESUME")
    assert found["duration_ms"].sum() == pytest.approx(resumed)
    assert (found["duration_ms"] >= 0).all()


def test_no_pre_switchover_without_its_status() -> None:
    """If QEMU did not wait for libvirtd, there is no pre-switchover part."""
    seen = [each for each in PRECOPY if each[2] not in ("pre-switchover", "device")]
    found = parts(happened(seen), SURE, arrivals=NOTHING, basis="beats")
    assert found["part"].iloc[0] == "last iteration"
    assert found["duration_ms"].iloc[0] == 160.0


def test_unknown_clock_gives_no_duration() -> None:
    """A part between two hosts has no duration if one of their clocks is unknown."""
    unsure = Clocks({}, {"source": 0, "destination": None}, ())
    found = parts(happened(PRECOPY), unsure, arrivals=ARRIVALS, basis="echoes")
    table = found.set_index("part")
    assert table["duration_ms"].isna().to_dict() == dict.fromkeys(PARTS, False) | {
        "loading": True,
        "first packet": True,
    }
    assert table["error_ms"].isna().equals(table["duration_ms"].isna())
    assert table.loc["resume", "duration_ms"] == 21.0


def test_error_of_a_part_is_that_of_both_clocks() -> None:
    """A part between hosts has the error of both clocks; a part on one host is exact."""
    known = Clocks({}, {"source": 200_000, "destination": 300_000}, ())
    found = parts(happened(PRECOPY), known, arrivals=ARRIVALS, basis="beats")
    errors = found.set_index("part")["error_ms"].to_dict()
    assert errors == dict.fromkeys(PARTS, 0.0) | {"loading": 0.5, "first packet": 0.3}


@pytest.mark.parametrize("off_ms", [7, -4000])
def test_log_is_corrected_like_events(off_ms: int) -> None:
    """QEMU's log has its host's stamps, which are shifted as those of events are."""
    moving = Clocks({"source": -off_ms * MS}, {"source": 0, "destination": 0}, ())
    moved = [
        Event(e.time_ns + off_ms * MS, e.side, e.origin, e.name, e.detail)
        if (e.origin, e.side) == ("log", "source")
        else e
        for e in happened(PRECOPY)
    ]
    assert spans(parts(moved, moving, arrivals=NOTHING, basis="beats")) == spans(
        parts(happened(PRECOPY), SURE, arrivals=NOTHING, basis="beats")
    )


def test_step_that_seems_too_early_ends_no_part() -> None:
    """If clocks make a part end before it starts, it ends with the next part."""
    early = [(ms - 170 if what == "completed" else ms, side, what) for ms, side, what in PRECOPY]
    found = parts(happened(sorted(unlogged(early))), SURE, arrivals=NOTHING, basis="beats")
    assert (found["duration_ms"] >= 0).all()
    assert found["duration_ms"].sum() == 214.0


@pytest.mark.parametrize(
    "steps",
    [
        (),
        PRECOPY[1:],
        PRECOPY[:-1],
        (*PRECOPY[:4], (300.0, "source", "RESUME")),
        ((0.0, "destination", "STOP"), (9.0, "destination", "RESUME")),
    ],
    ids=["nothing", "no stop", "left paused", "rolled back", "elsewhere"],
)
def test_no_switchover_no_parts(steps: tuple[Step, ...]) -> None:
    """If the guest did not stop at the source and run at the destination, there are no parts."""
    found = parts(happened(steps), SURE, arrivals=NOTHING, basis="beats")
    assert len(found) == 0
    assert {name: str(kind) for name, kind in found.dtypes.items()} == COLUMNS


@pytest.mark.parametrize("run", REAL, ids=repr)
def test_parts_of_real_migrations_add_up(run: Run) -> None:
    """The parts of real migrations add up to the event downtime."""
    line = run.timeline()
    found = line.parts
    # In one that was broken off in post-copy it has gone over, too.
    over = run.outcome in (Outcome.COMPLETED, Outcome.INTERRUPTED)
    arrived = over and line.downtime_event_ms is not None
    assert (len(found) > 0) == arrived
    assert (found["duration_ms"] >= 0).all()
    if arrived:
        until = found[found["part"] != "first packet"]
        assert until["duration_ms"].sum() == pytest.approx(line.downtime_event_ms, abs=0.01)
        names = [name for part in found["part"] for name in part.split(" + ")]
        assert names == [name for name in PARTS if name in names]


def test_pause_by_the_user_is_not_the_migrations_stop() -> None:
    """If the user pauses and resumes the guest before, the parts are the same."""
    paused = ((-500.0, "source", "STOP"), (-400.0, "source", "RESUME"), *PRECOPY)
    assert spans(parts(happened(paused), SURE, arrivals=NOTHING, basis="beats")) == spans(
        parts(happened(PRECOPY), SURE, arrivals=NOTHING, basis="beats")
    )


def test_first_packet_is_the_first_after_resume() -> None:
    """A late packet from before the stop is not the first, nor the end of a later silence."""
    times = (BEGIN_NS - MS, BEGIN_NS + 220 * MS, BEGIN_NS + 230 * MS, BEGIN_NS + 299 * MS)
    arrivals = pd.DataFrame({"arrival_ns": times, "sequence": [7, 6, 8, 9]})
    found = parts(happened(PRECOPY), SURE, arrivals=arrivals, basis="beats")
    assert spans(found)["first packet"] == (16.0, "beats")


def test_no_arrivals_no_first_packet() -> None:
    """If nothing arrives after the stop, the first packet is unknown."""
    found = parts(happened(PRECOPY), SURE, arrivals=NOTHING, basis="beats")
    assert "first packet" not in set(found["part"])
    assert not found["duration_ms"].map(math.isnan).any()
