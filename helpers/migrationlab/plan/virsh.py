"""A plan in virsh's words: the ``virsh migrate`` that does the same, and what it cannot say.

Sources: libvirt's ``docs/manpages/virsh.rst`` (migrate, migrate-setmaxdowntime, domjobabort) and
``tools/virsh-domain.c`` (opts_migrate, cmdMigrate: what virsh itself refuses).

Imports of the kit only ``settings`` and ``uris``; no libvirt.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from migrationlab.plan.settings import AUTO, Settings, settings
from migrationlab.plan.uris import connection_notes, migration_notes

#: virsh reads XML from files; these names stand for them in the line.
XML_FILES = {"destination_xml": "destination.xml", "persistent_xml": "persistent.xml"}


def line(
    plan: Settings,
    flags: tuple[str, ...],
    parameters: Mapping[str, object],
    domain: str,
    source_uri: str,
) -> list[str]:
    """Return the argument list of the ``virsh migrate`` that does what a plan says.

    Args:
        plan: The plan, with its connection URI.
        flags: Its flags.
        parameters: Its typed parameters.
        domain: The guest's name.
        source_uri: How virsh connects to the source's libvirtd.
    """
    options = {flag.name: flag.virsh for about in settings() for flag in about.flags}
    argv = ["virsh", "--connect", source_uri, "migrate", *(options[name] for name in flags)]
    argv += ["--domain", domain, "--desturi", str(plan.connection_uri)]
    for about in settings():
        if about.virsh and about.parameter and about.parameter in parameters:
            argv += [about.virsh, _word(about.name, parameters[about.parameter])]
    if plan.postcopy_after_iteration == 1:
        argv += ["--postcopy-after-precopy"]
    name, seconds = _timeout(plan)
    if seconds is not None:
        argv += ["--timeout", f"{seconds}", settings()[name].virsh or ""]
    return argv


def notes(plan: Settings, domain: str, source_uri: str) -> Iterator[str]:
    """Say what to know about a good plan, and what its virsh line cannot say.

    Args:
        plan: The plan.
        domain: The guest's name.
        source_uri: How virsh connects to the source's libvirtd.
    """
    if plan.migration_uri is not None and plan.migration_uri != AUTO:
        yield from migration_notes(plan.migration_uri)
    if plan.connection_uri is not None:
        yield from connection_notes(plan.connection_uri, plan.mode)
    if plan.destination_xml and plan.persistent and not plan.persistent_xml:
        yield (
            "persistent without persistent_xml: the definition that the destination keeps has "
            "not the changes of destination_xml."
        )
    if plan.postcopy_bandwidth_mib_s is not None and not plan.postcopy:
        yield "postcopy_bandwidth_mib_s has no effect without postcopy."
    if plan.postcopy and plan.postcopy_after_iteration is None and plan.postcopy_after_s is None:
        yield (
            "postcopy only makes it possible: nothing switches to it by itself. Give "
            "postcopy_after_iteration or postcopy_after_s, or start it by hand."
        )
    if plan.undefine_source and not plan.persistent:
        yield (
            "undefine_source without persistent: once the domain is shut down, no host keeps its "
            "definition."
        )
    for name, file in XML_FILES.items():
        if getattr(plan, name) is not None:
            yield f"virsh reads XML from a file: write {name} into {file} before."
    yield from _unsaid(plan, domain, source_uri)


def _unsaid(plan: Settings, domain: str, source_uri: str) -> Iterator[str]:
    def second_shell(command: str, *arguments: str) -> str:
        return shlex.join(["virsh", "--connect", source_uri, command, domain, *arguments])

    if plan.downtime_steps is not None and plan.max_downtime_ms is not None:
        yield (
            f"virsh migrate cannot raise the maximum downtime in steps; while it runs, in a "
            f"second shell, {plan.downtime_steps} times with more each time: "
            f"{second_shell('migrate-setmaxdowntime', str(plan.max_downtime_ms))}"
        )
    elif plan.max_downtime_ms is not None:
        yield (
            "virsh migrate cannot set the maximum downtime; while it runs, in a second shell: "
            f"{second_shell('migrate-setmaxdowntime', str(plan.max_downtime_ms))}"
        )
    said, _ = _timeout(plan)
    later = {"postcopy_after_iteration": "migrate-postcopy", "postcopy_after_s": "migrate-postcopy",
             "suspend_after_iteration": "suspend", "suspend_after_s": "suspend"}  # fmt: skip
    for name, command in later.items():
        value = getattr(plan, name)
        if value is None or name == said or (name == "postcopy_after_iteration" and value == 1):
            continue
        yield (
            f"virsh migrate cannot say {name}={value:g}; then, in a second shell: "
            f"{second_shell(command)}"
        )
    if plan.abort_when_diverging_s is not None:
        yield (
            "virsh migrate does not watch whether the guest changes memory faster than it is "
            f"sent; look on with {second_shell('domjobinfo')} and cancel with "
            f"{second_shell('domjobabort')}"
        )
    yield (
        f"virsh migrate has no deadline (--timeout suspends the guest): to cancel after "
        f"{plan.deadline_s:g} s put timeout --signal=INT {plan.deadline_s:g} before it."
    )


def _timeout(plan: Settings) -> tuple[str, int | None]:
    """The policy that virsh's one ``--timeout`` says, and its whole seconds."""
    for name in ("postcopy_after_s", "suspend_after_s"):
        value = getattr(plan, name)
        if value is not None and value >= 1 and value == int(value):
            return name, int(value)
    return "", None


def _word(name: str, value: object) -> str:
    if name in XML_FILES:
        return XML_FILES[name]
    return ",".join(value) if isinstance(value, tuple) else str(value)
