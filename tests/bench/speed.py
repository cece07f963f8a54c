"""Measure speed: labs and guests, validation, explanations, migrations against virsh, the wire.

Each function yields rows of the table. What is compared is measured in alternation.
"""

from __future__ import annotations

import json
import os
import random
import re
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import libvirt
import numpy as np
import pandas as pd
import yaml
from scipy import stats  # type: ignore[import-untyped]

from bench.table import Row, Tell, compared, sampled
from migrationlab.errors import LabError
from migrationlab.explain.explanation import explain
from migrationlab.hosts.host import Host
from migrationlab.lab import directories, image, namespaces
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.lab.network import DEVICE
from migrationlab.migrate.start import migrate
from migrationlab.plan.plan import Plan
from migrationlab.plan.settings import settings
from migrationlab.plan.uris import Mode
from migrationlab.plan.validation import Side, Situation
from migrationlab.runs.run import Outcome, Run

MESSAGES = Path(__file__).parents[1] / "unit/explain/messages.yaml"
WIRE_BYTES_PER_S = 1e9 / 8
JOB = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED


def image_built(repeats: int, tell: Tell) -> Iterator[Row]:
    """Build the host image from nothing, in caches of their own on the cache's disk."""
    took_s = []
    for number in range(repeats):
        tell(f"image {number + 1} of {repeats}")
        cache = Path(tempfile.mkdtemp(dir=directories.cache(), prefix="bench-"))
        try:
            with patch.dict(os.environ, XDG_CACHE_HOME=str(cache)):
                start = time.monotonic()
                image.ensure(image.DEFAULT)
                took_s.append(time.monotonic() - start)
        finally:
            namespaces.remove_tree(cache)
    yield sampled(f"host image ({image.DEFAULT}) built", "s", took_s, "≤ 60 s")


def starts(repeats: int, tell: Tell) -> Iterator[Row]:
    """Start labs and boot guests; the first of each only warms up, and is not counted."""
    up_s, boot_s = [], []
    for number in range(repeats + 1):
        tell(f"lab and guest {number} of {repeats}")
        start = time.monotonic()
        with Lab() as lab:
            up_s.append(time.monotonic() - start)
            lab.boot(accelerator="tcg")
            boot_s.append(time.monotonic() - start - up_s[-1])
    yield sampled("lab up, image cached", "s", up_s[1:], "≤ 2 s")
    yield sampled("guest booted under TCG (256 MiB)", "s", boot_s[1:], "≤ 3 s")


def completed(run: Run) -> Run:
    """Return the run, if it is worth measuring."""
    if run.outcome is not Outcome.COMPLETED or not (run.guest_check or {}).get("intact"):
        raise LabError(f"{run!r} came to nothing: {run.error}, memory check {run.guest_check}")
    return run


def by_kit(lab: Lab, guest: Guest, to: Host, plan: Plan) -> dict[str, float]:
    """Migrate with the kit, and return what it took.

    In normal mode the client connects to the destination first, virsh as well as the kit: that
    time is not the kit's own.
    """
    connecting_ms = 0.0
    connect = to.new_connection

    def timed(uri: str | None = None) -> libvirt.virConnect:
        nonlocal connecting_ms
        begun = time.time_ns()
        connection = connect(uri)
        connecting_ms += (time.time_ns() - begun) / 1e6 if uri else 0
        return connection

    with patch.object(to, "new_connection", timed):
        start = time.time_ns()
        run = completed(migrate(guest, to=to, plan=plan))
        end = time.time_ns()
    before_ms = (run.called_ns - start) / 1e6
    return {
        "whole_ms": (end - start) / 1e6,
        "moved_ms": (run.returned_ns - start) / 1e6,
        "connecting_ms": connecting_ms,
        "before_ms": before_ms - connecting_ms,
        "after_ms": (end - run.returned_ns) / 1e6,
    }


def by_virsh(lab: Lab, guest: Guest, to: Host, plan: Plan) -> dict[str, float]:
    """Migrate with virsh on the source host, and return what it took."""
    virsh, *arguments = plan.virsh(guest.name)
    argv = [*lab.rack.in_host(guest.host.name), virsh, "--timing", *arguments]
    start = time.time_ns()
    said = namespaces.run(argv, timeout_s=plan.deadline_s)
    end = time.time_ns()
    (timing,) = re.findall(r"Time: ([\d.]+) ms", said)
    return {"whole_ms": (end - start) / 1e6, "moved_ms": float(timing)}


def moves(lab: Lab, guest: Guest, n: int, tell: Tell) -> Iterator[dict[str, Any]]:
    """Migrate in turns, each pair there and back; a mode's first pair only warms up."""
    for number in range(n + 1):
        for mode in Mode:
            tell(f"migrations, {mode}, {number} of {n}")
            sides = [("kit", by_kit), ("virsh", by_virsh)]
            for who, act in sides if number % 2 else reversed(sides):
                to = lab.other(guest.host)
                plan = Plan(mode=mode, connection_uri=to.peer_uri).filled(destination=to.peer_name)
                took = act(lab, guest, to, plan)
                job = to.connection.lookupByName(guest.name).jobStats(JOB)
                job = {"total_ms": job["time_elapsed"], "downtime_ms": job["downtime"]}
                if number:
                    yield {"who": who, "mode": str(mode), "to": to.name, **took, **job}


