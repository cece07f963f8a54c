"""Job statistics, by libvirt's own names."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import libvirt
import pytest

from migrationlab.capture import job_stats
from migrationlab.hosts.host import Host
from migrationlab.runs.schema import FRAMES
from paths import RECORDINGS

#: libvirt's names of statistics, by the binding's constants.
NAMES = {
    value
    for name, value in vars(libvirt).items()
    if name.startswith("VIR_DOMAIN_JOB_") and isinstance(value, str)
}


@pytest.mark.parametrize("name", job_stats.STATISTICS)
def test_each_statistic_is_one_of_libvirts(name: str) -> None:
    """libvirt's headers have the name of each statistic."""
    assert name in NAMES


@pytest.mark.parametrize(
    "recording", sorted(RECORDINGS.glob("*/run.json")), ids=lambda p: p.parent.name
)
def test_statistics_of_real_jobs_have_libvirts_names(recording: Path) -> None:
    """Real completed jobs report statistics under the names of the table."""
    found = json.loads(recording.read_text())["run"]["completed_job"]
    # The binding puts the job's type beside libvirt's own.
    assert set(found) <= NAMES | {"type"}


def test_columns_are_those_of_a_run() -> None:
    """The sampler has the columns of the frame ``job``."""
    assert tuple(FRAMES["job"]) == ("time_ns", *job_stats.STATISTICS.values())


#: The domain "test" of libvirt's test driver.
TEST_UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
#: What libvirt's test driver answers, said once however often it is asked.
NO_JOBS = (
    "a sample of the job was refused: this function is not supported by the connection driver: "
    "virDomainGetJobStats"
)


def test_refusal_is_reported_once() -> None:
    """A host that refuses every sample gives no row and one warning."""
    source = Host("test:///default")
    sampler = job_stats.JobSampler(source, TEST_UUID, interval_s=0.001)
    heard: list[job_stats.Sample] = []
    refused = Counted(sampler._domain)
    sampler._domain = refused
    sampler.on_sample = heard.append
    sampler.start()
    assert refused.enough.wait(10)
    assert sampler.stop() == sampler.stop() == {"job": []}
    assert heard == []
    assert sampler.warnings == [NO_JOBS]
    source.close()


def test_connection_is_closed_when_a_frozen_daemon_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last sample waits for the daemon, and its connection is closed after that."""
    monkeypatch.setattr(job_stats, "ANSWER_TIMEOUT_S", 0.01)
    source = Host("test:///default")
    sampler = job_stats.JobSampler(source, TEST_UUID, interval_s=0.001)
    asked, answer, closed = threading.Event(), threading.Event(), threading.Event()

    class Frozen:
        def jobStats(self) -> object:  # noqa: N802 - libvirt's name
            asked.set()
            assert answer.wait(10)
            return {}

    close = sampler._connection.close
    monkeypatch.setattr(sampler._connection, "close", lambda: (close(), closed.set()))
    sampler._domain = Frozen()
    sampler.start()
    assert asked.wait(10)
    assert sampler.stop() == {"job": []}
    assert not closed.is_set()
    answer.set()
    assert closed.wait(10)
    source.close()


class Counted:
    """A domain that tells when it was asked three times."""

    def __init__(self, domain: libvirt.virDomain) -> None:
        self._domain = domain
        self._asked = 0
        self.enough = threading.Event()

    def jobStats(self) -> object:  # noqa: N802 - libvirt's name
        """Return what libvirt says."""
        self._asked += 1
        if self._asked == 3:
            self.enough.set()
        return self._domain.jobStats()
