"""What QEMU has for a migration; test_newest_release.py compares with a real QEMU."""

from __future__ import annotations

import pytest

from migrationlab.plan.qemu_own import UNOFFERED, USED
from migrationlab.plan.qemu_parameters import PARAMETERS
from migrationlab.plan.settings import settings

NAMES = {about.name: about for about in UNOFFERED}


def test_each_name_has_one_place() -> None:
    """A name of QEMU is a setting of a plan, libvirt's own, for labs, or not offered."""
    assert len(NAMES) == len(UNOFFERED)
    for one, other in ((NAMES, USED), (NAMES, PARAMETERS), (USED, PARAMETERS)):
        assert not one.keys() & other.keys()
    assert {*USED.values()} - {"libvirt"} <= {about.name for about in settings()}


@pytest.mark.parametrize(
    ("name", "qemu", "has"),
    [
        ("zero-blocks", (10, 0, 13), True),
        ("zero-blocks", (11, 1, 3), False),
        ("cpr-exec-command", (10, 0, 13), False),
        ("cpr-exec-command", (11, 1, 3), True),
        ("dirty-limit", (7, 2, 22), False),
    ],
)
def test_versions_of_qemu_that_have_it(name: str, qemu: tuple[int, ...], *, has: bool) -> None:
    """A capability or parameter is in the versions from its first to its last."""
    assert NAMES[name].in_version(qemu) is has


def test_table_of_settings_says_what_libvirt_does_not_offer() -> None:
    """As text and in a notebook, each has its meaning, and the versions of QEMU that have it."""
    text, page = str(settings()), settings()._repr_html_()
    for shown in (text, page):
        assert "QEMU's own, which libvirt does not offer" in shown
        for about in UNOFFERED:
            assert about.name in shown
            assert about.versions in shown
