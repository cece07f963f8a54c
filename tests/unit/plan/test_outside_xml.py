"""XML from other machines: a clear error for what libvirt's own parser would refuse too."""

from __future__ import annotations

import pytest

from migrationlab.errors import HostError
from migrationlab.plan.facts import domain_facts
from migrationlab.plan.outside_xml import MAX_DEPTH, read_xml


def test_xml_is_read() -> None:
    """XML as deep as libvirt reads it is read."""
    assert read_xml("<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH).tag == "a"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no element"),
        ("<a>", "no element"),
        ("<a>\0</a>", "not well-formed"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "Entities"),
        ("<a>" * 100_000 + "</a>" * 100_000, "are nested"),
    ],
)
def test_hostile_xml_is_refused(text: str, said: str) -> None:
    """No XML, entities and nesting bombs give an error with the reason."""
    with pytest.raises(HostError, match=said):
        read_xml(text)


def test_endless_number_of_memory_is_unknown() -> None:
    """An amount of memory with 5,000 digits is not known."""
    xml = f"<domain><memory>{'9' * 5000}</memory></domain>"
    assert domain_facts(xml).memory_mib is None
