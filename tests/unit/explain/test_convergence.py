"""Reports of progress: read with their units, and judged.

The recorded reports are of one guest that wrote 60 MiB/s in a working set of 64 MiB, over a wire of
200 Mbit/s (tests/recordings/record_job_reports.py).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.explain.convergence import JobAnswer, Verdict, explain_job, judge_job
from migrationlab.explain.explanation import explain
from migrationlab.explain.job_figures import JobReport
from migrationlab.explain.job_report import LONGEST_REPORT, read_job_report
from paths import RECORDINGS

FOLDER = RECORDINGS / "job_reports"
FORMS = [
    "domjobinfo.txt",
    "rawstats.txt",
    "query-migrate.json",
    "info-migrate.txt",
    "job_stats.txt",
]
PROXMOX = """\
2026-03-02 10:00:00 starting migration of VM 100 to node 'pve2' (192.0.2.2)
2026-03-02 10:00:01 migration downtime limit: 100 ms
2026-03-02 10:00:11 migration active, transferred 1.1 GiB of 8.0 GiB VM-state, 113.2 MiB/s
"""
DIRTIES = """\
2026-03-02 10:01:31 migration active, transferred 9.0 GiB of 8.0 GiB VM-state, 112.0 MiB/s, VM \
dirties lots of memory: 210.5 MiB/s
2026-03-02 10:01:31 xbzrle: send updates to 12345 pages in 20.0 MiB encoded memory, cache-miss 97.5%
"""
RAISED = "2026-03-02 10:01:40 auto-increased downtime to continue migration: 200 ms\n"
OLD_PROXMOX = (
    "migration status: active (transferred 539173505, remaining 4015972352), total 4312604672)"
)
ENDED = """\
2026-03-02 10:03:00 average migration speed: 68.3 MiB/s - downtime 181 ms
2026-03-02 10:03:00 migration completed, transferred 12.0 GiB VM-state
2026-03-02 10:03:00 migration status: completed
"""


def recorded(name: str) -> str:
    """Return a recorded report, with its carriage returns."""
    return Path(FOLDER / name).read_bytes().decode()


def answer(text: str) -> JobAnswer:
    """Return the answer to a text that is a report."""
    found = explain_job(text)
    assert found is not None
    assert found.text == text
    return found


@pytest.mark.parametrize("form", FORMS)
def test_a_migration_that_diverges_is_known_in_every_form(form: str) -> None:
    """Every program's report of it has the same figures, and the same verdict."""
    found = answer(recorded(f"diverging.{form}"))
    report = found.report
    assert (found.verdict, found.known, report.iteration) == (Verdict.DIVERGES, True, 7)
    assert report.dirty_mib_s == pytest.approx(5837 * 4096 / 2**20)
    assert report.bandwidth_mib_s == pytest.approx(23, abs=3)
    assert report.total_mib == pytest.approx(256.76, abs=0.01)
    assert report.remaining_mib == pytest.approx(42, abs=4)
    assert report.elapsed_ms == pytest.approx(19_700, abs=1000)
    assert report.expected_downtime_ms == pytest.approx(2800, abs=250)
    assert "the guest writes 22.8 MiB/s, and about as much is sent" in found.cause
    assert "virsh migrate-setmaxdowntime DOMAIN 3" in found.fix or "DOMAIN 29" in found.fix


@pytest.mark.parametrize("form", FORMS)
def test_the_first_iteration_says_nothing_of_the_dirty_rate(form: str) -> None:
    """libvirt's 0 pages/s in the first iteration is no rate, so the answer is to ask again."""
    found = answer(recorded(f"first-iteration.{form}"))
    assert (found.verdict, found.known, found.report.dirty_mib_s) == (
        Verdict.TOO_EARLY,
        False,
        None,
    )
    assert found.fix.startswith("ask again in 1")


