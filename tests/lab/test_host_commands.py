"""Looking around on the real hosts of a lab, as lesson 02 does."""

from __future__ import annotations

import pytest

from migrationlab.course.exercises.lesson_02 import OWN
from migrationlab.course.host_commands import HOST_COMMANDS, LiveHosts
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab

pytestmark = pytest.mark.lab
#: Those that name the guest, which in a shared lab may have another name.
OF_THE_GUEST = {"guest", "cards"}


def test_both_hosts_have_all_that_is_asked_for(lab: Lab, guest: Guest) -> None:
    """Each command of the list is there on both hosts, and answers."""
    hosts = LiveHosts(lab)
    for name in hosts.names:
        for look in HOST_COMMANDS:
            if look.key not in OF_THE_GUEST:
                answer = hosts.ask(name, look.key)
                assert answer.status == 0, (name, look, answer)
                assert answer.text
    assert guest.name in hosts.ask(guest.host.name, "guests").text


def test_what_separates_the_hosts_is_what_the_lesson_says(lab: Lab) -> None:
    """Two hosts differ in the namespaces that the exercise wants, and in no other."""
    hosts = LiveHosts(lab)
    one, other = (hosts.ask(name, "namespaces").text.splitlines() for name in hosts.names)
    differ = {
        ours.partition(":")[0] for ours, theirs in zip(one, other, strict=True) if ours != theirs
    }
    assert differ == OWN
