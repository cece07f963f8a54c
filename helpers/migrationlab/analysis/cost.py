"""Compute the cost of a migration from the recorded processes and connections.

**Processor time** is the time used between libvirt's call and its return. A process or thread that
started during the call, such as the destination's QEMU, counts from its start. The source's QEMU
ends before the call returns and counts up to its last sample. Between samples the time is taken to
grow evenly.

QEMU's threads are in four groups: ``vCPU``, ``migration``, ``multifd`` and ``other`` (the main loop
and its helpers). ``vCPU`` runs the guest, and ``other`` serves its network and disks. So what these
two used before memory was sent is taken as ``usual`` on either host, for the time in which the
guest ran, and subtracted. The migration's own time is all of libvirtd's, the groups ``migration``
and ``multifd``, and the excess of ``other`` over the usual. The excess of ``vCPU`` is reported by
itself: it is below 0 if the guest was throttled.

**Bytes on the wire** are split by the purpose of their TCP connection. The payload of a connection
is known exactly; its headers are counted as :data:`SEGMENT_HEADER_BYTES` a segment.
``unaccounted`` is the rest in the counts of the wire's queues: other protocols, and the options
that make the first segments of a connection longer.

An unknown figure is None (NaN in a frame), never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from migrationlab.analysis.frames import growth, integers, table
from migrationlab.analysis.switchover import Moments

GIB = 1 << 30
#: If a failed migration sent less than this, a price per GiB would be noise.
MIN_PAYLOAD_BYTES = 16 << 20
#: The largest age of a daemon's last sample when the call returns.
LAST_SAMPLE_NS = 250_000_000
#: Ethernet 14, IPv4 20, TCP 20 and its time stamps 12 bytes: RFC 894, 791, 9293, 7323.
SEGMENT_HEADER_BYTES = 66
PURPOSES = ("memory", "storage", "control", "other")
SIDES = ("source", "destination")
GROUPS = ("vCPU", "migration", "multifd", "other")
#: The groups that also work for the guest without a migration.
OF_GUEST = ("vCPU", "other")
WHOLE = "all"
#: A shorter time does not show the usual processor time.
MIN_USUAL_S = 0.1

#: A side, a process, and a group of its threads or ``WHOLE``.
Key = tuple[str, str, str]

#: The figures of a cost and their meaning.
DEFINITIONS: Mapping[str, str] = MappingProxyType(
    {
        "migration_cpu_s": "processor time of both libvirtds, of the threads migration and "
        "multifd of both QEMUs, and of their other threads what is more than usual",
        "vcpu_extra_cpu_s": "processor time of the vCPU threads of both QEMUs, less what is usual",
        "payload_bytes": "payload that the source sent for memory and storage, each byte once",
        "cable_bytes": "all that a cable would have carried, both ways, the headers of each frame",
        "cpu_s_per_gib": "migration_cpu_s for each GiB of payload_bytes, of 16 MiB or more",
        "cable_bytes_per_memory_byte": "cable_bytes for each byte of the guest's memory",
    }
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cost:
    """The cost of a migration for both hosts and the wire. The single figures: see ``DEFINITIONS``.

    Attributes:
        processors: side, process, group, cpu_s, usual_cpu_s; a row for each process, with the
            ``group`` "all", and for each group of QEMU's threads.
        memory: side, process, first_bytes, peak_bytes; a row per process.
        traffic: purpose, connections, payload_bytes, resent_bytes, header_bytes, total_bytes; both
            directions; a row per purpose, and ``unaccounted``.
        notes: The reasons why figures are unknown or uncertain.
    """

    processors: pd.DataFrame
    memory: pd.DataFrame
    traffic: pd.DataFrame
    migration_cpu_s: float | None
    vcpu_extra_cpu_s: float | None
    payload_bytes: int | None
    cable_bytes: int | None
    cpu_s_per_gib: float | None
    cable_bytes_per_memory_byte: float | None
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        cpu = "?" if self.migration_cpu_s is None else f"{self.migration_cpu_s:.2f}"
        mib = "?" if self.cable_bytes is None else f"{self.cable_bytes / (1 << 20):.0f}"
        return f"Cost({cpu} s of processor time, {mib} MiB on the wire)"

    def frame(self) -> pd.DataFrame:
        """Return the single figures as a frame: figure, value, definition."""
        rows = [(name, getattr(self, name), text) for name, text in DEFINITIONS.items()]
        return table({"figure": "str", "value": "Float64", "definition": "str"}, rows)


def cost(
    *,
    processes: pd.DataFrame,
    connections: pd.DataFrame,
    wire_bytes: pd.DataFrame,
    moments: Moments,
    moved: bool,
    memory_bytes: int | None,
) -> Cost:
    """Compute the cost of a migration from frames of a run and the moments of its timeline.

    ``moved`` says whether the guest ran again at the destination, and not at the source.
    """
    called_ns, returned_ns = moments.called_ns, moments.returned_ns
    used = _used(processes, called_ns, returned_ns)
    sent_ns = called_ns if moments.active_ns is None else moments.active_ns
    usual, notes = _usual(processes, sent_ns, _ran_s(moments, moved=moved))
    migration, vcpu = _migration_cpu_s(used, usual), _extra(used, usual, "vCPU")
    if _ended_early(processes, returned_ns):
        migration, vcpu = None, []
        notes = (*notes, "A host's figures end before the call: its processor time is not known.")
    payload = _payload(connections)
    cable = growth(wire_bytes, returned_ns, "cable_sent_bytes", "cable_received_bytes")
    gib = None if payload is None or payload < MIN_PAYLOAD_BYTES else payload / GIB
    return Cost(
        processors=_processors(used, usual),
        memory=_memory(processes),
        traffic=_traffic(connections, cable),
        migration_cpu_s=_rounded(migration),
        vcpu_extra_cpu_s=_rounded(sum(vcpu) if vcpu else None),
        payload_bytes=payload,
        cable_bytes=cable,
        cpu_s_per_gib=_rounded(migration, gib),
        cable_bytes_per_memory_byte=_rounded(cable, memory_bytes),
        notes=notes,
    )


def _ended_early(processes: pd.DataFrame, returned_ns: int) -> bool:
    """Return whether the samples of a libvirtd end early: QEMU may end, but not the daemon."""
    daemons = processes[processes["process"] == "libvirtd"].groupby("side")["time_ns"].max()
    return bool((daemons < returned_ns - LAST_SAMPLE_NS).any())


def group_of(thread: str) -> str:
    """Return a thread's group by its name in a run; without a name, the group of the process."""
    if not thread:
        return WHOLE
    return next((group for group in GROUPS[:-1] if thread.startswith(group)), "other")


