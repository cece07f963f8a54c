"""Causes that lie in what the destination lacks, or has already."""

from __future__ import annotations

from migrationlab.explain.cause import Cause, Log, NoticedBy

CLIENT, SOURCE, DESTINATION, QEMU = NoticedBy

PLACES = (
    Cause(
        id="domain-exists-at-destination",
        by=DESTINATION,
        wordings=(
            "domain {} is already defined with uuid",
            "domain {} already exists with uuid",
            "domain {} is already active",
            "domain {} is already being started",
            "domain {} is being migrated out",
            "domain with name {} already exists",
            "this domain exists already",
            "vm is already active",
            "domain is already active as",
        ),
        cause="the destination has a domain of that name or UUID already: another guest, an old "
        "definition, or the guest itself",
        mend="look with virsh list --all there; undefine what is old, or give the guest another "
        "name (destination_name, virsh --dname)",
        seen="virdomainobjlist.c virDomainObjListAddLocked",
        alone=frozenset({28}),
    ),
    Cause(
        id="domain-not-found",
        by=SOURCE,
        wordings=(
            "no domain with matching name",
            "no domain with matching uuid",
            "no domain with matching id",
            "failed to get domain {quoted}",
        ),
        cause="that host has no such domain: the name is misspelt, the guest has left already, or "
        "another libvirtd (system or session) has it",
        mend="virsh --connect URI list --all on both hosts shows where it is",
        seen="qemu_driver.c qemuDomainLookupByName; virsh-util.c virshLookupDomainInternal",
        alone=frozenset({42}),
    ),
    Cause(
        id="network-missing",
        by=DESTINATION,
        wordings=(
            "no network with matching name",
            "network {quoted} is not active",
            "network {} has no bridge name defined",
        ),
        cause="the guest's virtual network does not exist, or does not run, at the destination",
        mend="define and start one of that name there (virsh net-define, net-start, "
        "net-autostart), or migrate with XML that names one that exists",
        seen="network/bridge_driver.c networkAllocatePort, networkLookupByName",
        logs=(Log.DESTINATION_DAEMON,),
        alone=frozenset({43}),
    ),
    Cause(
        id="bridge-missing",
        by=DESTINATION,
        wordings=(
            "cannot get interface mtu on {}: no such device",
            "unable to add bridge {} port",
            "unable to get interface index for",
            "unable to get index for interface",
            "failed to add tap interface to bridge",
            "cannot get interface flags on",
            "failed to communicate with bridge helper",
            "unable to add port {} to ovs bridge",
        ),
        cause="the bridge or device that the guest's network card hangs on does not exist at the "
        "destination",
        mend="make a bridge of that name there (ip link, nmcli, netplan), or migrate with XML "
        "that names one that exists",
        seen="virnetdev.c virNetDevGetMTU; virnetdevbridge.c virNetDevBridgeAddPort; "
        "virnetdevopenvswitch.c",
        logs=(Log.DESTINATION_DAEMON,),
    ),
    Cause(
        id="tap-refused",
        by=DESTINATION,
        wordings=(
            "is tun module loaded?",
            "unable to create tap device",
            "unable to open {}/dev/net/tun",
            "the {word} interface already exists",
            "unable to associate tap device",
            "unable to create multiple fds for tap device",
            "vhost-net was requested for an interface, but is unavailable",
            "error creating macv{word} interface",
        ),
        cause="the destination cannot make the guest's network device: /dev/net/tun is missing or "
        "refused, or a device of that name exists",
        mend="modprobe tun (and vhost_net), see that QEMU's cgroup may use it, and leave out "
        "<target dev='…'> so that libvirt chooses a free name",
        seen="virnetdevtap.c virNetDevTapCreate; qemu_interface.c",
        logs=(Log.DESTINATION_DAEMON,),
    ),
    Cause(
        id="port-profile-refused",
        by=DESTINATION,
        wordings=(
            "port profile associate failed",
            "to set ovs port data for interface",
            "to get ovs port data for interface",
        ),
        cause="the switch did not take over the guest's port",
        mend="see that Open vSwitch (or the 802.1Qbg/Qbh switch) runs on the destination and "
        "knows the port profile",
        seen="qemu_migration.c qemuMigrationDstVPAssociatePortProfiles, "
        "qemuMigrationDstOPDRelocate",
        logs=(Log.DESTINATION_DAEMON,),
    ),
    Cause(
        id="network-filter-missing",
        by=DESTINATION,
        wordings=("network filter not found", "referenced filter {} is missing"),
        cause="the destination lacks a network filter that the guest's card names",
        mend="define it there (virsh nwfilter-dumpxml, nwfilter-define)",
        seen="nwfilter/nwfilter_gentech_driver.c",
        alone=frozenset({62}),
    ),
    Cause(
        id="hugepages-missing",
        by=DESTINATION,
        wordings=(
            "hugetlbfs filesystem is not mounted",
            "unable to find any usable hugetlbfs mount",
            "unable to create hugepage path",
            "page size {n} is not available",
            "unable to allocate {n} pages. allocated only",
            "os_mem_prealloc: {}",
            "qemu_prealloc_mem: preallocating memory failed",
            "unable to map backing store for guest ram",
        ),
        cause="the guest's memory is of huge pages, and the destination has none free of that size",
        mend="reserve enough there (sysctl vm.nr_hugepages, or hugepagesz= on the kernel's command "
        "line), mount hugetlbfs, restart libvirtd",
        seen="qemu_conf.c qemuGetDomainHupageMemPath; virnuma.c; QEMU util/oslib-posix.c",
        logs=(Log.DESTINATION_QEMU,),
    ),
    Cause(
        id="memory-short",
        by=QEMU,
        wordings=(
            "cannot set up guest memory {}: cannot allocate memory",
            "cannot set up guest memory",
            "out of memory: killed process {n} (qemu",
        ),
        cause="the destination has not enough free memory for the guest",
        mend="free some there (virsh freecell --all, free -m), or choose another host",
        seen="QEMU system/physmem.c ram_block_add",
        logs=(Log.DESTINATION_QEMU,),
        alone=frozenset({2}),
    ),
    Cause(
        id="numa-node-missing",
        by=DESTINATION,
        wordings=(
            "numa node {n} is unavailable",
            "numa node {n} is not available",
            "numa node {n} is out of range",
            "cannot bind memory to host numa nodes",
            "invalid value {} for 'cpuset.mems'",
            "invalid value {} for 'cpuset.cpus'",
            "unable to write to {}cpuset",
            "cannot set cpu affinity on process",
        ),
        cause="the guest is bound to CPUs or NUMA nodes that the destination does not have",
        mend="migrate with XML whose <cputune> and <numatune> suit the destination, or without",
        seen="virnuma.c; vircgroup.c virCgroupSetValueRaw; virprocess.c",
        logs=(Log.DESTINATION_DAEMON,),
    ),
    Cause(
        id="device-missing-at-destination",
        by=DESTINATION,
        wordings=(
            "pci device {} is in use by driver",
            "pci device {} is not assignable",
            "unmanaged pci device {} must be manually detached",
            "usb device {} is already in use",
            "did not find usb device",
            "unable to open vhost-vsock device",
            "no drm render nodes available",
            "device {} not found: could not access",
        ),
        cause="a host device that the guest's XML names is not there at the destination, or in use",
        mend="migrate with XML that names one that is free there, or detach the device first",
        seen="virhostdev.c; node_device_driver.c",
        logs=(Log.DESTINATION_DAEMON,),
        alone=frozenset({53, 99}),
    ),
    Cause(
        id="chardev-refused",
        by=DESTINATION,
        wordings=(
            "cannot create log directory",
            "unable to connect character device",
            "unable to open log file",
            "unable to open file: /var/log/libvirt",
        ),
        cause="the destination cannot open what the guest's serial port, channel or log leads to",
        mend="migrate with XML whose paths exist there and are QEMU's to write",
        seen="qemu_process.c qemuProcessPrepareHost; QEMU chardev/",
        logs=(Log.DESTINATION_QEMU,),
    ),
    Cause(
        id="hook-refused",
        by=DESTINATION,
        wordings=("hook script execution failed",),
        cause="a hook script of the destination (/etc/libvirt/hooks/qemu) ended with an error",
        mend="run it by hand with the words that libvirt gave it (migrate begin), and mend it",
        seen="virhook.c virRunScript",
        logs=(Log.DESTINATION_DAEMON,),
        alone=frozenset({70}),
    ),
    Cause(
        id="persist-failed",
        by=DESTINATION,
        wordings=("failed to make domain persistent after migration",),
        cause="the guest runs at the destination, but its definition could not be written there",
        mend="write it yourself: virsh dumpxml GUEST, virsh define; see room and rights of "
        "/etc/libvirt/qemu there",
        seen="qemu_migration.c qemuMigrationDstPersist",
        logs=(Log.DESTINATION_DAEMON,),
        alone=frozenset({69}),
    ),
    Cause(
        id="cgroup-refused",
        by=DESTINATION,
        wordings=(
            "no cgroup backend available",
            "unable to write to {}cgroup",
            "failed to create v{n} controller",
        ),
        cause="the destination's libvirtd cannot place the guest into control groups",
        mend="see systemd-machined and the cgroup mounts there, or name fewer in "
        "cgroup_controllers of qemu.conf",
        seen="vircgroup.c; qemu_cgroup.c",
        logs=(Log.DESTINATION_DAEMON,),
    ),
)
