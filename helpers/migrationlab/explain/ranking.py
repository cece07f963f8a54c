"""Rank what was found in a text: the culprit first, its after-effects behind it.

Rules, the first that decides:

1. A reason beats a class of reasons, this beats an after-effect or the name of a phase. What only a
   warning says comes behind errors, and what every log has (see ``noise`` of a cause) comes last.
2. Of several migrations in a log the last one counts: what was said within 30 s of the last
   finding of that kind, or after the last command that migrates in a copied terminal.
3. What virsh or a management layer reports as the end counts before what a daemon logged for one
   of its callers. What another guest's line says does not count, nor what a thread of libvirt says
   that has no part in a migration, unless nothing else is there.
4. The earlier line counts, because a failure begins there. On one line, and on two of one message,
   the order of the table decides, which has the more specific cause first.

A line of other software (a data base, a web server) that has the same words says nothing. In a
journal, the lines of a program that has no part in a migration (an ssh server, a monitor) are
noise. A libvirt daemon logs the errors of all its callers, so in a log that nowhere speaks of a
migration its line is no proof (:func:`is_unproven`).
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from migrationlab.explain.cause import Cause, Kind, NoticedBy
from migrationlab.explain.matching import Match, Table
from migrationlab.explain.unwrap import Head, Plain, head_of, numbers_beside

#: The findings of one migration are at most so far apart.
EPISODE_S = 30.0
#: Where a failure is reported, what a daemon logged within this time of it does not count.
REPORT_S = 600.0
#: Of more places than this the first and the last ones are judged.
MOST_PLACES = 2_000
#: A copied terminal is looked for in the end of a text, in characters.
LONGEST_SESSION = 100_000
#: How many other findings an answer lists.
OTHERS = 3

_RANKS = {
    Kind.CAUSE: 4,
    Kind.GENERAL: 3,
    Kind.CANDIDATES: 3,
    Kind.AFTER_EFFECT: 2,
    Kind.SIDE: 2,
}
#: A prompt of a shell or of virsh, with a command that migrates.
_COMMANDS = re.compile(
    r"^(?:[^\n:]{0,60}[#$>] ?|)(?:sudo )?(?:virsh|qm) [^\n]{0,200}\bmigrate ", re.MULTILINE
)
#: What every log has.
NOISE = 0
#: Stands before what a client or a management layer reports as the end of a migration: no noise.
_REPORTED = re.compile(
    r"libvirterror: |live migration failure: |^error: |migration failed|migratetouri"
)
#: Stands before what a daemon that only watches a guest did not get; a migration does not ask it.
_WATCHER = re.compile(
    r"failed to get domain stats|fetching guest info failed|connection to libvirt lost"
    r"|could not fetch the domain|getting the domain failed|execute qemu command 'query-"
)
#: Programs that write to the journal of a host and have no part in a migration: servers of ssh, and
#: what watches the guests or is asked by all hosts.
_BYSTANDER = re.compile(
    r"sshd(?:-\w+)?|pvestatd|pveproxy|pvescheduler|vzdump|virt(?:log|nodedev|interface|secret)d"
    r"|kubelet|[\w./-]*(?:exporter|collectd|telegraf|zabbix)[\w.-]*"
)
#: A line of a libvirt daemon in the journal.
_DAEMON = re.compile(r"libvirtd|virt\w+d")
#: What a log has that is about a migration, or about the start of a guest: a daemon looks for the
#: files of its disks only then.
_PROOF = re.compile(
    r"migrat|incoming|failed to start domain|starting up libvirt|reason=(?:failed|crashed)"
    r"|cannot access (?:storage|backing) file"
)
#: An excerpt of so many lines was chosen for what it says; a longer one is a log.
EXCERPT_LINES = 10
#: These words are looked for so far before a message, in characters.
_BEFORE = 300
#: The words of other software, whose messages can be like those of libvirt and QEMU, and the words
#: that show that a line is of a hypervisor nevertheless.
_FOREIGN = re.compile(
    r"https?://|\b(?:postgres|psql|mysql|mariadb|mongo|redis\b|kafka|rabbitmq|elasticsearch|sqlite"
    r"|sqlstate|sqlalchemy|jdbc|django|laravel|alembic|flyway|liquibase|prisma|supabase|docker"
    r"|podman|nginx|openvpn|ldap|smtp|hyper-v|vmware|vcenter|vsphere|xapi|xenserver)"
)
_OURS = re.compile(
    r"libvirt|qemu|virsh|\bkvm|virt-|virerror|nova|neutron|vdsm|ovirt|proxmox|\bpve|cloudstack"
    r"|opennebula|\blxd|incus|ganeti|kubevirt|hypervisor|swtpm|vhost|vfio|apparmor|avc:"
)
#: What is near a message that other software has as well, if it is of a hypervisor; and how near.
_NEAR = re.compile(
    _OURS.pattern + "|migrat|internal error: |operation failed: |operation aborted: "
    "|authentication failed: |unable to connect to server at"
)
_NEAR_REACH = 4_000
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
#: A line of libvirt's log by a function that migrates; its group is the thread.
_MIGRATING = re.compile(r"\d{4}: (\d+): \w+ : \w*migrat")
#: Such lines are looked for so far around findings, in characters.
_THREAD_REACH = 200_000
#: A management layer that only reports a failure says less than the message that it reports.
_LAYER_RANK = 1
#: What is no warning ranks so much higher. A management layer warns before it gives up itself.
WARNING_RANK = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause that a text has, and where.

    Attributes:
        cause: The cause.
        order: The place of its wording in the table.
        start: The position of its wording in the plain text.
        end: The end of its wording there.
        number: The number of its line, from 1.
        head: What stands before it on its line.
        code: libvirt's code beside it; None if there is none.
        rank: How much it says; more is better.
        command: How many commands that migrate stand before it.
        reported: Whether its line reports the end of a migration: virsh's error, Nova's failure.
    """

    cause: Cause
    order: int
    start: int
    end: int
    number: int
    head: Head
    code: int | None
    rank: int
    command: int
    reported: bool

    @property
    def is_loose(self) -> bool:
        """Return whether a daemon logged it, for one of all its callers."""
        daemon = self.head.thread or _DAEMON.fullmatch(self.head.speaker)
        return bool(daemon) and not self.reported and "migrat" not in self.head.function


