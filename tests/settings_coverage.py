"""Names the live test of each setting of a plan, and what no test can show about the setting.

The table of settings in ``tests/README.md`` is made from it (``readme.py``), and a unit test checks
that it is true.
"""

from __future__ import annotations

#: For each setting its live test, under tests/lab.
COVERED_BY: dict[str, str] = {
    "mode": "test_settings.py::test_who_connects_to_the_destination[peer2peer]",
    "migration_uri": "test_settings.py::test_memory_goes_over_a_unix_socket",
    "connection_uri": "test_settings.py::test_who_connects_to_the_destination[peer2peer]",
    "listen_address": "test_settings.py::test_where_qemu_listens",
    "tunnelled": "test_settings.py::test_tunnelled_memory_uses_no_port",
    "graphics_uri": "test_settings.py::test_reaches_qemu[graphics_uri]",
    "live": "test_settings.py::test_without_live_the_guest_is_paused_first",
    "offline": "test_settings.py::test_offline_moves_the_definition_only",
    "persistent": "test_disks.py::test_definitions",
    "undefine_source": "test_disks.py::test_definitions",
    "paused": "test_settings.py::test_paused_guest_stays_paused",
    "destination_name": "test_settings.py::test_destination_name_renames_the_guest",
    "destination_xml": "test_settings.py::test_destination_xml_changes_the_host_side",
    "persistent_xml": "test_disks.py::test_definitions",
    "bandwidth_mib_s": "test_settings.py::test_reaches_qemu[bandwidth_mib_s]",
    "compression": "test_settings.py::test_reaches_qemu[compression-zstd]",
    "xbzrle_cache_bytes": "test_settings.py::test_reaches_qemu[compression-xbzrle]",
    "zlib_level": "test_settings.py::test_reaches_qemu[compression-zlib]",
    "zstd_level": "test_settings.py::test_reaches_qemu[compression-zstd]",
    "parallel": "test_settings.py::test_reaches_qemu[parallel]",
    "parallel_connections": "test_settings.py::test_reaches_qemu[parallel]",
    "zerocopy": "test_settings.py::test_zerocopy",
    "rdma_pin_all": "test_settings.py::test_rdma_is_refused",
    "auto_converge": "test_settings.py::test_reaches_qemu[auto_converge]",
    "auto_converge_initial_percent": "test_settings.py::test_reaches_qemu[auto_converge]",
    "auto_converge_increment_percent": "test_settings.py::test_reaches_qemu[auto_converge]",
    "switchover_bandwidth_mib_s": "test_settings.py::test_reaches_qemu[switchover_bandwidth_mib_s]",
    "max_downtime_ms": "test_settings.py::test_reaches_qemu[max_downtime_ms]",
    "postcopy": "test_postcopy.py::test_postcopy_keeps_its_bandwidth",
    "postcopy_bandwidth_mib_s": "test_postcopy.py::test_postcopy_keeps_its_bandwidth",
    "postcopy_resume": "test_postcopy.py::test_paused_postcopy_is_resumed",
    "copy_storage": "test_disks.py::test_copied_storage[full]",
    "copy_disks": "test_disks.py::test_copied_storage[chosen]",
    "detect_zeroes_disks": "test_disks.py::test_copied_storage[detect_zeroes]",
    "target_zero_disks": "test_newest_release.py::test_disk_is_copied_to_an_image_of_zeroes",
    "disks_port": "test_disks.py::test_copied_storage[port]",
    "disks_uri": "test_disks.py::test_copied_storage[unix]",
    "synchronous_writes": "test_disks.py::test_copied_storage[synchronous]",
    "tls": "test_tls.py::test_memory_cannot_be_read_on_the_wire",
    "tls_destination": "test_tls.py::test_tls_destination",
    "change_protection": "test_settings.py::test_change_protection",
    "unsafe": "test_disks.py::test_unsafe",
    "abort_on_error": "test_disks.py::test_abort_on_error",
    "allow_unsafe_tcg": "test_postcopy.py::test_paused_postcopy_is_resumed",
    "deadline_s": "test_migrate.py::test_deadline_cancels",
    "postcopy_after_iteration": (
        "test_controller.py::test_policy_switches_to_postcopy[postcopy_after_iteration]"
    ),
    "postcopy_after_s": "test_controller.py::test_policy_switches_to_postcopy[postcopy_after_s]",
    "suspend_after_iteration": (
        "test_controller.py::test_policy_suspends_the_guest[suspend_after_iteration]"
    ),
    "suspend_after_s": "test_controller.py::test_policy_suspends_the_guest[suspend_after_s]",
    "downtime_steps": "test_controller.py::test_downtime_steps_raise_the_limit",
    "downtime_step_s": "test_controller.py::test_downtime_steps_raise_the_limit",
    "abort_when_diverging_s": "test_controller.py::test_diverging_migration_is_cancelled",
    "policy": "test_controller.py::test_named_policy_drives_the_migration",
    "policy_options": "test_controller.py::test_named_policy_drives_the_migration",
    "qemu_parameters": "test_settings.py::test_qemus_own_parameters",
}
#: The settings of which a test shows only a part, or only the refusal, and why.
LIMITS: dict[str, str] = {
    "migration_uri": "rdma:// is refused: no RDMA device, and no memory limit in the guest "
    "(test_rdma_is_refused)",
    "rdma_pin_all": "needs an RDMA device: its refusal is shown",
    "zerocopy": "needs the right to lock as much memory as the guest has (CAP_SYS_RESOURCE, or a "
    "limit that high): otherwise its refusal is shown",
    "graphics_uri": "QEMU gets it, but the guest has no SPICE console that a client could follow",
    "postcopy_resume": "runs on libvirt 9.0: it crashes the destination's libvirtd of 11.2 and "
    "11.3; hangs if a device of the guest waits for a page",
    "detect_zeroes_disks": "needs libvirt 10.9: runs on 11.3",
    "target_zero_disks": "needs libvirt 12.2 and QEMU 10.1: runs on 12.9 and 11.1",
    "switchover_bandwidth_mib_s": "needs libvirt 11.1: runs on 11.3",
}
