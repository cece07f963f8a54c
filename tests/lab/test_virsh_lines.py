"""What read_call says of a virsh line is what virsh and real daemons do with it.

virsh runs on a host of the lab, with a tiny domain that boots nothing.
"""

from __future__ import annotations

import resource

import pytest

from migrationlab.hosts.program import ProgramResult
from migrationlab.lab import namespaces
from migrationlab.lab.lab import Lab
from migrationlab.plan.read_call import read_call

pytestmark = [pytest.mark.lab, pytest.mark.thorough, pytest.mark.timeout(300)]

IMAGE = "/var/tmp/virsh-line.qcow2"
DOMAIN = f"""\
<domain type="qemu">
  <name>tiny</name>
  <uuid>6a7d1f0e-52c6-4d4e-9d52-1f6a5b1c7e17</uuid>
  <memory unit="MiB">16</memory>{{limit}}
  <vcpu>1</vcpu>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="qcow2"/>
      <source file="{IMAGE}"/>
      <target dev="vda" bus="virtio"/>
    </disk>
    <controller type="usb" model="none"/>
    <memballoon model="none"/>
  </devices>
</domain>
"""
THERE = "qemu+tcp://host-b/system"
REMOTE = "virsh -c qemu+tcp://host-a/system migrate --live --unsafe"
#: The host where virsh runs, the line, and what virsh answers; empty if the migration completes.
LINES = [
    # Port 0 is no port, but not in the old form of a migration URI.
    ("a", f"virsh migrate --live --unsafe --migrateuri tcp://host-b:0 tiny {THERE}", ""),
    ("a", f"virsh migrate --live --unsafe --p2p --migrateuri tcp://host-b:0 tiny {THERE}", ""),
    (
        "a",
        f"virsh migrate --live --unsafe --migrateuri tcp:host-b:0 tiny {THERE}",
        "Unable to parse URI tcp://host-b:0:49",
    ),
    ("a", "virsh migrate --live --unsafe tiny qemu+tcp://host-b:0/system", ""),
    ("a", f"virsh migrate --live --copy-storage-all --disks-uri tcp://host-b:0 tiny {THERE}", ""),
    # virsh on the destination: its own libvirtd is the destination's.
    ("b", f"{REMOTE} tiny qemu:///system", ""),
    ("b", f"{REMOTE} --migrateuri tcp://host-b tiny qemu+unix:///system", ""),
    ("b", f"{REMOTE} tiny qemu+tcp://localhost/system", ""),
    ("b", f"{REMOTE} --p2p tiny qemu:///system", "Attempt to migrate guest to the same host"),
    ("b", f"{REMOTE} --migrateuri tcp://localhost tiny qemu:///system", "Connection refused"),
    ("a", "virsh migrate --live --unsafe tiny qemu:///system", "migrate guest to the same host"),
    # The source's QEMU connects to the disks' URI.
    (
        "a",
        f"virsh migrate --live --copy-storage-all --disks-uri tcp://0.0.0.0:49300 tiny {THERE}",
        "Failed to connect to '0.0.0.0:49300'",
    ),
    # What virsh itself reads otherwise than one may think.
    ("a", f"virsh migrate --live --unsafe --bandwidth 0 --disks-port 0 tiny {THERE}", ""),
    ("a", f"virsh migrate --live --unsafe --comp-methods xbzrle tiny {THERE}", ""),
    ("a", f"virsh migrate tiny {THERE} tcp://host-b --live --unsafe", ""),
    ("a", f"virsh migrate --live --live tiny {THERE}", "option --live already seen"),
    ("a", f"virsh migrate --live=yes tiny {THERE}", "invalid '=' after option --live"),
    ("a", f"virsh migrate --liv tiny {THERE}", "doesn't support option --liv"),
    ("a", f"virsh migrate --live --bandwidth 1G tiny {THERE}", "Numeric value '1G'"),
    ("a", f"virsh migrate --timeout 5 tiny {THERE}", "Unexpected timeout for offline migration"),
    ("a", f"virsh migrate --live --timeout-suspend tiny {THERE}", "without --timeout"),
    ("a", f"virsh migrate --live --timeout 5 --timeout-postcopy tiny {THERE}", "--postcopy is req"),
    ("a", f"virsh migrate --live --unsafe --direct tiny {THERE}", "direct migration is not supp"),
    ("a", "virsh migrate --live tiny", "requires <desturi> option"),
    (
        "a",
        f"virsh migrate --live --unsafe --compressed --comp-methods mt tiny {THERE}",
        "'compress' is not supported by QEMU",
    ),
    ("a", f"virsh -r migrate --live tiny {THERE}", "read only access"),
]


@pytest.fixture(scope="module")
def images(lab: Lab) -> None:
    """Make the domain's image on both hosts."""
    for host in lab.hosts:
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", IMAGE, "1M"]
        namespaces.run([*lab.rack.in_host(host.name), *argv])


def migrate(lab: Lab, where: str, line: str, *, limit: str = "") -> ProgramResult:
    """Run a line on a host, with the domain on host-a before and nowhere after it."""
    lab.host_a.create(DOMAIN.format(limit=limit))
    shell = (lab.host_a if where == "a" else lab.host_b).shell
    assert shell is not None
    try:
        return shell.run("timeout", "60", "sh", "-c", line, timeout_s=80)
    finally:
        for host in lab.hosts:
            for name in {"tiny"} & {*host.domain_names()}:
                host.destroy(name)


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(("where", "line", "answer"), LINES)
def test_virsh_does_what_read_call_says(lab: Lab, where: str, line: str, answer: str) -> None:
    """A line without problems completes; a line with problems is refused."""
    call = read_call(line)
    problems = call.problems(source="host-a", destination="host-b")
    result = migrate(lab, where, line)
    assert bool(result.status) is bool(answer), result
    assert answer in result.text
    assert bool(problems) is bool(answer), problems


@pytest.mark.usefixtures("images")
def test_libvirt_does_not_refuse_to_copy_disks_beside_rdma(lab: Lab) -> None:
    """Both daemons take a plan of RDMA with disks: only the network card is missing here."""
    line = f"virsh migrate --live --copy-storage-all --migrateuri rdma://host-b tiny {THERE}"
    assert not read_call(line).problems(source="host-a", destination="host-b")
    # libvirt asks for a limit, and a process may not raise its own.
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    kib = 1024 * 1024 if soft == resource.RLIM_INFINITY else soft // 1024
    limit = f'<memtune><hard_limit unit="KiB">{kib}</hard_limit></memtune>'
    assert "could not create rdma event channel" in migrate(lab, "a", line, limit=limit).text
    assert "no memory hard limit set" in migrate(lab, "a", line).text
