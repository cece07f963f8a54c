"""Write a guest's domain XML, and read the guest's spec back from it.

The domain XML holds the spec of a lab's guest, as metadata of migrationlab's namespace. So any
process finds the guest again on either host.
"""

from __future__ import annotations

import dataclasses
import json
from xml.etree import ElementTree as ET

from defusedxml.ElementTree import fromstring

from migrationlab.hosts.monitor import QEMU_NAMESPACE
from migrationlab.lab.booted_spec import PAGES_PER_MIB, BootedSpec, pages_per_second
from migrationlab.lab.layout import (
    BEAT_PORT,
    CONTROL_PORT,
    GUESTS_AT_HOST,
    LAN_PREFIX,
    OBSERVER,
    OBSERVER6,
    PREFIX6,
    guest_address,
)
from migrationlab.plan.phases import read_phases
from migrationlab.plan.spec import of_record

NAMESPACE = "urn:migrationlab:guest"
#: The events in QEMU's log; ``capture`` reads them. This is a pattern because a QEMU without such
#: events complains of a plain name.
TRACED = "vmstate_downtime_checkpoin*"
#: Steps of the boot that a guest of the lab does not need; each takes long under TCG, together
#: about a second.
QUICKER = (
    "mitigations=off tsc=reliable cryptomgr.notests "
    "initcall_blacklist=jent_mod_init,trace_eval_init,load_system_certificate_list"
)
ONE_PROCESSOR = "nosmp noreplace-smp"
#: The workload takes shares in millionths.
MILLION = 1_000_000
#: The modes of a cpu element. Any other name is that of a model.
CPU_MODES = ("host-model", "host-passthrough", "maximum")


def domain_xml(spec: BootedSpec, uuid: str) -> str:
    """Return the domain XML of a guest."""
    settings = _workload(spec) | {
        "guest": spec.number,
        "address": f"{guest_address(spec.number)}/{LAN_PREFIX}",
        "observer": OBSERVER6 if spec.ip == "ipv6" else OBSERVER,
        "beat_port": BEAT_PORT,
        "control_port": CONTROL_PORT,
    }
    if spec.ip == "ipv6":
        settings["address6"] = f"{guest_address(spec.number, spec.ip)}/{PREFIX6}"
    words = " ".join(f"migrationlab.{name}={value}" for name, value in settings.items())
    one = ONE_PROCESSOR if spec.vcpus == 1 else ""
    if spec.ip == "ipv4":
        one += " ipv6.disable=1"
    domain: ET.Element = fromstring(f"""
<domain type='{"kvm" if spec.accelerator == "kvm" else "qemu"}'>
  <name>{spec.name}</name>
  <uuid>{uuid}</uuid>
  <metadata><m:guest xmlns:m='{NAMESPACE}'/></metadata>
  <memory unit='MiB'>{spec.memory_mib}</memory>
  <vcpu>{spec.vcpus}</vcpu>
  {_placement(spec)}
  <os>
    <type arch='x86_64' machine='{spec.machine}'>hvm</type>
    <kernel>{GUESTS_AT_HOST}/kernel</kernel>
    <initrd>{GUESTS_AT_HOST}/{initramfs_name(spec)}</initrd>
    <cmdline>console=ttyS0 quiet oops=panic {one} {QUICKER} {words}</cmdline>
  </os>
  <features><acpi/>{_dirty_ring(spec)}</features>
  {_cpu(spec)}
  <on_reboot>destroy</on_reboot>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    {_disk(spec)}
    <interface type='bridge'>
      <mac address='52:54:00:11:0b:{spec.number:02x}'/>
      <source bridge='lan'/>
      <model type='{spec.network_model}'/>
    </interface>
    <serial type='file'><source path='{GUESTS_AT_HOST}/{spec.name}.console' append='on'/></serial>
    <memballoon model='none'/>
  </devices>
  <q:commandline xmlns:q='{QEMU_NAMESPACE}'>
    <q:arg value='-trace'/>
    <q:arg value='{TRACED}'/>
  </q:commandline>
</domain>""")
    element = domain.find(f"metadata/{{{NAMESPACE}}}guest")
    assert element is not None
    element.text = json.dumps(dataclasses.asdict(spec))
    return ET.tostring(domain, encoding="unicode")


def _workload(spec: BootedSpec) -> dict[str, object]:
    """Return the settings of the workload, as payload/workload.c takes them."""
    phases = read_phases(spec.phases) if spec.phases is not None else ()
    settings: dict[str, object] = {
        "pages": spec.working_set_mib * PAGES_PER_MIB,
        "fill_pages": spec.fill_mib * PAGES_PER_MIB,
        "rate": pages_per_second(spec.dirty_mib_s),
        "pattern": spec.pattern,
        "hot_pages": round(spec.hot_memory_percent / 100 * MILLION),
        "hot_writes": round(spec.hot_writes_percent / 100 * MILLION),
        "noise": spec.noise_words,
        "fresh": spec.fresh,
        "writers": spec.writers or spec.vcpus,
        "huge": int(spec.huge_pages),
        "phases": ",".join(
            f"{round(phase.share * MILLION)}"
            + ("" if phase.lasts_ms is None else f":{phase.lasts_ms}")
            for phase in phases
        ),
    }
    if spec.disk:
        settings["disk_rate"] = pages_per_second(spec.disk_mib_s)
    return settings


def initramfs_name(spec: BootedSpec) -> str:
    """Return the name of a guest's initramfs: one with its service, if it has one."""
    return f"initramfs-{spec.service}" if spec.service else "initramfs"


def _cpu(spec: BootedSpec) -> str:
    # A TCG guest has a CPU that any host can emulate.
    cpu = spec.cpu or ("host-model" if spec.accelerator == "kvm" else "qemu64")
    if cpu in CPU_MODES:
        return f"<cpu mode='{cpu}'/>"
    return f"<cpu mode='custom' match='exact'><model>{cpu}</model></cpu>"


def _placement(spec: BootedSpec) -> str:
    pins = [] if spec.vcpu_pins is None else spec.vcpu_pins.split(",")
    lines = "".join(f"<vcpupin vcpu='{n}' cpuset='{int(pin)}'/>" for n, pin in enumerate(pins))
    tune = f"<cputune>{lines}</cputune>" if lines else ""
    if spec.numa_node is None:
        return tune
    return f"{tune}<numatune><memory mode='strict' nodeset='{spec.numa_node}'/></numatune>"


def _dirty_ring(spec: BootedSpec) -> str:
    if spec.dirty_ring is None:
        return ""
    return f"<kvm><dirty-ring state='on' size='{spec.dirty_ring}'/></kvm>"


def _disk(spec: BootedSpec) -> str:
    if spec.disk is None:
        return ""
    asked = spec.disk_queue_size
    queue = "" if asked is None else f" queue_size='{asked}'"
    return f"""
    <disk type='file' device='disk'>
      <driver name='qemu' type='{"qcow2" if spec.disk == "local" else "raw"}'
              cache='{spec.disk_cache}'{queue}/>
      <source file='{spec.disk_path}'/>
      <target dev='vda' bus='virtio'/>
    </disk>"""


def spec_from(metadata: str) -> BootedSpec:
    """Return a guest's spec from its domain's metadata of :data:`NAMESPACE`."""
    return of_record(BootedSpec, json.loads(fromstring(metadata).text or "{}"))
