"""Real services in guests: their clients, their data, and what a migration does to them.

One lab serves the whole file. A busy machine may be slow, so no test judges a latency.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from migrationlab.errors import GuestError, LabError
from migrationlab.lab import boot_files, image, service_image
from migrationlab.lab.booted_spec import BootedSpec
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.start import migrate, start
from migrationlab.plan.guest_spec import SERVICE_MIB, ClientSide, ServiceName
from migrationlab.plan.plan import Plan
from migrationlab.runs.run import Outcome, Run
from migrationlab.runs.store import load_run, save_run

pytestmark = pytest.mark.lab


def served(
    lab: Lab, service: ServiceName, requests_s: float, side: ClientSide = "outside"
) -> Guest:
    """Boot a guest with a service, and with little else to do."""
    return lab.boot(
        service=service,
        requests_s=requests_s,
        connections=2,
        client_side=side,
        memory_mib=8 + 80 + SERVICE_MIB[service] + 24,
        working_set_mib=8,
        dirty_mib_s=1,
    )


def migrated(guest: Guest) -> Run:
    """Migrate a guest, and check that the migration and its clients ended well."""
    run = migrate(guest, to=guest.other_host, plan=Plan(deadline_s=60))
    assert (run.outcome, run.error) == (Outcome.COMPLETED, None)
    assert "requests" in (run.instruments or ())
    return run


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("service", "side"),
    [
        ("redis", "outside"),
        pytest.param("nginx", "source", marks=pytest.mark.thorough),
        pytest.param("postgresql", "destination", marks=pytest.mark.thorough),
    ],
)
def test_service_keeps_every_acknowledged_write(
    lab: Lab, service: ServiceName, side: ClientSide, tmp_path: Path
) -> None:
    """Clients keep their connections over a migration, and every acknowledged write is there."""
    guest = served(lab, service, 20, side)
    try:
        run = migrated(guest)
    finally:
        guest.destroy()
    check = run.service_check
    assert check is not None
    assert (check["service"], run.guest["client_side"]) == (service, side)
    assert check["acknowledged_writes"] > 0
    assert (check["intact"], check["lost_writes"], check["connections_kept"]) == (True, 0, True)
    view = run.service()
    # A machine that is too busy for this rate leaves the last requests unsent, which are no loss.
    sent = run.requests[run.requests["attempts"] > 0]
    assert (sent["attempts"] == 1).all()
    assert sent["answered_ns"].notna().all()
    assert view.failed == len(run.requests) - len(sent)
    assert list(view.parts["part"]) == ["before", "during", "after"]
    assert (view.parts["requests"] > 0).all()
    # The clients noticed the pause: its length in QEMU's events is the least they can see.
    assert view.downtime_service_ms is not None
    event = run.timeline().downtime_event_ms
    assert event is not None
    assert view.downtime_service_ms >= event - 1
    summary = run.summary()
    assert summary["downtime_service_ms"] == view.downtime_service_ms
    assert summary["service_intact"] is True
    again = load_run(save_run(run, tmp_path))
    assert again.requests.equals(run.requests)
    assert again.service_check == run.service_check


@pytest.fixture(scope="module")
def redis(lab: Lab) -> Iterator[Guest]:
    """Boot a guest with Redis for several tests."""
    guest = served(lab, "redis", 20)
    yield guest
    guest.destroy()


@pytest.fixture
def spec(redis: Guest) -> Iterator[BootedSpec]:
    """Give the spec of that guest, and set it back after a test that changed it."""
    kept = redis.spec
    yield kept
    redis.spec = kept


@pytest.mark.thorough
@pytest.mark.timeout(200)
def test_failure_of_the_clients_fails_no_migration(redis: Guest, spec: BootedSpec) -> None:
    """A service that refuses its clients leaves a warning, and the guest moves all the same."""
    redis.spec = dataclasses.replace(spec, service="nginx")
    run = migrate(redis, to=redis.other_host, plan=Plan(deadline_s=60))
    assert (run.outcome, run.service_check, len(run.requests)) == (Outcome.COMPLETED, None, 0)
    (warning,) = [text for text in run.warnings if "service" in text]
    assert "Connection refused" in warning


@pytest.mark.thorough
@pytest.mark.timeout(200)
def test_clients_that_die_midway_fail_no_migration(redis: Guest) -> None:
    """The clients' process is killed while the guest migrates: a warning is all that follows."""
    migration = start(redis, to=redis.other_host, plan=Plan(deadline_s=60))
    (clients,) = (
        child
        for child in psutil.Process().children()
        if "migrationlab.lab.service_program" in child.cmdline()
    )
    clients.kill()
    run = migration.wait()
    assert (run.outcome, run.service_check, len(run.requests)) == (Outcome.COMPLETED, None, 0)
    (warning,) = [text for text in run.warnings if "service" in text]
    assert warning.startswith("the service's clients left no record")


@pytest.mark.thorough
@pytest.mark.timeout(200)
def test_rates_that_a_guest_cannot_reach_are_told(redis: Guest, spec: BootedSpec) -> None:
    """Of memory and of requests the run says what was asked for and what was reached."""
    redis.spec = dataclasses.replace(spec, requests_s=20_000)
    redis.set_workload(100_000)
    try:
        run = migrated(redis)
    finally:
        redis.set_workload(1)
    told = "\n".join(run.warnings)
    assert re.search(r"was asked for 100000 MiB/s, and reached \d+\.\d MiB/s", told)
    assert re.search(r"cannot keep up: \d+ requests/s were due .* and \d+ requests/s were", told)


@pytest.mark.thorough
@pytest.mark.timeout(200)
def test_service_that_ends_shows_its_last_words(lab: Lab) -> None:
    """A service that does not come up is an error with the end of the console; no guest is left."""
    before = len(lab.guests)
    root = image.path_of(lab.images[0])
    files = service_image.ensure(service_image.services()["redis"], root)
    broken = lab.files.guests / "initramfs-redis"
    broken.unlink(missing_ok=True)
    # The real server, with an option that it does not know.
    content = files.archive.read_bytes()
    assert content.count(b"--appendonly no") == 1
    base = boot_files.ensure(root).initramfs.read_bytes()
    broken.write_bytes(base + content.replace(b"--appendonly no", b"--appendonly ??"))
    try:
        with pytest.raises(LabError, match="argument must be 'yes' or 'no'"):
            served(lab, "redis", 20)
    finally:
        broken.unlink()
    assert len(lab.guests) == before


def test_too_little_memory_for_a_service_is_refused_before_boot(lab: Lab) -> None:
    """The error names the memory that is needed; nothing was started."""
    before = len(lab.guests)
    with pytest.raises(GuestError, match=r"memory_mib must be at least 444 .*postgresql.*got 256"):
        lab.boot(service="postgresql")
    assert len(lab.guests) == before
