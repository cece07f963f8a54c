"""From what was recorded of processes and connections to what a migration cost.

Pure functions of recorded frames: no libvirt, no files, no clock.

**Processor time** is what was used between libvirt's call and its return. A process or thread that
began meanwhile, as the destination's QEMU, counts from its beginning; the source's QEMU ends before
the call returns, and counts up to its last sample. Between samples it is taken to grow evenly.

QEMU's threads are told apart in four groups: ``vCPU``, ``migration``, ``multifd`` and ``other``
(the main loop and its helpers). The first runs the guest, and the last serves its network and
disks. So what these two used before any memory was sent is taken as ``usual``, on either host, and
set apart for the time in which the guest ran. The migration's own is all of libvirtd's, the groups
``migration`` and ``multifd``, and what is unusual of ``other``. What is unusual of ``vCPU`` is told
by itself: it is less than nothing in a guest that was throttled.

**Bytes on the wire** are told apart by what their TCP connection was for. A connection's payload
is known exactly; its headers are counted as :data:`SEGMENT_HEADER_BYTES` a segment. ``unaccounted``
is what the wire's queues counted beyond that: other protocols, and the options by which a
connection's first segments are longer.

What is not known is None (NaN in a frame), never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

GIB = 1 << 30
LEAST_PAYLOAD_BYTES = 16 << 20
#: How old a daemon's last sample may be as the call returns.
LAST_SAMPLE_NS = 250_000_000
#: Ethernet 14, IPv4 20, TCP 20 and its time stamps 12 bytes: RFC 894, 791, 9293, 7323.
SEGMENT_HEADER_BYTES = 66
PURPOSES = ("memory", "storage", "control", "other")
SIDES = ("source", "destination")
GROUPS = ("vCPU", "migration", "multifd", "other")
#: Those of them that work for the guest without a migration too.
OF_GUEST = ("vCPU", "other")
WHOLE = "all"
#: Known from less than this, what is usual is a guess.
LEAST_USUAL_S = 0.1

Integers = npt.NDArray[np.int64]
#: A side, a process, and a group of its threads or ``WHOLE``.
Key = tuple[str, str, str]

#: The figures of a cost, each with what it means.
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
    """What a migration cost both hosts and the wire. See the module for how each is counted.

    Attributes:
        processors: side, process, group, cpu_s, usual_cpu_s; a row for each process, its
            ``group`` "all", and for each group of QEMU's threads.
        memory: side, process, first_bytes, peak_bytes; a row a process.
        traffic: purpose, connections, payload_bytes, resent_bytes, header_bytes, total_bytes; both
            directions; a row a purpose, and ``unaccounted``.
        migration_cpu_s: See ``DEFINITIONS``.
        vcpu_extra_cpu_s: Likewise.
        payload_bytes: Likewise.
        cable_bytes: Likewise.
        cpu_s_per_gib: Likewise.
        cable_bytes_per_memory_byte: Likewise.
        notes: Why something is not known, or less sure than it looks.
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
        """Give the single figures as a frame: figure, value, definition."""
        rows = [(name, getattr(self, name), text) for name, text in DEFINITIONS.items()]
        columns = {"figure": "str", "value": "Float64", "definition": "str"}
        return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def cost(
    *,
    processes: pd.DataFrame,
    connections: pd.DataFrame,
    wire_bytes: pd.DataFrame,
    called_ns: int,
    returned_ns: int,
    active_ns: int | None,
    stop_ns: int | None,
    resume_ns: int | None,
    moved: bool,
    memory_bytes: int | None,
) -> Cost:
    """Work out what a migration cost.

    Args:
        processes: A run's frame of that name, as are the next two.
        connections: Likewise.
        wire_bytes: Likewise.
        called_ns: When libvirt's call was made.
        returned_ns: When it came back.
        active_ns: When the source's QEMU began to send; None if it never did.
        stop_ns: When the guest stopped; None if it did not.
        resume_ns: When it ran again; None if it did not.
        moved: Whether it ran again at the destination, and not at the source.
        memory_bytes: The guest's memory; None if unknown.
    """
    used = _used(processes, called_ns, returned_ns)
    ran_s = _ran_s(called_ns, returned_ns, stop_ns, resume_ns, moved=moved)
    usual, notes = _usual(processes, called_ns if active_ns is None else active_ns, ran_s)
    migration, vcpu = _migration_cpu_s(used, usual), _extra(used, usual, "vCPU")
    if _ended_early(processes, returned_ns):
        migration, vcpu = None, []
        notes = (*notes, "A host's figures end before the call did: what was used is not known.")
    payload = _payload(connections)
    cable = _growth(wire_bytes, returned_ns, "cable_sent_bytes", "cable_received_bytes")
    # Of a little that was sent before it was given up, a price a GiB would be noise.
    enough = payload is not None and payload >= LEAST_PAYLOAD_BYTES
    per_gib = _ratio(migration, (payload or 0) / GIB) if enough else None
    return Cost(
        processors=_processors(used, usual),
        memory=_memory(processes),
        traffic=_traffic(connections, cable),
        migration_cpu_s=_rounded(migration),
        vcpu_extra_cpu_s=_rounded(sum(vcpu) if vcpu else None),
        payload_bytes=payload,
        cable_bytes=cable,
        cpu_s_per_gib=_rounded(per_gib),
        cable_bytes_per_memory_byte=_rounded(_ratio(cable, memory_bytes)),
        notes=notes,
    )


