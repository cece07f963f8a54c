"""The lengths of virtqueues, as a QEMU tells them that is started for the question."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from migrationlab.hosts import virtqueues
from migrationlab.hosts.host import Host
from migrationlab.hosts.shell import Shell
from migrationlab.hosts.virtqueues import VirtioDevice

DISK = VirtioDevice("virtio-disk0", "virtio-blk", (("queue-size", "1024"),))
CARD = VirtioDevice("net0", "virtio-net")
#: Answers like a QEMU that gives the first two queues of a network card 256 entries, its third 64,
#: and a disk's one queue what was asked for.
QEMU = """\
#!/bin/sh
echo "$@" >"$0.arguments"
echo '{"QMP": {}}'
while read -r line; do
    case $line in
    *net0*'"queue": 2'*) entries=64 ;;
    *net0*'"queue": '[01]*) entries=256 ;;
    *virtio-disk0*'"queue": 0'*) entries=1024 ;;
    *peripheral*) echo '{"error": {"class": "GenericError"}}'; continue ;;
    *) echo '{"return": {}}'; continue ;;
    esac
    echo "{\\"return\\": {\\"vring-num\\": $entries}}"
done
"""


@pytest.fixture
def host(emulator: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Give a host whose shell is this machine's."""
    with closing(Host("test:///default", name="node1", shell=Shell(("env",)))) as made:
        known = f"<guest><arch><emulator>{emulator}</emulator></arch></guest>"
        monkeypatch.setattr(made, "capabilities", lambda: f"<capabilities>{known}</capabilities>")
        yield made


@pytest.fixture
def emulator(tmp_path: Path) -> Path:
    """Give a program that answers like a QEMU."""
    program = tmp_path / "qemu"
    program.write_text(QEMU)
    program.chmod(0o700)
    return program


def test_qemu_is_asked_with_the_domains_own_devices(host: Host, emulator: Path) -> None:
    """Each device is made with what its XML asks for, and has its own answer."""
    found = virtqueues.host_queues(host, "pc-q35-10.0", str(emulator), (DISK, CARD))
    assert found == {"virtio-disk0": (1024,), "net0": (256, 256, 64)}
    arguments = Path(f"{emulator}.arguments").read_text()
    assert "-blockdev null-co,node-name=disk0" in arguments
    assert "-device virtio-blk-pci,id=virtio-disk0,drive=disk0,queue-size=1024" in arguments
    assert arguments.endswith("-device virtio-net-pci,id=net0\n")
    assert "-machine pc-q35-10.0,accel=tcg" in arguments


def test_qemu_that_does_not_answer_is_not_known(host: Host, emulator: Path) -> None:
    """A QEMU that ends at once, and a host without a shell, give no lengths."""
    emulator.write_text("#!/bin/sh\nexit 1\n")
    assert virtqueues.host_queues(host, "pc-q35-10.0", str(emulator), (DISK,)) is None
    host.shell = None
    assert virtqueues.host_queues(host, "pc-q35-10.0", str(emulator), (DISK,)) is None


def test_program_that_the_domain_names_is_not_run(
    host: Host, emulator: Path, tmp_path: Path
) -> None:
    """The XML comes from the other host: only a QEMU that this host's libvirtd knows is started."""
    other = tmp_path / "evil"
    other.write_text(f"#!/bin/sh\ntouch {tmp_path}/done\n")
    other.chmod(0o700)
    assert virtqueues.host_queues(host, "pc-q35-10.0", str(other), (DISK,)) is None
    assert not (tmp_path / "done").exists()
    assert virtqueues.host_queues(host, "pc-q35-10.0", str(emulator), (DISK,)) is not None


@pytest.mark.parametrize(
    ("machine", "device"),
    [
        ("pc,firmware=/etc/shadow", DISK),
        ("-S", VirtioDevice("a,romfile=/etc/shadow", "virtio-net")),
        ("pc", VirtioDevice("net0", "virtio-net", (("rx_queue_size", "256,romfile=/x"),))),
        ("pc", VirtioDevice("net0\n", "virtio-net")),
    ],
)
def test_words_of_the_domain_are_no_options_of_qemu(
    host: Host, emulator: Path, machine: str, device: VirtioDevice
) -> None:
    """A comma would begin another option of a QEMU on the destination."""
    assert virtqueues.host_queues(host, machine, str(emulator), (device,)) is None
    assert not Path(f"{emulator}.arguments").exists()


@pytest.mark.parametrize(
    "answer",
    ["{", "{" * 100_000, '{"return": 5}', '{"return": {"vring-num": "x"}}', '{"return": {}}', "\0"],
    ids=["cut", "nested", "number", "word", "empty", "nul"],
)
def test_other_answers_are_not_known(host: Host, emulator: Path, answer: str) -> None:
    """A program can print anything."""
    emulator.write_text("#!/bin/sh\ncat <<'END'\n" + f"{answer}\n" * 9 + "END\n")
    assert virtqueues.host_queues(host, "pc-q35-10.0", str(emulator), (DISK,)) is None


def test_each_device_is_compared_with_its_counterpart() -> None:
    """A disk with a longer queue does not hide another disk, and a shorter queue is no problem."""
    other = VirtioDevice("virtio-disk1", "virtio-blk")
    guest = {"virtio-disk0": (1024,), "virtio-disk1": (1024,), "net0": (128, 256)}
    there = {"virtio-disk0": (1024,), "virtio-disk1": (256,), "net0": (256, 256, 64)}
    assert virtqueues.longer((DISK, CARD), guest, there) == ""
    assert virtqueues.longer((DISK, other, CARD), guest, there) == (
        "queue 0 of virtio-blk has 1024 entries, the destination allows 256"
    )
