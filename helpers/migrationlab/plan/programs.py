"""Name the programs that a plan makes a host run, and refuse those that nobody allowed.

A connection URI can name a program. A domain's XML can name its emulator, programs of its devices,
and words for QEMU's command line. Who takes a plan from somebody else must see them first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.etree.ElementTree import ParseError

from defusedxml.ElementTree import fromstring

from migrationlab.errors import UsageError
from migrationlab.plan.settings import Settings
from migrationlab.plan.uri_parser import read_uri

#: The elements of a domain's XML that name a program (libvirt's ``docs/formatdomain.rst``), and the
#: attribute that does, else their text. Words for QEMU and its environment can name one too.
_QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"
_PROGRAMS = {
    "emulator": "",
    "script": "path",
    "downscript": "path",
    "binary": "path",
    f"{_QEMU}arg": "value",
    f"{_QEMU}env": "value",
}


def programs_of_plan(plan: Settings) -> Iterator[tuple[str, str]]:
    """Yield each program that a plan names, after the setting that names it."""
    for program in read_uri(plan.connection_uri or "").programs:
        yield "connection_uri", program
    for name in ("destination_xml", "persistent_xml"):
        try:
            root = fromstring(getattr(plan, name) or "<none/>")
        except (ParseError, ValueError):
            continue  # not a domain's XML: a problem of the plan, which then does not run
        for place, attribute in _PROGRAMS.items():
            for element in root.iter(place):
                program = element.get(attribute, "") if attribute else element.text or ""
                if program.strip():
                    yield name, program.strip()


def require_trusted(programs: Iterable[str]) -> None:
    """Raise a UsageError if a file names programs, which anybody can have written.

    ``programs`` are lines of text: "KEY runs PROGRAM".
    """
    if found := "; ".join(programs):
        raise UsageError(
            f"the file must name no programs (got: {found})",
            hint="Read them. If you trust them, give --allow-programs (in Python: "
            "allow_programs=True).",
        )
