"""Measures the kit on this machine: the figures that the README states, as a Markdown table.

What is compared is measured side by side, in one run and in alternation. A missed target is a
result like any other: the exit status stays 0. Not a test; ``make bench`` runs it.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import libvirt
import numpy as np
import pandas as pd
import yaml
from scipy import stats  # type: ignore[import-untyped]

from migrationlab.capture.environment import environment
from migrationlab.cli import say_error
from migrationlab.cli.interrupts import interrupts
from migrationlab.errors import LabError, MigrationLabError
from migrationlab.explain import explain
from migrationlab.hosts import Host, library_version
from migrationlab.judgement import Side, Situation
from migrationlab.lab import image, namespaces, places
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.lab.network import DEVICE
from migrationlab.migrate import migrate
from migrationlab.plan import Plan
from migrationlab.runs import Outcome, Run
from migrationlab.settings import settings
from migrationlab.uris import Mode

MESSAGES = Path(__file__).parents[1] / "unit/messages.yaml"
WIRE_BYTES_PER_S = 1e9 / 8
#: Fewer migrations a side say too little to hold a comparison against its target.
LEAST_TO_JUDGE = 10
JOB = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED
DECIMALS = {"s": 2, "ms": 0, "µs": 0, "%": 1, "": 3}
NOTES = """\
Spread: min to max; of ratios and differences of medians, bootstrap 95 % intervals. `mig.migrate`
and virsh, on the source host, moved the same guest (256 MiB, of which 64 are dirtied at 40 MiB/s)
over 1 Gbit/s by the same plan, in turns A B B A. The target is held against *whole* calls, because
that is what a user waits for: from asking to the finished run in hand, against virsh's process,
though the kit also checks the guest's memory and evaluates its records then. *Until moved* ends as
libvirt's call returns, against virsh's own `--timing` of `migrate`; in normal mode both dial the
destination within it, which the kit's *own* time leaves out. *Libvirt* compares the total times of
libvirt's job statistics. p: two-sided Mann-Whitney U test, distinguishable below 0.05. *Payload*:
what libvirt says it sent while QEMU's migration was active; *with headers*: what the wire's shaper
counted then. *Judged*: a plan of each setting, against two hosts and a guest; *explained*: each
message that the tests know.
"""
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table; ``value`` is a median, or a ratio or difference of two medians."""

    what: str
    n: tuple[int, ...]
    unit: str
    value: float
    low: float
    high: float
    target: str = ""
    p_value: float | None = None

    @property
    def met(self) -> bool | None:
        """Return whether the target is met, None where there is none or n is too small."""
        if not self.target or (len(self.n) > 1 and min(self.n) < LEAST_TO_JUDGE):
            return None
        if self.p_value is not None:
            return self.p_value >= 0.05
        sign, limit, *_ = self.target.split()
        return self.value <= float(limit) if sign == "≤" else self.value >= float(limit)

    def cells(self) -> list[str]:
        """Return the row as the table shows it."""
        digits = DECIMALS[self.unit]
        value, low, high = (f"{x:.{digits}f}" for x in (self.value, self.low, self.high))
        p_value = "" if self.p_value is None else f", p = {self.p_value:.2f}"
        n = " + ".join(map(str, self.n))
        met = {True: "yes", False: "**no**", None: "n too small" if self.target else ""}[self.met]
        value = f"{value} {self.unit}".strip()
        return [self.what, n, value, f"{low} to {high}{p_value}", self.target, met]


def sampled(what: str, unit: str, values: Sequence[float], target: str = "") -> Row:
    """Return the row of one figure: its median and its spread."""
    return Row(
        what=what, n=(len(values),), unit=unit, value=float(np.median(values)),
        low=min(values), high=max(values), target=target,
    )  # fmt: skip