def _ended_early(processes: pd.DataFrame, returned_ns: int) -> bool:
    """Tell whether a libvirtd was not seen to the end: QEMU may go, but not the daemon."""
    daemons = processes[processes["process"] == "libvirtd"].groupby("side")["time_ns"].max()
    return bool((daemons < returned_ns - LAST_SAMPLE_NS).any())


def group_of(thread: str) -> str:
    """Return the group of a thread, by the name that a run gives it; the whole process's is all."""
    if not thread:
        return WHOLE
    return next((group for group in GROUPS[:-1] if thread.startswith(group)), "other")


# --- processors ----------------------------------------------------------------------------------


def _used(processes: pd.DataFrame, start_ns: int, end_ns: int) -> dict[Key, float]:
    """Give the seconds that each group used between two moments."""
    used: dict[Key, float] = {}
    for (side, process), rows in processes.groupby(["side", "process"]):
        # The others were there before; a first look at them that came late says nothing of before.
        looks = [start_ns] if (side, process) == ("destination", "qemu") else []
        looks += sorted(rows["time_ns"].unique())
        for thread, of_it in rows.groupby("thread"):
            first_ns = of_it["time_ns"].min()
            born_ns = max((int(look) for look in looks if look < first_ns), default=None)
            key = (str(side), str(process), group_of(str(thread)))
            used[key] = used.get(key, 0.0) + _used_s(of_it, start_ns, end_ns, born_ns)
        groups = [
            used[key] for group in GROUPS if (key := (str(side), str(process), group)) in used
        ]
        whole = used.get((str(side), str(process), WHOLE))
        if groups and whole is not None:
            # Threads that came and went between two samples are in their process all the same.
            key = (str(side), str(process), "other")
            used[key] = used.get(key, 0.0) + max(whole - sum(groups), 0.0)
    return used


def _used_s(rows: pd.DataFrame, start_ns: int, end_ns: int, born_ns: int | None) -> float:
    """Give the seconds that one process or thread used between two moments.

    Args:
        rows: Its samples.
        start_ns: The first moment.
        end_ns: The second.
        born_ns: A moment before it began, None where it is older than its samples.
    """
    ordered = rows.sort_values("time_ns", kind="stable")
    # Relative, since a float holds no such moment to the nanosecond.
    times: Integers = ordered["time_ns"].to_numpy(dtype=np.int64) - start_ns
    counted: Integers = ordered["cpu_ns"].to_numpy(dtype=np.int64)
    if born_ns is not None and born_ns - start_ns < times[0]:
        times, counted = np.append(born_ns - start_ns, times), np.append(0, counted)
    steps = np.diff(counted)
    # A daemon that was started anew counts from 0 again.
    grown = np.append(0, np.cumsum(np.where(steps < 0, counted[1:], steps)))
    at_start, at_end = np.interp([0, end_ns - start_ns], times, grown)
    return float(at_end - at_start) / 1e9


def _ran_s(
    called_ns: int, returned_ns: int, stop_ns: int | None, resume_ns: int | None, *, moved: bool
) -> dict[str, float]:
    """Give the seconds in which the guest ran during the call, by side."""
    first = (returned_ns if stop_ns is None else min(stop_ns, returned_ns)) - called_ns
    again = 0 if stop_ns is None or resume_ns is None else max(returned_ns - resume_ns, 0)
    back = (0, again) if moved else (again, 0)
    return {"source": (first + back[0]) / 1e9, "destination": back[1] / 1e9}


