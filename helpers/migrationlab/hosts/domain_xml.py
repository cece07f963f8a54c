"""Whether two domains are of the same kind: a hash of their XML, less what names the one domain.

Pure; imports no libvirt. ``data/README.md`` says to readers of a run what is left out.
"""

from __future__ import annotations

import hashlib
import re
from xml.etree import ElementTree as ET

from defusedxml.ElementTree import fromstring

#: Elements that say who a domain is, or what it is called, wherever they stand. ``genid`` is made
#: anew at each start, ``seclabel`` names the categories that this one was given.
OWN_ELEMENTS = frozenset({"name", "uuid", "genid", "title", "description", "metadata", "seclabel"})
#: Attributes likewise, by their element: ports are what was free, a MAC address is a guest's own.
OWN_ATTRIBUTES = {
    "domain": ("id",),
    "graphics": ("port", "tlsPort", "websocket"),
    "mac": ("address",),
}
#: Words on the kernel's command line that tell a lab's guest its workload, which a run tells.
WORKLOAD = "migrationlab."
#: What takes the place of the domain's name and UUID within paths.
_SELF = "THIS"


def xml_sha256(xml: str) -> str:
    """Return a hash that domains of the same kind share.

    Args:
        xml: The domain's XML as libvirt sends it to another host (VIR_DOMAIN_XML_MIGRATABLE),
            which has nothing in it of its state. Another version of libvirt can write it otherwise.

    Returns:
        SHA-256 of its canonical form (C14N 2.0), in hexadecimal digits.
    """
    domain: ET.Element = fromstring(xml)
    own = [re.escape(text) for tag in ("name", "uuid") if (text := domain.findtext(tag))]
    # As words of their own: a guest called "a" must not take the letter out of everything.
    itself = re.compile(rf"(?<![^\W_])(?:{'|'.join(own) or '(?!)'})(?![^\W_])")
    for element in domain.iter():
        for child in [child for child in element if child.tag in OWN_ELEMENTS]:
            # A model or a network has a name, too, which is not the domain's.
            if element is domain or child.tag != "name":
                element.remove(child)
        for name in OWN_ATTRIBUTES.get(element.tag, ()):
            element.attrib.pop(name, None)
        for name, value in element.attrib.items():
            element.set(name, _without(itself, value))
        element.text = _without(itself, element.text or "")
        if element.tag == "cmdline":
            words = element.text.split()
            element.text = " ".join(word for word in words if not word.startswith(WORKLOAD))
    canonical = ET.canonicalize(ET.tostring(domain, encoding="unicode"), strip_text=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _without(itself: re.Pattern[str], text: str) -> str:
    """Take the domain's own name out of a path: elsewhere a guest called "disk" is no disk."""
    return itself.sub(_SELF, text) if "/" in text else text