def compared(
    what: str, unit: str, ours: pd.Series, theirs: pd.Series, combine: np.ufunc, **more: Any
) -> Row:
    """Return the row that compares the medians of two samples."""
    # The default, BCa, wants a jackknife, which for medians has few values.
    interval = stats.bootstrap(
        (ours, theirs), lambda a, b, axis=-1: combine(np.median(a, axis), np.median(b, axis)),
        method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return Row(
        what=what, n=(len(ours), len(theirs)), unit=unit, low=interval.low, high=interval.high,
        value=float(combine(np.median(ours), np.median(theirs))), **more,
    )  # fmt: skip


def image_built(repeats: int, tell: Tell) -> Iterator[Row]:
    """Build the host image from nothing, in caches of their own on the cache's disk."""
    took_s = []
    for number in range(repeats):
        tell(f"image {number + 1} of {repeats}")
        cache = Path(tempfile.mkdtemp(dir=places.cache(), prefix="bench-"))
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

    In normal mode the client dials the destination first, virsh as well as the kit: that time is
    not the kit's own.
    """
    dialled_ms = 0.0
    connect = to.new_connection

    def timed(uri: str | None = None) -> libvirt.virConnect:
        nonlocal dialled_ms
        begun = time.time_ns()
        connection = connect(uri)
        dialled_ms += (time.time_ns() - begun) / 1e6 if uri else 0
        return connection

    with patch.object(to, "new_connection", timed):
        start = time.time_ns()
        run = completed(migrate(guest, to=to, plan=plan))
        end = time.time_ns()
    before_ms = (run.called_ns - start) / 1e6
    return {
        "whole_ms": (end - start) / 1e6,
        "moved_ms": (run.returned_ns - start) / 1e6,
        "dialled_ms": dialled_ms,
        "before_ms": before_ms - dialled_ms,
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
        yield sampled(f"{mode}: dialling the destination by ssh", "ms", kit["dialled_ms"])
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


def measure(n: int, repeats: int, images: int, tell: Tell) -> dict[str, Any]:
    """Measure everything; return the machine, the table's rows, and each migration."""
    machine = environment(library_version()) | {"date": f"{datetime.now(UTC):%Y-%m-%d}"}
    image.ensure(image.DEFAULT)
    rows = [*(image_built(images, tell) if images else ()), *starts(repeats, tell)]
    with Lab() as lab:
        guest = lab.boot()
        machine |= asdict(lab.host_a.facts) | {"accelerator": guest.accelerator}
        rows += thinking(lab, guest, tell)
        measured = list(moves(lab, guest, n, tell))
        for mode in Mode:
            rows += against_virsh(measured, mode)
        guest.destroy()
        idle = lab.boot(memory_mib=512, working_set_mib=256, dirty_mib_s=0)
        rows += throughput(lab, idle, repeats, tell)
    return {"machine": machine, "rows": rows, "migrations": measured}


def markdown(result: dict[str, Any]) -> str:
    """Return the result as the README shows it."""
    head = ["what", "n", "median", "spread", "target", "met?"]
    table = [head, ["---"] * len(head), *(row.cells() for row in result["rows"])]
    place = (
        "{date}, {cpu_model}, {cpus} processors, Linux {kernel}, {accelerator}; "
        "hosts: libvirt {libvirt_version}, QEMU {qemu_version}; load at start {load_1min}."
    ).format_map(result["machine"])
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in table), "", place, "", NOTES])


@click.command()
@click.option("--quick", is_flag=True, help="Few samples: to see that it works.")
@click.option("--n", type=click.IntRange(2), help="Migrations a side and mode.  [default: 10]")
@click.option("--image", "build", is_flag=True, help="Also build the image from nothing.")
@click.option("--format", "output_format", type=click.Choice(["text", "json"]), default="text")
@click.option("--output", type=click.Path(path_type=Path), help="Also write JSON to this file.")
def main(quick: bool, n: int | None, build: bool, output_format: str, output: Path | None) -> None:
    """Measure the kit on this machine; takes about five minutes."""
    with interrupts() as stop:

        def tell(text: str) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            click.echo(text, err=True)

        few = 2 if quick else 5
        try:
            result = measure(n or (2 if quick else 10), few, few // 2 if build else 0, tell)
        except MigrationLabError as error:
            say_error(error)
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(130)
    rows = [asdict(row) | {"met": row.met} for row in result["rows"]]
    text = json.dumps(result | {"rows": rows}, indent=1)
    click.echo(text if output_format == "json" else markdown(result))
    if output is not None:
        output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
