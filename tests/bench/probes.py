"""Compare the network downtime with a packet capture on the LAN."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import packets
from bench.speed import completed
from bench.table import Row, Tell, sampled
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.start import migrate
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode


def against_capture(lab: Lab, guest: Guest, n: int, tell: Tell) -> Iterator[Row]:
    """Migrate n times a mode while tcpdump listens; no row where there is no tcpdump."""
    if packets.TCPDUMP is None:
        tell(packets.WITHOUT)
        return
    apart_ms: dict[Mode, list[float]] = {mode: [] for mode in Mode}
    for number in range(n):
        for mode in Mode:
            tell(f"against a packet capture, {mode}, {number + 1} of {n}")
            with tempfile.TemporaryDirectory() as folder:
                with packets.captured(lab, guest, Path(folder)) as files:
                    run = completed(migrate(guest, to=guest.other_host, plan=Plan(mode=mode)))
                seen = packets.beats(files)
            line = run.timeline()
            assert line.stop_ns is not None
            assert line.resume_ns is not None
            assert line.downtime_network_ms is not None
            truth_ms = packets.silence_ms(seen, line.stop_ns, line.resume_ns)
            apart_ms[mode].append(line.downtime_network_ms - truth_ms)
    for mode, found in apart_ms.items():
        what = f"{mode}: network downtime less the packet capture's"
        yield sampled(what, "ms", found, "± 2", digits=2)