def ranked(plain: Plain, table: Table, code: int | None, *, joined: bool = False) -> list[Finding]:
    """Return what an answer shows of a text, the culprit first, each cause once.

    Of two causes for the same words only the better one counts.

    Args:
        plain: The text.
        table: The causes.
        code: libvirt's code for the text, where it is known.
        joined: Whether a message may extend over several lines.
    """
    found = list(_findings(plain, table, code, joined=joined))
    ordered: list[Finding] = []
    while found and len(ordered) <= OTHERS:
        best = _culprit(plain, found)
        ordered.append(best)
        found = [each for each in found if not _is_said_by(each, best)]
    return ordered


def is_unproven(plain: Plain, findings: Sequence[Finding]) -> bool:
    """Return whether a log does not show that its first finding belongs to a migration."""
    best, *others = findings
    if _BYSTANDER.fullmatch(best.head.speaker):
        return True
    lines = plain.text.strip().count("\n") + 1
    if best.rank < WARNING_RANK:
        return lines > 1
    if not best.is_loose or lines <= EXCERPT_LINES:
        return False
    # Of two reasons that a daemon logged, either can be another guest's.
    rivals = any(each.is_loose and each.rank == best.rank for each in others)
    migrating = best.head.thread in _threads_that_migrate(plain.text, findings)
    return not _PROOF.search(plain.text) or (rivals and not migrating)


def _is_said_by(finding: Finding, better: Finding) -> bool:
    overlaps = finding.start < better.end and better.start < finding.end
    return overlaps or finding.cause.id == better.cause.id


def _culprit(plain: Plain, found: list[Finding]) -> Finding:
    highest = max(each.rank for each in found)
    best = [each for each in found if each.rank == highest]
    last = max(each.command for each in best)
    best = [each for each in best if each.command == last]
    best = _without_what_was_reported_better(best)
    times = [each.head.time_s for each in best if each.head.time_s is not None]
    if times:
        begin = max(times) - EPISODE_S
        best = [each for each in best if each.head.time_s is None or each.head.time_s >= begin]
    if len({each.number for each in best}) > 1:
        best = _of_threads_that_migrate(plain, _of_last_guest(plain, found, best))
    return min(best, key=lambda each: (each.number - _goes_on(plain.text, each), each.order))


def _without_what_was_reported_better(best: list[Finding]) -> list[Finding]:
    """Return findings without those of a daemon near one that reports the end of a migration."""
    reported = [each for each in best if each.reported]
    return [
        each
        for each in best
        if not (each.is_loose and any(_is_near_in_time(each, other) for other in reported))
    ]


def _is_near_in_time(one: Finding, other: Finding) -> bool:
    if one.head.time_s is None or other.head.time_s is None:
        return True
    return abs(one.head.time_s - other.head.time_s) <= REPORT_S


def _goes_on(text: str, finding: Finding) -> bool:
    """Return whether the line before a finding ends with the colon of the same message."""
    return text[max(0, finding.start - 2) : finding.start] == ":\n"


def _of_last_guest(plain: Plain, found: list[Finding], best: list[Finding]) -> list[Finding]:
    """Return those that share a UUID with the last finding, or have none; all if none is so."""
    last = _uuids(plain.text, max(found, key=lambda each: each.start))
    kept = [each for each in best if not (uuids := _uuids(plain.text, each)) or uuids & last]
    return kept if last and kept else best


