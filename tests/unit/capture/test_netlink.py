"""How the kernel's answers are taken apart."""

from __future__ import annotations

import errno
import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.capture import netlink

RTM_GETLINK = 18
IFLA_IFNAME = 3


def test_dump_has_every_interface() -> None:
    """A dump of this machine's interfaces has the names of all of them."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asked:
        asked.settimeout(5)
        found = [
            netlink.attributes(body[16:])[IFLA_IFNAME].rstrip(b"\0").decode()
            for body in netlink.dump(asked, RTM_GETLINK, bytes(16))
        ]
    assert sorted(found) == sorted(name for _, name in socket.if_nameindex())


def test_refusal_is_an_error_with_its_number() -> None:
    """The error of a refusal has the kernel's error number."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asked:
        asked.settimeout(5)
        with pytest.raises(OSError, match="netlink") as caught:
            list(netlink.dump(asked, 999, b""))
    assert caught.value.errno == errno.EOPNOTSUPP


def test_acknowledgement_is_no_error() -> None:
    """A message of type error with the number 0 is an acknowledgement."""
    body = struct.pack("=i", 0) + bytes(16)
    data = netlink.HEADER.pack(16 + len(body), netlink.ERROR, 0, 1, 0) + body
    assert list(netlink.messages(data)) == [(netlink.ERROR, body)]


def test_attributes_are_read_by_type() -> None:
    """Attributes are read by type: lengths are padded to four bytes, and flags are removed."""
    data = struct.pack("=HH3sx", 7, 1, b"abc") + struct.pack("=HHI", 8, 0x8000 | 2, 5)
    assert netlink.attributes(data) == {1: b"abc", 2: struct.pack("=I", 5)}


@given(st.binary(max_size=200))
def test_garbage_is_read_within_its_length(data: bytes) -> None:
    """Invalid lengths in the data do not lead the reader past the data's end."""
    assert sum(len(value) for value in netlink.attributes(data).values()) <= len(data)
    # As many bytes as that cannot be an error of the kernel's, whose number would be raised.
    harmless = netlink.HEADER.pack(0, 0, 0, 0, os.getpid()) + data[:15]
    assert len(list(netlink.messages(harmless))) == 1
