#!/bin/sh
# The first process of a lab host, in the host's own file system: network, then daemons.
set -eu
umount -l /mnt
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
ip -batch /etc/migrationlab/network
/usr/sbin/sshd -D -e 2>/var/log/libvirt/sshd.log &
echo running
# As systemd would: libvirtd starts again whenever it ends, and reads its settings anew. Guests
# run on meanwhile: they are children of this process, which reaps what is left behind.
while :; do
    /bin/sh /etc/migrationlab/libvirtd 2>>/var/log/libvirt/libvirtd.err &
    wait $! || :
    # One that cannot start must not take the machine's time.
    sleep 0.1
done
