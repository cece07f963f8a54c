"""Check the exercises of lesson 07: where to fix a fault, a plan past a firewall, a whole log."""

from __future__ import annotations

from collections.abc import Callable

from migrationlab.course import json_files
from migrationlab.course.answers import need_number, need_places, one_of
from migrationlab.course.feedback import Feedback, Texts
from migrationlab.course.plan_answers import Hosts, is_host, memory_way, need_plan
from migrationlab.lab.layout import WIRE_ADDRESSES
from migrationlab.plan.plan import Plan
from migrationlab.plan.settings import AUTO
from migrationlab.plan.uris import ConnectionUri, host_of
from migrationlab.runs.run import Outcome, Run

PLACES = ("client", "source", "destination", "plan")
SOURCE, DESTINATION = "host-a", "host-b"
#: The addresses on the wire, which work as well as the names.
SOURCE_ADDRESS, ADDRESS = WIRE_ADDRESSES
HOSTS = Hosts((SOURCE, SOURCE_ADDRESS), (DESTINATION, ADDRESS), (DESTINATION, ADDRESS))
#: libvirt's ports for a plan that names none (qemu.conf, migration_port_min and _max).
LIBVIRTS_PORTS = range(49152, 49216)
#: The ports that the firewall of the exercise lets through.
OPEN_PORTS = range(49300, 49311)

#: The recorded log of the third exercise, by its file in data/course.
LOG_FILE = "whole_log"

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
#: The words of the log that name the reason.
_REASON = "Certificate does not match the hostname"
#: What followed from it, by its words, and why it is not the reason.
_EFFECTS = {
    "Not a migration stream": "no memory came; it does not say why",
    "load of migration failed": "the destination's QEMU got no memory to load",
    "shutting down, reason=failed": "libvirtd ended a QEMU that was of no use any more",
    "terminating on signal 15": "libvirtd ended a QEMU that was of no use any more",
}
#: The hosts of the log.
_HOSTS = {SOURCE: "source", DESTINATION: "destination"}
#: The machines of the messages.
_NAMES = {"laptop": "client", "node1": "source", "node2": "destination"}
say = Texts(__file__, places=", ".join(PLACES), destination=DESTINATION, open=OPEN_PORTS)


def check_turn(answer: object) -> Feedback:
    """Check where to fix the faults behind four messages."""
    places = need_places(answer, tuple(TURNS), "a place for ")
    for name, place in TURNS.items():
        if (given := one_of(PLACES, places[name], _NAMES)) is None:
            return say.wrong("no-place", name=name, given=places[name])
        if given == "plan" and MESSAGES[name][1] == _NAME:
            return say.wrong("address-in-plan", name=name, hint=_HINTS[name])
        if given != place:
            where = "by another plan" if given == "plan" else f"at the {given}"
            return say.wrong("place", name=name, where=where, hint=_HINTS[name])
    return say.right("turn")


def check_fix(answer: object, run: object = None) -> Feedback:
    """Check a plan past a firewall that blocks libvirt's own ports; run is None if not tried."""
    plan = need_plan(answer, "mine", HOSTS)
    host = plan.connection_uri and host_of(plan.connection_uri)
    if host and not is_host(host, HOSTS.destination):
        return say.wrong("connection-host", host=host)
    found = say.right("tunnelled") if plan.tunnelled else _check_port(plan)
    if found.passed and isinstance(run, Run) and run.outcome is not Outcome.COMPLETED:
        error = run.error
        reason, hint = (error.text, error.hint) if error is not None else (run.outcome, "")
        return say.wrong("not-completed", reason=reason, hint=hint)
    return found


def _check_port(plan: Plan) -> Feedback:
    """Check the port for the memory."""
    if plan.migration_uri in (None, AUTO):
        if plan.connection_uri and ConnectionUri.parse(plan.connection_uri).port in OPEN_PORTS:
            return say.wrong("connection-port")
        return say.wrong("no-migration-uri")
    way, remark = memory_way(plan.migration_uri)
    if not is_host(way.host, HOSTS.memory):
        return say.wrong("other-host", host=way.host)
    if way.port is None or way.port in LIBVIRTS_PORTS:
        which = "a port that libvirt chooses" if way.port is None else f"port {way.port}"
        return say.wrong("blocked-port", which=which)
    if way.port not in OPEN_PORTS:
        return say.wrong("other-port", port=way.port)
    return say.right("port", remark=remark)


def load_log() -> tuple[str, ...]:
    """Return the lines of the third exercise's log, as two hosts wrote them."""
    return json_files.read(LOG_FILE, tuple[str, ...])


def check_log(answer: object) -> Feedback:
    """Check the culprit line of a whole log, and who has to act."""
    places = need_places(answer, ("line", "act"))
    lines = load_log()
    number = need_number(places["line"], "the number of a line", "Give a number, such as 20.")
    if number not in range(1, len(lines) + 1):
        return say.wrong("no-line", given=places["line"], last=len(lines))
    line = lines[int(number) - 1]
    if _REASON not in line:
        why = next((_EFFECTS[words] for words in _EFFECTS if words in line), None)
        if why is None:
            return say.wrong("noise", number=int(number))
        return say.wrong("effect", number=int(number), why=why)
    if line != next(each for each in lines if _REASON in each):
        return say.wrong("repeat", number=int(number))
    if (given := one_of(PLACES, places["act"], _HOSTS)) is None:
        return say.wrong("no-place", name="act", given=places["act"])
    if given != "destination":
        return say.wrong("log-place", given=given)
    return say.right("log", number=int(number))


CHECKS: dict[str, Callable[..., Feedback]] = {
    "turn": check_turn,
    "fix": check_fix,
    "log": check_log,
}
