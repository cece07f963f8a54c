"""Judge whether a migration converges, from a report of its progress, and say what to change.

Theory of operation. While an iteration sends ``x`` MiB at ``bandwidth``, the guest writes; the next
iteration has ``x * dirty / bandwidth`` to send. QEMU pauses the guest once what is left can be sent
within the downtime limit. So the ratio of dirty rate to bandwidth decides.

The dirty rate that QEMU reports counts each page once an iteration. A guest that writes a small
working set again and again has a rate near the bandwidth, however fast it writes: each iteration
then sends the same pages. So a ratio of 0.9 does not mean that the migration is nearly done, and
the rate of a long first iteration is only a lower bound.

Sources: QEMU's ``migration/migration.c`` (migration_update_counters, migration_iteration_run) and
``migration/ram.c`` (migration_update_rates); ``tests/recordings/job_reports``: a guest that wrote
60 MiB/s over a wire of 22 MiB/s, for which QEMU reported 22.8 MiB/s.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from migrationlab.explain.job_figures import JobReport
from migrationlab.explain.job_report import read_job_report

__all__ = ["JobAnswer", "Verdict", "explain_job", "judge_job"]

#: From this ratio of dirty rate to bandwidth on, an iteration leaves about as much as the last one.
#: Reported bandwidths vary by a tenth from second to second.
STANDSTILL = 0.9
#: The dirty rate of the iteration before is too low where that one was the long first.
FIRST_TELLING_ITERATION = 3
DEFAULT_LIMIT_MS = 300.0
#: The width of an answer as text, in columns.
WIDTH = 96
#: QEMU's highest throttle (max-cpu-throttle).
MOST_THROTTLE = 99
#: A new iteration must begin with at least so much less than the first, to shrink.
SHRUNK = 0.8


class Verdict(StrEnum):
    """What a report says about a migration."""

    CONVERGES = "converges"
    DIVERGES = "diverges"
    TOO_EARLY = "too-early"
    COPIES_DISKS = "copies-disks"
    POSTCOPY = "postcopy"
    POSTCOPY_PAUSED = "postcopy-paused"
    COMPLETED = "completed"
    ENDED = "ended"
    NO_JOB = "no-job"
    OTHER_JOB = "other-job"


#: The verdicts after which the report says enough.
_KNOWN = frozenset(Verdict) - {Verdict.TOO_EARLY, Verdict.NO_JOB, Verdict.OTHER_JOB}

_FASTER = (
    "raise the bandwidth: lift its limit (`virsh migrate-setspeed DOMAIN 100000`, in MiB/s), use a "
    "faster network, or start it again with --parallel --parallel-connections 4"
)
_POSTCOPY = (
    "switch to post-copy (`virsh migrate-postcopy DOMAIN`), if it was started with --postcopy"
)
_PROXMOX = (
    (
        "wait: Proxmox doubles the downtime limit each time that what is left has grown six times, "
        "so the migration ends, with a long downtime"
    ),
    "set the limit yourself (`qm set VMID --migrate_downtime 2`, in s)",
    "use a faster network (`migration:` in datacenter.cfg) without bwlimit",
    "shut the guest down, and migrate it offline",
)
_LONGER = "accept a longer downtime (`virsh migrate-setmaxdowntime DOMAIN 2000`, in ms)"
_PAUSE = "pause the guest until it has moved (`virsh suspend DOMAIN`)"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAnswer:
    """Whether a migration converges, why, and what to change.

    Attributes:
        verdict: The verdict.
        cause: The reason, with its figures.
        changes: What to do: one of these is enough.
        report: The figures.
        text: The text, unchanged.
        seconds_left: A lower estimate of the time until the guest is paused; None if unknown.
    """

    verdict: Verdict
    cause: str
    changes: tuple[str, ...]
    report: JobReport
    text: str
    seconds_left: float | None = None

    @property
    def known(self) -> bool:
        """Return whether the report says enough for an answer."""
        return self.verdict in _KNOWN

    @property
    def fix(self) -> str:
        """Return what to do, in one text."""
        return "; or ".join(self.changes)

    @property
    def id(self) -> str:
        """Return the name of the answer, as explanations have one."""
        return f"migration-{self.verdict.value}"

    def to_dict(self) -> dict[str, object]:
        """Return the verdict and the figures as plain values, for JSON."""
        return {
            "verdict": self.verdict.value,
            "changes": list(self.changes),
            "seconds_left": self.seconds_left,
            **self.report.to_dict(),
        }

    def __repr__(self) -> str:
        return f"JobAnswer({self.verdict.value!r}, {self.report.form!r})"

    def __str__(self) -> str:
        wrapper = textwrap.TextWrapper(
            WIDTH, subsequent_indent=" " * 12, break_long_words=False, break_on_hyphens=False
        )
        names = ["fix", *["or"] * (len(self.changes) - 1)]
        rows = [("cause", self.cause), *zip(names, self.changes, strict=True)]
        return "\n".join([self.id, *(wrapper.fill(f"{name:<12}{row}") for name, row in rows)])


def explain_job(text: str) -> JobAnswer | None:
    """Return the answer to a pasted report of a migration's progress; None if it is none."""
    report = read_job_report(text)
    return None if report is None else judge_job(report, text)


