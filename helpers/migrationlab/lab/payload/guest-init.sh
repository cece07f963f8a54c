#!/bin/busybox sh
# The guest's first process: bring up the network card, and the disk if there is one; then start
# the service if there is one, and run the workload. The settings are on the kernel's command line,
# each as migrationlab.NAME=VALUE; the workload finds them in its environment.
/bin/busybox --install -s /bin
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
disk_rate= address6=
for word in $(cat /proc/cmdline); do
    case $word in
    migrationlab.*) export "${word#migrationlab.}" ;;
    esac
done
# Debian's kernels differ in which of these are modules; those that are built in have no file.
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci \
    failover net_failover virtio_net vmxnet3 ${disk_rate:+virtio_blk}; do
    [ -e "/modules/$module.ko" ] && insmod "/modules/$module.ko"
done
# A kernel with less than 512 MiB switches them off (mm/huge_memory.c, hugepage_init).
[ "$huge" != 1 ] || echo madvise >/sys/kernel/mm/transparent_hugepage/enabled
ip link set lo up
ip address add "$address" dev eth0
if [ -n "$address6" ]; then
    # Nobody else can have the address: it is not to wait for an answer (ip-sysctl, accept_dad).
    echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad
    echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
    ip -6 address add "$address6" dev eth0
fi
ip link set eth0 up
# What the service says stands on the console, with its end.
if [ -e /service/start ]; then
    (
        sh /service/start
        echo "migrationlab: service ended with status $?"
    ) >/dev/console 2>&1 &
fi
disk=${disk_rate:+/dev/vda} workload
echo "migrationlab: workload ended with status $?"
exec sh
