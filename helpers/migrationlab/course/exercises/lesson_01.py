"""The checks of lesson 01: a migration URI, a peer2peer plan, and a pair of runs to compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from migrationlab.course.answers import need, need_plan
from migrationlab.course.feedback import Feedback, right, wrong
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
#: The address of node2 on the migration network, and that of node1.
ADDRESS, SOURCE_ADDRESS = "10.0.0.2", "10.0.0.1"


def check_uri(answer: object) -> Feedback:
    """Check the migration URI of a normal migration from node1 to node2.

    Args:
        answer: The learner's URI.
    """
    need(answer, 'Put a URI, in quotes, in the place of the three dots: uri = "…".')
    if not isinstance(answer, str):
        return wrong(f"This is a {type(answer).__name__}, not a text.", "Write it in quotes.")
    if found := _check_migration_uri(answer.strip(), Mode.NORMAL):
        return found
    port = MigrationUri.parse(answer.strip()).port
    chosen = f"port {port} must be free there" if port else "libvirt chooses the port"
    return right(f"node1's QEMU connects to {ADDRESS}, where node2's QEMU listens; {chosen}.")


def check_plan(answer: object) -> Feedback:
    """Check the plan of a peer2peer migration from node1 to node2.

    Args:
        answer: The learner's plan.
    """
    plan = need_plan(answer, "my_plan")
    if plan.mode is not Mode.PEER2PEER:
        return wrong(
            "In normal mode the client connects to node2's libvirtd; this client cannot reach it.",
            'Set mode="peer2peer": then node1\'s libvirtd connects.',
        )
    if plan.connection_uri is None:
        return wrong(
            "The plan does not say where node2's libvirtd is. node1's libvirtd must connect to it.",
            "Set connection_uri.",
        )
    problems = plan.problems(source=SOURCE, destination=DESTINATION)
    for problem in problems:
        if problem.field == "connection_uri":
            return wrong(problem.reason, problem.hint)
    if found := _check_connection_uri(plan.connection_uri) or _check_memory(plan):
        return found
    if problems:
        return wrong(problems[0].reason, problems[0].hint)
    return right(
        "node1's libvirtd connects to node2's libvirtd by one URI, node1's QEMU to node2's QEMU by "
        "the other."
    )


def _check_connection_uri(text: str) -> Feedback | None:
    if host_of(text) != DESTINATION:
        return wrong(
            f"The connection URI leads to {host_of(text)}.",
            "node1's libvirtd knows node2 by that name, and logs in as root by SSH.",
        )
    uri = ConnectionUri.parse(text, Mode.PEER2PEER)
    if uri.transport not in {"ssh", "libssh", "libssh2"} or uri.path != "/system":
        return wrong(
            "This connection URI does not lead by SSH to the libvirtd of the system.",
            "By SSH it begins with qemu+ssh:// and names the user, as in lesson 1.",
        )
    return None


def _check_memory(plan: Plan) -> Feedback | None:
    if plan.migration_uri is None:
        return wrong(
            "Without a migration URI the memory goes to the address that the name node2 has.",
            "Use the same URI as in the exercise before.",
        )
    return _check_migration_uri(plan.migration_uri, Mode.PEER2PEER)


def check_pair(answer: object) -> Feedback:
    """Check that two runs differ in the mode, and in no other setting.

    Args:
        answer: The two runs, in any order.
    """
    how = "Write pair = [runs[…], runs[…]], with the numbers of two rows of the table."
    need(answer, how)
    if not isinstance(answer, Sequence) or isinstance(answer, (str, bytes)):
        return wrong(f"This is a {type(answer).__name__}, not a pair.", how)
    runs = [run for run in answer if isinstance(run, Run)]
    if len(runs) < len(answer):
        return wrong("Not all of these are runs.", how)
    if len(runs) != 2:
        return wrong(f"A pair is two runs, and these are {len(runs)}.", how)
    return _check_two(runs[0], runs[1])


def _check_two(one: Run, other: Run) -> Feedback:
    if one == other:
        return wrong("This is one run, twice.", "Take one run of each mode.")
    if one.plan.mode is other.plan.mode:
        return wrong(
            f"Both are {one.plan.mode} migrations.",
            "Take one run of each mode: look at the column mode.",
        )
    for run in (one, other):
        if run.outcome is not Outcome.COMPLETED:
            return wrong(
                f"The {run.plan.mode} one did not complete: {run.outcome}.",
                "It has no downtime to compare. Take one that completed.",
            )
    if _route(one) != _route(other):
        return wrong(
            f"Modes and directions both differ: {_route(one)}, and {_route(other)}.",
            "Look at the columns source and destination. If two things differ, you cannot know "
            "which one made the difference.",
        )
    if others := sorted(_settings(one) ^ _settings(other)):
        return wrong(
            f"Their plans differ in more than the mode: {others[0][0]}.",
            "Take runs whose plans have all other settings the same.",
        )
    return right(
        f"Both went {_route(one)}, and only the mode differs. Another pair may show the opposite, "
        "so there are more."
    )


def _route(run: Run) -> str:
    return f"from {run.source['name']} to {run.destination['name']}"


def _settings(run: Run) -> set[tuple[str, str]]:
    """Return a plan's settings without the mode, and without the URIs that depend on it."""
    apart = {"mode", "connection_uri", "migration_uri"}
    changed = run.plan.changed()
    return {(name, repr(changed[name])) for name in changed if name not in apart}


def _check_migration_uri(text: str, mode: Mode) -> Feedback | None:
    """Return what is wrong with a migration URI; None where nothing is."""
    host = host_of(text)
    where = f"On the migration network node2 is {ADDRESS}."
    if host in {SOURCE, SOURCE_ADDRESS}:
        return wrong(
            "This is the host that the guest leaves.",
            "A migration URI says where the destination's QEMU listens.",
        )
    if problems := validate_migration_uri(text, mode, source=SOURCE, destination=DESTINATION):
        return wrong(problems[0].reason, problems[0].hint)
    if "://" not in text:
        return wrong(
            "A migration URI begins with a scheme, which says how memory travels.",
            "By TCP it is tcp://HOST.",
        )
    if host == DESTINATION:
        return wrong(
            f"It works, but the memory goes to the address that the name {DESTINATION} has: on "
            "the office network.",
            where,
        )
    if host != ADDRESS:
        return wrong(f"node2's QEMU does not listen at {host or text}.", where)
    if notes := migration_notes(text):
        return wrong(notes[0], f"Use only a scheme and an address: tcp://{ADDRESS}.")
    return None


CHECKS: dict[str, Callable[..., Feedback]] = {
    "uri": check_uri,
    "plan": check_plan,
    "pair": check_pair,
}