def judge_job(report: JobReport, text: str = "") -> JobAnswer:
    """Return whether the migration of a report converges, why, and what to change."""
    found = _judged(report)
    changes = found.changes
    return JobAnswer(
        verdict=found.verdict,
        cause=found.cause,
        changes=(changes,) if isinstance(changes, str) else changes,
        report=report,
        text=text,
        seconds_left=found.seconds_left,
    )


class _Judged(NamedTuple):
    verdict: Verdict
    cause: str
    changes: str | tuple[str, ...]
    seconds_left: float | None = None


def _judged(report: JobReport) -> _Judged:
    if report.operation:
        cause = f"the job is no migration: {report.operation.lower()}"
        return _Judged(Verdict.OTHER_JOB, cause, "ask again while the migration runs")
    if report.state != "active":
        return _ended(report)
    if report.disk_remaining_mib and (report.iteration or 0) <= 1:
        cause = (
            f"the disks are copied first: {_size(report.disk_remaining_mib)} are left, and the "
            "memory follows"
        )
        fix = (
            "wait; if what is left does not shrink, the guest writes its disks faster than they "
            "are copied: use --copy-storage-synchronous-writes, or shared storage"
        )
        return _Judged(Verdict.COPIES_DISKS, cause, fix)
    if report.percents:
        return _by_percents(report.percents)
    if report.form == "Proxmox":
        return _proxmox(report)
    return _by_rates(report)


def _ended(report: JobReport) -> _Judged:
    if report.state == "completed":
        return _Judged(Verdict.COMPLETED, _completed(report), "nothing is to be done")
    if report.state == "none":
        cause = "no job runs on this domain, on the host that was asked"
        fix = (
            "ask the source while the migration runs; after it ask the destination: "
            "`virsh domjobinfo DOMAIN --completed`"
        )
        return _Judged(Verdict.NO_JOB, cause, fix)
    if report.state == "postcopy":
        left = "" if report.remaining_mib is None else f"; {_size(report.remaining_mib)} are left"
        cause = f"the guest runs at the destination and fetches its memory from the source{left}"
        fix = "keep both hosts and the network up until it is done; it cannot be cancelled now"
        return _Judged(Verdict.POSTCOPY, cause, fix)
    if report.state == "paused":
        cause = "the connection broke in post-copy: the guest waits for its memory"
        fix = (
            "make the network work, then run the same virsh migrate with --postcopy "
            "--postcopy-resume; destroy neither side"
        )
        return _Judged(Verdict.POSTCOPY_PAUSED, cause, fix)
    if report.state == "setup":
        cause = "QEMU prepares the migration, and has sent nothing yet"
        return _Judged(Verdict.TOO_EARLY, cause, "ask again in some seconds")
    cause = f"the migration has ended: {report.state}"
    fix = "explain its error: paste what virsh or the log of the source's libvirtd says"
    return _Judged(Verdict.ENDED, cause, fix)


