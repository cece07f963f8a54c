"""What the recorder makes of a service's clients: their record, or a warning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pytest

from migrationlab.capture.events import EventLog
from migrationlab.capture.recorder import Recorder
from migrationlab.errors import LabError
from migrationlab.runs.schema import frame

MS = 1_000_000


@dataclass
class Record:
    """A record of clients that sent a request each 10 ms, answered after a time."""

    took_ms: float = 1.0
    check: dict[str, Any] = field(default_factory=lambda: {"intact": True, "lost_writes": 0})

    @property
    def requests(self) -> pd.DataFrame:
        """Return the frame."""
        rows = (
            {"due_ns": n * 10 * MS, "sent_ns": n * 10 * MS, "connection": 0, "attempts": 1,
             "answered_ns": round((n * 10 + self.took_ms) * MS), "error": ""}
            for n in range(100)
        )  # fmt: skip
        return frame("requests", rows)


@dataclass
class Clients:
    """Clients that leave a record, or fail."""

    record: Record | None
    running_s: float = 2.0

    def stop(self) -> Record:
        """Return the record, or raise as a load whose process has ended does."""
        if self.record is None:
            raise LabError("the clients of redis failed: killed")
        return self.record

    def close(self) -> None:
        """Do nothing."""


def recorder_of(clients: Clients) -> Recorder:
    """Return a recorder of these clients and of no host."""
    recorder = Recorder.__new__(Recorder)
    recorder.events = EventLog("6f2a1c7e-55a9-4e21-9d6a-2f7d24a3b001")
    recorder._service, recorder._requests, recorder.service_check = clients, None, None
    return recorder


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (None, "left no record: the clients of redis failed: killed"),
        (Record(took_ms=600), "cannot keep up: 100 requests/s were due"),
        (Record(check={"intact": False, "lost_writes": 3}), "has lost 3 writes"),
        (Record(check={"intact": None, "check_error": "timed out"}), "not be checked: timed out"),
    ],
)
def test_trouble_of_a_service_is_a_warning(record: Record | None, words: str) -> None:
    """Clients that fail, a rate that is too high and lost data are told, and raise nothing."""
    recorder = recorder_of(Clients(record))
    recorder.stop_service(1000 * MS, 0)
    (warning,) = recorder.events.warnings
    assert words in warning
    assert (recorder.service_check is None) == (record is None)


def test_service_without_trouble_gives_no_warning() -> None:
    """The record of the clients is kept."""
    recorder = recorder_of(Clients(Record()))
    recorder.stop_service(1000 * MS, 0)
    assert recorder.events.warnings == []
    assert recorder.service_check == {"intact": True, "lost_writes": 0}
