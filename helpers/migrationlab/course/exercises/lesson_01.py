"""The checks of lesson 01: a migration URI, a peer2peer plan, and a pair of runs that compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from migrationlab.course.feedback import Feedback, is_unfinished, right, unfinished, wrong
from migrationlab.plan.plan import Mode, Plan
from migrationlab.plan.uris import (
    ConnectionUri,
    MigrationUri,
    host_of,
    migration_notes,
    validate_migration_uri,
)
from migrationlab.runs.run import Outcome, Run

SOURCE, DESTINATION = "node1", "node2"
#: Where node2's card of the migration network is; node1's own is next to it.
ADDRESS, SOURCE_ADDRESS = "10.0.0.2", "10.0.0.1"


def check_uri(answer: object) -> Feedback:
    """Check the migration URI of a normal migration from node1 to node2.

    Args:
        answer: What the learner wrote.
    """
    if is_unfinished(answer):
        return unfinished('Put a URI, in quotes, in the place of the three dots: uri = "…".')
    if not isinstance(answer, str):
        return wrong(f"That is a {type(answer).__name__}, and no text.", "Write it in quotes.")
    if found := _check_way(answer.strip(), Mode.NORMAL):
        return found
    port = MigrationUri.parse(answer.strip()).port
    chosen = f"port {port} must be free there" if port else "libvirt chooses the port"
    return right(f"node1's QEMU dials {ADDRESS}, where node2's QEMU listens; {chosen}.")


def check_plan(answer: object) -> Feedback:
    """Check the plan of a peer2peer migration from node1 to node2.

    Args:
        answer: The learner's plan.
    """
    if is_unfinished(answer):
        return unfinished("Put a plan in the place of the three dots: my_plan = mig.Plan(…).")
    if not isinstance(answer, Plan):
        return wrong(
            f"That is a {type(answer).__name__}, and no plan.", "Write my_plan = mig.Plan(…)."
        )
    if answer.mode is not Mode.PEER2PEER:
        return wrong(
            "In normal mode the client dials node2's libvirtd, and this client cannot reach it.",
            'Say mode="peer2peer": then node1\'s libvirtd dials.',
        )
    if answer.connection_uri is None:
        return wrong(
            "It does not say where node2's libvirtd is, which node1's has to dial.",
            "Its place is connection_uri.",
        )
    problems = answer.problems(source=SOURCE, destination=DESTINATION)
    for problem in problems:
        if problem.field == "connection_uri":
            return wrong(problem.reason, problem.hint)
    if host_of(answer.connection_uri) != DESTINATION:
        return wrong(
            f"The connection URI leads to {host_of(answer.connection_uri)}.",
            "node1's libvirtd knows node2 by that name, and logs in as root by SSH.",
        )
    uri = ConnectionUri.parse(answer.connection_uri, Mode.PEER2PEER)
    if uri.transport not in {"ssh", "libssh", "libssh2"} or uri.path != "/system":
        return wrong(
            "That is a connection URI, but by another way than SSH to the libvirtd of the system.",
            "By SSH it begins with qemu+ssh:// and names the user, as in lesson 1.",
        )
    if answer.migration_uri is None:
        return wrong(
            "Without a migration URI the memory goes to whatever address the name node2 has.",
            "The same URI as in the exercise before would do.",
        )
    if found := _check_way(answer.migration_uri, Mode.PEER2PEER):
        return found
    if problems:
        return wrong(problems[0].reason, problems[0].hint)
    return right(
        "node1's libvirtd dials node2's by the one URI, node1's QEMU dials node2's by the other."
    )


def check_pair(answer: object) -> Feedback:
    """Check that two runs differ in the mode, and in nothing else that can be chosen.

    Args:
        answer: The two runs, in any order.
    """
    how = "Write pair = [runs[…], runs[…]], with the numbers of two rows of the table."
    if is_unfinished(answer):
        return unfinished(how)
    if not isinstance(answer, Sequence) or isinstance(answer, (str, bytes)):
        return wrong(f"That is a {type(answer).__name__}, and no pair.", how)
    runs = [run for run in answer if isinstance(run, Run)]
    if len(runs) < len(answer):
        return wrong("Not all of that are runs.", how)
    if len(runs) != 2:
        return wrong(f"A pair is two runs, and these are {len(runs)}.", how)
    return _check_two(runs[0], runs[1])


def _check_two(one: Run, other: Run) -> Feedback:
    """Check a pair that is one."""
    if one == other:
        return wrong("That is one run, twice.", "Wanted is one of each mode.")
    if one.plan.mode is other.plan.mode:
        return wrong(
            f"Both are {one.plan.mode} migrations.",
            "Wanted is one of each mode: look at the column mode.",
        )
    for run in (one, other):
        if run.outcome is not Outcome.COMPLETED:
            return wrong(
                f"The {run.plan.mode} one did not complete: {run.outcome}.",
                "It has no downtime to compare. Take one that completed.",
            )
    if _way(one) != _way(other):
        return wrong(
            f"The modes differ, but so do the ways: {_way(one)}, and {_way(other)}.",
            "Look at the columns source and destination. Two that differ in two things do not "
            "tell which of them it was.",
        )
    if others := sorted(_settings(one) ^ _settings(other)):
        return wrong(
            f"Their plans differ in more than the mode: {others[0][0]}.",
            "Take runs of plans in which all else is the same.",
        )
    return right(
        f"Both went {_way(one)}, and the mode alone differs. It is one pair: another may tell the "
        "opposite, which is why there are more."
    )


def _way(run: Run) -> str:
    return f"from {run.source['name']} to {run.destination['name']}"


def _settings(run: Run) -> set[tuple[str, str]]:
    """Return a plan's settings, without the mode and the URIs, which go with it."""
    apart = {"mode", "connection_uri", "migration_uri"}
    changed = run.plan.changed()
    return {(name, repr(changed[name])) for name in changed if name not in apart}


def _check_way(text: str, mode: Mode) -> Feedback | None:
    """Say what is off about a migration URI; nothing where nothing is."""
    if host_of(text) in {SOURCE, SOURCE_ADDRESS}:
        return wrong(
            "That is the host that the guest leaves.",
            "A migration URI says where the destination's QEMU listens.",
        )
    if problems := validate_migration_uri(text, mode, source=SOURCE, destination=DESTINATION):
        return wrong(problems[0].reason, problems[0].hint)
    if "://" not in text:
        return wrong(
            "A migration URI begins with a scheme, which says how memory travels.",
            "By TCP it is tcp://HOST.",
        )
    host = host_of(text)
    if host == DESTINATION:
        return wrong(
            f"It works, but the memory goes to whatever address the name {DESTINATION} has: that "
            "of the office network.",
            f"On the migration network node2 is {ADDRESS}.",
        )
    if host != ADDRESS:
        return wrong(
            f"{host or text} is not where node2's QEMU is to listen.",
            f"On the migration network node2 is {ADDRESS}.",
        )
    if notes := migration_notes(text):
        return wrong(notes[0], f"All that it takes is a scheme and an address: tcp://{ADDRESS}.")
    return None


CHECKS: dict[str, Callable[..., Feedback]] = {
    "uri": check_uri,
    "plan": check_plan,
    "pair": check_pair,
}
