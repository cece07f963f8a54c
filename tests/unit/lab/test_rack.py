"""Tests of the search for a host's libvirtd, with processes of the tests as the host's."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from migrationlab.lab.rack import Rack


def test_libvirtd_is_found_while_others_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host's libvirtd is found by its name, also where another process has just ended."""
    rack = Rack(pid=os.getpid(), hosts={"host-a": os.getpid()}, observer=os.getpid())
    assert rack.libvirtd("host-a") is None
    program = shutil.copy(shutil.which("cat") or "", tmp_path / "libvirtd")
    with (
        subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other,
        subprocess.Popen([program], stdin=subprocess.PIPE) as daemon,
    ):
        seen = [psutil.Process(other.pid), psutil.Process(daemon.pid)]
        other.communicate()
        with monkeypatch.context() as patch:
            patch.setattr(psutil.Process, "children", lambda _self: seen)
            found = rack.libvirtd("host-a")
        assert found == rack.libvirtd("host-a") == seen[1]
    assert rack.libvirtd("host-a") is None


def test_dead_host_is_an_error() -> None:
    """A dead host raises an error; None would mean that it has no libvirtd."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as host:
        rack = Rack(pid=os.getpid(), hosts={"host-a": host.pid}, observer=os.getpid())
    with pytest.raises(psutil.NoSuchProcess):
        rack.libvirtd("host-a")
