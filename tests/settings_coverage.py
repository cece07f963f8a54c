"""Which live test ran each setting of a plan, and what of it cannot be shown.

The README's table of settings is made from it (``readme.py``), and a test holds that it is true.
"""

from __future__ import annotations

#: For each setting the test, beneath tests/lab, that ran it for real.
COVERED_BY: dict[str, str] = {
    "mode": "test_settings.py::test_who_dials[peer2peer]",
    "migration_uri": "test_settings.py::test_a_unix_socket_instead_of_the_network",
    "connection_uri": "test_settings.py::test_who_dials[peer2peer]",
    "listen_address": "test_settings.py::test_where_qemu_listens",
    "tunnelled": "test_settings.py::test_tunnelled",
    "graphics_uri": "test_settings.py::test_told_to_qemu[graphics_uri]",
    "live": "test_settings.py::test_not_live",
    "offline": "test_settings.py::test_offline",
    "persistent": "test_disks.py::test_definitions",
    "undefine_source": "test_disks.py::test_definitions",
    "paused": "test_settings.py::test_paused",
    "destination_name": "test_settings.py::test_another_name",
    "destination_xml": "test_settings.py::test_another_xml",
    "persistent_xml": "test_disks.py::test_definitions",
    "bandwidth_mib_s": "test_settings.py::test_told_to_qemu[bandwidth_mib_s]",
    "compression": "test_settings.py::test_told_to_qemu[compression-zstd]",
    "xbzrle_cache_bytes": "test_settings.py::test_told_to_qemu[compression-xbzrle]",
    "zlib_level": "test_settings.py::test_told_to_qemu[compression-zlib]",
    "zstd_level": "test_settings.py::test_told_to_qemu[compression-zstd]",
    "parallel": "test_settings.py::test_told_to_qemu[parallel]",
    "parallel_connections": "test_settings.py::test_told_to_qemu[parallel]",
    "zerocopy": "test_settings.py::test_zerocopy",
    "rdma_pin_all": "test_settings.py::test_rdma_is_refused",
    "auto_converge": "test_settings.py::test_told_to_qemu[auto_converge]",
    "auto_converge_initial_percent": "test_settings.py::test_told_to_qemu[auto_converge]",
    "auto_converge_increment_percent": "test_settings.py::test_told_to_qemu[auto_converge]",
    "switchover_bandwidth_mib_s": "test_settings.py::test_told_to_qemu[switchover_bandwidth_mib_s]",
    "max_downtime_ms": "test_settings.py::test_told_to_qemu[max_downtime_ms]",
    "postcopy": "test_postcopy.py::test_postcopy",
    "postcopy_bandwidth_mib_s": "test_postcopy.py::test_postcopy",
    "postcopy_resume": "test_postcopy.py::test_postcopy_resumed",
    "copy_storage": "test_disks.py::test_copied_storage[full]",
    "copy_disks": "test_disks.py::test_copied_storage[chosen]",
    "detect_zeroes_disks": "test_disks.py::test_copied_storage[detect_zeroes]",
    "disks_port": "test_disks.py::test_copied_storage[port]",
    "disks_uri": "test_disks.py::test_copied_storage[unix]",
    "synchronous_writes": "test_disks.py::test_copied_storage[synchronous]",
    "tls": "test_tls.py::test_memory_cannot_be_read_on_the_wire",
    "tls_destination": "test_tls.py::test_tls_destination",
    "change_protection": "test_settings.py::test_change_protection",
    "unsafe": "test_disks.py::test_unsafe",
    "abort_on_error": "test_disks.py::test_abort_on_error",
    "allow_unsafe_tcg": "test_postcopy.py::test_postcopy_resumed",
    "deadline_s": "test_migrate.py::test_deadline",
    "postcopy_after_iteration": "test_controller.py::test_postcopy_by_policy[postcopy_after_iteration]",
    "postcopy_after_s": "test_controller.py::test_postcopy_by_policy[postcopy_after_s]",
    "suspend_after_iteration": "test_controller.py::test_suspend_by_policy[suspend_after_iteration]",
    "suspend_after_s": "test_controller.py::test_suspend_by_policy[suspend_after_s]",
    "downtime_steps": "test_controller.py::test_downtime_in_steps",
    "downtime_step_s": "test_controller.py::test_downtime_in_steps",
    "abort_when_diverging_s": "test_controller.py::test_divergence",
}
#: What of a setting is shown by its refusal only, or only in part, and why.
LIMITS: dict[str, str] = {
    "migration_uri": "rdma:// is refused: no RDMA device, and no memory limit in the guest "
    "(test_rdma_is_refused)",
    "rdma_pin_all": "needs an RDMA device: its refusal is shown",
    "zerocopy": "needs the right to lock as much memory as the guest has (CAP_SYS_RESOURCE, or a "
    "limit that high): else its refusal is shown",
    "graphics_uri": "QEMU is told, but the guest has no SPICE console that a client could follow",
    "postcopy_resume": "run on libvirt 9.0: it ends the destination's libvirtd of 11.2 and "
    "11.3; hangs where a device of the guest waits for a page (QEMU issue 1052)",
    "detect_zeroes_disks": "needs libvirt 10.9: run on 11.3",
    "switchover_bandwidth_mib_s": "needs libvirt 11.1: run on 11.3",
}
