"""What a run says of the machine that recorded it."""

from __future__ import annotations

import json
import os
import platform

import pytest

from migrationlab.capture.environment import environment


def test_the_machine_is_told() -> None:
    """Kernel, processor, memory, load and versions are told, in what JSON can hold."""
    found = environment("9.0.0")
    assert json.loads(json.dumps(found)) == found
    assert found["kernel"] == os.uname().release
    assert found["cpus"] == os.cpu_count()
    assert found["python"] == platform.python_version()
    assert found["libvirt_client"] == "9.0.0"
    assert found["rootless"] is (os.geteuid() != 0)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    assert found["memory_mib"] == pytest.approx(pages, abs=1)
    for name in ("system", "cpu_model"):
        assert found[name]
    assert isinstance(found["load_1min"], float)


def test_a_machine_without_a_release_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that doesn't say what it is, is unknown: that ends no migration."""

    def missing() -> dict[str, str]:
        raise OSError("Unable to read files /etc/os-release, /usr/lib/os-release")

    monkeypatch.setattr(platform, "freedesktop_os_release", missing)
    assert environment("9.0.0")["system"] == "unknown"
