"""The explorer of error messages on real hosts, without a browser; and lesson 07's way round."""

from __future__ import annotations

import pytest

from migrationlab.course.attempts import find_attempt, load_attempts
from migrationlab.lab import faults
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate.start import migrate
from migrationlab.plan.plan import Plan
from migrationlab.plan.uris import Mode
from migrationlab.runs.run import Outcome
from migrationlab.widgets import ErrorExplorer

TIMEOUT_S = 40
pytestmark = pytest.mark.lab


def test_closed_port_gives_the_recorded_message(guest: Guest) -> None:
    """A closed port gives the recorded message in both modes, and the lab is fixed afterwards."""
    explorer = ErrorExplorer(guest)
    explorer.case.value = "port-closed"
    for mode in Mode:
        explorer.mode.value = mode
        explorer.break_button.click()
        assert explorer.wait(TIMEOUT_S)
        assert "fixed again" in explorer.status.value
        assert "Your own" in explorer.about.value
    recorded = load_attempts()
    for mode, met in zip(Mode, explorer.attempts, strict=True):
        known = find_attempt(recorded, "port-closed", mode)
        assert (met.cause_id, met.noticed_by) == (known.cause_id, known.noticed_by)
        assert met.found_at == guest.host.name
        assert met.intact
        assert any("No route to host" in line for log in met.logs for line in log.lines)
    assert faults.switched_on(guest.lab) is None
    explorer.close()


@pytest.mark.parametrize("way", ["port", pytest.param("tunnel", marks=pytest.mark.thorough)])
def test_solutions_migrate_with_closed_ports(lab: Lab, guest: Guest, way: str) -> None:
    """Each solution's plan completes although libvirt's own ports are closed."""
    to = guest.other_host
    uris = {"port": f"tcp://{to.name}:49300", "tunnel": None}
    plan = Plan(mode=Mode.PEER2PEER, migration_uri=uris[way], tunnelled=way == "tunnel")
    with lab.broken("port-closed", source=guest.host):
        run = migrate(guest, to=to, plan=plan)
    assert run.outcome is Outcome.COMPLETED, run.error
