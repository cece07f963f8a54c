"""The checks of lesson 07: where a fault is mended, and a plan that gets past a firewall."""

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
from migrationlab.lab.layout import WIRE_ADDRESSES
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import ConnectionUri, MigrationUri, host_of
from migrationlab.runs.run import Outcome, Run

PLACES = ("client", "source", "destination", "plan")
SOURCE, DESTINATION = "host-a", "host-b"
#: The destination's address on the wire, which will do as well as its name.
ADDRESS = WIRE_ADDRESSES[1]
#: What libvirt takes where a plan names no port (qemu.conf, migration_port_min and _max).
LIBVIRTS_PORTS = range(49152, 49216)
#: What the firewall of the exercise lets through.
OPEN_PORTS = range(49300, 49311)

_NAME = "Cannot recv data: ssh: Could not resolve hostname node2: Name or service not known"
_EXPIRED = (
    "internal error: unable to execute QEMU command 'object-add': The server certificate "
    "/etc/pki/qemu/server-cert.pem has expired"
)
_SCHEME = (
    "argument unsupported: unsupported scheme qemu+ssh in migration URI "
    "qemu+ssh://root@node2/system"
)
#: The exercise's messages: the mode, and what was said.
MESSAGES = {
    "A": ("normal", _NAME),
    "B": ("peer2peer", _NAME),
    "C": ("peer2peer", _EXPIRED),
    "D": ("normal", _SCHEME),
}
#: Where each is mended.
TURNS = {"A": "client", "B": "source", "C": "destination", "D": "plan"}
#: What to look at after a wrong answer.
_LEADS = {
    "A": "Who dials the destination's libvirtd in normal mode? That machine lacks the name.",
    "B": "The text is that of A, but another dials in peer2peer.",
    "C": "Who shows a server's certificate: the one who dials, or the one who listens?",
    "D": "The URI is a good one, in the wrong place: no machine has to be touched.",
}


def check_turn(answer: object) -> Feedback:
    """Check where each of four messages is mended.

    Args:
        answer: By message, one of the places.
    """
    mended = places_of(answer, tuple(TURNS), "a place for ")
    if isinstance(mended, Feedback):
        return mended
    for name, place in TURNS.items():
        given = str(mended[name]).strip().lower()
        if given not in PLACES:
            return wrong(
                f"{name}: {given!r} is none of the places.", f"Choose of {', '.join(PLACES)}."
            )
        if given == "plan" and MESSAGES[name][1] == _NAME:
            return wrong(
                f"{name}: an address in the plan goes round it, and the next plan meets it again.",
                f"Which machine lacks the name? {_LEADS[name]}",
            )
        if given != place:
            return wrong(f"{name} is not mended {_at(given)}.", _LEADS[name])
    return right("Who noticed it is one thing, where it is mended another.")


def _at(place: str) -> str:
    return "by another plan" if place == "plan" else f"at the {place}"


def check_fix(answer: object, run: object = None) -> Feedback:
    """Check a plan that is to get past a firewall which stops libvirt's own ports.

    Args:
        answer: The learner's plan.
        run: What came of it in the broken lab; None where it was not tried.
    """
    if is_unfinished(answer):
        return unfinished("Put a plan in the place of the three dots: mine = mig.Plan(…).")
    if not isinstance(answer, Plan):
        return wrong(
            f"That is a {type(answer).__name__}, and no plan.", "Write mine = mig.Plan(…)."
        )
    if problems := answer.problems(source=SOURCE, destination=DESTINATION):
        return wrong(problems[0].reason, problems[0].hint)
    if answer.offline:
        return wrong("An offline migration moves no running guest.", "Leave offline out.")
    if answer.tunnelled:
        found = right(
            "Tunnelled, the memory goes over the daemons' own connection: it needs no port."
        )
    else:
        found = _check_way(answer)
    if found.passed and isinstance(run, Run) and run.outcome is not Outcome.COMPLETED:
        said = run.error.text if run.error is not None else str(run.outcome)
        return wrong(
            f"Tried, it did not complete: {said}", run.error.hint if run.error is not None else ""
        )
    return found


def _check_way(plan: Plan) -> Feedback:
    """Check by which port the memory goes."""
    if plan.migration_uri in (None, "auto"):
        if plan.connection_uri and ConnectionUri.parse(plan.connection_uri).port in OPEN_PORTS:
            return wrong(
                "The port stands in the connection URI, so it would be libvirtd's and not QEMU's.",
                "Give it in the migration URI, which says where the memory goes.",
            )
        return wrong(
            "Without a migration URI libvirt takes one of its own ports, which are closed.",
            "Which URI says where the destination's QEMU listens? It may have a port.",
        )
    if host_of(plan.migration_uri) not in (DESTINATION, ADDRESS):
        return wrong(
            f"The memory would go to {host_of(plan.migration_uri)}.",
            f"The guest is to go to {DESTINATION}.",
        )
    port = MigrationUri.parse(plan.migration_uri).port
    if port is None or port in LIBVIRTS_PORTS:
        said = "a port that libvirt chooses" if port is None else f"port {port}"
        return wrong(
            f"The memory would go to {said}, from 49152 to 49215, where the firewall stops it.",
            f"Open are {OPEN_PORTS[0]} to {OPEN_PORTS[-1]}.",
        )
    if port not in OPEN_PORTS:
        return wrong(
            f"The firewall does not let port {port} through either.",
            f"Open are {OPEN_PORTS[0]} to {OPEN_PORTS[-1]}.",
        )
    return right("The memory goes by a port that is open, and no firewall was touched.")


CHECKS: dict[str, Callable[..., Feedback]] = {"turn": check_turn, "fix": check_fix}
