"""Check the exercises of lesson 09: a plan for two real hosts, and where to fix faults."""

from __future__ import annotations

from collections.abc import Callable

from migrationlab.course.answers import need_places, words_of
from migrationlab.course.feedback import Feedback, Texts
from migrationlab.course.plan_answers import Hosts, is_host, memory_way, need_plan, refuse_login
from migrationlab.plan.plan import Mode
from migrationlab.plan.settings import AUTO
from migrationlab.plan.uris import host_of

SOURCE, DESTINATION = "node1", "node2"
ADDRESS, PORT = "10.0.5.2", 49160
PLACES = ("source", "destination", "plan")
#: The places to fix each fault, and the question that leads there.
FIXES = {
    "host-key-unknown": ({"source"}, "Who connects in peer2peer, and whose known_hosts is read?"),
    # Its hint names two ways: open the ports, or a migration URI with an open port.
    "port-closed": ({"destination", "plan"}, "Whose ports does it say to open?"),
    # The plan can take the disk along; an image or a pool at the destination receives it.
    "disk-not-shared": (
        {"plan", "destination"},
        "A setting takes the disk along, and the destination needs a place for it.",
    ),
}
_NAMES = {SOURCE: "source", DESTINATION: "destination"}
HOSTS = Hosts((SOURCE,), (DESTINATION, ADDRESS), (ADDRESS,))
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
    plan = need_plan(answer, "mine", HOSTS)
    if plan.mode is Mode.PEER2PEER:
        return say.wrong("mode")
    if plan.connection_uri:
        if not is_host(host_of(plan.connection_uri), (DESTINATION,)):
            return say.wrong("connection-host")
        refuse_login(plan.connection_uri, plan.mode, ("root",))
    if plan.migration_uri in (None, AUTO):
        return say.wrong("no-migration-uri")
    way, remark = memory_way(plan.migration_uri)
    if not is_host(way.host, HOSTS.memory):
        return say.wrong("other-network", host=way.host)
    if way.port != PORT:
        port = f"port {way.port}" if way.port else "a port that libvirt chooses, from 49152"
        return say.wrong("port", port=port)
    return say.right("plan", remark=remark)


def check_fix(answer: object) -> Feedback:
    """Check where to fix each of three faults."""
    places = need_places(answer, tuple(FIXES), "a place for ")
    for fault, (right, question) in FIXES.items():
        given = set(words_of(places[fault], _NAMES)) & {*PLACES}
        if not given:
            return say.wrong("no-place", fault=fault, given=places[fault])
        if wrong_places := sorted(given - right):
            place = wrong_places[0]
            where = "by a plan" if place == "plan" else f"at the {place}"
            return say.wrong("place", fault=fault, where=where, question=question)
    return say.right("fix")


CHECKS: dict[str, Callable[..., Feedback]] = {"plan": check_plan, "fix": check_fix}
