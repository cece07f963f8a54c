"""The cost of fake runs with exact figures, and of real ones."""

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
    """Return samples: side, process, thread, at how many ms, ms of processor time used by then."""
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
    """Return the cost of these samples between 1,000 and 2,000 ms."""
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
    """Return one cell of the table of processor time."""
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
    """Return one connection, for memory."""
    row = dict.fromkeys(("received_bytes", "sent_segments", "received_segments"), 0)
    row |= {"local_port": 40000, "remote_port": 49152, "retransmitted_bytes": 0}
    return frame("connections", [{**row, "purpose": "memory", "sent_bytes": sent_bytes}])


def test_time_counts_from_call_to_return() -> None:
    """Time used before and after the call does not count; between samples it grows evenly."""
    found = cost_of(
        processes(("source", "libvirtd", "", 900, 100), ("source", "libvirtd", "", 2100, 1300))
    )
    assert used_s(found, "source", "libvirtd") == pytest.approx(1.0)


def test_process_started_by_the_call_counts_from_its_start() -> None:
    """The destination's QEMU is started for the migration, so all of its time counts."""
    found = cost_of(
        processes(("destination", "qemu", "", 1300, 70), ("destination", "qemu", "", 2000, 400))
    )
    assert used_s(found, "destination", "qemu") == pytest.approx(0.4)


def test_ended_process_counts_up_to_its_last_sample() -> None:
    """The source's QEMU is gone before the call returns."""
    found = cost_of(processes(("source", "qemu", "", 990, 50), ("source", "qemu", "", 1900, 250)))
    assert used_s(found, "source", "qemu") == pytest.approx(0.2 * 900 / 910, rel=0.02)


def test_restarted_daemon_keeps_its_used_time() -> None:
    """The clock of a restarted daemon starts at 0; the time used before still counts."""
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
    """Threads without a sample are in "other": the sum of the groups is the whole process."""
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


def test_usual_time_of_the_guest_is_subtracted() -> None:
    """At 40 % and 10 % for the 700 ms in which it ran, 0.35 s belong to the guest."""
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


def test_throttled_guest_has_negative_extra_time() -> None:
    """The excess of vCPU is below 0, and the time saved in "other" offsets nothing else."""
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


def test_after_a_rollback_the_guest_ran_at_the_source() -> None:
    """After a rollback the usual time of all 700 ms belongs to the source."""
    found = cost_of(processes(*WHOLE_MIGRATION), moved=False)
    assert used_s(found, "source", "qemu", "vCPU", "usual_cpu_s") == pytest.approx(0.28)
    assert used_s(found, "destination", "qemu", "vCPU", "usual_cpu_s") == 0


def test_usual_time_needs_a_long_enough_sample() -> None:
    """60 ms of samples before memory is sent do not give a usual rate; a note says so."""
    late = [row for row in WHOLE_MIGRATION if row[3] >= 1000]
    found = cost_of(processes(*late), moments=dataclasses.replace(MOMENTS, active_ns=1_060 * MS))
    assert found.migration_cpu_s is found.vcpu_extra_cpu_s is None
    (note,) = found.notes
    assert note.startswith("QEMU was sampled for 60 ms before it sent memory: too short")


@pytest.mark.parametrize("gone", ["source", "destination"])
def test_daemon_without_samples_is_not_idle(gone: str) -> None:
    """Without the samples of one libvirtd the total is unknown."""
    rows = [row for row in WHOLE_MIGRATION if row[:2] != (gone, "libvirtd")]
    found = cost_of(processes(*rows))
    assert found.migration_cpu_s is None
    assert found.vcpu_extra_cpu_s is not None


def test_late_first_sample_counts_only_its_growth() -> None:
    """The source's QEMU is older than its first sample; a thread that appears later is not."""
    found = cost_of(
        processes(
            ("source", "qemu", "", 1100, 5000),
            ("source", "qemu", "", 1500, 5200),
            ("source", "qemu", "migration", 1500, 90),
        )
    )
    assert used_s(found, "source", "qemu") == pytest.approx(0.2)
    assert used_s(found, "source", "qemu", "migration") == pytest.approx(0.09)


def test_real_host_has_no_cost_of_the_migration_alone() -> None:
    """On a real host libvirt knows only the whole domain, so the migration's share is unknown."""
    found = cost_of(processes(("source", "qemu", "", 1000, 0), ("source", "qemu", "", 2000, 900)))
    assert used_s(found, "source", "qemu") == pytest.approx(0.9)
    assert list(found.processors["group"]) == ["all"]
    assert used_s(found, "source", "qemu", "all", "usual_cpu_s") == pytest.approx(0.9 * 0.5)
    assert found.migration_cpu_s is found.vcpu_extra_cpu_s is found.cpu_s_per_gib is None


def test_memory_has_the_first_and_the_peak_of_each_process() -> None:
    """Memory belongs to processes: no thread has a row."""
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


