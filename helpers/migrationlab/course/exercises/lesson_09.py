"""Check the exercises of lesson 09: a plan for two real hosts, and where to fix faults."""

from __future__ import annotations

from collections.abc import Callable

from migrationlab.course.answers import need_places, need_plan
from migrationlab.course.feedback import Feedback, Texts, wrong
from migrationlab.plan.plan import Mode
from migrationlab.plan.uris import ConnectionUri, MigrationUri, host_of, migration_notes

SOURCE, DESTINATION = "node1", "node2"
ADDRESS, PORT = "10.0.5.2", 49160
PLACES = ("source", "destination", "plan")
#: The place to fix each fault, and the question that leads there.
FIXES = {
    "host-key-unknown": ("source", "Who connects in peer2peer, and whose known_hosts is read?"),
    "port-closed": ("destination", "Whose ports does it say to open?"),
    "disk-not-shared": ("plan", "It names a setting that takes the disk along."),
}
#: Another fix: a migration URI with an open port.
ALSO = {("port-closed", "plan")}
SSH = ("ssh", "libssh", "libssh2")
say = Texts(
    __file__,
    source=SOURCE,
    destination=DESTINATION,
    address=ADDRESS,
    port=PORT,
    places=", ".join(PLACES),
)


def check_plan(answer: object) -> Feedback:
    """Check the plan for a laptop, two hosts and a storage network."""
    plan = need_plan(answer, "mine")
    if plan.mode is Mode.PEER2PEER:
        return say.wrong("mode")
    if problems := plan.problems(source=SOURCE, destination=DESTINATION):
        return wrong(problems[0].reason, problems[0].hint)
    if plan.offline:
        return say.wrong("offline")
    if plan.connection_uri and host_of(plan.connection_uri) != DESTINATION:
        return say.wrong("connection-host")
    if plan.connection_uri:
        uri = ConnectionUri.parse(plan.connection_uri)
        if uri.transport not in SSH or uri.path != "/system":
            return say.wrong("connection-transport")
    if plan.copy_storage:
        return say.wrong("copy-storage")
    return _check_migration_uri(plan.migration_uri)


def _check_migration_uri(text: str | None) -> Feedback:
    if text is None:
        return say.wrong("no-migration-uri")
    host = host_of(text)
    if host != ADDRESS:
        return say.wrong("other-network", host=host or text)
    uri = MigrationUri.parse(text)
    if uri.scheme != "tcp":
        return say.wrong("scheme")
    if uri.port != PORT:
        port = f"port {uri.port}" if uri.port else "a port that libvirt chooses, from 49152"
        return say.wrong("port", port=port)
    if notes := migration_notes(text):
        return wrong(notes[0], f"Use only tcp://{ADDRESS}:{PORT}.")
    return say.right("plan")


def check_fix(answer: object) -> Feedback:
    """Check where to fix each of three faults."""
    places = need_places(answer, tuple(FIXES), "a place for ")
    for fault, (place, question) in FIXES.items():
        given = str(places[fault]).strip().lower()
        if given not in PLACES:
            return say.wrong("no-place", fault=fault, given=given)
        if given != place and (fault, given) not in ALSO:
            where = "by a plan" if given == "plan" else f"at the {given}"
            return say.wrong("place", fault=fault, where=where, question=question)
    return say.right("fix")


CHECKS: dict[str, Callable[..., Feedback]] = {"plan": check_plan, "fix": check_fix}
