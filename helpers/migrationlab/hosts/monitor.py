"""Send commands to the QEMU of a running domain through libvirt, and give it arguments by its XML.

Both mark the domain as one whose QEMU somebody else than libvirt changed (it is "tainted"), so they
are for guests of a lab.
"""

from __future__ import annotations

import itertools
import json
from typing import Any
from xml.etree import ElementTree as ET

import libvirt
import libvirt_qemu

from migrationlab.errors import HostError
from migrationlab.hosts.connection import refusals
from migrationlab.plan.outside_xml import read_xml

#: libvirt's docs/drvqemu.rst, "Pass-through of arbitrary qemu commands".
QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
_ARGUMENT = f"{{{QEMU_NAMESPACE}}}arg"
_GLOBAL = "-global"


def ask_monitor(domain: libvirt.virDomain, command: str, **arguments: object) -> Any:
    """Return QEMU's answer to a command of its monitor (QMP).

    Raises:
        HostError: libvirt refuses to send it, or QEMU refuses the command.
    """
    text = json.dumps({"execute": command, "arguments": arguments})
    with refusals():
        answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, text, 0))
    if "error" in answer:
        raise HostError(
            f"QEMU's command {command} failed: {answer['error'].get('desc', answer['error'])}",
            hint="Ask what this QEMU knows: virsh qemu-monitor-command DOMAIN --hmp help",
        )
    return answer["return"]


def with_globals(xml: str, prefix: str, arguments: list[str]) -> str:
    """Return a domain's XML whose QEMU starts with some ``-global`` arguments.

    Args:
        xml: The domain.
        prefix: The beginning of all properties of that kind; earlier arguments that set such a
            property are left out. The XML stays as it is if it has none, and needs none.
        arguments: The new arguments, in pairs of ``-global`` and the property with its value.
    """
    domain = read_xml(xml)
    line = domain.find(f"{{{QEMU_NAMESPACE}}}commandline")
    if line is None:
        line = ET.SubElement(domain, f"{{{QEMU_NAMESPACE}}}commandline")
    given = list(line.findall(_ARGUMENT))
    old = [
        each
        for option, value in itertools.pairwise(given)
        if option.get("value") == _GLOBAL and value.get("value", "").startswith(prefix)
        for each in (option, value)
    ]
    if not old and not arguments:
        return xml
    for each in old:
        line.remove(each)
    for word in arguments:
        ET.SubElement(line, _ARGUMENT, value=word)
    return ET.tostring(domain, encoding="unicode")
