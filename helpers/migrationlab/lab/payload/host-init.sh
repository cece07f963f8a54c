#!/bin/sh
# The first process of a lab host, in the host's own file system: network, then daemons.
set -eu
umount -l /mnt
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
/usr/sbin/sshd -D -e 2>/var/log/libvirt/sshd.log &
ip -batch /etc/migrationlab/network
# A kernel without IPv6 has the wire and the LAN with IPv4 only.
ip address add "$(cat /etc/migrationlab/address6)" dev wire nodad || :
ip address add "$(cat /etc/migrationlab/lan6)" dev lan nodad || :
# A connection over a cut wire ends after some seconds, not after a quarter of an hour: until then a
# QEMU in its switchover answers nobody. A wire that is down for 4 s does no harm.
echo 4 >/proc/sys/net/ipv4/tcp_retries2
# Without this nobody may open a socket for echo requests here: pings can come from a host.
echo "0 0" >/proc/sys/net/ipv4/ping_group_range
# A bridge learns of its port's carrier up to a second late, and drops frames meanwhile. An address
# request that is lost so is repeated after a second only.
for device in uplink lan; do
    until ip link show dev "$device" | grep -q ' state UP '; do sleep 0.01; done
done
# sshd writes this file when it listens.
until [ -e /run/sshd.pid ]; do sleep 0.01; done
echo running
# As systemd would: a daemon starts again whenever it ends, and reads its settings.
keep() {
    while :; do
        /bin/sh "/etc/migrationlab/$1" 2>>/var/log/libvirt/libvirtd.err &
        wait $! || :
        # A daemon that cannot start must not keep a processor busy.
        sleep 0.1
    done
}
[ ! -e /etc/migrationlab/virtproxyd ] || keep virtproxyd &
# Guests keep running meanwhile: they are children of this process, which reaps them.
keep libvirtd
