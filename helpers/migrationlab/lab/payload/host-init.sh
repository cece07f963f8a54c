#!/bin/sh
# The first process of a lab host, in the host's own file system: network, then daemons.
set -eu
umount -l /mnt
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
/usr/sbin/sshd -D -e 2>/var/log/libvirt/sshd.log &
ip -batch /etc/migrationlab/network
# A bridge hears of its port's carrier up to a second after the port has it, and drops what comes
# meanwhile; whoever then asks for an address in vain asks again after a second only.
for device in uplink lan; do
    until ip link show dev "$device" | grep -q ' state UP '; do sleep 0.01; done
done
# Written once it listens.
until [ -e /run/sshd.pid ]; do sleep 0.01; done
echo running
# As systemd would: libvirtd starts again whenever it ends, and reads its settings anew. Guests
# run on meanwhile: they are children of this process, which reaps what is left behind.
while :; do
    /bin/sh /etc/migrationlab/libvirtd 2>>/var/log/libvirt/libvirtd.err &
    wait $! || :
    # One that cannot start must not take the machine's time.
    sleep 0.1
done
