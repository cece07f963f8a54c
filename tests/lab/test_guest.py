"""Guests: the rate that they reach, the check of their memory, and refused guests."""

from __future__ import annotations

import time

import pandas as pd
import pytest
from defusedxml.ElementTree import fromstring

from migrationlab.capture.recorder import wait_for_beat
from migrationlab.errors import GuestError, UsageError
from migrationlab.lab import namespaces
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.plan.guest_spec import DiskKind

pytestmark = pytest.mark.lab

PAGES_PER_MIB = 256


def beats_of_the_next(guest: Guest, milliseconds: int) -> pd.DataFrame:
    """Wait for that many beats that come from now on, and return them."""
    source = guest.beat_source
    since_ns = time.time_ns()
    place = source.place()
    last_ns = since_ns
    while True:
        beats = source.read(place)
        # On a busy machine the observer may record earlier beats late, with their true time.
        beats = beats[beats["arrival_ns"] > since_ns]
        if len(beats) >= milliseconds:
            return beats
        last_ns = max([last_ns, *beats["arrival_ns"].tail(1)])
        assert wait_for_beat(source, last_ns, 5), "the beats have stopped"


def reached(beats: pd.DataFrame) -> float:
    """Return the MiB of pages that a guest wrote a second, by its own clock."""
    first, last = beats.iloc[0], beats.iloc[-1]
    pages = last["writes"] - first["writes"]
    return float(pages / PAGES_PER_MIB / ((last["guest_ns"] - first["guest_ns"]) / 1e9))


@pytest.mark.parametrize(
    "pattern", [pytest.param("sequential", marks=pytest.mark.thorough), "random"]
)
def test_workload_writes_at_its_rate(guest: Guest, pattern: str) -> None:
    """The workload writes at the set rate in both orders, and the memory is intact."""
    guest.set_workload(20, pattern)
    # A busy machine may slow a guest down, but never speeds it up.
    assert 10 < reached(beats_of_the_next(guest, 800)) < 20.5
    assert guest.check().intact


def test_workload_pauses_at_zero_and_runs_free_at_max(guest: Guest) -> None:
    """The workload writes nothing at rate 0, and at "max" far more than at a set rate."""
    guest.set_workload(0)
    assert reached(beats_of_the_next(guest, 200)) == 0
    guest.set_workload(20)
    paced = reached(beats_of_the_next(guest, 200))
    guest.set_workload("max")
    assert reached(beats_of_the_next(guest, 200)) > max(60, 3 * paced)
    assert guest.check().intact


def test_beats_are_one_a_millisecond_at_most(guest: Guest) -> None:
    """The guest sends a numbered beat each millisecond of its clock, later on a busy machine."""
    beats = beats_of_the_next(guest, 500)
    assert set(beats["sequence"].diff().dropna()) == {1}
    took_ms = (beats["guest_ns"].iloc[-1] - beats["guest_ns"].iloc[0]) / 1e6
    assert took_ms >= beats["sequence"].iloc[-1] - beats["sequence"].iloc[0] - 1


def test_check_covers_every_page(guest: Guest) -> None:
    """The check covers the whole working set, and the workload continues after it."""
    check = guest.check()
    assert check.intact
    assert check.pages == guest.spec.working_set_mib * PAGES_PER_MIB
    assert reached(beats_of_the_next(guest, 300)) > 0


@pytest.fixture(scope="module")
def smallest(lab: Lab) -> Guest:
    """Boot a guest with the minimum memory, which a later test damages and another one ends."""
    return lab.boot("smallest", memory_mib=144, working_set_mib=64, dirty_mib_s="max")


def test_smallest_guest_boots(smallest: Guest) -> None:
    """A guest with the minimum memory has room for its working set."""
    assert smallest.check().intact


def test_check_finds_one_damaged_page(smallest: Guest) -> None:
    """The check finds a page that was changed outside the workload, and counts it once."""
    smallest.set_workload(0)
    assert smallest.check().bad_pages == 0
    smallest.spoil(1023)
    check = smallest.check()
    assert not check.intact
    assert check.bad_pages == 1