def _usual(
    processes: pd.DataFrame, until_ns: int, ran_s: Mapping[str, float]
) -> tuple[dict[Key, float], tuple[str, ...]]:
    """Give the seconds that QEMU's groups would have used as they did before, while the guest ran.

    Args:
        processes: All samples.
        until_ns: Until when the source's QEMU did what it always does.
        ran_s: The seconds in which the guest ran, by side.
    """
    qemu = processes[(processes["side"] == "source") & (processes["process"] == "qemu")]
    if not len(qemu):
        return {}, ()
    first_ns, last_ns = int(qemu["time_ns"].min()), int(qemu["time_ns"].max())
    length_s = (min(until_ns, last_ns) - first_ns) / 1e9
    if length_s < LEAST_USUAL_S:
        note = f"QEMU was seen for {max(length_s, 0) * 1e3:.0f} ms before it sent: too short to "
        return {}, (note + "tell what it usually uses.",)
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
    # A guest that was throttled, or waited, spares QEMU work: that pays for nothing else.
    return sum(daemons) + sum(own) + sum(max(seconds, 0.0) for seconds in unusual)


def _extra(used: Mapping[Key, float], usual: Mapping[Key, float], group: str) -> list[float]:
    """Give what a group of each QEMU used beyond what is usual, nothing where that is not known."""
    if ("source", "qemu", group) not in usual:
        return []
    keys = [(side, "qemu", group) for side in SIDES]
    return [used[key] - usual[key] for key in keys if key in used]


def _processors(used: Mapping[Key, float], usual: Mapping[Key, float]) -> pd.DataFrame:
    order = {name: number for number, name in enumerate((WHOLE, *GROUPS))}
    keys = sorted(used, key=lambda key: (key[0] != "source", key[1], order[key[2]]))
    columns = {"side": "str", "process": "str", "group": "str"}
    columns |= {"cpu_s": "float64", "usual_cpu_s": "float64"}
    rows = [(*key, round(used[key], 6), _rounded(usual.get(key))) for key in keys]
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def _memory(processes: pd.DataFrame) -> pd.DataFrame:
    wholes = processes[(processes["thread"] == "") & processes["memory_bytes"].notna()]
    grouped = wholes.sort_values("time_ns", kind="stable").groupby(["side", "process"])
    frame = grouped["memory_bytes"].agg(first_bytes="first", peak_bytes="max").reset_index()
    return frame.sort_values(["side", "process"], ascending=[False, True], ignore_index=True)


# --- the wire ------------------------------------------------------------------------------------


def _payload(connections: pd.DataFrame) -> int | None:
    of_guest = connections[connections["purpose"].isin(["memory", "storage"])]
    return int(of_guest["sent_bytes"].sum()) if len(of_guest) else None


def _traffic(connections: pd.DataFrame, cable: int | None) -> pd.DataFrame:
    rows: list[Mapping[str, object]] = []
    accounted = 0
    for purpose in PURPOSES:
        of_it = connections[connections["purpose"] == purpose]
        if not len(of_it):
            continue
        payload = int(of_it["sent_bytes"].sum() + of_it["received_bytes"].sum())
        resent = int(of_it["retransmitted_bytes"].sum())
        segments = int(of_it["sent_segments"].sum() + of_it["received_segments"].sum())
        headers = segments * SEGMENT_HEADER_BYTES
        accounted += payload + resent + headers
        rows.append(
            {
                "purpose": purpose,
                "connections": len(of_it),
                "payload_bytes": payload,
                "resent_bytes": resent,
                "header_bytes": headers,
                "total_bytes": payload + resent + headers,
            }
        )
    if rows and cable is not None:
        rows.append({"purpose": "unaccounted", "total_bytes": cable - accounted})
    columns = ["connections", "payload_bytes", "resent_bytes", "header_bytes", "total_bytes"]
    frame = pd.DataFrame(rows, columns=["purpose", *columns])
    return frame.astype({"purpose": "str", **dict.fromkeys(columns, "Int64")})


# --- numbers -------------------------------------------------------------------------------------


def _growth(frame: pd.DataFrame, returned_ns: int, *columns: str) -> int | None:
    """Give how far counters grew; None where they were not read to the end."""
    # A count that ends early is no count of the whole.
    if len(frame) < 2 or int(frame["time_ns"].iloc[-1]) < returned_ns:
        return None
    if frame[list(columns)].iloc[[0, -1]].isna().to_numpy().any():
        return None
    return int(sum(frame[column].iloc[-1] - frame[column].iloc[0] for column in columns))


def _ratio(amount: float | None, of: float | None) -> float | None:
    return None if amount is None or not of else amount / of


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
