"""Read XML that another machine wrote: a host's capabilities, a domain."""

from __future__ import annotations

from xml.etree.ElementTree import Element, ParseError

from defusedxml.ElementTree import fromstring

from migrationlab.errors import HostError

#: libxml2, libvirt's parser, refuses deeper elements (xmlParserMaxDepth in its parser.c).
MAX_DEPTH = 256


def read_xml(text: str) -> Element:
    """Return the root element of a host's XML.

    Raises:
        HostError: It is not XML, declares entities, or is nested deeper than libvirt's own parser
            reads.
    """
    try:
        root: Element = fromstring(text)
    except (ParseError, ValueError) as error:  # defusedxml's own errors are ValueErrors
        raise _refused(str(error)) from error
    level = [root]
    for _ in range(MAX_DEPTH):
        level = [child for element in level for child in element]
        if not level:
            return root
    raise _refused(f"more than {MAX_DEPTH} elements are nested")


def _refused(reason: str) -> HostError:
    return HostError(
        f"reading a host's XML failed: {reason}",
        hint="Read it with `virsh capabilities` or `virsh dumpxml`: another program changed it.",
    )
