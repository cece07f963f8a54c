"""Read plans as learners' answers, and judge the settings that an exercise says nothing about.

Every exercise with a plan asks to move a running guest to another host. What else a setting does
follows from its effect in the table of settings (``plan.setting.Effect``): a setting that stops the
guest, copies its disks or gives up a safeguard does something else than asked, and is refused with
its meaning; one of pace, protection or the definition is left to the learner. Each exercise judges
the settings that it is about itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from migrationlab.course.answers import NotAccepted, need
from migrationlab.course.feedback import Feedback, Texts, wrong
from migrationlab.plan.plan import Mode, Plan
from migrationlab.plan.setting import Effect
from migrationlab.plan.settings import AUTO, settings
from migrationlab.plan.uris import (
    ConnectionUri,
    MigrationUri,
    host_of,
    is_local,
    migration_needs,
    migration_notes,
    same_machine,
)

#: The effects of settings that no exercise asks for.
UNASKED = frozenset({Effect.GUEST, Effect.DISKS, Effect.RISK})
SSH_PORT = 22
_SSH = frozenset({"ssh", "libssh", "libssh2"})
_ALL_ADDRESSES = frozenset({"0.0.0.0", "::"})  # noqa: S104 - an answer to judge, nothing listens
#: The settings of the route whose value is a bare name or address, and no URI.
_NAMES = ("listen_address", "tls_destination")
say = Texts(__file__)


@dataclass(frozen=True, slots=True)
class Hosts:
    """The two hosts of an exercise.

    Attributes:
        source: The source's names and addresses; its name is the first.
        destination: The destination's.
        memory: The names and addresses of the destination on the network for the memory.
    """

    source: tuple[str, ...]
    destination: tuple[str, ...]
    memory: tuple[str, ...]


def need_plan(answer: object, name: str, hosts: Hosts | None = None) -> Plan:
    """Return the plan in an answer, if it can work and does nothing else than asked.

    Args:
        answer: The answer.
        name: The plan's name in the lesson.
        hosts: The hosts of the exercise; None if it names none.
    """
    how = f"{name} = mig.Plan(…)"
    need(answer, f"Put a plan in the place of the three dots: {how}.")
    if not isinstance(answer, Plan):
        raise NotAccepted(wrong(f"This is a {type(answer).__name__}, not a plan.", f"Write {how}."))
    source, destination = (hosts.source[0], hosts.destination[0]) if hosts else (None, None)
    if problems := answer.problems(source=source, destination=destination):
        raise NotAccepted(wrong(problems[0].reason, problems[0].hint))
    for found in (*_unasked(answer), *_wrong_hosts(answer, hosts)):
        raise NotAccepted(found)
    return answer


def is_host(name: str | None, known: tuple[str, ...]) -> bool:
    """Return whether a name or address certainly is one of the known ones."""
    return name is not None and any(same_machine(name, each) for each in known)


def refuse_login(uri: str, mode: Mode, users: tuple[str | None, ...]) -> None:
    """Refuse a connection URI that does not lead by SSH, as a known user, to the system's libvirtd.

    Args:
        uri: A valid connection URI.
        mode: The plan's mode.
        users: The users who can log in; None if the URI may name none.
    """
    parts = ConnectionUri.parse(uri, mode)
    if parts.transport not in _SSH or parts.path != "/system":
        raise NotAccepted(say.wrong("transport", uri=uri))
    if parts.user not in users:
        raise NotAccepted(say.wrong("user", user=parts.user or "your own user"))
    if parts.port not in (None, SSH_PORT):
        raise NotAccepted(say.wrong("ssh-port", port=parts.port))


def memory_way(uri: str) -> tuple[MigrationUri, str]:
    """Return the parts of a migration URI, and a remark on what of it has no effect.

    A URI by which QEMU cannot listen on an ordinary host is refused.
    """
    if needs := migration_needs(uri):
        raise NotAccepted(say.wrong("way", note=needs[0]))
    return MigrationUri.parse(uri), "".join(f" {note}" for note in migration_notes(uri))


def _unasked(plan: Plan) -> Iterator[Feedback]:
    changed = plan.changed()
    for about in settings():
        harmless = about.harmless_with in changed
        if about.effect in UNASKED and about.name in changed and not harmless:
            shown = f"{about.name}={changed[about.name]!r}"
            said = {"shown": shown, "meaning": about.meaning, "name": about.name}
            risky = about.effect is Effect.RISK
            yield say.wrong("risk", **said) if risky else say.wrong("unasked", **said)


def _wrong_hosts(plan: Plan, hosts: Hosts | None) -> Iterator[Feedback]:
    """Yield the feedback on addresses of the wrong host, and of the wrong network."""
    for about in settings():
        value = getattr(plan, about.name)
        if about.effect is not Effect.ROUTE or not isinstance(value, str) or value in (AUTO, *Mode):
            continue
        host = value if about.name in _NAMES else host_of(value)
        if host is None or (about.name == "listen_address" and host in _ALL_ADDRESSES):
            continue
        if is_local(host):
            yield say.wrong("local", name=about.name, host=host)
        if hosts is not None and is_host(host, hosts.source):
            yield say.wrong("source", name=about.name, host=host, source=hosts.source[0])
    listen = plan.listen_address
    everywhere = listen is None or listen in _ALL_ADDRESSES
    if hosts is not None and not everywhere and not is_host(listen, hosts.memory):
        yield say.wrong("listen", host=listen, memory=hosts.memory[0])
    if plan.migration_uri is not None and plan.migration_uri != AUTO:
        memory_way(plan.migration_uri)
