"""Check the exercises of lesson 01: a migration URI, a peer2peer plan, and a pair of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from migrationlab.course.answers import need, need_plan
from migrationlab.course.feedback import Feedback, Texts, wrong
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
#: The addresses of node2 and node1 on the migration network.
ADDRESS, SOURCE_ADDRESS = "10.0.0.2", "10.0.0.1"
say = Texts(__file__, address=ADDRESS, destination=DESTINATION)


def check_uri(answer: object) -> Feedback:
    """Check the migration URI of a normal migration from node1 to node2."""
    need(answer, 'Put a URI, in quotes, in the place of the three dots: uri = "…".')
    if not isinstance(answer, str):
        return say.wrong("uri-kind", kind=type(answer).__name__)
    if found := _check_migration_uri(answer.strip(), Mode.NORMAL):
        return found
    port = MigrationUri.parse(answer.strip()).port
    chosen = f"port {port} must be free there" if port else "libvirt chooses the port"
    return say.right("uri", chosen=chosen)


def check_plan(answer: object) -> Feedback:
    """Check the plan of a peer2peer migration from node1 to node2."""
    plan = need_plan(answer, "my_plan")
    if plan.mode is not Mode.PEER2PEER:
        return say.wrong("normal-mode")
    if plan.connection_uri is None:
        return say.wrong("no-connection-uri")
    problems = plan.problems(source=SOURCE, destination=DESTINATION)
    for problem in problems:
        if problem.field == "connection_uri":
            return wrong(problem.reason, problem.hint)
    if found := _check_connection_uri(plan.connection_uri) or _check_memory(plan):
        return found
    if problems:
        return wrong(problems[0].reason, problems[0].hint)
    return say.right("plan")


def _check_connection_uri(text: str) -> Feedback | None:
    if host_of(text) != DESTINATION:
        return say.wrong("connection-host", host=host_of(text))
    uri = ConnectionUri.parse(text, Mode.PEER2PEER)
    if uri.transport not in {"ssh", "libssh", "libssh2"} or uri.path != "/system":
        return say.wrong("connection-transport")
    return None


def _check_memory(plan: Plan) -> Feedback | None:
    if plan.migration_uri is None:
        return say.wrong("no-migration-uri")
    return _check_migration_uri(plan.migration_uri, Mode.PEER2PEER)


def check_pair(answer: object) -> Feedback:
    """Check that two runs differ in the mode, and in no other setting."""
    how = "Write pair = [runs[…], runs[…]], with the numbers of two rows of the table."
    need(answer, how)
    if not isinstance(answer, Sequence) or isinstance(answer, (str, bytes)):
        return say.wrong("pair-kind", kind=type(answer).__name__, how=how)
    runs = [run for run in answer if isinstance(run, Run)]
    if len(runs) < len(answer):
        return say.wrong("pair-not-runs", how=how)
    if len(runs) != 2:
        return say.wrong("pair-size", number=len(runs), how=how)
    return _check_two(runs[0], runs[1])


def _check_two(one: Run, other: Run) -> Feedback:
    if one == other:
        return say.wrong("pair-same")
    if one.plan.mode is other.plan.mode:
        return say.wrong("pair-mode", mode=one.plan.mode)
    for run in (one, other):
        if run.outcome is not Outcome.COMPLETED:
            return say.wrong("pair-outcome", mode=run.plan.mode, outcome=run.outcome)
    if _route(one) != _route(other):
        return say.wrong("pair-route", one=_route(one), other=_route(other))
    if others := sorted(_settings(one) ^ _settings(other)):
        return say.wrong("pair-settings", setting=others[0][0])
    return say.right("pair", one=_route(one))


def _route(run: Run) -> str:
    return f"from {run.source['name']} to {run.destination['name']}"


def _settings(run: Run) -> set[tuple[str, str]]:
    """Return a plan's settings without the mode, and without the URIs that depend on it."""
    apart = {"mode", "connection_uri", "migration_uri"}
    changed = run.plan.changed()
    return {(name, repr(changed[name])) for name in changed if name not in apart}


def _check_migration_uri(text: str, mode: Mode) -> Feedback | None:
    """Return the feedback on a wrong migration URI; None for a right one."""
    host = host_of(text)
    if host in {SOURCE, SOURCE_ADDRESS}:
        return say.wrong("source")
    if problems := validate_migration_uri(text, mode, source=SOURCE, destination=DESTINATION):
        return wrong(problems[0].reason, problems[0].hint)
    if "://" not in text:
        return say.wrong("no-scheme")
    if host == DESTINATION:
        return say.wrong("office-network")
    if host != ADDRESS:
        return say.wrong("other-host", host=host or text)
    if notes := migration_notes(text):
        return wrong(notes[0], f"Use only a scheme and an address: tcp://{ADDRESS}.")
    return None


CHECKS: dict[str, Callable[..., Feedback]] = {
    "uri": check_uri,
    "plan": check_plan,
    "pair": check_pair,
}
