"""What is sampled while a migration runs, by libvirt's own names."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import libvirt
import pytest

from migrationlab.capture import job
from migrationlab.errors import LabError
from migrationlab.hosts import Host
from migrationlab.runs import FRAMES

RECORDINGS = Path(__file__).parents[1] / "recordings"
#: libvirt's names of statistics, by the binding's constants.
NAMES = {
    value
    for name, value in vars(libvirt).items()
    if name.startswith("VIR_DOMAIN_JOB_") and isinstance(value, str)
}


@pytest.mark.parametrize("name", job.STATISTICS)
def test_each_statistic_is_one_of_libvirts(name: str) -> None:
    """Every statistic asked for has a name that libvirt's headers give to one."""
    assert name in NAMES


@pytest.mark.parametrize(
    "recording", sorted(RECORDINGS.glob("*/run.json")), ids=lambda p: p.parent.name
)
def test_statistics_of_real_jobs_have_libvirts_names(recording: Path) -> None:
    """What real, completed jobs reported is named by the same constants."""
    found = json.loads(recording.read_text())["run"]["completed_job"]
    # The binding puts the job's type beside libvirt's own.
    assert set(found) <= NAMES | {"type"}


def test_columns_are_those_of_a_run() -> None:
    """What the sampler writes down is what a run's frames hold."""
    assert tuple(FRAMES["job"]) == job.JOB_COLUMNS
    assert tuple(FRAMES["wire_bytes"]) == job.WIRE_COLUMNS


#: The domain "test" of libvirt's test driver.
TEST_UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
#: What libvirt's test driver answers, said once however often it is asked.
NO_JOBS = (
    "a sample of the job was refused: this function is not supported by the connection driver: "
    "virDomainGetJobStats"
)


class Counter:
    """A wire's counter that goes up by a hundred each time, and breaks after some."""

    def __init__(self, readings: int = 1000) -> None:
        self.readings = readings
        self.value = 5000
        self.enough = threading.Event()

    def __call__(self) -> int:
        """Return how many bytes there were by now."""
        if self.readings == 0:
            self.enough.set()
            raise LabError("host-a is gone")
        self.readings -= 1
        self.value += 100
        if self.value >= 5400:
            self.enough.set()
        return self.value


def sampled(sent: Counter, received: Counter) -> tuple[job.Sampler, list[tuple[int, int, int]]]:
    """Sample a domain of libvirt's test driver, which has no jobs, until a counter says enough."""
    source = Host("test:///default", sent_bytes=sent)
    destination = Host("test:///default", sent_bytes=received)
    sampler = job.Sampler(source, destination, TEST_UUID, interval_s=0.001)
    heard: list[job.Sample] = []
    sampler.start(heard.append)
    assert sent.enough.wait(10)
    samples, wire = sampler.stop()
    assert samples == heard == []
    source.close()
    destination.close()
    return sampler, wire


def test_bytes_are_counted_from_the_start() -> None:
    """The wire's bytes begin with 0 when sampling does, at rising times, each way."""
    sampler, wire = sampled(Counter(), Counter())
    times, sent, received = zip(*wire, strict=True)
    assert list(times) == sorted(times)
    assert sent[:4] == received[:4] == (0, 100, 200, 300)
    assert sampler.warnings == [NO_JOBS]


def test_a_host_that_is_gone_ends_the_bytes() -> None:
    """When a host is gone what was counted until then stays, and a warning says that it ended."""
    sampler, wire = sampled(Counter(readings=2), Counter())
    assert [row[1] for row in wire] == [0, 100]
    assert sampler.warnings == [NO_JOBS, "the bytes on the wire end early: host-a is gone"]
