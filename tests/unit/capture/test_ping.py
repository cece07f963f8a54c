"""The echo probe, on its own networks: the settings of this machine do not matter."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import pytest

from migrationlab.capture.ping import EchoProbe
from migrationlab.errors import UsageError
from migrationlab.lab import namespaces
from migrationlab.runs.schema import FRAMES

#: A network with a loopback, on which root may send echo requests; then a Python program.
NETWORK = """
ip link set lo up
echo '0 0' >/proc/sys/net/ipv4/ping_group_range
exec "$@"
"""


def apart(script: str, *words: str, network: str = NETWORK) -> str:
    """Run a Python script on a network of its own, and return what it prints."""
    done = subprocess.run(
        [*namespaces.unshare("--net"), "sh", "-c", network, "sh",
         sys.executable, "-c", script, *words],
        capture_output=True, text=True, check=False, env=namespaces.child_environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


PROBE = """
import json, sys
from migrationlab.capture.ping import EchoProbe
probe = EchoProbe(sys.argv[1], interval_s=0.005)
probe.start()
frame = probe.stop()
assert probe.stop().equals(frame)
print(json.dumps(frame.astype(int).to_dict(orient="list")))
"""


@pytest.mark.parametrize(
    "address", [pytest.param("127.0.0.1", marks=pytest.mark.thorough), "::1", "localhost"]
)
def test_every_request_is_answered(address: str) -> None:
    """On a working network every request has an answer, which arrives soon after the request."""
    found = pd.DataFrame(json.loads(apart(PROBE, address)))
    assert list(found) == list(FRAMES["echoes"])
    assert list(found["sequence"]) == list(range(len(found)))
    assert len(found) > 150
    trip = found["arrival_ns"] - found["sent_ns"]
    assert (trip > 0).all()
    assert trip.median() < 5e6


def test_schedule_is_absolute() -> None:
    """The mean period is the interval, whatever the duration of each request."""
    found = pd.DataFrame(json.loads(apart(PROBE, "127.0.0.1")))
    gaps = found["sent_ns"].diff().dropna() / 1e6
    assert gaps.median() == pytest.approx(5, abs=0.5)


LOSSES = """
import subprocess, time
from migrationlab.capture.ping import EchoProbe
probe = EchoProbe("127.0.0.1", interval_s=0.005)
probe.start()
subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
down = time.time_ns()
assert not probe._stop.wait(0.3)
up = time.time_ns()
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
assert not probe._stop.wait(0.3)
frame = probe.stop()
inside = frame[(frame.sent_ns > down) & (frame.sent_ns < up)]
print(len(inside) > 30, inside.arrival_ns.isna().all(), frame.arrival_ns.iloc[-1] > up)
"""


def test_probe_continues_after_lost_requests() -> None:
    """Without a route requests have no arrival; with the route again they have one."""
    assert apart(LOSSES).split() == ["True", "True", "True"]


ENDS = """
import subprocess, threading, time
from migrationlab.capture import ping
ping.LAST_ANSWER_S = 30.0
waiter = threading.Event()
probe = ping.EchoProbe("127.0.0.1", interval_s=0.005)
probe.start()
subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
waiter.wait(0.1)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
assert probe.answered(time.time_ns())
frame = probe.stop()
print(bool(frame.arrival_ns.isna().any()), frame.arrival_ns.notna().iloc[-1])
"""


@pytest.mark.timeout(20)
def test_end_waits_for_the_newest_answer_only() -> None:
    """The end waits for the newest answer, not for lost ones."""
    assert apart(ENDS).split() == ["True", "True"]


GIVEN = """
import socket, sys, time
from migrationlab.capture.ping import EchoProbe
opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
# As it comes from elsewhere: only its number is known.
given = socket.socket(fileno=opened.detach())
probe = EchoProbe("127.0.0.1", interval_s=0.005, opened=given)
begun = time.monotonic()
probe.begin()
at_once = time.monotonic() - begun < 0.5
heard = probe.answered(time.time_ns())
frame = probe.stop()
print(at_once, heard, bool((frame.arrival_ns > frame.sent_ns).any()), given.fileno())
"""


def test_socket_of_another_network_can_be_given() -> None:
    """The probe uses a given socket without a lead, and closes the socket at its end."""
    assert apart(GIVEN).split() == ["True", "True", "True", "-1"]


UNHEARD = """
from migrationlab.capture.ping import EchoProbe
probe = EchoProbe("192.0.2.7", interval_s=0.005)
probe.begin()
print(probe.answered(0, 0.1))
frame = probe.stop()
print(len(frame) > 3, frame.arrival_ns.isna().all())
"""


def test_without_answers_every_request_is_lost() -> None:
    """If nothing answers after ``begin``, every request is lost and no error is raised."""
    assert apart(UNHEARD).split() == ["False", "True", "True"]


REFUSED = """
import sys
from migrationlab.capture import ping
from migrationlab.errors import MigrationLabError
ping.ANSWER_TIMEOUT_S = 0.2
try:
    ping.EchoProbe(sys.argv[1]).start()
except MigrationLabError as error:
    print(type(error).__name__, error, error.hint)
"""


def test_missing_right_names_the_setting() -> None:
    """The hint names the setting if the kernel allows no echo requests."""
    said = apart(REFUSED, "127.0.0.1", network='ip link set lo up; exec "$@"')
    assert said.startswith("LabError this user may not send echo requests")
    assert 'sysctl -w net.ipv4.ping_group_range="0 2147483647"' in said


def test_silent_address_is_refused_at_once() -> None:
    """An address that does not answer is refused before the migration starts."""
    said = apart(REFUSED, "192.0.2.7")
    assert said.startswith("UsageError 192.0.2.7 does not answer echo requests")


@pytest.mark.parametrize("address", ["", "no such name", "300.1.1.1", "x" * 300, "\0"])
def test_unknown_address_is_refused(address: str) -> None:
    """A text that is neither an address nor a resolvable name is refused."""
    with pytest.raises(UsageError, match="must be an IP address or a known name"):
        EchoProbe(address)


@pytest.mark.parametrize("interval_s", [0, -1, 0.0009, 1.1, float("nan")])
def test_interval_out_of_range_is_refused(interval_s: float) -> None:
    """An interval outside the allowed range is refused."""
    with pytest.raises(UsageError, match=r"interval_s must be from 0\.001 to 1\.0"):
        EchoProbe("127.0.0.1", interval_s=interval_s)