def _uuids(text: str, finding: Finding) -> set[str]:
    begin = text.rfind("\n", max(0, finding.start - 2 * _BEFORE), finding.start) + 1
    end = text.find("\n", finding.end, finding.end + _BEFORE)
    begin = begin or max(0, finding.start - 2 * _BEFORE)
    return set(_UUID.findall(text, begin, end if end >= 0 else finding.end + _BEFORE))


def _of_threads_that_migrate(plain: Plain, best: list[Finding]) -> list[Finding]:
    """Return those of libvirt's threads that migrate, and of other logs; all if none is so."""
    if not any(each.head.thread for each in best):
        return best
    threads = _threads_that_migrate(plain.text, best)
    kept = [each for each in best if not each.head.thread or each.head.thread in threads]
    return kept if threads and kept else best


def _threads_that_migrate(text: str, findings: Sequence[Finding]) -> set[str]:
    """Return libvirt's threads that migrate, near findings."""
    begin = max(0, min(each.start for each in findings) - _THREAD_REACH)
    return set(_MIGRATING.findall(text, begin, max(each.end for each in findings) + _THREAD_REACH))


def _findings(plain: Plain, table: Table, code: int | None, *, joined: bool) -> Iterator[Finding]:
    matches = sorted(table.matches(plain, joined=joined), key=lambda each: each.start)
    if len(matches) > MOST_PLACES:
        matches = matches[: MOST_PLACES // 2] + matches[-MOST_PLACES // 2 :]
    commands = [each.start() for each in _COMMANDS.finditer(plain.text[-LONGEST_SESSION:])]
    skipped = max(0, len(plain.text) - LONGEST_SESSION)
    for match, number in zip(matches, _numbers(plain, matches), strict=True):
        cause = match.wording.cause
        head = head_of(plain.text, match.start)
        if head.level == "debug" or (match.wording.text.startswith("^") and not head.begins):
            continue
        line, around = _lines(plain.text, match)
        if _is_foreign(line) and not _is_foreign(match.wording.text):
            continue
        if code is None and match.wording.text in cause.common and not _is_near(plain.text, match):
            continue
        said = code if code is not None else numbers_beside(line)[0]
        wording = plain.text[match.start : match.end]
        before = _before(plain.text, match.start)
        if cause.allows(around, wording, _behind(plain.text, match.end), said):
            yield Finding(
                cause,
                match.wording.number,
                match.start,
                match.end,
                number,
                head,
                said,
                _rank(match, head, before),
                bisect(commands, match.start - skipped),
                _REPORTED.search(before) is not None,
            )


def _rank(match: Match, head: Head, before: str) -> int:
    cause = match.wording.cause
    if match.wording.text in cause.noise and not _REPORTED.search(before):
        return NOISE
    if _BYSTANDER.fullmatch(head.speaker) or _WATCHER.search(before):
        return NOISE
    rank = _RANKS[cause.kind]
    if rank == _RANKS[Kind.SIDE] and cause.noticed_by is NoticedBy.MANAGEMENT_LAYER:
        rank = _LAYER_RANK
    gives_up = cause.kind is Kind.CAUSE and cause.noticed_by is NoticedBy.MANAGEMENT_LAYER
    return rank if head.level == "warning" and not gives_up else rank + WARNING_RANK


def _is_foreign(line: str) -> bool:
    """Return whether a line names other software, and none of a hypervisor."""
    return bool(_FOREIGN.search(line)) and not _OURS.search(line)


def _is_near(text: str, match: Match) -> bool:
    """Return whether a word of a hypervisor is near a match."""
    begin = max(0, match.start - _NEAR_REACH)
    return _NEAR.search(text, begin, match.end + _NEAR_REACH) is not None


def _behind(text: str, end: int) -> str:
    """Return the rest of the message behind a position."""
    return re.split("[\n\v]", text[end : end + _BEFORE], maxsplit=1)[0]


def _before(text: str, start: int) -> str:
    """Return what stands before a position on its line."""
    piece = text[max(0, start - _BEFORE) : start]
    return piece[piece.rfind("\n") + 1 :]


def _numbers(plain: Plain, matches: Iterable[Match]) -> Iterator[int]:
    """Yield the number of each match's line; the matches are in their order in the text."""
    at, number = 0, 1
    for match in matches:
        number += plain.text.count("\n", at, match.start)
        at = match.start
        yield number


def _lines(text: str, match: Match, reach: int = 1_000) -> tuple[str, str]:
    """Return the line of a match, and this line with the four behind it as one line."""
    begin = text.rfind("\n", max(0, match.start - reach), match.start)
    begin = begin + 1 if begin >= 0 else max(0, match.start - reach)
    piece = text[begin : match.end + reach]
    line_end = piece.find("\n", match.end - begin)
    around = piece.split("\n")[: piece.count("\n", 0, match.end - begin) + 5]
    return piece if line_end < 0 else piece[:line_end], " ".join(around)