def test_nothing_recorded_gives_no_cost() -> None:
    """Without samples and connections there is no figure, and no 0."""
    found = cost_of(frame("processes", []), memory_bytes=None)
    assert not len(found.processors)
    assert not len(found.memory)
    assert not len(found.traffic)
    assert list(found.frame()["figure"]) == list(DEFINITIONS)
    assert found.frame()["value"].isna().all()
    assert repr(found) == "Cost(? s of processor time, ? MiB on the wire)"


def test_bytes_are_split_by_purpose() -> None:
    """Each purpose has its payload, headers and resent bytes; the rest is "unaccounted"."""
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
    """The name of a QEMU thread in a run gives its group."""
    assert group_of(thread) == group


def test_bytes_of_a_replaced_queue_are_unknown() -> None:
    """If the queue of the wire was replaced during the call, the cable's bytes are unknown."""
    row = {"sent_bytes": 0, "received_bytes": 0, "cable_received_bytes": 0}
    counted = [{**row, "time_ns": at, "cable_sent_bytes": at} for at in (1000, 2000)]
    wire = frame("wire_bytes", [*counted, {**row, "time_ns": 3000, "cable_sent_bytes": None}])
    assert cost_of(frame("processes", []), wire_bytes=wire).cable_bytes is None


def test_run_and_summary_have_the_same_cost(make_run: MakeRun) -> None:
    """The summary has the figures of ``Run.cost()``."""
    run = make_run()
    found, summary = run.cost(), run.summary()
    for figure in DEFINITIONS:
        if figure != "payload_bytes":
            assert summary[figure] == getattr(found, figure) is not None
    assert set(found.traffic["purpose"]) == {"memory", "control", "unaccounted"}


@pytest.mark.parametrize("run", REAL, ids=repr)
def test_real_runs_account_for_every_byte(run: Run) -> None:
    """Connections with their headers are what the wire's queues counted, within 0.1 %."""
    found = run.cost()
    table = found.traffic.set_index("purpose")
    assert found.cable_bytes is not None
    assert abs(table.loc["unaccounted", "total_bytes"]) < 0.001 * found.cable_bytes
    assert ("storage" in table.index) == (run.plan.copy_storage is not None)
    transferred = run.summary()["transferred_bytes"]
    assert table.loc["memory", "payload_bytes"] == pytest.approx(transferred, rel=0.01)


@pytest.mark.parametrize("run", REAL, ids=repr)
def test_real_runs_use_the_usual_time_at_the_source(run: Run) -> None:
    """Sending has its own threads: the other threads at the source work nearly as before."""
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
def test_fake_is_like_real_runs(run: Run, make_run: MakeRun) -> None:
    """Fake runs have the processes, threads, purposes and missing values of real runs."""
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
    """Return all text that stands in a figure."""
    picture.figure.canvas.draw()
    return "\n".join(
        str(artist.get_text())
        for artist in picture.figure.findobj(match=lambda artist: hasattr(artist, "get_text"))
    )


def test_figure_of_one_run_has_a_bar_per_side_and_one_for_the_wire(make_run: MakeRun) -> None:
    """The bars are as long as the figures, and the alternative text says the same."""
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


def test_figure_of_many_runs_shows_means_and_each_run(make_run: MakeRun) -> None:
    """Bars are means by mode and outcome, points are runs; the title is of completed runs."""
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


def test_figure_of_an_experiment_leaves_out_warm_ups(
    make_run: MakeRun,
) -> None:
    """The rows are the cells of the experiment."""
    cells = [("slow", True), ("slow", False), ("fast", False)]
    runs = [
        dataclasses.replace(make_run(number=number), experiment={"cell": cell, "warm_up": warm_up})
        for number, (cell, warm_up) in enumerate(cells, start=1)
    ]
    _, below = plots.cost(runs).figure.axes
    assert [label.get_text() for label in below.get_yticklabels()] == ["slow", "fast"]


def test_figure_says_what_was_not_recorded(make_run: MakeRun) -> None:
    """A cost that was not recorded is a text, and not a bar of length 0."""
    nothing = {name: frame(name, []) for name in ("processes", "connections", "wire_bytes")}
    picture = plots.cost([dataclasses.replace(make_run(), **nothing)])
    assert picture.title == "The cost is unknown"
    assert words(picture).count("not recorded") == 2
    assert not [bar for axes in picture.figure.axes for bar in axes.patches]


def test_real_hosts_qemu_is_drawn_as_a_whole(make_run: MakeRun) -> None:
    """The figure of a real host shows QEMU without threads and no libvirtd."""
    run = make_run()
    known = run.processes.query("process == 'qemu' and thread == ''")
    picture = plots.cost([dataclasses.replace(run, processes=known)])
    assert "QEMU as a whole" in words(picture)
    assert "vCPU" not in words(picture)
