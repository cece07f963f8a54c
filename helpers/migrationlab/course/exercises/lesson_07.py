"""The checks of lesson 07: where to fix a fault, and a plan that gets past a firewall."""

from __future__ import annotations

from collections.abc import Callable

from migrationlab.course.answers import need_places, need_plan
from migrationlab.course.feedback import Feedback, right, wrong
from migrationlab.lab.layout import WIRE_ADDRESSES
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import ConnectionUri, MigrationUri, host_of
from migrationlab.runs.run import Outcome, Run

PLACES = ("client", "source", "destination", "plan")
SOURCE, DESTINATION = "host-a", "host-b"
#: The destination's address on the wire, which works as well as its name.
ADDRESS = WIRE_ADDRESSES[1]
#: The ports that libvirt uses where a plan names none (qemu.conf, migration_port_min and _max).
LIBVIRTS_PORTS = range(49152, 49216)
#: The ports that the firewall of the exercise lets through.
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
#: The exercise's messages: the mode, and the text.
MESSAGES = {
    "A": ("normal", _NAME),
    "B": ("peer2peer", _NAME),
    "C": ("peer2peer", _EXPIRED),
    "D": ("normal", _SCHEME),
}
#: Where to fix the fault behind each message.
TURNS = {"A": "client", "B": "source", "C": "destination", "D": "plan"}
#: What to look at after a wrong answer.
_HINTS = {
    "A": "Who connects to the destination's libvirtd in normal mode? That machine lacks the name.",
    "B": "The text is that of A, but in peer2peer another machine connects.",
    "C": "Who shows a server's certificate: the side that connects, or the side that listens?",
    "D": "The URI is a good one, in the wrong place: change nothing on any machine.",
}


def check_turn(answer: object) -> Feedback:
    """Check where to fix the faults behind four messages.

    Args:
        answer: One of the places for each message.
    """
    places = need_places(answer, tuple(TURNS), "a place for ")
    for name, place in TURNS.items():
        given = str(places[name]).strip().lower()
        if given not in PLACES:
            return wrong(
                f"{name}: {given!r} is none of the places.", f"Choose of {', '.join(PLACES)}."
            )
        if given == "plan" and MESSAGES[name][1] == _NAME:
            return wrong(
                f"{name}: with an address in the plan it works, but the next plan fails again.",
                f"Which machine lacks the name? {_HINTS[name]}",
            )
        if given != place:
            where = "by another plan" if given == "plan" else f"at the {given}"
            return wrong(f"{name} is not fixed {where}.", _HINTS[name])
    return right("The side that notices a fault can be another one than the side to fix.")


def check_fix(answer: object, run: object = None) -> Feedback:
    """Check a plan that gets past a firewall, which blocks libvirt's own ports.

    Args:
        answer: The learner's plan.
        run: The plan's run in the broken lab; None where it was not tried.
    """
    plan = need_plan(answer, "mine")
    if problems := plan.problems(source=SOURCE, destination=DESTINATION):
        return wrong(problems[0].reason, problems[0].hint)
    if plan.offline:
        return wrong("An offline migration moves no running guest.", "Leave offline out.")
    if plan.tunnelled:
        found = right(
            "Tunnelled, the memory goes over the daemons' own connection: it needs no port."
        )
    else:
        found = _check_port(plan)
    if found.passed and isinstance(run, Run) and run.outcome is not Outcome.COMPLETED:
        error = run.error
        reason, hint = (error.text, error.hint) if error is not None else (run.outcome, "")
        return wrong(f"In the lab, it did not complete: {reason}", hint)
    return found


def _check_port(plan: Plan) -> Feedback:
    """Check to which port the memory goes."""
    if plan.migration_uri in (None, "auto"):
        if plan.connection_uri and ConnectionUri.parse(plan.connection_uri).port in OPEN_PORTS:
            return wrong(
                "The port is in the connection URI, so it is libvirtd's and not QEMU's.",
                "Put it in the migration URI, which says where the memory goes.",
            )
        return wrong(
            "Without a migration URI libvirt uses one of its own ports, which are closed.",
            "Which URI says where the destination's QEMU listens? It may have a port.",
        )
    if host_of(plan.migration_uri) not in (DESTINATION, ADDRESS):
        return wrong(
            f"The memory would go to {host_of(plan.migration_uri)}.",
            f"Send the guest to {DESTINATION}.",
        )
    port = MigrationUri.parse(plan.migration_uri).port
    hint = f"Open are {OPEN_PORTS[0]} to {OPEN_PORTS[-1]}."
    if port is None or port in LIBVIRTS_PORTS:
        which = "a port that libvirt chooses" if port is None else f"port {port}"
        return wrong(
            f"The memory would go to {which}, from 49152 to 49215, and the firewall blocks it.",
            hint,
        )
    if port not in OPEN_PORTS:
        return wrong(f"The firewall does not let port {port} through either.", hint)
    return right("The memory goes to an open port, and the firewall stays as it is.")


CHECKS: dict[str, Callable[..., Feedback]] = {"turn": check_turn, "fix": check_fix}
