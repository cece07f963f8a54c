"""The checks of lesson 09: a plan for two real hosts, and where to fix faults."""

from __future__ import annotations

from collections.abc import Callable

from migrationlab.course.answers import need_places, need_plan
from migrationlab.course.feedback import Feedback, right, wrong
from migrationlab.plan.plan import Mode
from migrationlab.plan.uris import ConnectionUri, MigrationUri, host_of, migration_notes

SOURCE, DESTINATION = "node1", "node2"
ADDRESS, PORT = "10.0.5.2", 49160
PLACES = ("source", "destination", "plan")
#: Where to fix each fault, and the question that leads there.
FIXES = {
    "host-key-unknown": ("source", "Who connects in peer2peer, and whose known_hosts is read?"),
    "port-closed": ("destination", "Whose ports does it say to open?"),
    "disk-not-shared": ("plan", "It names a setting that takes the disk along."),
}
#: What also fixes it: a migration URI with a port that is open.
ALSO = {("port-closed", "plan")}
SSH = ("ssh", "libssh", "libssh2")


def check_plan(answer: object) -> Feedback:
    """Check the plan for a laptop, two hosts and a storage network.

    Args:
        answer: The learner's plan.
    """
    plan = need_plan(answer, "mine")
    if plan.mode is Mode.PEER2PEER:
        return wrong(
            f"In peer2peer {SOURCE}'s libvirtd connects to {DESTINATION}, where it cannot log in.",
            "In which mode does the laptop connect to both?",
        )
    if problems := plan.problems(source=SOURCE, destination=DESTINATION):
        return wrong(problems[0].reason, problems[0].hint)
    if plan.offline:
        return wrong("An offline migration moves no running guest.", "Leave offline out.")
    if plan.connection_uri and host_of(plan.connection_uri) != DESTINATION:
        return wrong(
            f"The connection URI does not lead to {DESTINATION}.",
            f"The laptop logs in to {DESTINATION} by that name; or leave the URI out.",
        )
    if plan.connection_uri:
        uri = ConnectionUri.parse(plan.connection_uri)
        if uri.transport not in SSH or uri.path != "/system":
            return wrong(
                "The laptop logs in by SSH, to the system's libvirtd; this URI says otherwise.",
                f"Write qemu+ssh://root@{DESTINATION}/system, or leave the URI out.",
            )
    if plan.copy_storage:
        return wrong(
            "Copying the disk needs a second port, and the firewall blocks it.",
            "Leave copy_storage out.",
        )
    return _check_migration_uri(plan.migration_uri)


def _check_migration_uri(text: str | None) -> Feedback:
    if text is None:
        return wrong(
            f"Without a migration URI the memory goes to the address that {SOURCE} has for "
            f"{DESTINATION}, and to a port that libvirt chooses.",
            "The migration URI has an address and a port.",
        )
    host = host_of(text)
    if host != ADDRESS:
        return wrong(
            f"The memory would go to {host or text}, and not over the storage network.",
            f"On that network {DESTINATION} is {ADDRESS}.",
        )
    uri = MigrationUri.parse(text)
    if uri.scheme != "tcp":
        return wrong("The memory is to go by TCP.", f"Write tcp://{ADDRESS}:{PORT}.")
    if uri.port != PORT:
        port = f"port {uri.port}" if uri.port else "a port that libvirt chooses, from 49152"
        return wrong(
            f"The memory would go to {port}, and the firewall blocks it.",
            f"Write the open port, {PORT}, after the address and a colon.",
        )
    if notes := migration_notes(text):
        return wrong(notes[0], f"Use only tcp://{ADDRESS}:{PORT}.")
    return right("The laptop leads, and the memory goes to the only open port.")


def check_fix(answer: object) -> Feedback:
    """Check where to fix each of three faults.

    Args:
        answer: One of the places for each fault.
    """
    places = need_places(answer, tuple(FIXES), "a place for ")
    for fault, (place, question) in FIXES.items():
        given = str(places[fault]).strip().lower()
        if given not in PLACES:
            return wrong(
                f"{fault}: {given!r} is none of the places.", f"Choose of {', '.join(PLACES)}."
            )
        if given != place and (fault, given) not in ALSO:
            where = "by a plan" if given == "plan" else f"at the {given}"
            return wrong(
                f"{fault} is not fixed {where}.",
                f"Read the hint of its preflight again. {question}",
            )
    return right("Each fault has its place, and the hint of its check names it.")


CHECKS: dict[str, Callable[..., Feedback]] = {"plan": check_plan, "fix": check_fix}
