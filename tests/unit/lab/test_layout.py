"""Tests of the names, addresses and files of a lab."""

from __future__ import annotations

from dataclasses import fields
from ipaddress import ip_address, ip_network
from pathlib import Path

from migrationlab.lab import layout
from migrationlab.lab.layout import HostFiles, LabFiles


def test_addresses_on_the_lan_are_unique() -> None:
    """The observer, the hosts and every guest have their own addresses on the LAN."""
    guests = [
        layout.guest_address(number) for number in range(layout.FIRST_GUEST, layout.LAST_GUEST + 1)
    ]
    everyone = [layout.OBSERVER, *layout.LAN_ADDRESSES, *guests]
    lan = ip_network(f"{layout.OBSERVER}/{layout.LAN_PREFIX}", strict=False)
    assert len(set(everyone)) == len(everyone)
    assert set(map(ip_address, everyone)) <= set(lan.hosts())


def test_wire_is_a_separate_network() -> None:
    """The wire's network has two addresses and does not overlap the LAN."""
    (a, b) = layout.WIRE_ADDRESSES
    wire = ip_network(f"{a}/30", strict=False)
    assert set(wire.hosts()) == {ip_address(a), ip_address(b)}
    assert not wire.overlaps(ip_network(f"{layout.OBSERVER}/{layout.LAN_PREFIX}", strict=False))


def test_all_files_are_below_the_labs_folder() -> None:
    """Every file of a lab is in its folder, and no two have the same path."""
    folder = Path("/labs/one")
    lab = LabFiles(folder)
    assert [field.name for field in fields(lab)] == ["directory"]
    paths = [
        getattr(lab, name)
        for name, kind in vars(LabFiles).items()
        if isinstance(kind, layout.Below)
    ]
    hosts = [lab.host(name) for name in layout.HOST_NAMES]
    assert all(isinstance(host, HostFiles) for host in hosts)
    paths += [path for host in hosts for path in (host.directory, host.socket, host.log)]
    assert all(path.is_relative_to(folder) for path in paths)
    assert len(set(paths)) == len(paths)


def test_bridges_have_unique_mac_addresses() -> None:
    """Each bridge of the LAN has its own unicast MAC address, locally administered."""
    addresses = [layout.bridge_mac(each) for each in (layout.OBSERVER, *layout.LAN_ADDRESSES)]
    assert len(set(addresses)) == 3
    for address in addresses:
        first = int(address.partition(":")[0], 16)
        assert (first & 1, first & 2) == (0, 2)
    assert layout.bridge_mac("10.22.0.11") == "02:00:0a:16:00:0b"
