"""What a migration cost, of made-up runs with exact figures and of real ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from migrationlab import plots
from migrationlab.analysis.cost import DEFINITIONS, SEGMENT_HEADER_BYTES, Cost, cost, group_of
from migrationlab.analysis.switchover import Moments
from migrationlab.runs.run import Run
from migrationlab.runs.schema import frame
from migrationlab.runs.store import load_runs
from paths import RECORDINGS

MakeRun = Callable[..., Run]
#: A copied disk by two connections for memory, and a post-copy.
REAL = load_runs(RECORDINGS / "cost")
MS = 1_000_000
CALLED, RETURNED = 1_000 * MS, 2_000 * MS
MOMENTS = Moments(
    called_ns=CALLED,
    returned_ns=RETURNED,
    active_ns=1_200 * MS,
    stop_ns=1_500 * MS,
    resume_ns=1_800 * MS,
)


def processes(*rows: tuple[str, str, str, int, int]) -> pd.DataFrame:
    """Give samples: side, process, thread, at how many ms, ms of processor time used by then."""
    return frame(
        "processes",
        [
            {
                "time_ns": at * MS,
                "side": side,
                "process": process,
                "thread": thread,
                "cpu_ns": used * MS,
                "memory_bytes": None if thread else at,
            }
            for side, process, thread, at, used in rows
        ],
    )


def cost_of(samples: pd.DataFrame, **changes: Any) -> Cost:
    """Work out the cost of these samples, between 1,000 and 2,000 ms."""
    given: dict[str, Any] = {
        "processes": samples,
        "connections": frame("connections", []),
        "wire_bytes": frame("wire_bytes", []),
        "moments": MOMENTS,
        "moved": True,
        "memory_bytes": 1 << 30,
    }
    return cost(**(given | changes))


def used_s(
    found: Cost, side: str, process: str, group: str = "all", column: str = "cpu_s"
) -> float:
    """Give one cell of the table of processor time."""
    rows = found.processors.set_index(["side", "process", "group"])
    return float(rows.loc[(side, process, group), column])


#: A guest whose vCPU uses 40 % and whose main loop 10 % of a processor, migrated at 1,000 ms: it
#: stops at 1,500 ms and runs again from 1,800 ms.
WHOLE_MIGRATION = (
    ("source", "libvirtd", "", 1000, 500),
    ("source", "libvirtd", "", 2000, 530),
    ("destination", "libvirtd", "", 1000, 300),
    ("destination", "libvirtd", "", 2000, 320),
    ("source", "qemu", "", 900, 1000),
    ("source", "qemu", "", 1000, 1050),
    ("source", "qemu", "", 1200, 1150),
    ("source", "qemu", "", 1800, 1450),
    ("source", "qemu", "vCPU 0", 900, 600),
    ("source", "qemu", "vCPU 0", 1000, 640),
    ("source", "qemu", "vCPU 0", 1200, 720),
    ("source", "qemu", "vCPU 0", 1800, 840),
    ("source", "qemu", "main", 900, 400),
    ("source", "qemu", "main", 1000, 410),
    ("source", "qemu", "main", 1200, 430),
    ("source", "qemu", "main", 1800, 500),
    ("source", "qemu", "migration", 1800, 110),
    ("destination", "qemu", "", 1300, 50),
    ("destination", "qemu", "", 2000, 250),
    ("destination", "qemu", "vCPU 0", 1300, 0),
    ("destination", "qemu", "vCPU 0", 2000, 80),
    ("destination", "qemu", "main", 1300, 50),
    ("destination", "qemu", "main", 2000, 170),
)


def memory_connection(sent_bytes: int) -> pd.DataFrame:
    """Give one connection, for memory."""
    row = dict.fromkeys(("received_bytes", "sent_segments", "received_segments"), 0)
    row |= {"local_port": 40000, "remote_port": 49152, "retransmitted_bytes": 0}
    return frame("connections", [{**row, "purpose": "memory", "sent_bytes": sent_bytes}])


def test_time_counts_from_the_call_to_its_return() -> None:
    """What was used before and after is not the migration's: between samples it grows evenly."""
    found = cost_of(
        processes(("source", "libvirtd", "", 900, 100), ("source", "libvirtd", "", 2100, 1300))
    )
    assert used_s(found, "source", "libvirtd") == pytest.approx(1.0)