def _completed(report: JobReport) -> str:
    parts = ["the migration has completed"]
    if report.elapsed_ms is not None:
        parts.append(f"it took {report.elapsed_ms / 1000:.1f} s")
    if report.downtime_ms is not None:
        parts.append(f"the guest was paused for {report.downtime_ms:.0f} ms")
    if report.processed_mib is not None and report.total_mib:
        sent = f"{_size(report.processed_mib)} were sent of a guest of {_size(report.total_mib)}"
        parts.append(sent)
    if report.iteration:
        parts.append(f"it needed {report.iteration} iterations")
    return "; ".join(parts)


def _by_rates(report: JobReport) -> _Judged:
    dirty, rate, iteration = report.dirty_mib_s, report.bandwidth_mib_s, report.iteration
    left = report.remaining_mib
    if dirty is None or iteration == 1:
        needed = f": {_size(left)} are left at {rate:.1f} MiB/s" if left and rate else ""
        cause = f"the first iteration still sends all memory once{needed}"
        seconds = f" in {left / rate:.0f} s" if left and rate else " when iteration is 3 or more"
        fix = f"ask again{seconds}: only then is it known how fast the guest writes"
        return _Judged(Verdict.TOO_EARLY, cause, fix)
    if not rate:
        cause = f"the guest writes {dirty:.1f} MiB/s, and the report has no bandwidth"
        fix = "ask again: a bandwidth of 0 several times means that nothing is sent, so look at "
        return _Judged(Verdict.TOO_EARLY, cause, f"{fix}the network between the hosts")
    ratio = dirty / rate
    rates = _rates(report, ratio)
    if ratio >= STANDSTILL:
        return _Judged(Verdict.DIVERGES, rates + _standstill(ratio), tuple(_changes(report)))
    if iteration is not None and iteration < FIRST_TELLING_ITERATION:
        cause = f"{rates}. That rate is of the long first iteration, and the real one can be higher"
        return _Judged(Verdict.TOO_EARLY, cause, "ask again in the next iteration")
    seconds_left = _seconds_left(report, ratio, rate)
    time = "" if seconds_left is None else f", so at least {max(seconds_left, 1):.0f} s are left"
    cause = f"{rates}: each iteration leaves {ratio:.0%} of what the one before left{time}"
    fix = "wait; if the dirty rate rises as the iterations get shorter, it may not end: ask again"
    return _Judged(Verdict.CONVERGES, cause, fix, seconds_left)


def _rates(report: JobReport, ratio: float) -> str:
    page = "" if report.page_size_known else " (with pages of 4 KiB, which the report does not say)"
    where = f" in iteration {report.iteration}" if report.iteration else ""
    writes = f"the guest writes {report.dirty_mib_s:.1f} MiB/s{page}"
    sent = f"{report.bandwidth_mib_s:.1f} MiB/s"
    if STANDSTILL <= ratio <= 1 / STANDSTILL:
        return f"{writes}, and about as much is sent, {sent}{where}"
    return f"{writes}, {'more' if ratio > 1 else 'less'} than the {sent} that are sent{where}"


def _standstill(ratio: float) -> str:
    if ratio > 1 / STANDSTILL:
        return ": each iteration leaves more than the one before, up to all that the guest writes"
    return (
        ": each iteration leaves about as much as the one before. (Each page counts once an "
        "iteration, so the guest can write much faster.)"
    )


def _seconds_left(report: JobReport, ratio: float, rate: float) -> float | None:
    """Return the time until what is left fits into the downtime limit, if the ratio stays."""
    left = report.remaining_mib
    if left is None:
        return None
    threshold = rate * (report.downtime_limit_ms or DEFAULT_LIMIT_MS) / 1000
    seconds = 0.0
    while left > threshold:
        seconds += left / rate
        left *= ratio
    return seconds


