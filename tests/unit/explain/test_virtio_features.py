"""The virtio features that QEMU refuses are named."""

from __future__ import annotations

import pytest

from migrationlab.explain import explain
from migrationlab.explain.virtio_features import refused


@pytest.mark.parametrize(
    ("used", "allowed", "behind", "named"),
    [
        (
            "1c0010130afffaf",
            "10179bfffef",
            "failed to load virtio-net:virtio",
            "GUEST_USO4 (bit 54), GUEST_USO6 (bit 55), HOST_USO (bit 56)",
        ),
        (
            "130000002",
            "179000000",
            "error while loading state of device '0000:00:05.0/virtio-vhost_vsock'",
            "SEQPACKET (bit 1)",
        ),
        ("10130afffa7", "179bfffe7", "", "RING_RESET (bit 40)"),
        ("2000", "0", "failed to load virtio-blk:virtio", "DISCARD (bit 13)"),
        ("2000", "0", "", "bit 13"),
        ("1", "1", "", ""),
    ],
)
def test_the_missing_features_are_named(used: str, allowed: str, behind: str, named: str) -> None:
    """A bit's name depends on the device in the next line; a bit without a name is a number."""
    text = f"features 0x{used} unsupported. allowed features: 0x{allowed}\nqemu-kvm: {behind}"
    assert refused(text) == named


def test_other_texts_have_none() -> None:
    """A message with one number only names nothing."""
    assert refused("features 0x130afffa7 unsupported") == ""


def test_the_answer_names_them() -> None:
    """The names stand behind the cause."""
    found = explain(
        "qemu-kvm: Features 0x1304ffba7 unsupported. Allowed features: 0x1700ffbe7\n"
        "qemu-kvm: Failed to load virtio-net:virtio"
    )
    assert found.cause.endswith("; here the destination lacks MQ (bit 22)")
    assert found.id == "virtio-features-differ"