def test_the_new_form_of_info_migrate_is_read() -> None:
    """QEMU 11 prints pairs with units; the guest and the wire were the same."""
    found = answer(recorded("diverging.info-migrate-11.txt"))
    report = found.report
    assert (found.verdict, report.iteration, report.elapsed_ms) == (Verdict.DIVERGES, 7, 18486)
    assert report.dirty_mib_s == pytest.approx(5564 * 4096 / 2**20)
    assert report.bandwidth_mib_s == pytest.approx(190e6 / 8 / 2**20)
    assert (report.total_mib, report.remaining_mib, report.processed_mib) == (257, 56.6, 402)
    assert report.expected_downtime_ms == 2891


def test_a_completed_migration_has_its_measured_downtime() -> None:
    """The statistics of a completed job have a downtime, and no rate of writing."""
    report = answer(recorded("completed.domjobinfo.txt")).report
    assert (report.state, report.downtime_ms, report.iteration) == ("completed", 431, 13)
    assert (report.expected_downtime_ms, report.dirty_mib_s) == (None, None)
    assert "the guest was paused for 431 ms" in answer(recorded("completed.domjobinfo.txt")).cause


def test_no_job_is_no_answer() -> None:
    """A domain without a job has nothing to judge; the answer says where to ask."""
    found = answer(recorded("none.domjobinfo.txt"))
    assert (found.verdict, found.known) == (Verdict.NO_JOB, False)
    assert "--completed" in found.fix


@pytest.mark.parametrize(
    ("share", "verdict", "reason"),
    [
        (0.25, Verdict.TOO_EARLY, "has not shown two new iterations"),
        (0.55, Verdict.DIVERGES, "the first of them began with 22 % of memory left, the last with"),
        (0.95, Verdict.DIVERGES, "fell back"),
        (1.0, Verdict.COMPLETED, "the memory is sent"),
    ],
)
def test_a_progress_line_that_falls_back_tells_the_iterations(
    share: float, verdict: Verdict, reason: str
) -> None:
    """Each fall of the percentage is a new iteration: it diverges if they do not get smaller."""
    text = recorded("completed.verbose.txt")
    found = answer(text[: int(len(text) * share)])
    assert found.verdict is verdict
    assert reason in found.cause


def test_a_progress_that_shrinks_converges() -> None:
    """Whole percents of older virshs do as well."""
    line = "".join(f"\rMigration: [{n:3d} %]" for n in (20, 60, 99, 80, 98, 95, 99, 98))
    assert answer(line).verdict is Verdict.CONVERGES
    assert answer(line).report.percents[:2] == (20, 60)


@pytest.mark.parametrize(
    ("text", "verdict", "reason"),
    [
        (PROXMOX, Verdict.TOO_EARLY, "1.1 GiB of 8.0 GiB are sent"),
        (PROXMOX + DIRTIES, Verdict.DIVERGES, "210.5 MiB/s, more than the 112.0 MiB/s"),
        (PROXMOX + DIRTIES + RAISED, Verdict.DIVERGES, "the downtime limit is 200 ms now"),
        (PROXMOX + RAISED, Verdict.DIVERGES, "has grown at least 6 times"),
        (PROXMOX.replace("1.1 GiB", "9.1 GiB"), Verdict.CONVERGES, "no faster than is sent"),
        (PROXMOX + DIRTIES + ENDED, Verdict.COMPLETED, "paused for 181 ms"),
        (
            OLD_PROXMOX,
            Verdict.TOO_EARLY,
            "514.2 MiB of 4.0 GiB are sent",
        ),
    ],
)
def test_proxmox_lines_are_judged(text: str, verdict: Verdict, reason: str) -> None:
    """Proxmox names the dirty rate only where it is above the bandwidth, and doubles the limit."""
    found = answer(text)
    assert found.verdict is verdict
    assert reason in found.cause
    assert found.report.form == "Proxmox"


