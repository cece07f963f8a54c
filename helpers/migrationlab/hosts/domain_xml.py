"""Hash a domain's XML without its identity, so that domains of the same kind share the hash.

``data/README.md`` lists the parts of the XML that the hash leaves out.
"""

from __future__ import annotations

import hashlib
import re
from xml.etree import ElementTree as ET

from migrationlab.plan.outside_xml import read_xml

#: Elements that identify or name a domain, at any depth. ``genid`` changes at each start,
#: ``seclabel`` names the categories that this domain was given.
OWN_ELEMENTS = frozenset({"name", "uuid", "genid", "title", "description", "metadata", "seclabel"})
#: Attributes that do so, by their element: a port is one that was free, a MAC address is unique.
OWN_ATTRIBUTES = {
    "domain": ("id",),
    "graphics": ("port", "tlsPort", "websocket"),
    "mac": ("address",),
}
#: Words on the kernel's command line with the workload of a lab's guest; a run has it elsewhere.
WORKLOAD = "migrationlab."
#: Replaces the domain's name and UUID within paths.
_SELF = "THIS"


def xml_sha256(xml: str) -> str:
    """Return the hash that domains of the same kind share, in hexadecimal digits.

    Args:
        xml: The domain's XML as libvirt sends it to another host (VIR_DOMAIN_XML_MIGRATABLE),
            without its state. Another version of libvirt can write it differently.
    """
    domain: ET.Element = read_xml(xml)
    own = [re.escape(text) for tag in ("name", "uuid") if (text := domain.findtext(tag))]
    # Whole words only: a guest called "a" must not remove that letter everywhere.
    itself = re.compile(rf"(?<![^\W_])(?:{'|'.join(own) or '(?!)'})(?![^\W_])")
    for element in domain.iter():
        for child in [child for child in element if child.tag in OWN_ELEMENTS]:
            # A model and a network have names too.
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
    """Replace the domain's name in paths only: other text can hold a name such as "disk" too."""
    return itself.sub(_SELF, text) if "/" in text else text
