"""Write a plan as a ``virsh migrate`` command, with notes on the limits of that command.

Sources: libvirt's ``docs/manpages/virsh.rst`` (migrate, migrate-setmaxdowntime, domjobabort) and
``tools/virsh-domain.c`` (opts_migrate, cmdMigrate: the refusals of virsh itself).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping

from migrationlab.plan.qemu_parameters import globals_of, parameters_at
from migrationlab.plan.settings import AUTO, Settings, settings
from migrationlab.plan.uris import connection_notes, migration_notes

#: virsh reads XML from files; the command names these.
XML_FILES = {"destination_xml": "destination.xml", "persistent_xml": "persistent.xml"}


def virsh_line(uri: str, action: str, domain: str, *arguments: str) -> str:
    """Return a virsh command about a domain as a line to copy; no name of a domain is an option."""
    end = ["--"] if domain.startswith("-") else []
    return shlex.join(["virsh", "--connect", uri, action, *end, domain, *arguments])


def command(
    plan: Settings,
    flags: tuple[str, ...],
    parameters: Mapping[str, object],
    domain: str,
    source_uri: str,
) -> list[str]:
    """Return the argument list of the ``virsh migrate`` command of a plan.

    Args:
        plan: The plan, with its connection URI.
        flags: The result of ``plan.flags()``.
        parameters: The result of ``plan.parameters()``.
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
    """Yield remarks on a valid plan, and the limits of its virsh command."""
    yield from remarks(plan, source_uri)
    yield from _missing(plan, domain, source_uri)


def remarks(plan: Settings, source_uri: str) -> Iterator[str]:
    """Yield remarks on a valid plan."""
    if plan.migration_uri is not None and plan.migration_uri != AUTO:
        if plan.migration_uri.startswith("rdma:") and plan.copy_storage:
            yield "The disks are copied over TCP, beside the memory over RDMA."
        yield from migration_notes(plan.migration_uri)
    if plan.connection_uri is not None:
        yield from connection_notes(plan.connection_uri, plan.mode, source_uri=source_uri)
    if plan.destination_xml and plan.persistent and not plan.persistent_xml:
        yield (
            "persistent without persistent_xml: the definition at the destination lacks the "
            "changes of destination_xml."
        )
    if plan.postcopy_bandwidth_mib_s is not None and not plan.postcopy:
        yield "postcopy_bandwidth_mib_s has no effect without postcopy."
    policies = (plan.postcopy_after_iteration, plan.postcopy_after_s)
    if plan.postcopy and policies == (None, None):
        yield (
            "postcopy only makes the switch possible. Set postcopy_after_iteration or "
            "postcopy_after_s, or switch by hand."
        )
    if plan.undefine_source and not plan.persistent:
        yield (
            "undefine_source without persistent: after the domain shuts down, no host has its "
            "definition."
        )
    for name, file in XML_FILES.items():
        if getattr(plan, name) is not None:
            yield f"virsh reads XML from a file: write {name} into {file} first."


def _missing(plan: Settings, domain: str, source_uri: str) -> Iterator[str]:
    """Yield each limit of virsh's command, and the command for a second shell that helps."""

    def second_shell(action: str, *arguments: str) -> str:
        return virsh_line(source_uri, action, domain, *arguments)

    if plan.downtime_steps is not None and plan.max_downtime_ms is not None:
        yield (
            f"virsh migrate cannot raise the maximum downtime in steps. While it runs, run this in "
            f"a second shell {plan.downtime_steps} times, with a larger value each time: "
            f"{second_shell('migrate-setmaxdowntime', str(plan.max_downtime_ms))}"
        )
    elif plan.max_downtime_ms is not None:
        yield (
            "virsh migrate cannot set the maximum downtime. While it runs, run in a second shell: "
            f"{second_shell('migrate-setmaxdowntime', str(plan.max_downtime_ms))}"
        )
    done, _ = _timeout(plan)
    later = {"postcopy_after_iteration": "migrate-postcopy", "postcopy_after_s": "migrate-postcopy",
             "suspend_after_iteration": "suspend", "suspend_after_s": "suspend"}  # fmt: skip
    for name, action in later.items():
        value = getattr(plan, name)
        if value is None or name == done or (name == "postcopy_after_iteration" and value == 1):
            continue
        yield (
            f"virsh migrate cannot do {name}={value:g}. At that point run in a second shell: "
            f"{second_shell(action)}"
        )
    if plan.policy is not None:
        yield (
            f"virsh migrate has no policy {plan.policy}. `migrationlab policies {plan.policy}` "
            "shows what to do in a second shell, and when."
        )
    if plan.qemu_parameters:
        yield from _monitor_notes(plan.qemu_parameters, source_uri, domain)
    if plan.abort_when_diverging_s is not None:
        yield (
            "virsh migrate does not watch whether the guest writes memory as fast as it is sent. "
            f"Watch it with {second_shell('domjobinfo')} and cancel it with "
            f"{second_shell('domjobabort')}"
        )
    # virsh takes Ctrl-C from its terminal; a SIGINT sets a flag that virshWatchJob does not read.
    yield (
        f"virsh migrate has no deadline (--timeout suspends the guest, and a signal INT does not "
        f"cancel). To cancel it, run in a second shell after {plan.deadline_s:g} s: "
        f"{second_shell('domjobabort')}"
    )


def _monitor_notes(given: Mapping[str, object], source_uri: str, domain: str) -> Iterator[str]:
    if at_source := parameters_at(given, "source"):
        command = json.dumps({"execute": "migrate-set-parameters", "arguments": at_source})
        yield (
            "virsh migrate cannot set QEMU's own parameters. Set those of the source before: "
            f"{virsh_line(source_uri, 'qemu-monitor-command', domain, command)}"
        )
    if there := globals_of(given):
        yield (
            "virsh migrate cannot set QEMU's own parameters. Those of the destination stand in the "
            f"XML for it, as arguments of qemu:commandline: {shlex.join(there)}"
        )


def _timeout(plan: Settings) -> tuple[str, int | None]:
    """Return the policy for virsh's only ``--timeout``, and its whole seconds."""
    for name in ("postcopy_after_s", "suspend_after_s"):
        value = getattr(plan, name)
        if value is not None and value >= 1 and value == int(value):
            return name, int(value)
    return "", None


def _word(name: str, value: object) -> str:
    if name in XML_FILES:
        return XML_FILES[name]
    return ",".join(value) if isinstance(value, tuple) else str(value)