def against_virsh(measured: list[dict[str, Any]], mode: Mode) -> Iterator[Row]:
    """Compare the kit's migrations of one mode with virsh's."""
    frame = pd.DataFrame(measured).set_index(["mode", "who"]).sort_index()
    kit, virsh = frame.loc[(str(mode), "kit")], frame.loc[(str(mode), "virsh")]
    for who, side in ("mig.migrate", kit), ("virsh migrate --live", virsh):
        yield sampled(f"{mode}: `{who}`, whole", "ms", side["whole_ms"])
        yield sampled(f"{mode}: `{who}`, downtime reported", "ms", side["downtime_ms"])
    for what, column in ("whole", "whole_ms"), ("until moved", "moved_ms"), ("libvirt", "total_ms"):
        more = {"target": "≤ 1.05"} if what == "whole" else {}
        ours, theirs = kit[column], virsh[column]
        yield compared(f"{mode}: ratio, {what}", "", ours, theirs, np.divide, **more)
    ours, theirs = kit["downtime_ms"], virsh["downtime_ms"]
    p_value = float(stats.mannwhitneyu(ours, theirs).pvalue)
    test = {"target": "not distinguishable", "p_value": p_value}
    yield compared(f"{mode}: downtime, difference", "ms", ours, theirs, np.subtract, **test)
    if mode is Mode.NORMAL:
        yield sampled(f"{mode}: connecting to the destination by ssh", "ms", kit["connecting_ms"])
    for when in ("before", "after"):
        what = f"{mode}: kit's own time {when} libvirt's call"
        yield sampled(what, "ms", kit[f"{when}_ms"], "≤ 50 ms")


def thinking(lab: Lab, guest: Guest, tell: Tell) -> Iterator[Row]:
    """Judge a plan of each setting, and explain each message that the tests know, once."""
    tell("judging and explaining")
    a, b = (Side(name=host.name, **_versions(host)) for host in lab.hosts)
    situation = Situation(source=a, destination=b, domain=guest.facts())
    values = {about.name: True if about.default is False else about.low for about in settings()}
    plans = [
        Plan(mode=mode, connection_uri=lab.host_b.peer_uri, **{name: value})
        for mode in Mode
        for name, value in values.items()
        if value is not None
    ]
    texts = [message["text"] for message in yaml.safe_load(MESSAGES.read_text(encoding="utf-8"))]
    judge = [partial(plan.problems, situation=situation) for plan in plans]
    for what, work in (
        ("a plan judged", judge),
        ("a message explained", [partial(explain, text) for text in texts]),
    ):
        work[0]()  # what is made at the first use is not counted
        took_us = []
        for act in work:
            begun = time.perf_counter_ns()
            act()
            took_us.append((time.perf_counter_ns() - begun) / 1e3)
        yield sampled(what, "µs", took_us, "≤ 1000 µs")
    tell("explaining long texts")
    for what, text, target in long_texts(texts[0]):
        begun = time.perf_counter()
        explain(text)
        yield sampled(f"{what} explained", "s", [time.perf_counter() - begun], target)


def long_texts(message: str) -> Iterator[tuple[str, str, str]]:
    """Yield long texts to explain: what each is, the text, and the target."""
    line = "2026-03-02 08:16:00.001+0000: 811: error : x:1 : End of file while reading data: "
    log = f"{line}Input/output error\n" * 50_000
    yield "a log of 100,000 lines", f"{log}{message}\n{log}", "≤ 2 s"
    most = 16 * 1024 * 1024
    yield "16 MiB in one line", "x" * most, ""
    yield "16 MiB of a repeated pattern", "unable to connect to server at '" * (most // 32), ""
    noise = random.Random(1).randbytes(most).decode("latin-1")
    yield "16 MiB of random bytes", noise, ""


def _versions(host: Host) -> dict[str, tuple[int, ...]]:
    return {"libvirt": host.facts.libvirt, "qemu": host.facts.qemu}


def shaped_bytes(lab: Lab, host: Host) -> int:
    """Return the bytes that a host's shaper let onto the wire, all headers counted."""
    # The interface's own counter has the headers of a train of frames (GSO) only once.
    argv = [*lab.rack.in_host_network(host.name), "tc", "-statistics", "-json"]
    rows = json.loads(namespaces.run([*argv, "qdisc", "show", "dev", DEVICE]))
    return next(int(row["bytes"]) for row in rows if row["kind"] == "tbf")


def throughput(lab: Lab, guest: Guest, repeats: int, tell: Tell) -> Iterator[Row]:
    """Migrate a guest with much memory that nobody writes to: one full pass, then the stop."""
    payload, framed = [], []
    for number in range(repeats):
        tell(f"throughput {number + 1} of {repeats}")
        source = guest.host
        sent = -shaped_bytes(lab, source)
        line = completed(migrate(guest, to=lab.other(source))).timeline()
        sent += shaped_bytes(lab, source)
        assert line.throughput_bytes_per_s and line.active_ns and line.completed_ns  # noqa: PT018
        active_s = (line.completed_ns - line.active_ns) / 1e9
        payload.append(line.throughput_bytes_per_s / WIRE_BYTES_PER_S * 100)
        framed.append(sent / active_s / WIRE_BYTES_PER_S * 100)
    yield sampled("throughput, share of a 1 Gbit/s wire: payload", "%", payload, "≥ 95 %")
    yield sampled("throughput, share of a 1 Gbit/s wire: with headers", "%", framed)
