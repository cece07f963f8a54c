"""Arguments that are refused before a migration is validated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from migrationlab.errors import UsageError
from migrationlab.hosts.host import Host
from migrationlab.migrate.start import start
from migrationlab.plan.plan import Plan


@pytest.fixture
def host() -> Iterator[Host]:
    """Give the test driver's host, with one running domain."""
    made = Host("test:///default")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("guest", "arguments", "complaint"),
    [
        (5, {}, r"guest must be .* \(got 5\)"),
        (None, {}, r"guest must be .* \(got None\)"),
        ("test", {}, "source must be a Host when guest is a name .*'test'"),
        ("test", {"source": "host-a"}, "source must be a Host .*'host-a'"),
        ("test", {"interval_s": "fast"}, "interval_s must be .*'fast'"),
        ("test", {"interval_s": None}, "interval_s must be .*None"),
        ("test", {"interval_s": float("nan")}, "interval_s must be .*nan"),
        ("test", {"plan": "peer2peer"}, "plan must be a Plan"),
        ("test", {"to": "host-b"}, "to must be a Host"),
    ],
)
def test_wrong_arguments_are_refused(
    host: Host, guest: Any, arguments: dict[str, Any], complaint: str
) -> None:
    """A wrong guest, host, plan or interval is refused with a hint."""
    with pytest.raises(UsageError, match=complaint) as refused:
        start(guest, **{"to": host, **arguments})
    assert refused.value.hint


@pytest.mark.parametrize("validate", [True, False])
def test_qemu_parameters_are_for_a_lab(host: Host, *, validate: bool) -> None:
    """A domain that is no guest of a lab never gets parameters of QEMU, validated or not."""
    plan = Plan.from_dict({"qemu_parameters": {"announce-rounds": 3}})
    with pytest.raises(UsageError, match=r"qemu_parameters must be left out.*'test'") as refused:
        start("test", source=host, to=host, plan=plan, validate=validate)
    assert refused.value.hint.startswith("Leave out qemu_parameters")
