"""Tests of the verdict on KVM that needs no boot."""

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
    """Return a KVM device that this user may open."""
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(accelerator, "DEVICE", device)
    return device


def store(about: list[str], verdict: KvmVerdict) -> None:
    """Write the cached verdict of an earlier trial."""
    accelerator._file(ROOT).write_text(json.dumps({"about": about, "verdict": asdict(verdict)}))


def test_missing_device_needs_no_trial(device: Path) -> None:
    """Without /dev/kvm no guest boots with KVM, whatever the cached verdict is."""
    store(accelerator._about(ROOT), KvmVerdict(boots=True))
    device.unlink()
    assert known_verdict(ROOT) == KvmVerdict(boots=False, reason="there is no /dev/kvm")


def test_device_without_access_needs_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without access to /dev/kvm no guest boots with KVM."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may open everything
    verdict = known_verdict(ROOT)
    assert verdict == KvmVerdict(boots=False, reason="this user has no access to /dev/kvm")


def test_verdict_is_unknown_before_the_first_trial() -> None:
    """With a device and no cached verdict, a trial is needed."""
    assert known_verdict(ROOT) is None


@pytest.mark.parametrize(
    "verdict",
    [
        KvmVerdict(boots=True),
        KvmVerdict(boots=False, reason="QEMU failed: failed to initialize kvm"),
    ],
)
def test_cached_verdict_is_used(verdict: KvmVerdict) -> None:
    """A cached verdict and its reason are valid while nothing changes that it depends on."""
    store(accelerator._about(ROOT), verdict)
    assert known_verdict(ROOT) == verdict


@pytest.mark.parametrize("changed", range(4))
def test_change_of_the_machine_needs_a_new_trial(changed: int) -> None:
    """After a reboot, and with another kernel, image or user, the cached verdict is not used."""
    about = accelerator._about(ROOT)
    about[changed] += "-before"
    store(about, KvmVerdict(boots=False, reason="then"))
    assert known_verdict(ROOT) is None


@pytest.mark.parametrize("text", ["", "{", "{}"])
def test_damaged_cache_is_ignored(text: str) -> None:
    """A damaged file of the verdict is treated like a missing one."""
    accelerator._file(ROOT).write_text(text)
    assert known_verdict(ROOT) is None
