"""Read how long the guest waited for pages in post-copy, as the destination's QEMU counted it.

A **fault** is an access to a page that is still at the source. QEMU (from 10.1 on) measures each
from the access until the page is there, and counts them by powers of two of a microsecond
(``qapi/migration.json``: postcopy-blocktime, postcopy-latency, postcopy-latency-dist). Unlike the
guest's own times of its writes, this has every access: of all its processes and of its kernel.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from migrationlab.analysis.frames import integers, table

#: The name of the event that has QEMU's answer.
EVENT = "postcopy_faults"
_HISTOGRAM = {"from_us": "int64", "to_us": "int64", "faults": "int64"}


@dataclass(frozen=True, kw_only=True, eq=False)
class PostcopyFaults:
    """How long a guest waited for its pages in post-copy.

    Attributes:
        blocked_ms: The time for which all virtual processors waited at once.
        vcpu_blocked_ms: The time for which each of them waited.
        mean_us: The mean wait of a fault.
        histogram: from_us, to_us, faults; how many faults took that long, a row per power of two.
    """

    blocked_ms: int
    vcpu_blocked_ms: tuple[int, ...]
    mean_us: float | None
    histogram: pd.DataFrame

    def __repr__(self) -> str:
        faults = int(self.histogram["faults"].sum())
        return f"PostcopyFaults({faults} faults, all processors blocked for {self.blocked_ms} ms)"

    def at_most_us(self, share: float) -> int | None:
        """Return the time that a share of the faults does not exceed: a power of two.

        None if less than one fault decides that.
        """
        so_far = integers(self.histogram["faults"]).cumsum()
        if not len(so_far) or round(float(so_far[-1]) * (1 - share), 9) < 1:
            return None
        at = int(np.searchsorted(so_far, np.ceil(round(share * float(so_far[-1]), 6))))
        return int(self.histogram["to_us"].iloc[at])


def postcopy_faults(events: pd.DataFrame) -> PostcopyFaults | None:
    """Return what the destination's QEMU counted, from the frame ``events``; None: nothing."""
    details = events[(events["name"] == EVENT) & (events["side"] == "destination")]["detail"]
    if not len(details):
        return None
    said = json.loads(details.iloc[-1])
    mean_ns = said.get("postcopy-latency")
    rows = [
        (2**power, 2 ** (power + 1), count)
        for power, count in enumerate(said.get("postcopy-latency-dist", ()))
        if count
    ]
    return PostcopyFaults(
        blocked_ms=int(said.get("postcopy-blocktime", 0)),
        vcpu_blocked_ms=tuple(map(int, said.get("postcopy-vcpu-blocktime", ()))),
        mean_us=None if mean_ns is None else round(mean_ns / 1e3, 3),
        histogram=table(_HISTOGRAM, rows),
    )
