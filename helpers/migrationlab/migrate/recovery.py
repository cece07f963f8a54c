"""Decide how to recover a guest after a migration that broke: from what both hosts say, no libvirt.

One rule comes first: no step makes a second running copy. So nothing is resumed while the other
host may run the guest, and a host that does not answer may run it. The state of libvirt and its
reason tell which copy is the newer one:

* In pre-copy the copy at the destination has not run while its reason is "migrating". The source
  has all memory.
* In post-copy each side has a part of the memory. Neither copy is complete alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from migrationlab.plan.virsh import virsh_line

Side = Literal["source", "destination"]
OTHER: dict[Side, Side] = {"source": "destination", "destination": "source"}
#: The ports of QEMU's migration data: libvirt's qemu.conf, migration_port_min and _max.
PORTS = ("dport", ">=", ":49152", "dport", "<=", ":49215")
#: Said of a step that ends connections by their ports.
ENDS_OTHERS = "This also ends other migrations from this source to this destination."
IN_POSTCOPY = ("post-copy", "post-copy failed")
#: A pause of these reasons is the migration's; any other has a cause of its own.
OF_MIGRATION = ("migrating", "unknown", "starting up", "api error")


class Job(StrEnum):
    """The job of a domain, as far as its libvirtd answers."""

    NONE = "no job"
    MOVING = "a job that moves data"
    STALE = "a job that moves no data"
    STUCK = "a job, and QEMU does not answer"


class Kind(StrEnum):
    """What is to be done about a guest."""

    WELL = "well"
    UNDER_WAY = "under way"
    RECOVERABLE = "recoverable"
    REFUSED = "refused"
    LOST = "lost"


class Action(StrEnum):
    """One step of a recovery: a virsh command, or the end of a stuck connection."""

    RESUME = "resume"
    DESTROY = "destroy"
    ABORT = "domjobabort"
    UNDEFINE = "undefine"
    RESUME_POSTCOPY = "postcopy-resume"
    FREE_SOCKET = "free-socket"


@dataclass(frozen=True, slots=True)
class Found:
    """What one host says about the guest.

    Attributes:
        state: "running", "paused", "shut off", "absent", "unknown" (no answer), or another word
            of ``virsh domstate``.
        reason: libvirt's reason for the state; of "unknown", why there is no answer.
        persistent: Whether the host keeps a definition of it.
        received: For an incoming copy, whether QEMU has all of its memory; None if not known.
        dead: Whether somebody confirmed that the host or its copy is dead.
        postcopy: Whether its QEMU is in post-copy, while libvirt's reason does not say so.
    """

    state: str
    reason: str = "unknown"
    job: Job = Job.NONE
    persistent: bool = False
    received: bool | None = None
    dead: bool = False
    postcopy: bool = False

    def __str__(self) -> str:
        if self.dead:
            return "dead (confirmed)"
        if self.state == "absent":
            return self.state
        if self.state == "unknown":
            return f"unknown ({self.reason})"
        kept = "persistent" if self.persistent else "transient"
        half = ", its QEMU in post-copy" if self.postcopy else ""
        return f"{self.state} ({self.reason}), {self.job}, {kept}{half}"

    @property
    def gone(self) -> bool:
        """Return whether this copy certainly does not run and never will by itself."""
        return self.dead or self.state in ("absent", "shut off")

    @property
    def split(self) -> bool:
        """Return whether this copy is a part of a guest in post-copy."""
        return not self.gone and (self.postcopy or self.reason in IN_POSTCOPY)


@dataclass(frozen=True, slots=True)
class Act:
    """One step: an action at one side."""

    action: Action
    side: Side

    def command(self, name: str, uris: dict[Side, str], target: str) -> str:
        """Return the line to copy for a shell; ``target`` is the destination's address."""
        uri = uris[self.side]
        if self.action is Action.RESUME_POSTCOPY:
            other = uris[OTHER[self.side]]
            flags = ("--live", "--postcopy", "--postcopy-resume", "--desturi", other)
            return shlex.join(["virsh", "--connect", uri, "migrate", *flags, "--domain", name])
        if self.action is Action.FREE_SOCKET:
            words = shlex.join(["ss", "-K", "-t", "dst", target, *PORTS])
            return f"{words}   # as root on the source's machine"
        return virsh_line(uri, self.action, name)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about a guest, and what to do.

    Attributes:
        why: The reason, in full sentences.
        advice: What to do by hand, where no step is sure.
    """

    kind: Kind
    why: str
    acts: tuple[Act, ...] = ()
    advice: str = ""


def decide(source: Found, destination: Found, keep: Side | None = None) -> Verdict:
    """Return what to do about a guest, from what both hosts say about it.

    Args:
        source: What the source says.
        destination: What the destination says.
        keep: The copy that somebody chose, if the guest runs on both hosts.
    """
    sides: dict[Side, Found] = {"source": source, "destination": destination}
    running = [side for side, found in sides.items() if _runs(found)]
    if len(running) == 2:
        # A half of a guest in post-copy is no copy to keep.
        return _both_run(None if source.split or destination.split else keep)
    unknown = [side for side, found in sides.items() if found.state == "unknown" and not found.dead]
    if unknown:
        return _unknown(unknown, running)
    odd = [side for side, found in sides.items() if not _plain(found)]
    if odd:
        return Verdict(
            Kind.REFUSED,
            f"The guest at the {odd[0]} is {sides[odd[0]].state}. No migration leaves it so.",
            advice="Read its console and its host's log before you end or resume it.",
        )
    if source.split or destination.split:
        return _postcopy(source, destination)
    if running == ["destination"]:
        return _runs_at("destination", sides)
    if destination.gone and source.gone:
        return _nowhere(sides)
    if source.gone:
        return _only_destination(destination)
    return _at_source(source, destination, sides)


def _runs(found: Found) -> bool:
    return found.state == "running" and not found.dead


def _plain(found: Found) -> bool:
    return found.dead or found.state in ("running", "paused", "shut off", "absent")


def _both_run(keep: Side | None) -> Verdict:
    why = (
        "The guest runs on both hosts (split brain). Both copies write to the same disk and "
        "answer at the same address."
    )
    if keep is not None:
        chosen = f"{why} You chose the copy at the {keep}."
        return Verdict(
            Kind.RECOVERABLE,
            chosen,
            (Act(Action.DESTROY, OTHER[keep]),),
            advice="What the other copy did is lost. Check the disk.",
        )
    return Verdict(
        Kind.REFUSED,
        f"{why} Only you can know which one is right.",
        advice="Pause both now (virsh suspend). Choose the copy to keep by its logs and its disk, "
        "and say so with --keep source or --keep destination: the other one is destroyed. Check "
        "the disk afterwards.",
    )


def _unknown(unknown: list[Side], running: list[Side]) -> Verdict:
    first = unknown[0]
    which = f"The {first} does" if len(unknown) == 1 else "The source and the destination do"
    runs = f" The guest runs at the {running[0]}: leave it there." if running else ""
    return Verdict(
        Kind.REFUSED,
        f"{which} not answer, so the guest may run there.{runs}",
        advice=f"Make the {first} answer (start its libvirtd again), and look again. Or fence it: "
        "switch its machine off. "
        f"Only then say so with --confirm-dead {first}.",
    )


def _postcopy(source: Found, destination: Found) -> Verdict:
    if not (source.split and destination.split):
        return _half(source, destination)
    if source.job is Job.STUCK and not _runs(source):
        return Verdict(
            Kind.RECOVERABLE,
            "Post-copy makes no progress: the source's QEMU answers no command until its "
            "connection ends. Then the rest of the memory can be sent.",
            (Act(Action.FREE_SOCKET, "source"),),
            advice=ENDS_OTHERS,
        )
    reasons = (source.reason, destination.reason)
    if "post-copy failed" not in reasons and source.job is Job.MOVING:
        return Verdict(Kind.UNDER_WAY, "The guest is in post-copy, and its memory still arrives.")
    if _runs(source):
        return Verdict(
            Kind.REFUSED,
            "The source runs a guest in post-copy. It must never run there again.",
            advice="Pause it at the source (virsh suspend), and read both hosts' logs.",
        )
    if destination.job is Job.STUCK:
        return Verdict(
            Kind.REFUSED,
            "Post-copy was interrupted, and a try to resume it waits for the "
            "destination's QEMU, which answers no command. Its process is stopped, or it waits for "
            "a page that only the source has.",
            advice="Look at that process on the destination: ps -C qemu-system-x86_64 -o pid,stat. "
            "If its state is T, continue it (kill -CONT PID), and look again. If not, it waits for "
            "ever, and the memory of the guest is lost: run virsh destroy for the guest on both "
            "hosts, and start it again from its disk.",
        )
    return Verdict(
        Kind.RECOVERABLE,
        "Post-copy was interrupted. Each side has a part of the memory, and both are there, so "
        "the rest can still be sent. Neither copy can be resumed alone.",
        (Act(Action.RESUME_POSTCOPY, "source"),),
    )


def _half(source: Found, destination: Found) -> Verdict:
    """Judge a guest in post-copy of which one side is no longer in post-copy."""
    here: Side = "source" if source.split else "destination"
    half, other = (source, destination) if source.split else (destination, source)
    if here == "source" and not other.gone:
        if _runs(other):  # it has arrived; the source has not noticed
            return Verdict(
                Kind.RECOVERABLE,
                "The guest runs at the destination with all of its memory. The source keeps an "
                "old part of it, which must not run.",
                (Act(Action.DESTROY, "source"),),
            )
        return Verdict(
            Kind.REFUSED,
            "The source is in post-copy, so the copy at the destination is the newer one. It is "
            f"paused for another reason: {other.reason}.",
            advice="Find out why it is paused at the destination. Never resume it at the source.",
        )
    if not other.gone or (_runs(half) and half.reason == "post-copy" and not other.dead):
        return Verdict(
            Kind.REFUSED,
            f"The {here} is in post-copy, but the {OTHER[here]} is not. One of them may be about "
            "to notice the end.",
            advice="Look again after some seconds. Never resume the guest at the source.",
        )
    if half.postcopy:
        why = (
            "The memory of the guest is lost. QEMU at the source has begun post-copy, and it does "
            "not resume a guest from there. The copy at the destination is gone."
        )
    else:
        why = (
            "The memory of the guest is lost. In post-copy each side had a part, and that of the "
            f"{OTHER[here]} is gone. The rest at the {here} cannot go on."
        )
    return Verdict(
        Kind.LOST,
        why,
        (Act(Action.DESTROY, here),),
        advice="Start the guest again from its disk, on one host only.",
    )


def _runs_at(side: Side, sides: dict[Side, Found]) -> Verdict:
    """Judge a guest that runs at one side only, and not in post-copy."""
    found, other = sides[side], sides[OTHER[side]]
    if other.state == "paused" and not other.dead:
        if other.reason not in OF_MIGRATION:
            return Verdict(
                Kind.REFUSED,
                f"The guest runs at the {side}. The {OTHER[side]} has another copy, paused for a "
                f"reason that is not the migration's: {other.reason}.",
                advice=f"Destroy the copy at the {OTHER[side]} if you know that nobody needs it.",
            )
        why = f"The guest runs at the {side}. The {OTHER[side]} keeps a copy that must not run."
        return Verdict(Kind.RECOVERABLE, why, (Act(Action.DESTROY, OTHER[side]),))
    if other.state == "shut off" and not other.dead and found.persistent:
        return Verdict(
            Kind.RECOVERABLE,
            f"The guest runs at the {side}. The {OTHER[side]} still has its definition, by which "
            "somebody could start a second copy.",
            (Act(Action.UNDEFINE, OTHER[side]),),
        )
    if other.state == "shut off" and not other.dead:
        return Verdict(
            Kind.WELL,
            f"The guest runs at the {side}. Its only definition is at the {OTHER[side]}: keep it.",
        )
    return Verdict(Kind.WELL, f"The guest runs at the {side} only. There is nothing to do.")


def _nowhere(sides: dict[Side, Found]) -> Verdict:
    if all(found.state == "absent" and not found.dead for found in sides.values()):
        return Verdict(
            Kind.LOST,
            "Neither host has a guest of that name. If the name is right, the guest has ended, and "
            "its memory is lost.",
            advice="Check the name with virsh list --all on both hosts.",
        )
    kept = [side for side, found in sides.items() if found.state == "shut off" and not found.dead]
    where = f"The {' and the '.join(kept)} has its definition." if kept else ""
    return Verdict(
        Kind.LOST,
        f"The guest runs on neither host, so its memory is lost. {where}".strip(),
        advice="Start it again from its disk, on one host only.",
    )


def _only_destination(destination: Found) -> Verdict:
    """Judge a paused guest that only the destination has."""
    act = Act(Action.RESUME, "destination")
    if destination.reason not in OF_MIGRATION:
        return _paused_by_others("destination", destination)
    if destination.received:
        why = "The source is gone. QEMU at the destination has received all memory, and has it."
        return Verdict(Kind.RECOVERABLE, why, (act,))
    if destination.received is None:
        return Verdict(
            Kind.REFUSED,
            "The source is gone, and it is not known whether the destination has all memory.",
            advice="Ask its QEMU: virsh qemu-monitor-command NAME --hmp info migrate. Resume the "
            "guest if it says completed. Otherwise its memory is lost: destroy it.",
        )
    return Verdict(
        Kind.LOST,
        "The memory of the guest is lost. The source is gone, and the destination had not yet "
        "received all of it.",
        (Act(Action.DESTROY, "destination"),),
        advice="Start the guest again from its disk, on one host only.",
    )


def _paused_by_others(side: Side, found: Found) -> Verdict:
    return Verdict(
        Kind.WELL,
        f"Only the {side} has the guest. It is paused, but not by the migration: {found.reason}.",
        advice=f"Resume it at the {side} when the cause is known: no other copy runs.",
    )


def _at_source(source: Found, destination: Found, sides: dict[Side, Found]) -> Verdict:
    """Judge a guest that the source has, while the destination does not run it."""
    if source.job is Job.MOVING:
        return Verdict(
            Kind.UNDER_WAY,
            "A migration is under way, and it moves data.",
            advice="Wait for its end, or cancel it with virsh domjobabort at the source.",
        )
    if not destination.gone and destination.reason not in OF_MIGRATION:
        return _arrived(source, destination, sides)
    if source.job is Job.STUCK:
        return Verdict(
            Kind.RECOVERABLE,
            "The source's QEMU answers no command: it waits for the network with data of the "
            "migration unsent. When that connection ends, libvirt takes the migration back. "
            "The copy at the destination has never run.",
            (Act(Action.FREE_SOCKET, "source"),),
            advice="Or lower net.ipv4.tcp_retries2 to 3 on the source's machine until that "
            "connection ends, after 2 minutes at most. " + ENDS_OTHERS,
        )
    if source.job is Job.STALE:
        return Verdict(
            Kind.RECOVERABLE,
            "The source has a job that moves no data. Without it the guest goes on there, and "
            "its state change lock is free.",
            (Act(Action.ABORT, "source"),),
        )
    if _runs(source):
        return _runs_at("source", sides)
    if source.reason not in OF_MIGRATION and destination.gone:
        return _paused_by_others("source", source)
    if source.reason not in OF_MIGRATION:
        why = f"The source has the guest, paused for another reason: {source.reason}."
        return Verdict(Kind.RECOVERABLE, why, (Act(Action.DESTROY, "destination"),))
    return Verdict(
        Kind.RECOVERABLE,
        "The guest runs on neither host. The source has all of its memory, and the destination's "
        "copy has never run. So it is safe to resume it at the source, once that copy is gone.",
        tuple(_back_to_source(destination)),
    )


def _back_to_source(destination: Found) -> Iterator[Act]:
    if not destination.gone:
        yield Act(Action.DESTROY, "destination")
    yield Act(Action.RESUME, "source")


def _arrived(source: Found, destination: Found, sides: dict[Side, Found]) -> Verdict:
    """Judge a paused copy at the destination that may have run there."""
    if source.state == "paused" and source.reason == "migrating" and destination.reason == "user":
        return Verdict(
            Kind.RECOVERABLE,
            "The guest has arrived at the destination and is paused there. It may have run there, "
            "so the source's copy is the older one and must not run.",
            (Act(Action.DESTROY, "source"), Act(Action.RESUME, "destination")),
        )
    return Verdict(
        Kind.REFUSED,
        f"The destination's copy is paused by something else than the migration "
        f"({destination.reason}), so it may have run. It is not sure which copy is the newer one.",
        advice="Read both hosts' logs. Destroy the older copy; resume the other only after that.",
    )
