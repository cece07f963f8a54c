#!/bin/sh
# The first process of a lab host, in the host's own file system: network, then daemons.
set -eu
umount -l /mnt
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
ip -batch /etc/migrationlab/network
/usr/sbin/sshd -D -e 2>/var/log/libvirt/sshd.log &
libvirtd --listen 2>/var/log/libvirt/libvirtd.err &
echo running
# Reaps what the daemons leave behind; the host ends when libvirtd does.
wait $!