def _used(processes: pd.DataFrame, start_ns: int, end_ns: int) -> dict[Key, float]:
    """Return the seconds that each group used between two moments."""
    used: dict[Key, float] = {}
    for (side, process), rows in processes.groupby(["side", "process"]):
        # The destination's QEMU is started by the call. The other processes are older: a late
        # first sample of them does not mean that they began then.
        samples = [start_ns] if (side, process) == ("destination", "qemu") else []
        samples += sorted(rows["time_ns"].unique())
        for thread, of_thread in rows.groupby("thread"):
            first_ns = of_thread["time_ns"].min()
            absent_ns = max((int(at) for at in samples if at < first_ns), default=None)
            key = (str(side), str(process), group_of(str(thread)))
            used[key] = used.get(key, 0.0) + _used_s(of_thread, start_ns, end_ns, absent_ns)
        keys = {group: (str(side), str(process), group) for group in (WHOLE, *GROUPS)}
        groups = [used[keys[group]] for group in GROUPS if keys[group] in used]
        if groups and keys[WHOLE] in used:
            # A thread that lived between two samples is in the figure of its process.
            rest = max(used[keys[WHOLE]] - sum(groups), 0.0)
            used[keys["other"]] = used.get(keys["other"], 0.0) + rest
    return used


def _used_s(rows: pd.DataFrame, start_ns: int, end_ns: int, absent_ns: int | None) -> float:
    """Return the seconds that one process or thread used between two moments.

    ``absent_ns`` is a moment before it began, None if it is older than its samples.
    """
    ordered = rows.sort_values("time_ns", kind="stable")
    # Relative: a float does not hold such a time to the nanosecond.
    times, counted = integers(ordered["time_ns"]) - start_ns, integers(ordered["cpu_ns"])
    if absent_ns is not None and absent_ns - start_ns < times[0]:
        times, counted = np.append(absent_ns - start_ns, times), np.append(0, counted)
    steps = np.diff(counted)
    # A daemon that was restarted counts from 0 again.
    grown = np.append(0, np.cumsum(np.where(steps < 0, counted[1:], steps)))
    at_start, at_end = np.interp([0, end_ns - start_ns], times, grown)
    return float(at_end - at_start) / 1e9


def _ran_s(moments: Moments, *, moved: bool) -> dict[str, float]:
    """Return the seconds in which the guest ran during the call, by side."""
    end = moments.returned_ns
    stop = end if moments.stop_ns is None else min(moments.stop_ns, end)
    resumed = moments.stop_ns is not None and moments.resume_ns is not None
    again = max(end - (moments.resume_ns or 0), 0) if resumed else 0
    source, destination = (0, again) if moved else (again, 0)
    return {"source": (stop - moments.called_ns + source) / 1e9, "destination": destination / 1e9}


