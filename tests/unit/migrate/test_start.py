"""What is refused before a migration is even judged: arguments that are none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from migrationlab.errors import UsageError
from migrationlab.hosts.host import Host
from migrationlab.migrate.start import start


@pytest.fixture
def host() -> Iterator[Host]:
    """Give the test driver's own host, on which one domain runs."""
    made = Host("test:///default")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("guest", "arguments", "complaint"),
    [
        (5, {}, "5 is no guest"),
        (None, {}, "None is no guest"),
        ("test", {}, "where does 'test' run"),
        ("test", {"source": "host-a"}, "where does 'test' run"),
        ("test", {"interval_s": "fast"}, "fast s apart"),
        ("test", {"interval_s": None}, "None s apart"),
        ("test", {"interval_s": float("nan")}, "nan s apart"),
        ("test", {"plan": "peer2peer"}, "no plan"),
        ("test", {"to": "host-b"}, "no host"),
    ],
)
def test_wrong_types_are_refused(
    host: Host, guest: Any, arguments: dict[str, Any], complaint: str
) -> None:
    """What is no guest, host, plan or time is refused with a hint, whatever it is."""
    with pytest.raises(UsageError, match=complaint) as refused:
        start(guest, **{"to": host, **arguments})
    assert refused.value.hint
