"""The call to libvirt: each parameter arrives with libvirt's own type."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import libvirt
import pytest

from migrationlab.errors import PlanError
from migrationlab.migrate import libvirt_call
from migrationlab.plan.plan import Plan
from migrationlab.plan.settings import settings

# Every parameter that there is: what a plan with all of them would send.
EVERYTHING: dict[str, Any] = {
    about.parameter: {
        "string": f"<{about.name}>",
        "strings": ["vda", "vdb"],
        "int": about.low,
        "ullong": about.high,
    }[about.typed or ""]
    for about in settings()
    if about.parameter
}
PROBE = """\
import json, sys
import libvirt
from migrationlab.migrate.libvirt_call import migration_call
values = json.loads(sys.argv[1])
libvirt.registerErrorHandler(lambda context, error: None, None)
host = libvirt.open("test:///default")
domain = host.lookupByName("test")
values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
for destination, flags in ((host, 1), ("test://elsewhere/default", 3)):
    try:
        migration_call(domain, destination, values, flags)()
    except libvirt.libvirtError as error:
        print(error.get_error_code(), error)
"""


@pytest.fixture
def host() -> Iterator[libvirt.virConnect]:
    """Give a connection to libvirt's test driver, which refuses to migrate."""
    libvirt.registerErrorHandler(lambda context, error: None, None)
    connection = libvirt.open("test:///default")
    yield connection
    connection.close()


def said(values: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return what libvirt's log received: name, type and value of each parameter."""
    log = {"LIBVIRT_LOG_FILTERS": "1:libvirt", "LIBVIRT_LOG_OUTPUTS": "1:stderr"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(values)],
        env=log, capture_output=True, text=True, check=True,
    )  # fmt: skip
    # The test driver refuses every migration, after the library has looked at the parameters.
    codes = [int(line.split()[0]) for line in done.stdout.splitlines()]
    refusals = {libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED}
    assert len(codes) == 2
    assert refusals.issuperset(codes)
    return re.findall(r'params\["(.+?)"\]=\((\w+)\)(.*)', done.stderr)


def test_every_parameter_has_its_type() -> None:
    """Each parameter of the table arrives with its type and value."""
    heard = said(EVERYTHING)
    wanted = []
    for about in settings():
        if about.parameter:
            values = EVERYTHING[about.parameter]
            kind = "string" if about.typed == "strings" else about.typed
            values = values if isinstance(values, list) else [values]
            wanted += [(about.parameter, kind, str(value)) for value in values]
    assert heard == wanted * 2  # once in each mode


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"bandwidth": 2**63, "migrate_uri": "tcp://node2"},
        {"compression": ("zlib",), "compression.zlib.level": 9},
        {"auto_converge.initial": 1},
    ],
)
def test_binding_and_ctypes_agree(values: dict[str, Any]) -> None:
    """The parameters have the table's types in a call of the binding and in one of ctypes."""
    for name, kind, _ in said(values):
        assert libvirt_call.TYPES[name] in {kind, f"{kind}s"}


def test_error_is_libvirts_own(host: libvirt.virConnect) -> None:
    """A refusal raises libvirt's error with its code, on the calling thread."""
    call = libvirt_call.migration_call(
        host.lookupByName("test"), host, {"compression.zlib.level": 3}, 1
    )
    caught: list[libvirt.libvirtError] = []

    def attempt() -> None:
        with pytest.raises(libvirt.libvirtError) as error:
            call()
        caught.append(error.value)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert caught[0].get_error_code() == libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED
    assert "extended parameters" in caught[0].get_error_message()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("compression.zlib.level", 2**31),
        ("compression.zlib.level", -(2**31) - 1),
        ("bandwidth", -1),
        ("bandwidth", 2**64),
        ("bandwidth", 10**400),
        ("destination_name", "a\0b"),
        ("migrate_disks", ("vda", "v\0")),
        ("destination_name", "\udcff"),
    ],
)
def test_value_that_c_cannot_hold_is_refused(
    host: libvirt.virConnect, name: str, value: Any
) -> None:
    """A value that C would cut is refused before any call."""
    with pytest.raises(PlanError, match=r"must be (from|plain text)"):
        libvirt_call.migration_call(host.lookupByName("test"), host, {name: value}, 1)


def test_parameters_of_a_plan_are_known() -> None:
    """The table of types has every parameter that a plan sends."""
    plan = Plan(zlib_level=3, compression=("zlib",), copy_disks=("vda",), bandwidth_mib_s=4)
    assert set(plan.parameters()) <= set(libvirt_call.TYPES)