def test_a_process_that_began_meanwhile_counts_from_its_beginning() -> None:
    """The destination's QEMU was started for the migration, so all of its time is."""
    found = cost_of(
        processes(("destination", "qemu", "", 1300, 70), ("destination", "qemu", "", 2000, 400))
    )
    assert used_s(found, "destination", "qemu") == pytest.approx(0.4)


def test_a_process_that_ended_counts_up_to_its_last_sample() -> None:
    """The source's QEMU is gone before the call returns."""
    found = cost_of(processes(("source", "qemu", "", 990, 50), ("source", "qemu", "", 1900, 250)))
    assert used_s(found, "source", "qemu") == pytest.approx(0.2 * 900 / 910, rel=0.02)


def test_a_daemon_started_anew_does_not_take_time_back() -> None:
    """Its clock begins at 0 again, and what it used before stays used."""
    found = cost_of(
        processes(
            ("source", "libvirtd", "", 1000, 500),
            ("source", "libvirtd", "", 1400, 600),
            ("source", "libvirtd", "", 1800, 30),
            ("source", "libvirtd", "", 2000, 40),
        )
    )
    assert used_s(found, "source", "libvirtd") == pytest.approx(0.140)


def test_groups_of_threads_add_up_to_their_process() -> None:
    """Threads that nobody saw are in "other": the groups' sum is what the whole process used."""
    found = cost_of(
        processes(
            *[("source", "qemu", "", at, used) for at, used in ((1000, 0), (2000, 900))],
            *[("source", "qemu", "vCPU 0", at, used) for at, used in ((1000, 0), (2000, 400))],
            *[("source", "qemu", "vCPU 1", at, used) for at, used in ((1000, 0), (2000, 100))],
            *[("source", "qemu", "multifd 0", at, used) for at, used in ((1500, 0), (2000, 150))],
            *[("source", "qemu", "main", at, used) for at, used in ((1000, 0), (2000, 50))],
        )
    )
    assert used_s(found, "source", "qemu", "vCPU") == pytest.approx(0.5)
    assert used_s(found, "source", "qemu", "multifd") == pytest.approx(0.15)
    assert used_s(found, "source", "qemu", "other") == pytest.approx(0.25)


def test_what_the_guest_uses_anyway_is_set_apart() -> None:
    """At 40 % and 10 % for the 700 ms in which it ran, 0.35 s are the guest's, not the cost's."""
    found = cost_of(processes(*WHOLE_MIGRATION), connections=memory_connection(1 << 29))
    for side, ran_s in (("source", 0.5), ("destination", 0.2)):
        for group, share in (("vCPU", 0.4), ("other", 0.1), ("all", 0.5)):
            usual_s = used_s(found, side, "qemu", group, "usual_cpu_s")
            assert usual_s == pytest.approx(share * ran_s), (side, group)
    assert used_s(found, "source", "qemu", "migration") == pytest.approx(0.11)
    # Both libvirtds; the migration thread; what the main loops did beyond their 10 %.
    own = 0.03 + 0.02 + 0.11 + (0.09 - 0.05) + (0.17 - 0.02)
    assert found.migration_cpu_s == pytest.approx(own, abs=1e-4)
    assert found.vcpu_extra_cpu_s == pytest.approx(0.2 - 0.2 + 0.08 - 0.08, abs=1e-4)
    assert found.payload_bytes == 1 << 29
    assert found.cpu_s_per_gib == pytest.approx(2 * own, abs=1e-3)
    assert found.notes == ()


def test_a_throttled_guest_uses_less_than_usual() -> None:
    """That stands by itself, below 0; and what its main loop is spared pays for nothing else."""
    less = {"vCPU 0": 740, "main": 440, "": 1290}
    rows = [
        (*row[:4], less[row[2]])
        if row[0] == "source" and row[3] == 1800 and row[2] in less
        else row
        for row in WHOLE_MIGRATION
    ]
    found = cost_of(processes(*rows))
    assert used_s(found, "source", "qemu", "other") < 0.1 * 0.5
    assert found.vcpu_extra_cpu_s == pytest.approx(-0.1, abs=1e-4)
    assert found.migration_cpu_s == pytest.approx(0.03 + 0.02 + 0.11 + 0.15, abs=1e-4)


def test_a_guest_that_stayed_ran_at_the_source() -> None:
    """After a way back the usual time of 700 ms is all of the source's."""
    found = cost_of(processes(*WHOLE_MIGRATION), moved=False)
    assert used_s(found, "source", "qemu", "vCPU", "usual_cpu_s") == pytest.approx(0.28)
    assert used_s(found, "destination", "qemu", "vCPU", "usual_cpu_s") == 0


