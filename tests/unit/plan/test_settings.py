"""The table of settings is complete, has libvirt's names and numbers, and is readable."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import libvirt
import pytest

from migrationlab.errors import UsageError
from migrationlab.plan.plan import Plan
from migrationlab.plan.settings import FLAG_BITS, Group, Setting, SettingKind, Shape, settings

# virDomainMigrateFlags and VIR_MIGRATE_PARAM_* of libvirt 11.3's libvirt-domain.h. The methods
# and settings of "mt" compression are left out: QEMU 9.1 dropped them.
PARAMETERS = [
    "auto_converge.increment",
    "auto_converge.initial",
    "bandwidth",
    "bandwidth.avail.switchover",
    "bandwidth.postcopy",
    "compression",
    "compression.xbzrle.cache",
    "compression.zlib.level",
    "compression.zstd.level",
    "destination_name",
    "destination_xml",
    "disks_port",
    "disks_uri",
    "graphics_uri",
    "listen_address",
    "migrate_disks",
    "migrate_disks_detect_zeroes",
    "migrate_disks_target_zero",
    "migrate_uri",
    "parallel.connections",
    "persistent_xml",
    "tls.destination",
]
OF_FLAGS = [about for about in settings() if about.flags]


def test_every_flag_of_libvirt_is_there() -> None:
    """The 21 flags have libvirt's numbers: one bit each, and those that this binding knows."""
    assert sorted(FLAG_BITS.values()) == [1 << bit for bit in range(21)]
    known = {name: bit for name, bit in FLAG_BITS.items() if hasattr(libvirt, _constant(name))}
    assert known
    assert known == {name: getattr(libvirt, _constant(name)) for name in known}


def _constant(flag: str) -> str:
    return f"VIR_MIGRATE_{flag}"


def test_every_parameter_of_libvirt_is_there() -> None:
    """The typed parameters are libvirt's, once each, and all that this binding knows."""
    names = sorted(about.parameter for about in settings() if about.parameter)
    assert names == sorted(PARAMETERS)
    binding = {
        getattr(libvirt, name) for name in dir(libvirt) if name.startswith("VIR_MIGRATE_PARAM_")
    }
    assert {name for name in binding - set(names) if ".mt." not in name} == set()


@pytest.mark.parametrize("about", list(settings()), ids=lambda about: about.name)
def test_each_setting_is_described(about: Setting) -> None:
    """Each setting has a meaning, its values, and where it comes from."""
    assert about.meaning.endswith(".")
    assert about.takes
    assert about.name in Plan().to_dict()
    assert bool(about.libvirt) == (about.kind in (SettingKind.FLAG, SettingKind.PARAMETER))
    assert (about.since is None) == (about.kind in (SettingKind.MIGRATIONLAB, SettingKind.POLICY))
    assert (about.typed is None) == (about.parameter is None)
    assert (about.low is None) == (about.high is None)
    if about.shape is Shape.SWITCH:
        assert isinstance(about.default, bool)
    if about.unit and about.unit not in ("bytes", "%", "iterations", "steps"):
        assert about.name.endswith(about.unit.lower().replace("/", "_"))


@pytest.mark.parametrize("about", OF_FLAGS, ids=lambda about: about.name)
def test_each_flag_is_set_by_its_setting(about: Setting) -> None:
    """A setting's value sets the flag that the table names, and no other."""
    for flag in about.flags:
        value: Any = flag.state
        if about.name == "compression":
            value = ()
        without = {"LIVE"} if about.name == "offline" else set()
        plan = Plan.from_dict({about.name: value})
        assert set(plan.flags()) == {"LIVE", flag.name} - without
        assert plan.flag_bits() == sum(FLAG_BITS[name] for name in plan.flags())


def test_table_reads_in_every_form() -> None:
    """Text, HTML and frame have every setting, the text under its group."""
    table = settings()
    text = str(table)
    page = table._repr_html_()
    for about in table:
        assert f"\n  {about.name}\n      {about.meaning}\n" in text
        assert f"<code>{about.name}</code>" in page
    assert [line for line in text.splitlines() if line in list(Group)] == list(Group)
    assert list(table.frame().index) == [about.name for about in table]
    assert table.frame().loc["zstd_level", "parameter"] == "compression.zstd.level"
    assert repr(table) == f"SettingsTable({len(table)} settings)"


def test_unknown_setting_gets_the_known_one() -> None:
    """A setting is found by its name; the error for a misspelt name has the closest one."""
    assert settings()["zstd_level"].high == 20
    with pytest.raises(UsageError, match=r"setting of a plan \(got 'zsdt_level'\)") as caught:
        settings()["zsdt_level"]
    assert "zstd_level" in caught.value.hint


def test_table_needs_no_libvirt() -> None:
    """The table needs no libvirt, and does not import pandas."""
    code = (
        "import sys, migrationlab; str(migrationlab.settings());"
        "sys.exit(bool({'libvirt', 'pandas'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
