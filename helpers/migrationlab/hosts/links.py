"""Read the speed of a host's network links, as its libvirt reports it."""

from __future__ import annotations

import libvirt

from migrationlab.errors import HostError
from migrationlab.hosts.connection import refusals
from migrationlab.hosts.host import Host
from migrationlab.plan.outside_xml import read_xml


def fastest_link_mbit_s(host: Host) -> float | None:
    """Return the speed of the fastest link that is up, in Mbit/s; None if it is not known.

    It is the speed of the cable, without what other traffic takes. A daemon without node devices
    (a modular one without virtnodedevd) does not know it.
    """
    speeds = []
    try:
        with refusals():
            devices = host.connection.listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET)
            texts = [device.XMLDesc() for device in devices]
    except HostError:
        return None
    for text in texts:
        link = read_xml(text).find("capability/link")
        if link is not None and link.get("state") == "up":
            speeds.append(float(link.get("speed") or 0))
    return max(speeds, default=0.0) or None