def test_rates_have_their_programs_units() -> None:
    """QEMU's mbps are 10^6 bits, its dirty rate is in pages of its own size."""
    ram = {"mbps": 1000, "dirty-pages-rate": 100, "page-size": 65536, "dirty-sync-count": 4,
           "remaining": 2**30, "total": 2**31, "transferred": 2**20}  # fmt: skip
    report = read_job_report(json.dumps({"status": "active", "ram": ram}))
    assert report is not None
    assert report.bandwidth_mib_s == pytest.approx(119.2, abs=0.05)
    assert report.dirty_mib_s == 6.25
    assert (report.remaining_mib, report.total_mib, report.processed_mib) == (1024, 2048, 1)


@pytest.mark.parametrize(
    ("memory", "mib"),
    [("1.500 GiB", 1536), ("1,500 GiB", 1536), ("512.000 KiB", 0.5), ("0.000 B", 0),
     ("2 TiB", 2**21)],
)  # fmt: skip
def test_amounts_of_virsh_are_binary(memory: str, mib: float) -> None:
    """virsh prints binary units with three decimals, in some languages behind a comma."""
    report = read_job_report(f"Job type:         Unbounded\nMemory remaining: {memory}\n")
    assert report is not None
    assert report.remaining_mib == mib


def test_a_report_without_page_size_says_what_was_assumed() -> None:
    """Old libvirts report pages and no size of a page."""
    text = (
        "Job type:         Unbounded\nIteration:        5\nMemory bandwidth: 10.000 MiB/s\n"
        "Dirty rate:       5120         pages/s\n"
    )
    assert "20.0 MiB/s (with pages of 4 KiB, which the report does not say), more than" in (
        answer(text).cause
    )


def report(**values: object) -> JobReport:
    """Return a report of a running migration."""
    figures = {
        "iteration": 5,
        "bandwidth_mib_s": 100.0,
        "dirty_mib_s": 50.0,
        "remaining_mib": 400.0,
    }
    return JobReport(form="virsh domjobinfo", state="active", **figures | values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({}, Verdict.CONVERGES),
        ({"dirty_mib_s": 95.0}, Verdict.DIVERGES),
        ({"dirty_mib_s": 300.0}, Verdict.DIVERGES),
        ({"iteration": 2}, Verdict.TOO_EARLY),
        ({"iteration": 2, "dirty_mib_s": 95.0}, Verdict.DIVERGES),
        ({"iteration": 1, "dirty_mib_s": None}, Verdict.TOO_EARLY),
        ({"bandwidth_mib_s": 0.0}, Verdict.TOO_EARLY),
        ({"bandwidth_mib_s": None}, Verdict.TOO_EARLY),
        ({"iteration": 1, "dirty_mib_s": None, "disk_remaining_mib": 9.0}, Verdict.COPIES_DISKS),
        ({"operation": "Snapshot"}, Verdict.OTHER_JOB),
    ],
)
def test_the_ratio_of_the_rates_decides(values: dict[str, object], verdict: Verdict) -> None:
    """The verdict follows from dirty rate, bandwidth and iteration."""
    assert judge_job(report(**values)).verdict is verdict


@pytest.mark.parametrize(
    ("state", "verdict"),
    [("postcopy", Verdict.POSTCOPY), ("paused", Verdict.POSTCOPY_PAUSED),
     ("setup", Verdict.TOO_EARLY), ("cancelled", Verdict.ENDED), ("failed", Verdict.ENDED)],
)  # fmt: skip
def test_other_states_have_their_own_answers(state: str, verdict: Verdict) -> None:
    """A migration in post-copy, paused or over is not judged by rates."""
    found = judge_job(JobReport(form="QMP query-migrate", state=state))
    assert found.verdict is verdict
    assert found.changes


def test_the_time_left_is_that_of_the_iterations_to_come() -> None:
    """400, 200, 100 and 50 MiB at 100 MiB/s; then 25 MiB fit into 300 ms."""
    found = judge_job(report())
    assert found.seconds_left == pytest.approx(7.5)
    assert "leaves 50% of what the one before left, so at least 8 s are left" in found.cause
    assert judge_job(report(remaining_mib=20.0)).seconds_left == 0
    assert judge_job(report(remaining_mib=None)).seconds_left is None


