"""Fit the constants of the model to one's own hosts, from one's own runs.

Durations are medians of what the runs recorded. What the model leaves unexplained is known only for
runs whose workload and wire are known (those of a lab): there the downtime's rest gives
``devices_s`` (from runs over one connection), that of switches to post-copy gives ``postcopy_s``,
compressed runs give ``compressor_speed``, and the errors give the spreads. A constant with fewer
than :data:`LEAST` runs keeps its default.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from migrationlab.errors import UsageError
from migrationlab.forecast.case import Constants
from migrationlab.forecast.curve import MIB
from migrationlab.forecast.numbers import is_number
from migrationlab.forecast.run_inputs import inputs_of
from migrationlab.plan.uris import Mode
from migrationlab.plan.wording import nearest, quote
from migrationlab.runs.run import Outcome, Run

#: Fewer runs say too little about a constant.
LEAST = 3
#: A median error of the time of sending that needs no correction.
NEAR = 0.005
_NAMES = tuple(field.name for field in dataclasses.fields(Constants))
_MEASURE = "Migrate guests of a lab, or of your hosts, and store the runs: migrationlab migrate …"


@dataclass(frozen=True, slots=True)
class Calibration:
    """Constants, and from how many runs each is; 0 for a default."""

    constants: Constants
    counts: dict[str, int]

    def __repr__(self) -> str:
        fitted = sum(count > 0 for count in self.counts.values())
        return f"Calibration({fitted} of {len(self.counts)} constants fitted)"

    def to_dict(self) -> dict[str, dict[str, float | int]]:
        """Return each constant with its value and its number of runs, for JSON."""
        return {
            name: {"value": getattr(self.constants, name), "runs": self.counts[name]}
            for name in _NAMES
        }


def calibrate(runs: Iterable[Run]) -> Calibration:
    """Fit the constants to runs.

    Raises:
        UsageError: No constant has enough runs.
    """
    found: dict[str, list[float]] = {name: [] for name in _NAMES}
    completed = [run for run in runs if run.outcome is Outcome.COMPLETED]
    for run in completed:
        for name, value in _durations(run):
            found[name].append(value)
    values = {
        name: round(float(np.median(seen)), 4) for name, seen in found.items() if len(seen) >= LEAST
    }
    fitted = dataclasses.replace(Constants(), **values)
    rests, counts = _rests(completed, fitted), {name: len(seen) for name, seen in found.items()}
    if len(rests) >= LEAST:
        downtimes = np.array([paused for _, paused in rests])
        devices = max(fitted.devices_s + float(np.median(downtimes)), 0.0)
        spread = float(np.quantile(np.abs(downtimes - np.median(downtimes)), 0.9))
        times = [abs(time) for time, _ in rests]
        values |= {
            "devices_s": round(devices, 4), "downtime_spread_s": round(spread, 4),
            "time_spread": round(float(np.quantile(times, 0.9)), 4),
        }  # fmt: skip
        counts |= dict.fromkeys(("devices_s", "downtime_spread_s", "time_spread"), len(rests))
    switches = _switches(completed, fitted)
    if len(switches) >= LEAST:
        values["postcopy_s"] = round(max(float(np.median(switches)), 0.0), 4)
        counts["postcopy_s"] = len(switches)
    speed, spread, count = _compressor(completed, fitted)
    if count >= LEAST:
        values |= {"compressor_speed": round(speed, 4), "compressor_spread": round(spread, 4)}
        counts |= dict.fromkeys(("compressor_speed", "compressor_spread"), count)
    begins = found["before_s"], found["before_peer2peer_s"]
    known = [seen for seen in begins if len(seen) >= LEAST]
    if known:
        off = [value - float(np.median(seen)) for seen in known for value in seen]
        early, late = np.quantile(off, (0.05, 0.95))
        values |= {
            "before_spread_s": round(-float(early), 4),
            "before_late_s": round(float(late), 4),
        }
        counts |= dict.fromkeys(("before_spread_s", "before_late_s"), len(off))
    if not values:
        raise UsageError(
            f"runs must have at least {LEAST} completed migrations (got {len(completed)})",
            hint=_MEASURE,
        )
    constants = dataclasses.replace(Constants(), **values)
    return Calibration(constants, {name: counts[name] * (name in values) for name in _NAMES})


def read_constants(text: str | bytes) -> Constants:
    """Return the constants of a JSON object: those that it names, the defaults otherwise.

    Values are numbers, or objects with a ``value`` as :meth:`Calibration.to_dict` has.

    Raises:
        UsageError: It is no JSON of constants, or a value is impossible.
    """
    hint = "Write one: migrationlab calibrate RUNS_DIR -o FILE"
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the constants must be JSON (got {error})", hint=hint) from error
    if not isinstance(given, dict):
        raise UsageError(
            f"the constants must be a JSON object (got {type(given).__name__})", hint=hint
        )
    values = {}
    for name, about in given.items():
        if name not in _NAMES:
            near = nearest(name, _NAMES)
            raise UsageError(
                f"the constants must be known ones (got {quote(name)})",
                hint=f"Write {near}." if near else hint,
            )
        value = about.get("value") if isinstance(about, dict) else about
        if not is_number(value) or not 0 <= value < 1e12:
            raise UsageError(
                f"{name} must be a number of at least 0 (got {quote(str(value))})", hint=hint
            )
        values[name] = float(value)
    for name in ("look_s", "zero_pages_per_s", "compressor_speed"):
        if values.get(name, 1.0) <= 0:
            raise UsageError(f"{name} must be more than 0 (got 0)", hint=hint)
    return dataclasses.replace(Constants(), **values)


def _durations(run: Run) -> list[tuple[str, float]]:
    """Return what a run shows of the constants that are durations, in seconds."""
    line, summary = run.timeline(), run.summary()
    found = []
    if len(line.iterations):
        name = "before_peer2peer_s" if run.plan.mode is Mode.PEER2PEER else "before_s"
        found.append((name, (int(line.iterations["start_ns"].iloc[0]) - line.called_ns) / 1e9))
    if summary["total_ms"] is not None:
        found.append(("after_s", (summary["call_ms"] - summary["total_ms"]) / 1000))
    event, network = summary["downtime_event_ms"], summary["downtime_network_ms"]
    if event is not None and network is not None:
        postcopy = line.postcopy_ns is not None
        name = "postcopy_network_s" if postcopy else "network_s"
        found.append((name, (network - event) / 1000))
    return [(name, value) for name, value in found if value >= 0]


def _switches(runs: list[Run], constants: Constants) -> list[float]:
    """Return what the downtimes of switches to post-copy have besides what lies in buffers."""
    found = []
    for run in runs:
        line = run.timeline()
        given = inputs_of(run) if line.postcopy_ns is not None else None
        if given is None or line.downtime_event_ms is None:
            continue
        path = given.forecast(constants, draws=0).path
        if path.end == "post-copy" and path.downtime_s is not None:
            queued_s = path.downtime_s - constants.postcopy_s
            found.append(line.downtime_event_ms / 1000 - queued_s)
    return found


def _compressor(runs: list[Run], constants: Constants) -> tuple[float, float, int]:
    """Return the speed of the compressor, what it leaves of the time of sending, and the runs.

    Times of sending are about in inverse proportion to the speed, and not quite: iterations become
    fewer with it. So the speed is corrected until it hardly changes.
    """
    # Which runs count is decided once: they count too if the compressor turns out to be no limit.
    compressed = [run for run in runs if _is_limited(run, constants)]
    for _ in range(4):
        rests = [time for time, _ in _rests(compressed, constants, compressed=True)]
        if not rests:
            return 1.0, 0.0, 0
        off = float(np.median(rests))
        if abs(off) < NEAR:
            break
        speed = constants.compressor_speed / (1 + off)
        constants = dataclasses.replace(constants, compressor_speed=speed)
    left = np.abs(np.array(rests) - off)
    return constants.compressor_speed, float(np.quantile(left, 0.9)), len(rests)


def _is_limited(run: Run, constants: Constants) -> bool:
    """Return whether a run's compressor is slower than its link, with these constants."""
    given = inputs_of(run)
    if given is None:
        return False
    ratio, speed = given.compression_ratio, given.compressor_mib_s
    if not isinstance(ratio, tuple) or not isinstance(speed, tuple):
        return False
    made_mib_s = speed[1] * constants.compressor_speed * ratio[1]
    return made_mib_s * MIB * 8 < given.bandwidth_mbit_s * 1e6


def _rests(
    runs: list[Run], constants: Constants, *, compressed: bool = False
) -> list[tuple[float, float]]:
    """Return what the model leaves: of the time of sending a share, of the downtime seconds."""
    rests = []
    for run in runs:
        given = inputs_of(run)
        if given is None or run.plan.postcopy:
            continue
        if compressed != (run.plan.compression is not None):
            continue
        if run.plan.parallel and not compressed:
            continue  # what its channels queue is no constant of the devices
        path, line = given.forecast(constants, draws=0).path, run.timeline()
        if path.downtime_s is None or line.resume_ns is None or line.downtime_event_ms is None:
            continue
        sending_s = (line.resume_ns - int(line.iterations["start_ns"].iloc[0])) / 1e9
        paused_s = line.downtime_event_ms / 1000 - path.downtime_s
        rests.append((sending_s / path.sending_s - 1, paused_s))
    return rests
