"""The decision how to recover a guest, over the product of all states, reasons and jobs."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from migrationlab.errors import UsageError
from migrationlab.migrate.recovery import (
    OF_MIGRATION,
    OTHER,
    Act,
    Action,
    Found,
    Job,
    Kind,
    Side,
    decide,
)
from migrationlab.migrate.recovery_scene import PAUSED, REASONS, RUNNING
from migrationlab.migrate.recovery_steps import recover

POSTCOPY = ("post-copy", "post-copy failed")
STATES = [
    *(("running", reason) for reason in RUNNING),
    *(("paused", reason) for reason in PAUSED),
    *((state, "unknown") for state in ("shut off", "absent", "unknown", "crashed", "in shutdown")),
]
SOURCES = [
    Found(state, reason, job, kept, dead=dead)
    for (state, reason), job, kept, dead in product(STATES, Job, (True, False), (True, False))
]
#: libvirt did not notice that its QEMU had begun post-copy.
SOURCES += [
    replace(found, postcopy=True)
    for found in SOURCES
    if found.state == "paused" and found.reason in OF_MIGRATION and found.job is Job.NONE
]
DESTINATIONS = [
    Found(state, reason, Job.NONE, kept, received, dead)
    for (state, reason), kept, received, dead in product(
        STATES, (True, False), (None, True, False), (True, False)
    )
]


def may_run(found: Found) -> bool:
    """Return whether the copy may run, as far as anybody can know."""
    return not found.dead and found.state in ("running", "unknown", "crashed", "in shutdown")


def after(act: Act, found: dict[Side, Found]) -> dict[Side, Found]:
    """Return the worst that a step can make of both sides: of what may run, all runs."""
    here = found[act.side]
    changed = {
        Action.RESUME: replace(here, state="running", reason="unpaused"),
        Action.DESTROY: replace(here, state="shut off" if here.persistent else "absent"),
        Action.UNDEFINE: replace(here, state="absent", persistent=False),
        # libvirt takes a pre-copy migration back: the guest goes on at the source.
        Action.ABORT: replace(here, state="running", reason="migration canceled", job=Job.NONE),
        Action.FREE_SOCKET: replace(here, state="running", reason="unpaused", job=Job.NONE)
        if not here.split
        else replace(here, reason="post-copy failed", job=Job.NONE),
        Action.RESUME_POSTCOPY: replace(here, state="absent", job=Job.NONE),
    }[act.action]
    return {**found, act.side: changed}


def test_no_step_ever_makes_a_second_running_copy() -> None:
    """Nothing is started at one side while the other may run; no good copy is destroyed."""
    kinds = set()
    for source, destination in product(SOURCES, DESTINATIONS):
        case = (source, destination)
        verdict = decide(source, destination)
        kinds.add(verdict.kind)
        found: dict[Side, Found] = {"source": source, "destination": destination}
        if verdict.kind in (Kind.WELL, Kind.REFUSED, Kind.UNDER_WAY):
            assert not verdict.acts, case
        if verdict.kind is Kind.REFUSED:
            assert verdict.advice, case
        for act in verdict.acts:
            before = found
            found = after(act, before)
            assert before[act.side].state not in ("absent", "unknown"), case
            assert not before[act.side].dead, case
            starts = not may_run(before[act.side]) and may_run(found[act.side])
            assert not (starts and may_run(before[OTHER[act.side]])), case
            if starts:
                assert not before[act.side].split, case
        running = [side for side in OTHER if found[side].state == "running"]
        if verdict.kind is Kind.RECOVERABLE and verdict.acts[-1].action is not Action.DESTROY:
            assert len([side for side in running if not found[side].dead]) <= 1, case
        if verdict.kind is not Kind.LOST:
            for act in verdict.acts:
                if act.action is Action.DESTROY:
                    # What is destroyed is not the only copy that goes on.
                    assert not may_run(before_of(source, destination, act.side)), case
                    assert not found[OTHER[act.side]].gone, case
    assert kinds == set(Kind)


def test_one_of_two_running_copies_is_ended_only_if_somebody_chose() -> None:
    """The choice changes nothing else, and a half of a guest in post-copy is no choice."""
    for source, destination in product(SOURCES, DESTINATIONS):
        plain = decide(source, destination)
        for keep in OTHER:
            chosen = decide(source, destination, keep)
            if "split brain" not in plain.why or source.split or destination.split:
                assert chosen == plain
            else:
                assert plain.kind is Kind.REFUSED
                assert chosen.acts == (Act(Action.DESTROY, OTHER[keep]),)


def before_of(source: Found, destination: Found, side: Side) -> Found:
    """Return what one side said."""
    return source if side == "source" else destination


def test_undefine_never_removes_the_only_definition() -> None:
    """A definition is removed only if the host where the guest runs keeps one."""
    for source, destination in product(SOURCES, DESTINATIONS):
        found: dict[Side, Found] = {"source": source, "destination": destination}
        for act in decide(source, destination).acts:
            if act.action is Action.UNDEFINE:
                assert found[OTHER[act.side]].persistent
                assert found[OTHER[act.side]].state == "running"


ABSENT = Found("absent")
HELD = Found("paused", "migrating")
HALF = Found("paused", "post-copy failed")
RUNS = Found("running", "booted")
HALF_RUNS = Found("running", "post-copy failed")


@pytest.mark.parametrize(
    ("source", "destination", "kind", "steps"),
    [
        (HELD, HELD, Kind.RECOVERABLE, "destination destroy, source resume"),
        (HELD, ABSENT, Kind.RECOVERABLE, "source resume"),
        (Found("paused", "user"), ABSENT, Kind.WELL, ""),
        (HALF, HALF_RUNS, Kind.RECOVERABLE, "source postcopy-resume"),
        (HALF, HALF, Kind.RECOVERABLE, "source postcopy-resume"),
        (HALF, replace(HALF_RUNS, job=Job.STUCK), Kind.REFUSED, ""),
        (HALF, ABSENT, Kind.LOST, "source destroy"),
        (replace(HELD, postcopy=True), ABSENT, Kind.LOST, "source destroy"),
        (replace(HELD, postcopy=True), HELD, Kind.REFUSED, ""),
        (ABSENT, HALF_RUNS, Kind.LOST, "destination destroy"),
        (HALF, Found("running", "migrated"), Kind.RECOVERABLE, "source destroy"),
        (RUNS, RUNS, Kind.REFUSED, ""),
        (HELD, Found("unknown"), Kind.REFUSED, ""),
        (HELD, Found("unknown", dead=True), Kind.RECOVERABLE, "source resume"),
        (Found("unknown"), HELD, Kind.REFUSED, ""),
        (replace(RUNS, job=Job.STALE), HELD, Kind.RECOVERABLE, "source domjobabort"),
        (replace(RUNS, job=Job.MOVING), HELD, Kind.UNDER_WAY, ""),
        (replace(HELD, job=Job.STUCK), HELD, Kind.RECOVERABLE, "source free-socket"),
        (replace(HELD, job=Job.STUCK), RUNS, Kind.RECOVERABLE, "source destroy"),
        (RUNS, HELD, Kind.RECOVERABLE, "destination destroy"),
        (Found("shut off"), replace(RUNS, persistent=True), Kind.RECOVERABLE, "source undefine"),
        (replace(RUNS, persistent=True), Found("shut off"), Kind.RECOVERABLE,
         "destination undefine"),
        (Found("shut off"), RUNS, Kind.WELL, ""),
        (ABSENT, RUNS, Kind.WELL, ""),
        (RUNS, ABSENT, Kind.WELL, ""),
        (ABSENT, ABSENT, Kind.LOST, ""),
        (ABSENT, replace(HELD, received=True), Kind.RECOVERABLE, "destination resume"),
        (ABSENT, replace(HELD, received=False), Kind.LOST, "destination destroy"),
        (ABSENT, HELD, Kind.REFUSED, ""),
    ],
)  # fmt: skip
def test_known_situation_has_its_steps(
    source: Found, destination: Found, kind: Kind, steps: str
) -> None:
    """Each situation that a broken migration leaves has the steps that end it."""
    verdict = decide(source, destination)
    assert verdict.kind is kind, verdict.why
    assert ", ".join(f"{act.side} {act.action}" for act in verdict.acts) == steps


def test_commands_are_lines_for_a_shell() -> None:
    """Names and addresses are quoted, and no name is an option."""
    uris: dict[Side, str] = {"source": "qemu+ssh://a/system", "destination": "qemu:///system?a&b"}
    line = Act(Action.DESTROY, "destination").command("-x y", uris, "b")
    assert line == "virsh --connect 'qemu:///system?a&b' destroy -- '-x y'"
    line = Act(Action.RESUME_POSTCOPY, "source").command("web", uris, "b")
    assert "--postcopy-resume --desturi 'qemu:///system?a&b' --domain web" in line
    line = Act(Action.FREE_SOCKET, "source").command("web", uris, "10.0.0.2")
    assert line.startswith("ss -K -t dst 10.0.0.2 dport '>=' :49152 ")


def test_reasons_have_libvirts_numbers() -> None:
    """The lists of words are as long as libvirt's enumerations."""
    import libvirt

    assert REASONS[libvirt.VIR_DOMAIN_PAUSED][libvirt.VIR_DOMAIN_PAUSED_MIGRATION] == "migrating"
    assert PAUSED[libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED] == "post-copy failed"
    assert RUNNING[libvirt.VIR_DOMAIN_RUNNING_POSTCOPY] == "post-copy"
    assert RUNNING[libvirt.VIR_DOMAIN_RUNNING_MIGRATION_CANCELED] == "migration canceled"


def test_unknown_name_is_not_only_called_lost() -> None:
    """If neither host has the guest, the name can be wrong, and the verdict says so."""
    verdict = decide(Found("absent"), Found("absent"))
    assert verdict.kind is Kind.LOST
    assert "If the name is right" in verdict.why
    assert "virsh list --all" in verdict.advice


def test_one_host_for_both_sides_is_refused() -> None:
    """One guest seen twice would look like two running copies."""
    with pytest.raises(UsageError, match="another host than the source"):
        recover("web1", source="test:///default", destination="test:///default")
