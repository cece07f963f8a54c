"""Record one real migration of each outcome for the tests.

``python tests/recordings/record.py [NAME…]`` records all of them, or the named ones. Each has a new
lab, and replaces the recording in ``outcomes/NAME``: the folder's name stays, and the run's id
changes. Then run ``python tests/unit/runs/test_summary.py``, which stores the summaries.

Guests and times are as small as the outcome allows. A recording is discarded if it names this
machine or its user, or has another outcome. Post-copy needs root, or vm.unprivileged_userfaultfd=1.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from migrationlab.hosts.program import run_program
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.migration import Migration
from migrationlab.migrate.start import start
from migrationlab.plan.plan import Mode, Plan
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.schema import FRAMES
from migrationlab.runs.store import MANIFEST, load_run, save_run
from migrationlab.steps import Step

OUTCOMES = Path(__file__).parent / "outcomes"
SUMMARIES = Path(__file__).parent / "summaries.json"
PATIENCE_S = 60
#: Slow enough to change or cancel a migration long before it ends.
SLOW: Mapping[str, Any] = MappingProxyType({"bandwidth_mib_s": 4})
SMALL: Mapping[str, Any] = MappingProxyType(
    {"memory_mib": 128, "working_set_mib": 16, "dirty_mib_s": 5}
)
#: Changes its memory faster than the wire can carry it.
STUBBORN: Mapping[str, Any] = MappingProxyType(
    {"memory_mib": 128, "working_set_mib": 48, "dirty_mib_s": "max"}
)


def sending(migration: Migration) -> bool:
    """Return whether memory has been sent for long enough that QEMU knows the rate."""
    return bool(migration.progress().throughput_bytes_per_s)


def gone_over(migration: Migration) -> bool:
    """Return whether the guest runs at the destination while its memory is still sent."""
    return migration.progress().state == "post-copy"


def cancel(_: Lab, migration: Migration) -> None:
    """Take it back."""
    migration.cancel()


def pause_postcopy(_: Lab, migration: Migration) -> None:
    """Break it off where there is no way back."""
    migration.pause_postcopy()


def lose_source(lab: Lab, _: Migration) -> None:
    """End the source host with all that runs there, as a power cut does."""
    os.kill(lab.rack.hosts[lab.host_a.name], signal.SIGKILL)


def lose_destination(lab: Lab, _: Migration) -> None:
    """End the destination host likewise."""
    os.kill(lab.rack.hosts[lab.host_b.name], signal.SIGKILL)


def silence_destination(lab: Lab, _: Migration) -> None:
    """Take the destination off the guests' LAN: the guest arrives, and nobody hears of it."""
    port = ("ip", "link", "set", f"port{lab.hosts.index(lab.host_b)}", "down")
    assert run_program([*lab.rack.in_rack_network(), *port]).status == 0


