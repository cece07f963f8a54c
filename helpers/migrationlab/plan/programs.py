"""Name the programs that a plan makes a host run.

A connection URI can name a program, and a domain's XML names its emulator. Who takes a plan from
somebody else must see them first.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import ParseError

from defusedxml.ElementTree import fromstring

from migrationlab.plan.settings import Settings
from migrationlab.plan.uri_parser import read_uri


def programs_of_plan(plan: Settings) -> Iterator[tuple[str, str]]:
    """Yield each program that a plan names, after the setting that names it."""
    for program in read_uri(plan.connection_uri or "").programs:
        yield "connection_uri", program
    for name in ("destination_xml", "persistent_xml"):
        try:
            root = fromstring(getattr(plan, name) or "<none/>")
        except (ParseError, ValueError):
            continue  # not a domain's XML: a problem of the plan, which then does not run
        for emulator in root.iter("emulator"):
            yield name, (emulator.text or "").strip()
