"""Compute a client's view of the guest's service: the round trip of each echo request.

This machine takes both stamps: of the request just before it goes to the kernel, of the answer by
the kernel as it comes in (``capture.ping``). So a round trip contains the way to the guest and
back and the guest's answer, and no waiting of this process.

A request that meets a paused guest is lost or answered late. A client sees the downtime as missing
points between slow ones.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from migrationlab.analysis.frames import MS

CLOCK_SET_BACK = "This machine's clock was set back while echo requests were sent."


def latency(echoes: pd.DataFrame) -> pd.DataFrame:
    """Return the round trip of each request.

    Returns:
        A row per request in the order of sending: ``sent_ns`` and ``round_trip_ms``. NaN where no
        answer came, or where the answer's stamp is before the request's (see :func:`notes`).
    """
    ordered = echoes.sort_values("sent_ns", kind="stable", ignore_index=True)
    # As integers: nanoseconds since 1970 do not fit into a float.
    trip = (ordered["arrival_ns"] - ordered["sent_ns"]).astype("Int64")
    known = trip.to_numpy(dtype="float64", na_value=np.nan) / MS
    return pd.DataFrame(
        {"sent_ns": ordered["sent_ns"], "round_trip_ms": np.where(known >= 0, known, np.nan)}
    )


def set_back(echoes: pd.DataFrame) -> bool:
    """Return whether this machine's clock was set back: a later request has an earlier stamp."""
    sent = echoes.sort_values("sequence", kind="stable")["sent_ns"]
    return bool((sent.diff() < 0).any())


def notes(echoes: pd.DataFrame) -> tuple[str, ...]:
    """Return a note if this machine's clock was set back during the measurement."""
    backwards = int((echoes["arrival_ns"] < echoes["sent_ns"]).fillna(value=False).sum())
    if not backwards:
        return (CLOCK_SET_BACK,) if set_back(echoes) else ()
    answers = "1 answer has" if backwards == 1 else f"{backwards} answers have"
    return (f"{CLOCK_SET_BACK} {answers} a stamp before the request and no round trip.",)
