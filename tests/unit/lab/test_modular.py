"""Tests of modular daemons: what their hosts get, and the errors of a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrationlab.errors import LabError, UsageError
from migrationlab.lab import host_config, image, modular
from migrationlab.lab.lab import Lab
from migrationlab.lab.layout import LabFiles

STATUS = "Package: libvirt0\nStatus: install ok installed\n{}Version: 12.8.0-1+b1\n\nPackage: x\n"


@pytest.fixture
def root(cache: Path) -> Path:
    """Give the image of forky, with dpkg's list of packages only."""
    status = image.path_of("forky") / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text(STATUS.format("Source: libvirt (12.8.0-1)\n"))
    return image.path_of("forky")


def test_source_of_a_package_that_was_built_again(root: Path) -> None:
    """A package that was built again names its source's version."""
    assert modular.source_version(root) == "12.8.0-1"
    (root / "var/lib/dpkg/status").write_text(STATUS.format(""))
    assert modular.source_version(root) == "12.8.0-1+b1"


@pytest.mark.parametrize(
    ("program", "reason", "hint"),
    [
        (
            "echo \"E: Can not find version '12.8.0-1' of package 'libvirt'\" >&2; exit 3",
            "list no longer has the source package of libvirt 12.8.0-1",
            "migrationlab lab images remove forky",
        ),
        (
            "echo 'E: Failed to fetch http://m/x  404  Not Found' >&2; exit 3",
            "list has the source package of libvirt 12.8.0-1, but the mirror does not have its",
            'Lab(images="forky", daemons="monolithic")',
        ),
        ("echo 'E: Could not connect' >&2; exit 3", "Could not connect", "Check the network"),
        (
            "echo 'E: Release file for http://m/x is expired (invalid since 3d).' >&2; exit 100",
            "has expired, 3d ago",
            "--modular --expired-mirror",
        ),
        ("echo 'cc1: out of memory' >&2; exit 1", "cc1: out of memory", "2 GiB"),
    ],
    ids=["not listed", "no files", "no network", "expired", "compiler"],
)
def test_failed_build_leaves_nothing(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    reason: str,
    hint: str,
) -> None:
    """A failed build says why, and leaves no daemons."""
    script = tmp_path / "build.sh"
    script.write_text(program)
    monkeypatch.setattr(modular, "PROGRAM", script)
    with pytest.raises(LabError, match=reason) as caught:
        modular.ensure("forky")
    assert hint in caught.value.hint
    assert not modular.path_of("forky").exists()
    left = [path.name for path in root.parent.iterdir() if path.suffix != ".lock"]
    assert left == [root.name]


def test_each_host_has_the_settings_of_its_daemons(tmp_path: Path) -> None:
    """virtqemud has the log and the UUID, virtproxyd the ports; the other host has libvirtd."""
    files = LabFiles(tmp_path / "lab")
    files.directory.mkdir()
    host_config.write(files, ("modular", "monolithic"))
    new, old = files.host("host-a"), files.host("host-b")
    assert (new.daemon, old.daemon) == ("virtqemud", "libvirtd")
    assert (new.server, old.server) == ("virtproxyd", "libvirtd")
    assert (new.socket.name, old.socket.name) == ("virtqemud-sock", "libvirt-sock")
    qemu = (new.directory / new.config).read_text()
    proxy = (new.directory / "etc/libvirt/virtproxyd.conf").read_text()
    assert "listen_tcp" not in qemu
    assert "virtqemud.log" in qemu
    assert "listen_tcp = 1" in proxy
    uuids = [line for text in (qemu, proxy) for line in text.splitlines() if "host_uuid" in line]
    assert len(uuids) == 2
    assert len(set(uuids)) == 1
    assert "listen_tcp = 1" in (old.directory / old.config).read_text()


def test_unknown_kind_of_daemons_is_refused(cache: Path) -> None:
    """A word that is no kind of daemons is refused before anything is built."""
    with pytest.raises(UsageError, match="daemons must be monolithic or modular"):
        Lab(daemons="systemd")  # type: ignore[arg-type]
    assert not (cache / "images").exists()
