"""The checks of lesson 09: a plan for two real hosts, and where faults are mended."""

from __future__ import annotations

from collections.abc import Callable

from migrationlab.course.feedback import (
    Feedback,
    is_unfinished,
    places_of,
    right,
    unfinished,
    wrong,
)
from migrationlab.plan.plan import Mode, Plan
from migrationlab.plan.uris import ConnectionUri, MigrationUri, host_of, migration_notes

SOURCE, DESTINATION = "node1", "node2"
ADDRESS, PORT = "10.0.5.2", 49160
PLACES = ("source", "destination", "plan")
#: Where each fault is mended, and what leads there.
FIXES = {
    "host-key-unknown": ("source", "Who dials in peer2peer, and whose known_hosts is asked?"),
    "port-closed": ("destination", "Whose ports does it say to open?"),
    "disk-not-shared": ("plan", "It names a setting that takes the disk along."),
}
#: What mends it as well: a migration URI with a port that is open.
ALSO = {("port-closed", "plan")}
SSH = ("ssh", "libssh", "libssh2")


def check_plan(answer: object) -> Feedback:
    """Check the plan for a laptop, two hosts and a storage network.

    Args:
        answer: The learner's plan.
    """
    if is_unfinished(answer):
        return unfinished("Put a plan in the place of the three dots: mine = mig.Plan(…).")
    if not isinstance(answer, Plan):
        return wrong(
            f"That is a {type(answer).__name__}, and no plan.", "Write mine = mig.Plan(…)."
        )
    if answer.mode is Mode.PEER2PEER:
        return wrong(
            f"In peer2peer the libvirtd of {SOURCE} dials {DESTINATION}, where it cannot log in.",
            "Which mode lets the laptop dial both?",
        )
    if problems := answer.problems(source=SOURCE, destination=DESTINATION):
        return wrong(problems[0].reason, problems[0].hint)
    if answer.offline:
        return wrong("An offline migration moves no running guest.", "Leave offline out.")
    if answer.connection_uri and host_of(answer.connection_uri) != DESTINATION:
        return wrong(
            f"The connection URI does not lead to {DESTINATION}.",
            f"The laptop logs in to {DESTINATION} by that name; or leave the URI out.",
        )
    if answer.connection_uri:
        uri = ConnectionUri.parse(answer.connection_uri)
        if uri.transport not in SSH or uri.path != "/system":
            return wrong(
                "The laptop logs in by SSH, to the system's libvirtd; that URI says otherwise.",
                f"Write qemu+ssh://root@{DESTINATION}/system, or leave the URI out.",
            )
    if answer.copy_storage:
        return wrong(
            "Copying the disk takes a second port, and the firewall stops it.",
            "Leave copy_storage out.",
        )
    return _check_way(answer.migration_uri)


def _check_way(text: str | None) -> Feedback:
    """Check where the memory goes."""
    if text is None:
        return wrong(
            f"Without a migration URI the memory goes to whatever {SOURCE} takes {DESTINATION} "
            "for, and to a port that libvirt chooses.",
            "The migration URI has an address and a port.",
        )
    host = host_of(text)
    if host != ADDRESS:
        return wrong(
            f"The memory would go to {host or text}, and not over the storage network.",
            f"On that network {DESTINATION} is {ADDRESS}.",
        )
    if MigrationUri.parse(text).scheme != "tcp":
        return wrong("The memory is to go by TCP.", f"Write tcp://{ADDRESS}:{PORT}.")
    if (port := MigrationUri.parse(text).port) != PORT:
        said = f"port {port}" if port else "a port that libvirt chooses, from 49152"
        return wrong(
            f"The memory would go to {said}, and the firewall stops it.",
            f"Write the open port, {PORT}, after the address and a colon.",
        )
    if notes := migration_notes(text):
        return wrong(notes[0], f"All that it takes is tcp://{ADDRESS}:{PORT}.")
    return right("The laptop leads, and the memory goes by the one way that is open.")


def check_fix(answer: object) -> Feedback:
    """Check where each of three faults is mended.

    Args:
        answer: By fault, one of the places.
    """
    mended = places_of(answer, tuple(FIXES), "a place for ")
    if isinstance(mended, Feedback):
        return mended
    for fault, (place, leads) in FIXES.items():
        given = str(mended[fault]).strip().lower()
        if given not in PLACES:
            return wrong(
                f"{fault}: {given!r} is none of the places.", f"Choose of {', '.join(PLACES)}."
            )
        if given != place and (fault, given) not in ALSO:
            return wrong(
                f"{fault} is not mended at the {given}."
                if given != "plan"
                else f"{fault} is not mended by a plan.",
                f"Read the hint of its preflight again. {leads}",
            )
    return right("Each fault has its place, and the hint of its check names it.")


CHECKS: dict[str, Callable[..., Feedback]] = {"plan": check_plan, "fix": check_fix}
