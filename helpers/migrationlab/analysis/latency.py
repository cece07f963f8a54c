"""What a client of the guest's service sees: the round trip of each echo request.

Pure functions of the frame ``echoes``; no libvirt, no files, no clock. Both stamps are this
machine's: the request's is taken just before it is handed to the kernel, the answer's by the
kernel as it comes in (``echo``). So a round trip holds the way there and back and the guest's
answer, and none of what this process waits for.

A request that meets a guest standing still is lost, or answered late: a client sees the stall as
missing points between slow ones.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

MS = 1_000_000
CLOCK_SET_BACK = "This machine's clock was set back while echoes were asked for."


def latency(echoes: pd.DataFrame) -> pd.DataFrame:
    """Give the round trip of each request.

    Args:
        echoes: The frame ``echoes`` of a run.

    Returns:
        A row a request in the order of sending: ``sent_ns`` and ``round_trip_ms``, NaN where no
        answer came, or where it bears a stamp from before its request (see :func:`notes`).
    """
    ordered = echoes.sort_values("sent_ns", kind="stable", ignore_index=True)
    # As whole numbers: nanoseconds since 1970 do not fit into a float.
    trip = (ordered["arrival_ns"] - ordered["sent_ns"]).astype("Int64")
    known = trip.to_numpy(dtype="float64", na_value=np.nan) / MS
    return pd.DataFrame(
        {"sent_ns": ordered["sent_ns"], "round_trip_ms": np.where(known >= 0, known, np.nan)}
    )


def set_back(echoes: pd.DataFrame) -> bool:
    """Tell whether a later request bears an earlier stamp: this machine's clock was set back."""
    sent = echoes.sort_values("sequence", kind="stable")["sent_ns"]
    return bool((sent.diff() < 0).any())


def notes(echoes: pd.DataFrame) -> tuple[str, ...]:
    """Give what a reader of the round trips must know: whether a clock was set back meanwhile."""
    backwards = int((echoes["arrival_ns"] < echoes["sent_ns"]).fillna(value=False).sum())
    if not backwards:
        return (CLOCK_SET_BACK,) if set_back(echoes) else ()
    answers = "1 echo bears" if backwards == 1 else f"{backwards} echoes bear"
    note = f"{answers} an arrival before the request: this machine's clock was set back meanwhile."
    return (f"{note} Their round trips are left out.",)