def test_what_is_usual_is_not_guessed_from_a_moment() -> None:
    """Seen for 60 ms only before it sent, QEMU's usual rate is not known, and a note says why."""
    late = [row for row in WHOLE_MIGRATION if row[3] >= 1000]
    found = cost_of(processes(*late), moments=dataclasses.replace(MOMENTS, active_ns=1_060 * MS))
    assert found.migration_cpu_s is found.vcpu_extra_cpu_s is None
    (note,) = found.notes
    assert note.startswith("QEMU was sampled for 60 ms before it sent memory: too short")


@pytest.mark.parametrize("gone", ["source", "destination"])
def test_a_daemon_that_nobody_saw_is_not_taken_for_idle(gone: str) -> None:
    """Without a libvirtd's samples the whole is not known."""
    rows = [row for row in WHOLE_MIGRATION if row[:2] != (gone, "libvirtd")]
    found = cost_of(processes(*rows))
    assert found.migration_cpu_s is None
    assert found.vcpu_extra_cpu_s is not None


def test_a_first_look_that_came_late_is_not_all_used_meanwhile() -> None:
    """The source's QEMU is older than its first sample; a thread that comes later is not."""
    found = cost_of(
        processes(
            ("source", "qemu", "", 1100, 5000),
            ("source", "qemu", "", 1500, 5200),
            ("source", "qemu", "migration", 1500, 90),
        )
    )
    assert used_s(found, "source", "qemu") == pytest.approx(0.2)
    assert used_s(found, "source", "qemu", "migration") == pytest.approx(0.09)


def test_of_a_real_host_the_guests_share_is_not_told() -> None:
    """There libvirt knows the domain as a whole: what the migration cost of it nobody can say."""
    found = cost_of(processes(("source", "qemu", "", 1000, 0), ("source", "qemu", "", 2000, 900)))
    assert used_s(found, "source", "qemu") == pytest.approx(0.9)
    assert list(found.processors["group"]) == ["all"]
    assert used_s(found, "source", "qemu", "all", "usual_cpu_s") == pytest.approx(0.9 * 0.5)
    assert found.migration_cpu_s is found.vcpu_extra_cpu_s is found.cpu_s_per_gib is None


def test_memory_is_that_of_processes_from_first_to_greatest() -> None:
    """A thread has none of its own."""
    found = cost_of(
        processes(
            ("source", "qemu", "", 1000, 0),
            ("source", "qemu", "", 1900, 1),
            ("source", "qemu", "", 1500, 1),
            ("source", "qemu", "main", 1500, 1),
        )
    )
    assert found.memory.to_dict("records") == [
        {"side": "source", "process": "qemu", "first_bytes": 1000, "peak_bytes": 1900}
    ]


def test_what_was_not_recorded_costs_nobody_knows_what() -> None:
    """Without samples and connections there is no figure, least of all 0."""
    found = cost_of(frame("processes", []), memory_bytes=None)
    assert not len(found.processors)
    assert not len(found.memory)
    assert not len(found.traffic)
    assert list(found.frame()["figure"]) == list(DEFINITIONS)
    assert found.frame()["value"].isna().all()
    assert repr(found) == "Cost(? s of processor time, ? MiB on the wire)"


def test_bytes_are_told_apart_by_purpose_and_the_rest_is_named() -> None:
    """Payload, headers and what was resent of each purpose, and what the queues counted beyond."""
    rows = [
        ("memory", 1_000_000, 10, 700, 20, 3000),
        ("memory", 500_000, 5, 350, 10, 0),
        ("control", 2_000, 1_000, 8, 6, 0),
    ]
    connections = frame(
        "connections",
        [
            {
                "purpose": purpose,
                "local_port": 40000,
                "remote_port": 49152,
                "sent_bytes": sent,
                "received_bytes": received,
                "sent_segments": out,
                "received_segments": back,
                "retransmitted_bytes": again,
            }
            for purpose, sent, received, out, back, again in rows
        ],
    )
    counters = [(0, 0), (1_600_000, 5_000)]
    wire = frame(
        "wire_bytes",
        [
            {
                "time_ns": CALLED + number * (RETURNED - CALLED),
                "sent_bytes": 0,
                "received_bytes": 0,
                "cable_sent_bytes": out,
                "cable_received_bytes": back,
            }
            for number, (out, back) in enumerate(counters)
        ],
    )
    found = cost_of(frame("processes", []), connections=connections, wire_bytes=wire)
    table = found.traffic.set_index("purpose")
    assert table.loc["memory", "payload_bytes"] == 1_500_015
    assert table.loc["memory", "connections"] == 2
    assert table.loc["memory", "resent_bytes"] == 3000
    assert table.loc["memory", "header_bytes"] == 1080 * SEGMENT_HEADER_BYTES
    assert table.loc["control", "total_bytes"] == 3_000 + 14 * SEGMENT_HEADER_BYTES
    assert found.cable_bytes == 1_605_000
    assert table["total_bytes"].sum() == found.cable_bytes
    assert found.cable_bytes_per_memory_byte == pytest.approx(1_605_000 / (1 << 30), abs=1e-4)


