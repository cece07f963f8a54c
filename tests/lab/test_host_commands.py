"""Tests of lesson 02's commands on the hosts of a lab."""

from __future__ import annotations

import pytest

from migrationlab.course.exercises.lesson_02 import OWN
from migrationlab.course.host_commands import HOST_COMMANDS, LiveHosts
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab

pytestmark = pytest.mark.lab
#: Commands that name the guest; in a shared lab it may have another name.
OF_THE_GUEST = {"guest", "cards", "time"}


def test_both_hosts_run_each_command(lab: Lab, guest: Guest) -> None:
    """Both hosts run each command of the list, and the command has an output."""
    hosts = LiveHosts(lab)
    for name in hosts.names:
        for command in HOST_COMMANDS:
            if command.key not in OF_THE_GUEST:
                answer = hosts.ask(name, command.key)
                assert answer.status == 0, (name, command, answer)
                assert answer.text
    assert guest.name in hosts.ask(guest.host.name, "guests").text


def test_hosts_differ_in_the_namespaces_of_the_exercise(lab: Lab) -> None:
    """Two hosts differ in exactly the namespaces that the exercise asks for."""
    hosts = LiveHosts(lab)
    one, other = (hosts.ask(name, "namespaces").text.splitlines() for name in hosts.names)
    differ = {
        ours.partition(":")[0] for ours, theirs in zip(one, other, strict=True) if ours != theirs
    }
    assert differ == OWN
