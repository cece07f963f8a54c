"""The arguments of a domain's QEMU are written into its XML."""

from __future__ import annotations

from migrationlab.hosts.monitor import QEMU_NAMESPACE, with_globals
from migrationlab.plan.outside_xml import read_xml

XML = f"""<domain type='kvm'><name>web1</name>
<q:commandline xmlns:q='{QEMU_NAMESPACE}'><q:arg value='-trace'/><q:arg value='x'/></q:commandline>
</domain>"""
ARGUMENTS = ["-global", "migration.announce-rounds=3"]


def words(xml: str) -> list[str | None]:
    """Return the arguments that a domain's XML gives to QEMU."""
    return [each.get("value") for each in read_xml(xml).iter(f"{{{QEMU_NAMESPACE}}}arg")]


def test_arguments_are_added_and_replaced() -> None:
    """New arguments stand behind those that the domain has, in place of earlier ones."""
    once = with_globals(XML, "migration.", ARGUMENTS)
    assert words(once) == ["-trace", "x", *ARGUMENTS]
    other = ["-global", "migration.announce-max=9"]
    assert words(with_globals(once, "migration.", other)) == ["-trace", "x", *other]


def test_arguments_are_removed() -> None:
    """Without new arguments earlier ones go, and the XML of a domain without any stays."""
    once = with_globals(XML, "migration.", ARGUMENTS)
    assert words(with_globals(once, "migration.", [])) == ["-trace", "x"]
    assert with_globals(XML, "migration.", []) == XML


def test_other_globals_stay() -> None:
    """An argument that sets another property is kept."""
    once = with_globals(XML, "kvm-pit.", ["-global", "kvm-pit.lost_tick_policy=delay"])
    assert with_globals(once, "migration.", []) == once


def test_domain_without_arguments_gets_some() -> None:
    """A domain that gives QEMU no arguments gets the new ones."""
    assert words(with_globals("<domain><name>a</name></domain>", "migration.", ARGUMENTS)) == (
        ARGUMENTS
    )