@pytest.mark.parametrize(
    ("thread", "group"),
    [
        ("", "all"),
        ("vCPU 0", "vCPU"),
        ("vCPUs", "vCPU"),
        ("migration", "migration"),
        ("multifd 3", "multifd"),
        ("main", "other"),
        ("IO mon_iothread", "other"),
    ],
)
def test_each_thread_has_its_group(thread: str, group: str) -> None:
    """QEMU's threads are told apart by the names that a run gives them."""
    assert group_of(thread) == group


def test_a_count_that_ends_early_is_no_count() -> None:
    """Where the wire's queue was set anew meanwhile, what a cable carried is not known."""
    row = {"sent_bytes": 0, "received_bytes": 0, "cable_received_bytes": 0}
    counted = [{**row, "time_ns": at, "cable_sent_bytes": at} for at in (1000, 2000)]
    wire = frame("wire_bytes", [*counted, {**row, "time_ns": 3000, "cable_sent_bytes": None}])
    assert cost_of(frame("processes", []), wire_bytes=wire).cable_bytes is None


def test_a_run_tells_its_cost_and_sums_it_up(make_run: MakeRun) -> None:
    """A run hands its own frames over: the summary has the same figures."""
    run = make_run()
    found, summary = run.cost(), run.summary()
    for figure in DEFINITIONS:
        if figure != "payload_bytes":
            assert summary[figure] == getattr(found, figure) is not None
    assert set(found.traffic["purpose"]) == {"memory", "control", "unaccounted"}


@pytest.mark.parametrize("run", REAL, ids=repr)
def test_of_real_runs_every_byte_has_its_purpose(run: Run) -> None:
    """Connections with their headers are what the wire's queues counted, within 0.1 %."""
    found = run.cost()
    table = found.traffic.set_index("purpose")
    assert found.cable_bytes is not None
    assert abs(table.loc["unaccounted", "total_bytes"]) < 0.001 * found.cable_bytes
    assert ("storage" in table.index) == (run.plan.copy_storage is not None)
    transferred = run.summary()["transferred_bytes"]
    assert table.loc["memory", "payload_bytes"] == pytest.approx(transferred, rel=0.01)


@pytest.mark.parametrize("run", REAL, ids=repr)
def test_of_real_runs_what_is_usual_agrees_with_what_the_source_used(run: Run) -> None:
    """Sending has its own threads: the others went on at the source nearly as before."""
    found = run.cost()
    for group in ("vCPU", "other"):
        usual_s = used_s(found, "source", "qemu", group, "usual_cpu_s")
        assert used_s(found, "source", "qemu", group) == pytest.approx(usual_s, rel=0.25)
    # Starting a QEMU and receiving is the greater part.
    assert found.migration_cpu_s is not None
    beyond = used_s(found, "destination", "qemu", "other")
    beyond -= used_s(found, "destination", "qemu", "other", "usual_cpu_s")
    assert 0.5 * found.migration_cpu_s < beyond < found.migration_cpu_s
    assert found.notes == ()


@pytest.mark.parametrize("run", REAL, ids=repr)
def test_the_fake_is_like_real_runs(run: Run, make_run: MakeRun) -> None:
    """What tests make up has processes, threads, purposes and missing values as real runs have."""
    fake = make_run()

    def watched(one: Run) -> set[tuple[str, str, str]]:
        columns = (one.processes[name] for name in ("side", "process", "thread"))
        return set(zip(*columns, strict=True))

    assert watched(fake) <= watched(run) | {("source", "qemu", "migration")}
    assert {where[:2] for where in watched(fake)} == {where[:2] for where in watched(run)}
    for made in (fake, run):
        threads = made.processes["thread"] != ""
        assert (made.processes["memory_bytes"].isna() == threads).all()
        assert (made.processes["cpu_ns"] >= 0).all()
        assert "memory" in set(made.connections["purpose"])
        known = made.connections.dropna(subset=["opened_ns", "closed_ns"])
        assert (known["opened_ns"] < known["closed_ns"]).all()
        assert made.processes.loc[made.processes["side"] == "source", "time_ns"].min() < (
            made.called_ns
        )
        assert (made.wire_bytes["cable_sent_bytes"] >= made.wire_bytes["sent_bytes"]).all()


