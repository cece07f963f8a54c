"""Name the virtio features that QEMU refuses in a guest's state.

QEMU gives two numbers only: the features that the guest uses, and those that this QEMU allows.
The bits that only the first one has are the reason. What they mean depends on the device, whose
name stands in a line behind (Linux include/uapi/linux/virtio_config.h, virtio_net.h and others).
"""

from __future__ import annotations

import re

_REFUSED = re.compile(
    r"features 0x([0-9a-f]{1,16}) unsupported\. allowed features: 0x([0-9a-f]{1,16})"
)
#: The device in a line behind: its name in QEMU, without "virtio-" or "vhost-" before it.
_DEVICE = re.compile(r"(?:failed to load |/)(?:virtio-|vhost-)+(?:vhost_)?([a-z0-9]+)")
#: How far behind the numbers the device's name may stand, in characters.
_REACH = 2_000

#: Bits that every virtio device has.
_TRANSPORT = {
    24: "NOTIFY_ON_EMPTY",
    27: "ANY_LAYOUT",
    28: "RING_INDIRECT_DESC",
    29: "RING_EVENT_IDX",
    32: "VERSION_1",
    33: "ACCESS_PLATFORM",
    34: "RING_PACKED",
    35: "IN_ORDER",
    36: "ORDER_PLATFORM",
    37: "SR_IOV",
    38: "NOTIFICATION_DATA",
    40: "RING_RESET",
}
#: Bits of one kind of device.
_DEVICES = {
    "net": {
        0: "CSUM",
        1: "GUEST_CSUM",
        2: "CTRL_GUEST_OFFLOADS",
        3: "MTU",
        5: "MAC",
        7: "GUEST_TSO4",
        8: "GUEST_TSO6",
        9: "GUEST_ECN",
        10: "GUEST_UFO",
        11: "HOST_TSO4",
        12: "HOST_TSO6",
        13: "HOST_ECN",
        14: "HOST_UFO",
        15: "MRG_RXBUF",
        16: "STATUS",
        17: "CTRL_VQ",
        18: "CTRL_RX",
        19: "CTRL_VLAN",
        20: "CTRL_RX_EXTRA",
        21: "GUEST_ANNOUNCE",
        22: "MQ",
        23: "CTRL_MAC_ADDR",
        54: "GUEST_USO4",
        55: "GUEST_USO6",
        56: "HOST_USO",
        57: "HASH_REPORT",
        60: "RSS",
        61: "RSC_EXT",
        62: "STANDBY",
        63: "SPEED_DUPLEX",
    },
    "blk": {
        1: "SIZE_MAX",
        2: "SEG_MAX",
        4: "GEOMETRY",
        5: "RO",
        6: "BLK_SIZE",
        9: "FLUSH",
        10: "TOPOLOGY",
        11: "CONFIG_WCE",
        12: "MQ",
        13: "DISCARD",
        14: "WRITE_ZEROES",
    },
    "scsi": {0: "INOUT", 1: "HOTPLUG", 2: "CHANGE", 3: "T10_PI"},
    "balloon": {
        0: "MUST_TELL_HOST",
        1: "STATS_VQ",
        2: "DEFLATE_ON_OOM",
        3: "FREE_PAGE_HINT",
        4: "PAGE_POISON",
        5: "REPORTING",
    },
    "vsock": {1: "SEQPACKET"},
}


def refused(text: str) -> str:
    """Return the features that QEMU's message says the destination lacks; empty if it says none.

    Args:
        text: The message in small letters, with the lines behind it.
    """
    found = _REFUSED.search(text)
    if not found:
        return ""
    used, allowed = (int(number, 16) for number in found.groups())
    device = _DEVICE.search(text, found.end(), found.end() + _REACH)
    names = _TRANSPORT | _DEVICES.get(device[1] if device else "", {})
    lacking = [bit for bit in range(64) if (used & ~allowed) >> bit & 1]
    return ", ".join(
        f"{names[bit]} (bit {bit})" if bit in names else f"bit {bit}" for bit in lacking
    )
