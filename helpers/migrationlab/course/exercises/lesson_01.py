"""Check the exercises of lesson 01: a migration URI, a peer2peer plan, and a pair of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from migrationlab.course.answers import need
from migrationlab.course.feedback import Feedback, Texts, wrong
from migrationlab.course.plan_answers import Hosts, is_host, memory_way, need_plan, refuse_login
from migrationlab.plan.plan import Mode
from migrationlab.plan.settings import AUTO
from migrationlab.plan.uris import host_of, validate_migration_uri
from migrationlab.runs.run import Outcome, Run

SOURCE, DESTINATION = "node1", "node2"
#: The addresses of node2 and node1 on the migration network.
ADDRESS, SOURCE_ADDRESS = "10.0.0.2", "10.0.0.1"
HOSTS = Hosts((SOURCE, SOURCE_ADDRESS), (DESTINATION, ADDRESS), (ADDRESS,))
say = Texts(__file__, address=ADDRESS, destination=DESTINATION)


def check_uri(answer: object) -> Feedback:
    """Check the migration URI of a normal migration from node1 to node2."""
    need(answer, 'Put a URI, in quotes, in the place of the three dots: uri = "…".')
    if not isinstance(answer, str):
        return say.wrong("uri-kind", kind=type(answer).__name__)
    if is_host(host_of(answer), HOSTS.source):
        return say.wrong("source")
    uri, names = answer.strip(), {"source": SOURCE, "destination": DESTINATION}
    if problems := validate_migration_uri(uri, Mode.NORMAL, **names):
        return wrong(problems[0].reason, problems[0].hint)
    way, remark = memory_way(uri)
    if found := _check_network(way.host):
        return found
    chosen = f"port {way.port} must be free there" if way.port else "libvirt chooses the port"
    return say.right("uri", chosen=chosen, remark=remark)


def check_plan(answer: object) -> Feedback:
    """Check the plan of a peer2peer migration from node1 to node2."""
    plan = need_plan(answer, "my_plan", HOSTS)
    if plan.mode is not Mode.PEER2PEER:
        return say.wrong("normal-mode")
    if plan.connection_uri is None:
        return say.wrong("no-connection-uri")
    if not is_host(host_of(plan.connection_uri), HOSTS.destination):
        return say.wrong("connection-host", host=host_of(plan.connection_uri))
    # The source's libvirtd runs as root, so a URI without a user means root.
    refuse_login(plan.connection_uri, plan.mode, ("root", None))
    if plan.migration_uri in (None, AUTO):
        return say.wrong("no-migration-uri")
    way, remark = memory_way(plan.migration_uri)
    by = plan.connections()[-1].opened_by.removeprefix("source ")
    return _check_network(way.host) or say.right("plan", by=by, remark=remark)


def _check_network(host: str) -> Feedback | None:
    """Return the feedback on a host that is not node2 on the migration network."""
    if is_host(host, HOSTS.memory):
        return None
    if is_host(host, HOSTS.destination):
        return say.wrong("office-network")
    return say.wrong("other-host", host=host)


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


CHECKS: dict[str, Callable[..., Feedback]] = {
    "uri": check_uri,
    "plan": check_plan,
    "pair": check_pair,
}
