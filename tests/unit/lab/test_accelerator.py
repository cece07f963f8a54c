"""What is known of KVM without booting anything."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from migrationlab.lab import accelerator
from migrationlab.lab.accelerator import KvmVerdict, known_verdict

ROOT = Path("/images/trixie-0123456789ab")


@pytest.fixture(autouse=True)
def device(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a KVM device that this user may open."""
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(accelerator, "DEVICE", device)
    return device


def keep(about: list[str], verdict: KvmVerdict) -> None:
    """Write down a verdict as a trial before would have."""
    accelerator._file(ROOT).write_text(json.dumps({"about": about, "verdict": asdict(verdict)}))


def test_without_a_device_there_is_nothing_to_try(device: Path) -> None:
    """Where there is no /dev/kvm no guest boots with it, whatever was found out before."""
    keep(accelerator._about(ROOT), KvmVerdict(boots=True))
    device.unlink()
    assert known_verdict(ROOT) == KvmVerdict(boots=False, reason="there is no /dev/kvm")


def test_a_device_that_may_not_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this user may not open it no guest boots with it."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may open everything
    verdict = known_verdict(ROOT)
    assert verdict == KvmVerdict(boots=False, reason="this user has no access to /dev/kvm")


def test_a_machine_never_tried_on_is_unknown() -> None:
    """With a device and no trial so far, only a trial can tell."""
    assert known_verdict(ROOT) is None


@pytest.mark.parametrize(
    "verdict",
    [
        KvmVerdict(boots=True),
        KvmVerdict(boots=False, reason="QEMU failed: failed to initialize kvm"),
    ],
)
def test_a_verdict_is_kept(verdict: KvmVerdict) -> None:
    """A verdict holds, with its reason, as long as nothing that it depends on changes."""
    keep(accelerator._about(ROOT), verdict)
    assert known_verdict(ROOT) == verdict


@pytest.mark.parametrize("changed", range(4))
def test_a_verdict_ends_with_its_machine(changed: int) -> None:
    """After a reboot, and with another kernel, image or user, a new trial is due."""
    about = accelerator._about(ROOT)
    about[changed] += "-before"
    keep(about, KvmVerdict(boots=False, reason="then"))
    assert known_verdict(ROOT) is None


@pytest.mark.parametrize("text", ["", "{", "{}"])
def test_a_damaged_verdict_is_none(text: str) -> None:
    """A file that says nothing is as good as none."""
    accelerator._file(ROOT).write_text(text)
    assert known_verdict(ROOT) is None