def _changes(report: JobReport) -> Iterator[str]:
    """Yield what makes a migration converge, the mildest first."""
    yield _FASTER
    if (throttle := report.throttle_percent) is not None and throttle > 0:
        most = throttle >= MOST_THROTTLE
        yield (
            f"auto-converge takes {throttle:.0f} % of the guest's processor time already"
            + (", which is the most" if most else ", and takes more with time: wait")
        )
    else:
        yield "start it again with --auto-converge, which slows the guest down"
    if report.expected_downtime_ms:
        # QEMU's expectation is what was dirty at the last iteration; a tenth for its variation.
        limit = math.ceil(report.expected_downtime_ms * 1.1 / 100) * 100
        yield (
            f"accept a downtime of about {report.expected_downtime_ms / 1000:.1f} s "
            f"(`virsh migrate-setmaxdowntime DOMAIN {limit}`)"
        )
    else:
        yield _LONGER
    yield _POSTCOPY
    yield _PAUSE


def _by_percents(percents: tuple[float, ...]) -> _Judged:
    """Judge a progress line: each fall is a new iteration, which begins with what is left."""
    last = percents[-1]
    starts = [100 - after for before, after in pairwise(percents) if after < before]
    if last >= 100:
        cause = "the memory is sent; virsh returns once the source has ended the guest there"
        return _Judged(
            Verdict.COMPLETED, cause, "wait some seconds; then `virsh list` on both hosts"
        )
    if len(starts) < 2:
        cause = f"{last:g} % is sent, and the progress has not shown two new iterations yet"
        fix = "ask the source meanwhile: `virsh domjobinfo DOMAIN` has the rates that decide"
        return _Judged(Verdict.TOO_EARLY, cause, fix)
    first, newest = starts[0], starts[-1]
    seen = (
        f"the progress fell back {len(starts)} times, each time for a new iteration: the first of "
        f"them began with {first:.0f} % of memory left, the last with {newest:.0f} %"
    )
    if newest > SHRUNK * first:
        cause = f"{seen}. The guest writes memory about as fast as it is sent, or faster"
        ask = "`virsh domjobinfo DOMAIN` on the source has the rates"
        return _Judged(Verdict.DIVERGES, cause, (ask, _FASTER, _LONGER, _POSTCOPY, _PAUSE))
    return _Judged(Verdict.CONVERGES, f"{seen}: it shrinks", "wait")


def _proxmox(report: JobReport) -> _Judged:
    """Judge Proxmox's lines: they name the dirty rate only where it is above the bandwidth."""
    limit = report.downtime_limit_ms
    now = f"; the downtime limit is {limit:.0f} ms now" if limit else ""
    if report.dirty_mib_s is not None and report.bandwidth_mib_s:
        cause = (
            f"the guest writes {report.dirty_mib_s:.1f} MiB/s, more than the "
            f"{report.bandwidth_mib_s:.1f} MiB/s that are sent{now}"
        )
        return _Judged(Verdict.DIVERGES, cause, _PROXMOX)
    if report.limit_raised:
        cause = f"what is left has grown at least {6 * report.limit_raised} times{now}"
        return _Judged(Verdict.DIVERGES, cause, _PROXMOX)
    sent, total = report.processed_mib, report.total_mib
    if sent is not None and total is not None and sent <= total:
        cause = f"{_size(sent)} of {_size(total)} are sent: all memory is sent once first"
        return _Judged(Verdict.TOO_EARLY, cause, "wait for the lines after that")
    cause = (
        "all memory has been sent once, and the guest writes no faster than is sent: Proxmox "
        "would say so"
    )
    return _Judged(Verdict.CONVERGES, cause, "wait")


def _size(mib: float) -> str:
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.1f} MiB"