@pytest.mark.parametrize("kind", [pytest.param("local", marks=pytest.mark.thorough), "shared"])
def test_disk_is_written_and_checked(lab: Lab, kind: DiskKind) -> None:
    """The check reads all blocks of a disk that the guest writes, and finds damaged ones.

    The disk is deleted on both hosts with the guest.
    """
    guest = lab.boot(
        memory_mib=128, working_set_mib=4, dirty_mib_s=0, disk=kind, disk_mib=4, disk_mib_s=2
    )
    try:
        (disk,) = guest.facts().disks
        assert (disk.target, disk.source) == ("vda", guest.spec.disk_path)
        assert disk.shared is (kind == "shared")
        check = guest.check()
        assert (check.intact, check.disk_blocks, check.bad_blocks) == (True, 4 * 256, 0)
        guest.set_workload(0, disk_mib_s=0)
        guest.spoil_block(0)
        guest.spoil_block(1023)
        check = guest.check()
        assert (check.intact, check.bad_pages, check.bad_blocks) == (False, 0, 2)
    finally:
        guest.destroy()
    for host in lab.hosts:
        enter = lab.rack.in_host(host.name)
        assert namespaces.run([*enter, "sh", "-c", f"ls {guest.spec.disk_path} || :"]) == ""


@pytest.fixture(scope="module")
def chosen(lab: Lab) -> Guest:
    """Boot a persistent guest with a chosen CPU and machine, which a later test ends."""
    return lab.boot(
        memory_mib=128, working_set_mib=4, dirty_mib_s=0, cpu="Haswell", machine="pc-q35-7.2",
        accelerator="tcg", persistent=True,
    )  # fmt: skip


def test_guest_has_the_chosen_cpu_and_machine(lab: Lab, chosen: Guest) -> None:
    """The domain has the CPU model and the machine type of the spec."""
    xml = fromstring(lab.host_a.domain(chosen.name).XMLDesc())
    assert xml.findtext("cpu/model") == "Haswell"
    assert xml.find("os/type").get("machine") == "pc-q35-7.2"


def test_persistent_guest_is_deleted(lab: Lab, chosen: Guest) -> None:
    """A persistent guest is found while it is only defined, and a destroyed one is not."""
    facts = chosen.facts()
    assert (facts.active, facts.persistent) == (True, True)
    lab.host_a.destroy(chosen.name)
    assert chosen.host is lab.host_a
    assert not chosen.facts().active
    assert chosen.uuid in [known.uuid for known in lab.guests]
    chosen.destroy()
    assert lab.host_a.find(chosen.uuid) is None


def test_paused_guest_resumes(lab: Lab, guest: Guest) -> None:
    """A paused guest is on its host, and its memory is not checked until it resumes."""
    guest.suspend()
    try:
        assert guest.paused
        assert guest.checked() is None
        assert guest.host in lab.hosts
    finally:
        guest.resume()
    assert not guest.paused
    assert guest.check().intact


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"disk": "tape"}, "disk must be"),
        ({"memory_mib": 96, "working_set_mib": 64}, "memory_mib must be at least 144"),
        ({"accelerator": "xen"}, "accelerator must be"),
        ({"on": "host-b"}, "on must be a host of this lab"),
        ({"name": "é"}, "name must be letters"),
        ({"name": "shared"}, "name must be new"),
    ],
)
def test_refused_guest_starts_nothing(
    lab: Lab, guest: Guest, wrong: dict[str, object], message: str
) -> None:
    """An impossible guest is refused with a hint, and no process starts."""
    before = [known.name for known in lab.guests]
    with pytest.raises(UsageError, match=message) as caught:
        lab.boot(**wrong)  # type: ignore[arg-type]
    assert caught.value.hint
    assert [known.name for known in lab.guests] == before


def test_hint_of_unknown_guest_names_the_known_ones(lab: Lab, guest: Guest) -> None:
    """The hint of an unknown guest has the names of the known ones."""
    with pytest.raises(GuestError, match="no guest 'ghost'") as caught:
        lab.guest("ghost")
    assert guest.name in caught.value.hint
    with pytest.raises(GuestError, match="no guest 'ghost'"):
        lab.host_a.domain("ghost")


def test_destroyed_guest_is_on_neither_host(smallest: Guest) -> None:
    """The error of a destroyed guest says that it runs on neither host."""
    smallest.destroy()
    with pytest.raises(GuestError, match="runs on neither host") as caught:
        _ = smallest.host
    assert "boot" in caught.value.hint
