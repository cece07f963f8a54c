"""Check the exercises of lesson 07: where to fix a fault, and a plan that gets past a firewall."""

from __future__ import annotations

from collections.abc import Callable

from migrationlab.course.answers import need_places, need_plan
from migrationlab.course.feedback import Feedback, Texts, wrong
from migrationlab.lab.layout import WIRE_ADDRESSES
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import ConnectionUri, MigrationUri, host_of
from migrationlab.runs.run import Outcome, Run

PLACES = ("client", "source", "destination", "plan")
SOURCE, DESTINATION = "host-a", "host-b"
#: The destination's address on the wire, which works as well as its name.
ADDRESS = WIRE_ADDRESSES[1]
#: libvirt's ports for a plan that names none (qemu.conf, migration_port_min and _max).
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
#: The hints after a wrong answer.
_HINTS = {
    "A": "Who connects to the destination's libvirtd in normal mode? That machine lacks the name.",
    "B": "The text is that of A, but in peer2peer another machine connects.",
    "C": "Who shows a server's certificate: the side that connects, or the side that listens?",
    "D": "The URI is a good one, in the wrong place: change nothing on any machine.",
}
say = Texts(__file__, places=", ".join(PLACES), destination=DESTINATION, open=OPEN_PORTS)


def check_turn(answer: object) -> Feedback:
    """Check where to fix the faults behind four messages."""
    places = need_places(answer, tuple(TURNS), "a place for ")
    for name, place in TURNS.items():
        given = str(places[name]).strip().lower()
        if given not in PLACES:
            return say.wrong("no-place", name=name, given=given)
        if given == "plan" and MESSAGES[name][1] == _NAME:
            return say.wrong("address-in-plan", name=name, hint=_HINTS[name])
        if given != place:
            where = "by another plan" if given == "plan" else f"at the {given}"
            return say.wrong("place", name=name, where=where, hint=_HINTS[name])
    return say.right("turn")


def check_fix(answer: object, run: object = None) -> Feedback:
    """Check a plan past a firewall that blocks libvirt's own ports; run is None if not tried."""
    plan = need_plan(answer, "mine")
    if problems := plan.problems(source=SOURCE, destination=DESTINATION):
        return wrong(problems[0].reason, problems[0].hint)
    if plan.offline:
        return say.wrong("offline")
    found = say.right("tunnelled") if plan.tunnelled else _check_port(plan)
    if found.passed and isinstance(run, Run) and run.outcome is not Outcome.COMPLETED:
        error = run.error
        reason, hint = (error.text, error.hint) if error is not None else (run.outcome, "")
        return say.wrong("not-completed", reason=reason, hint=hint)
    return found


def _check_port(plan: Plan) -> Feedback:
    """Check the port for the memory."""
    if plan.migration_uri in (None, "auto"):
        if plan.connection_uri and ConnectionUri.parse(plan.connection_uri).port in OPEN_PORTS:
            return say.wrong("connection-port")
        return say.wrong("no-migration-uri")
    if host_of(plan.migration_uri) not in (DESTINATION, ADDRESS):
        return say.wrong("other-host", host=host_of(plan.migration_uri))
    port = MigrationUri.parse(plan.migration_uri).port
    if port is None or port in LIBVIRTS_PORTS:
        which = "a port that libvirt chooses" if port is None else f"port {port}"
        return say.wrong("blocked-port", which=which)
    if port not in OPEN_PORTS:
        return say.wrong("other-port", port=port)
    return say.right("port")


CHECKS: dict[str, Callable[..., Feedback]] = {"turn": check_turn, "fix": check_fix}