@pytest.mark.parametrize(("percent", "words"), [(40, "takes more with time"), (99, "the most")])
def test_auto_converge_that_works_already_is_not_advised(percent: int, words: str) -> None:
    """Where the guest is throttled, the answer says how far, instead of to switch it on."""
    found = judge_job(report(dirty_mib_s=200.0, throttle_percent=float(percent)))
    assert words in found.fix
    assert "--auto-converge" not in found.fix


@pytest.mark.parametrize(
    "text",
    [
        "",
        "error: operation failed: migration job: is not active",
        "Migration: [ 99 %]error: internal error: qemu unexpectedly closed the monitor",
        PROXMOX + "2026-03-02 10:01:00 ERROR: online migrate failure - aborting\n",
        recorded("diverging.domjobinfo.txt") + "Error message: operation failed\n",
        '{"return": {"status": "failed", "error-desc": "x", "ram": {"total": 1}}}',
        '{"return": {"status": "active", "ram": 5}}',
        '{"status": "active", "ram"',
        "{'time_elapsed': __import__('os')}",
        "Job type: Whatever",
        "x" * (LONGEST_REPORT + 1),
    ],
)
def test_another_text_is_no_report(text: str) -> None:
    """An error, or a text of another shape, is not judged as progress."""
    assert explain_job(text) is None


def test_the_answer_has_plain_values_and_one_shape() -> None:
    """JSON has the verdict with the figures; repr and text are of one shape."""
    found = answer(recorded("diverging.domjobinfo.txt"))
    values = json.loads(json.dumps(found.to_dict()))
    assert (values["verdict"], values["iteration"], values["state"]) == ("diverges", 7, "active")
    assert values["changes"] == list(found.changes)
    assert repr(found) == "JobAnswer('diverges', 'virsh domjobinfo')"
    assert str(found).startswith("migration-diverges\ncause       the guest writes 22.8 MiB/s")
    assert "\nor          " in str(found)


def test_explain_answers_reports_too() -> None:
    """One function takes errors and reports; a report that is too early is known in part."""
    found = explain(recorded("diverging.domjobinfo.txt"))
    assert (found.id, found.to_dict()["known"]) == ("migration-diverges", True)
    early = explain(recorded("first-iteration.domjobinfo.txt"))
    assert (early.id, early.to_dict()["known"]) == ("migration-too-early", "partly")
    assert (
        explain("error: disk-not-shared\n" + recorded("diverging.domjobinfo.txt")).id == "unknown"
    )


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    ["\n" * LONGEST_REPORT, "{" * LONGEST_REPORT, "'time_elapsed'{" + "'a': 1, " * 30_000 + "}",
     "Job type: None\n" + "A" * 250_000, "Migration status: active\n" + "a " * 120_000,
     "Migration: [ 1 %]" * 15_000, '{"ram"' + "[" * 100_000 + "}"],
)  # fmt: skip
def test_no_text_makes_the_reader_slow(text: str) -> None:
    """Repeated patterns of every form are read at once."""
    explain_job(text[:LONGEST_REPORT])


@given(
    st.text() | st.sampled_from(FORMS).map(lambda form: recorded(f"diverging.{form}")), st.data()
)
def test_cut_and_changed_reports_never_raise(text: str, data: st.DataObject) -> None:
    """A report that was cut anywhere gives an answer or none."""
    start = data.draw(st.integers(0, len(text)))
    explain_job(text[:start])
    explain_job(text[start:])


def test_state_of_qemu_while_the_destination_loads_devices_is_post_copy() -> None:
    """QEMU 11 has postcopy-device between its two older states."""
    ram = {"transferred": 1 << 20, "remaining": 1 << 20, "total": 1 << 28, "dirty-sync-count": 2}
    text = json.dumps({"return": {"status": "postcopy-device", "ram": ram}})
    assert answer(text).verdict is Verdict.POSTCOPY
