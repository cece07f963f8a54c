"""Try migrations between hosts of different releases, in each direction and mode.

Theory of operation. For each pair of images one lab is started. A guest is booted on one of the two
hosts and migrates there and back, in both modes, until each cell has its tries. A guest that a host
refuses stays where it is, so the way back is not tried for it: nobody can be there. A guest that
did not survive is booted again. Where the virtqueues are the cause of a refusal, the same is tried
with a network card that has none: without a disk, with one, and with one of a longer queue.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from migrationlab.errors import UsageError
from migrationlab.explain.explanation import explain
from migrationlab.hosts.host import Host
from migrationlab.hosts.logs import log_tails
from migrationlab.lab import image, recipes
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.start import migrate
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode
from migrationlab.runs.release_matrix import (
    CellKey,
    ReleaseMatrix,
    TriedMigration,
    append,
    load_matrix,
    rewrite,
)
from migrationlab.runs.run import Outcome, Run
from migrationlab.steps import Listener, Step, ignore

FILE = "matrix.jsonl"
MODES = ("normal", "peer2peer")
#: The cause whose workaround is other hardware.
VIRTQUEUES = "virtqueue-size"
#: The hardware that is tried then. The disk shows that it has the same fault, and what helps it.
OTHER_HARDWARE: tuple[dict[str, Any], ...] = (
    {"network_model": "vmxnet3"},
    {"network_model": "vmxnet3", "disk": "local"},
    {"network_model": "vmxnet3", "disk": "local", "disk_queue_size": 1024},
)
DISK_MIB = 8
DEADLINE_S = 60
GUEST = {"memory_mib": 192, "working_set_mib": 32, "dirty_mib_s": 20, "accelerator": "tcg"}


@dataclass(frozen=True, slots=True)
class Lane:
    """The cells of one guest: the two images, where it boots, and its hardware."""

    images: tuple[str, str]
    booted_on: str
    hardware: Mapping[str, Any] = field(default_factory=dict)


def run_matrix(
    images: Sequence[str],
    directory: str | Path,
    *,
    repeats: int = 3,
    machine: str | None = None,
    on_step: Listener = ignore,
) -> ReleaseMatrix:
    """Try all pairs of images, and continue a matrix that was interrupted.

    Args:
        images: The images; each is also tried with itself.
        directory: The folder of the matrix; every migration is a line of its ``matrix.jsonl``.
        repeats: How often each cell is tried.
        machine: The guest's machine type; by default the newest that both hosts have.
        on_step: Receives the steps.

    Raises:
        UsageError: An image or the number is not possible.
        LabError: A lab or a guest did not come up.
    """
    if repeats < 1:
        raise UsageError(f"repeats must be at least 1 (got {repeats})", hint="Give repeats=3.")
    for name in images:
        image.path_of(name)
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE
    rewrite(file, load_matrix(file).tries)  # without a last line that was cut
    for pair in itertools.combinations_with_replacement(_ordered(images), 2):
        _Pair(pair, file, repeats, machine, on_step).run()
    return load_matrix(file)


def _ordered(images: Sequence[str]) -> list[str]:
    """Return the images without repetition, the oldest release first, as the recipes' digests."""
    age = ["bookworm", *recipes.RECIPES]
    return sorted(dict.fromkeys(images), key=age.index)