def words(picture: plots.Picture) -> str:
    """Give all text that stands in a figure."""
    picture.figure.canvas.draw()
    return "\n".join(
        str(artist.get_text())
        for artist in picture.figure.findobj(match=lambda artist: hasattr(artist, "get_text"))
    )


def test_the_figure_of_one_run_has_a_bar_a_side_and_one_for_the_wire(make_run: MakeRun) -> None:
    """Its parts are as long as what was used, and who cannot see them is told the same."""
    run = make_run()
    picture = plots.cost(run for run in [run])
    found = run.cost()
    above, below = picture.figure.axes
    assert [label.get_text() for label in above.get_yticklabels()] == ["source", "destination"]
    drawn_s = sum(bar.get_width() for bar in above.patches)
    whole = found.processors[found.processors["group"] == "all"]
    assert drawn_s == pytest.approx(whole["cpu_s"].sum(), abs=0.01)
    assert found.cable_bytes is not None
    drawn_mib = sum(bar.get_width() for bar in below.patches)
    assert drawn_mib == pytest.approx(found.cable_bytes / (1 << 20), rel=0.01)
    assert picture.title == (
        f"{found.cpu_s_per_gib:.1f} CPU s per GiB sent, "
        f"{found.cable_bytes_per_memory_byte:.2f} bytes on the wire per byte of memory"
    )
    assert picture.title in words(picture)
    assert "QEMU: migration threads" in picture.alt
    assert "Bytes, wire: memory " in picture.alt


def test_the_figure_of_many_runs_puts_them_together_and_shows_each(make_run: MakeRun) -> None:
    """Means by mode and outcome, each run a point; the title is of those that completed."""
    modes = ["normal", "peer2peer"] * 3
    runs = [make_run(mode=mode, number=number) for number, mode in enumerate(modes, start=1)]
    picture = plots.cost([*runs, make_run(number=7, outcome="timed_out", dirty_mib_s=110)])
    above, below = picture.figure.axes
    assert [label.get_text() for label in below.get_yticklabels()] == [
        "normal, completed",
        "peer2peer, completed",
        "normal, stopped at its deadline",
    ]
    assert len(above.get_yticklabels()) == 2 * 3
    assert [len(line.get_xdata()) for line in below.lines] == [3, 3]
    assert picture.title == plots.cost(runs).title
    assert "medians of 6 completed runs; bars: means of all 7" in words(picture)


def test_the_figure_of_an_experiment_goes_by_its_settings_without_warm_ups(
    make_run: MakeRun,
) -> None:
    """A warm-up is not to be counted, here neither."""
    cells = [("slow", True), ("slow", False), ("fast", False)]
    runs = [
        dataclasses.replace(make_run(number=number), experiment={"cell": cell, "warm_up": warm_up})
        for number, (cell, warm_up) in enumerate(cells, start=1)
    ]
    _, below = plots.cost(runs).figure.axes
    assert [label.get_text() for label in below.get_yticklabels()] == ["slow", "fast"]


def test_the_figure_says_what_was_not_recorded(make_run: MakeRun) -> None:
    """No bar of no length."""
    nothing = {name: frame(name, []) for name in ("processes", "connections", "wire_bytes")}
    picture = plots.cost([dataclasses.replace(make_run(), **nothing)])
    assert picture.title == "What it cost is not known"
    assert words(picture).count("not recorded") == 2
    assert not [bar for axes in picture.figure.axes for bar in axes.patches]


def test_a_real_hosts_qemu_is_drawn_as_a_whole(make_run: MakeRun) -> None:
    """Of its threads nobody knows, and of its libvirtd neither."""
    run = make_run()
    known = run.processes.query("process == 'qemu' and thread == ''")
    picture = plots.cost([dataclasses.replace(run, processes=known)])
    assert "QEMU as a whole" in words(picture)
    assert "vCPU" not in words(picture)