def freeze_source(lab: Lab, _: Migration) -> None:
    """Stop the source's libvirtd: it answers nobody until the lab ends."""
    daemon = lab.rack.libvirtd(lab.host_a.name)
    assert daemon is not None
    daemon.suspend()


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a recording is made.

    Attributes:
        plan: How the guest migrates, from the first host to the second.
        outcome: What has to become of it.
        guest: What is booted.
        once: When to do something to it.
        do: What to do then; None where it is let go on.
        broken: The broken case that is switched on, which brings its own plan.
    """

    plan: Plan = field(default_factory=Plan)
    outcome: Outcome = Outcome.COMPLETED
    guest: Mapping[str, Any] = field(default_factory=lambda: SMALL)
    once: Callable[[Migration], bool] = sending
    do: Callable[[Lab, Migration], None] | None = None
    broken: str | None = None

    def run(self) -> Run:
        """Migrate in a new lab, and return the run."""
        with Lab() as lab:
            guest = lab.boot("guest-1", **self.guest)
            if self.broken is None:
                return self._moved(lab, guest, self.plan)
            with lab.broken(self.broken) as case:
                return self._moved(lab, case.guest or guest, case.plan)

    def _moved(self, lab: Lab, guest: Guest, plan: Plan) -> Run:
        made, due, over = threading.Event(), threading.Event(), threading.Event()

        def on_step(step: Step) -> None:
            if step.state in ("done", "failed"):
                over.set()
                due.set()
            elif step.state == "progress" and made.wait(PATIENCE_S) and self.once(migration):
                due.set()

        # Unjudged, since the mistakes among the plans are to reach libvirt.
        migration = start(guest, to=lab.host_b, plan=plan, validate=False, on_step=on_step)
        made.set()
        if self.do is not None:
            if not due.wait(PATIENCE_S) or over.is_set():
                migration.wait(PATIENCE_S)
                raise SystemExit("the migration was over before anything could be done to it")
            self.do(lab, migration)
        return migration.wait(PATIENCE_S)


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "completed-normal": Recipe(),
        "completed-peer2peer": Recipe(plan=Plan(mode=Mode.PEER2PEER)),
        "completed-postcopy": Recipe(
            plan=Plan(postcopy=True, postcopy_after_iteration=1), guest=STUBBORN
        ),
        "completed-storage": Recipe(
            plan=Plan(copy_storage="full"), guest={**SMALL, "disk": "local", "disk_mib": 16}
        ),
        "cancelled": Recipe(plan=Plan(**SLOW), outcome=Outcome.CANCELLED, do=cancel),
        "timed-out": Recipe(plan=Plan(**SLOW, deadline_s=1), outcome=Outcome.TIMED_OUT),
        "diverged": Recipe(
            plan=Plan(abort_when_diverging_s=0.5), outcome=Outcome.DIVERGED, guest=STUBBORN
        ),
        "interrupted": Recipe(
            plan=Plan(postcopy=True, postcopy_after_iteration=1, postcopy_bandwidth_mib_s=2),
            outcome=Outcome.INTERRUPTED,
            guest=STUBBORN,
            once=gone_over,
            do=pause_postcopy,
        ),
        # The mistake of 2011: a connection URI where a migration URI belongs.
        "refused": Recipe(
            plan=Plan(migration_uri="qemu+ssh://root@host-b/system"), outcome=Outcome.FAILED
        ),
        "refused-by-destination": Recipe(broken="same-host-uuid", outcome=Outcome.FAILED),
        "not-connected": Recipe(broken="certificate-missing", outcome=Outcome.FAILED),
        "port-closed": Recipe(broken="port-closed", outcome=Outcome.FAILED),
        "lost-destination": Recipe(
            plan=Plan(**SLOW), outcome=Outcome.FAILED, do=lose_destination
        ),
        "lost-source": Recipe(plan=Plan(**SLOW), outcome=Outcome.FAILED, do=lose_source),
        "guest-lost": Recipe(
            plan=Plan(mode=Mode.PEER2PEER, bandwidth_mib_s=16),
            outcome=Outcome.GUEST_LOST,
            do=silence_destination,
        ),
        "unresolved": Recipe(
            plan=Plan(**SLOW, deadline_s=4), outcome=Outcome.UNRESOLVED, do=freeze_source
        ),
    }
)  # fmt: skip


def private() -> frozenset[str]:
    """Return what no recording may hold: where and by whom it was made.

    A lab's own root user is no secret, nor is that its hosts have a /tmp.
    """
    user, place = getpass.getuser(), Path(__file__).parents[2]
    found = {str(place), str(Path.home()), socket.gethostname(), user, tempfile.gettempdir()}
    return frozenset(found - {"root", "/root", "/tmp", "localhost"})


def text_of(run: Run) -> str:
    """Return every text in a run's folder, as it is read again."""
    frames = (getattr(run, name).select_dtypes("str") for name in FRAMES)
    return "\n".join(str(text) for frame in frames for text in frame.to_numpy().ravel())


def keep(name: str, run: Run) -> Path:
    """Write a run to its place, over the one that was there.

    Raises:
        SystemExit: It is none to keep.
    """
    recipe = RECIPES[name]
    if run.outcome is not recipe.outcome:
        raise SystemExit(f"{name}: {run.outcome}, not {recipe.outcome}: {run.error}")
    place = OUTCOMES / name
    with tempfile.TemporaryDirectory(dir=OUTCOMES, prefix=".") as partial:
        made = save_run(run, partial)
        text = (made / MANIFEST).read_text() + text_of(load_run(made))
        # Not "vm" in "src-vm-stopped", where a machine is called so.
        searches = (rf".*(?<![\w-]){re.escape(word)}(?![\w-]).*" for word in private())
        found = [match.group().strip() for each in searches if (match := re.search(each, text))]
        if found:
            raise SystemExit("\n".join([f"{name}: not kept, since it says", *found]))
        if place.exists():
            shutil.rmtree(place)
        made.rename(place)
    # What the one before it said is no measure of this one.
    known = json.loads(SUMMARIES.read_text())
    known["summaries"].pop(name, None)
    SUMMARIES.write_text(json.dumps(known, indent=1) + "\n")
    return place


def main(names: list[str]) -> None:
    """Make the recordings that are named, or all."""
    if unknown := sorted(set(names) - set(RECIPES)):
        raise SystemExit(f"no recording {', '.join(unknown)}; there are {', '.join(RECIPES)}")
    OUTCOMES.mkdir(exist_ok=True)
    for name in names or RECIPES:
        place = keep(name, RECIPES[name].run())
        size_kib = sum(file.stat().st_size for file in place.iterdir()) / 1024
        sys.stdout.write(f"{name}: {size_kib:.0f} KiB\n")


if __name__ == "__main__":
    main(sys.argv[1:])