class _Pair:
    """The tries between the hosts of two images, or of one."""

    def __init__(
        self,
        pair: tuple[str, str],
        file: Path,
        repeats: int,
        machine: str | None,
        on_step: Listener,
    ) -> None:
        self.pair, self.file, self.repeats = pair, file, repeats
        self.machine, self.on_step = machine, on_step
        self.done: Counter[CellKey] = Counter(each.key for each in load_matrix(file).tries)

    def run(self) -> None:
        """Make all tries that are missing."""
        lanes = [Lane(self.pair, on) for on in dict.fromkeys(self.pair)]
        if all(self._is_complete(lane) for lane in lanes):
            return
        with Lab(images=self.pair, on_step=self.on_step) as lab:
            for lane in lanes:
                self._fill(lab, lane)
                if self._met_virtqueues(lane):
                    for hardware in OTHER_HARDWARE:
                        self._fill(lab, replace(lane, hardware=hardware))
                self._mark(lane)

    def _is_complete(self, lane: Lane) -> bool:
        """Return whether a lane was finished before, as its marker in the folder says."""
        return self._marker(lane) in self._markers()

    def _mark(self, lane: Lane) -> None:
        marks = self.file.with_name("finished.json")
        marks.write_text(json.dumps([*self._markers(), self._marker(lane)]))

    def _markers(self) -> list[str]:
        marks = self.file.with_name("finished.json")
        return list(json.loads(marks.read_text())) if marks.exists() else []

    def _marker(self, lane: Lane) -> str:
        models = "+".join(lane.images)
        return f"{models}:{lane.booted_on}:{self.machine or 'newest'}:{self.repeats}"

    def _met_virtqueues(self, lane: Lane) -> bool:
        tried = load_matrix(self.file).tries
        return any(
            each.explanation == VIRTQUEUES
            and each.booted_on == lane.booted_on
            and {each.source, each.destination} == {*lane.images}
            for each in tried
        )

    def _fill(self, lab: Lab, lane: Lane) -> None:
        first = lab.hosts[lane.images.index(lane.booted_on)]
        guest: Guest | None = None
        rounds = itertools.product(MODES, range(self.repeats), (first, lab.other(first)))
        try:
            for mode, _, source in rounds:
                key = self._key(lab, lane, source, mode)
                if source is first:
                    wanted = self._is_missing(key) or self._lacks_way_back(lab, lane, key)
                else:
                    # Nobody is there after a refusal, or after a loss on the way.
                    wanted = guest is not None and self._is_missing(key)
                if not wanted:
                    continue
                if guest is None:
                    spec: dict[str, Any] = {**GUEST, "machine": key.machine, **lane.hardware}
                    guest = lab.boot(on=first, disk_mib=DISK_MIB, **spec)
                if guest.host is source:
                    guest = self._try(guest, key)
        finally:
            if guest is not None:
                guest.clear()

    def _is_missing(self, key: CellKey) -> bool:
        wanted = self.repeats * (2 if key.source == key.destination else 1)
        return self.done[key] < wanted

    def _lacks_way_back(self, lab: Lab, lane: Lane, there: CellKey) -> bool:
        """Return whether only tries from the other host are missing, and a guest can get there.

        So it is if the matrix was interrupted between a guest's way there and its way back.
        """
        back = self._key(lab, lane, lab.hosts[lane.images.index(there.destination)], there.mode)
        tried = load_matrix(self.file).tries
        return self._is_missing(back) and any(each.works for each in tried if each.key == there)

    def _key(self, lab: Lab, lane: Lane, source: Host, mode: str) -> CellKey:
        return CellKey(
            source=str(source.image),
            destination=str(lab.other(source).image),
            booted_on=lane.booted_on,
            mode=mode,
            machine=self.machine or lab.machine,
            **lane.hardware,
        )

    def _try(self, guest: Guest, key: CellKey) -> Guest | None:
        """Migrate once, and note the result; return the guest, None if it is gone."""
        what = f"{key.source} → {key.destination}, {key.mode}, booted on {key.booted_on}"
        if not key.plain:
            what += f", {key.network_model}, disk {key.disk_words}"
        self.on_step(Step(what, "started"))
        to = guest.other_host
        plan = Plan(
            mode=Mode(key.mode),
            deadline_s=DEADLINE_S,
            allow_unsafe_tcg=True,
            copy_storage="full" if key.disk else None,
        )
        tried = _tried(key, migrate(guest, to=to, plan=plan), to, guest)
        append(self.file, tried)
        self.done[key] += 1
        self.on_step(Step(what, "done", tried.error or tried.outcome))
        if tried.outcome == "failed" or tried.works:
            return guest
        guest.clear()
        return None


def _tried(key: CellKey, run: Run, to: Host, guest: Guest) -> TriedMigration:
    summary = run.summary()
    error = run.error
    said = "" if run.outcome is Outcome.COMPLETED else _qemu_said(to, guest)
    # libvirt sometimes says only that the connection ended; the reason is in this log.
    cause = next((line.id for line in map(explain, said.splitlines()) if line.known), None)
    names = {"libvirt": "libvirt_version", "qemu": "qemu_version"}
    sides = {"source": run.source, "destination": run.destination}
    return TriedMigration(
        **{name: getattr(key, name) for name in CellKey.__dataclass_fields__},
        run_id=run.run_id,
        outcome=run.outcome.value,
        intact=summary["guest_intact"],
        downtime_ms=summary["downtime_event_ms"],
        total_ms=summary["call_ms"],
        explanation=cause or (error.explanation if error else None),
        error=error.text if error else None,
        destination_log=said,
        versions={
            f"{side}_{short}": str(facts[name])
            for side, facts in sides.items()
            for short, name in names.items()
        },
    )


def _qemu_said(host: Host, guest: Guest) -> str:
    """Return the last lines of the log of the guest's QEMU on a host."""
    if host.log is None:
        return ""
    tails = log_tails(host.name, host.log, lines=4)
    return "\n".join(line for tail in tails if guest.name in tail.what for line in tail.lines)