def _usual(
    processes: pd.DataFrame, until_ns: int, ran_s: Mapping[str, float]
) -> tuple[dict[Key, float], tuple[str, ...]]:
    """Return the seconds that QEMU's groups usually use in the time in which the guest ran.

    The source's QEMU worked as usual until ``until_ns``.
    """
    qemu = processes[(processes["side"] == "source") & (processes["process"] == "qemu")]
    if not len(qemu):
        return {}, ()
    first_ns, last_ns = int(qemu["time_ns"].min()), int(qemu["time_ns"].max())
    length_s = (min(until_ns, last_ns) - first_ns) / 1e9
    if length_s < MIN_USUAL_S:
        note = f"QEMU was sampled for {max(length_s, 0) * 1e3:.0f} ms before it sent memory: too "
        return {}, (note + "short to know its usual processor time.",)
    before = _used(qemu, first_ns, first_ns + round(length_s * 1e9))
    by_group = {group: seconds for (_, _, group), seconds in before.items() if group in OF_GUEST}
    # Of a real host's QEMU only the whole is known.
    by_group[WHOLE] = sum(by_group.values()) if by_group else sum(before.values())
    return {
        (side, "qemu", group): seconds / length_s * ran
        for group, seconds in by_group.items()
        for side, ran in ran_s.items()
    }, ()


def _migration_cpu_s(used: Mapping[Key, float], usual: Mapping[Key, float]) -> float | None:
    daemons = [used[key] for side in SIDES if (key := (side, "libvirtd", WHOLE)) in used]
    unusual = _extra(used, usual, "other")
    if not unusual or len(daemons) < len(SIDES):
        return None
    own = (seconds for (_, _, group), seconds in used.items() if group in ("migration", "multifd"))
    # A throttled or waiting guest saves QEMU work. This does not offset other work.
    return sum(daemons) + sum(own) + sum(max(seconds, 0.0) for seconds in unusual)


def _extra(used: Mapping[Key, float], usual: Mapping[Key, float], group: str) -> list[float]:
    """Return the seconds of a group beyond the usual, for each QEMU; empty if unknown."""
    if ("source", "qemu", group) not in usual:
        return []
    keys = [(side, "qemu", group) for side in SIDES]
    return [used[key] - usual[key] for key in keys if key in used]


def _processors(used: Mapping[Key, float], usual: Mapping[Key, float]) -> pd.DataFrame:
    order = {name: number for number, name in enumerate((WHOLE, *GROUPS))}
    keys = sorted(used, key=lambda key: (key[0] != "source", key[1], order[key[2]]))
    columns = dict.fromkeys(("side", "process", "group"), "str")
    columns |= {"cpu_s": "float64", "usual_cpu_s": "float64"}
    rows = [(*key, round(used[key], 6), _rounded(usual.get(key))) for key in keys]
    return table(columns, rows)


def _memory(processes: pd.DataFrame) -> pd.DataFrame:
    wholes = processes[(processes["thread"] == "") & processes["memory_bytes"].notna()]
    grouped = wholes.sort_values("time_ns", kind="stable").groupby(["side", "process"])
    frame = grouped["memory_bytes"].agg(first_bytes="first", peak_bytes="max").reset_index()
    return frame.sort_values(["side", "process"], ascending=[False, True], ignore_index=True)


def _payload(connections: pd.DataFrame) -> int | None:
    of_guest = connections[connections["purpose"].isin(["memory", "storage"])]
    return int(of_guest["sent_bytes"].sum()) if len(of_guest) else None


def _traffic(connections: pd.DataFrame, cable: int | None) -> pd.DataFrame:
    parts = {
        "payload_bytes": connections["sent_bytes"] + connections["received_bytes"],
        "resent_bytes": connections["retransmitted_bytes"],
        "header_bytes": SEGMENT_HEADER_BYTES
        * (connections["sent_segments"] + connections["received_segments"]),
    }
    grouped = pd.DataFrame({"connections": 1, **parts}).groupby(connections["purpose"])
    frame = grouped.sum().reindex([name for name in PURPOSES if name in grouped.groups])
    frame["total_bytes"] = frame[list(parts)].sum(axis=1)
    frame = frame.astype("Int64")
    if len(frame) and cable is not None:
        frame.loc["unaccounted", "total_bytes"] = cable - frame["total_bytes"].sum()
    return frame.rename_axis("purpose").reset_index().astype({"purpose": "str"})


def _rounded(amount: float | None, per: float | None = 1) -> float | None:
    """Return a ratio, rounded; None if one of the amounts is unknown."""
    return None if amount is None or not per else round(amount / per, 4)
