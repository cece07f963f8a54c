#!/bin/sh
# The lab's client machine: this machine's files and programs, on the lab's LAN. Called as
#
#   client.sh NAME DIRECTORY LABS ADDRESS
#
# inside new net, mount, uts, ipc and pid namespaces. DIRECTORY has its files (hosts,
# nsswitch.conf, passwd, home/) and is put over LABS, the folder of all labs, so that no socket of
# a lab is seen here.
# Says "ready", waits for a line on standard input (the rack gives it its network card
# meanwhile), says "running", and ends with its standard input.
set -eu
name=$1 directory=$2 labs=$3 address=$4
hostname "$name"
mount --bind "$directory/hosts" /etc/hosts
# Nor does anybody of this machine look names up for it, by a socket that it could still reach.
[ ! -e /etc/nsswitch.conf ] || mount --bind "$directory/nsswitch.conf" /etc/nsswitch.conf
# ssh looks for its keys in root's home as this file has it, whatever HOME says.
mount --bind "$directory/passwd" /etc/passwd
mount --bind "$directory" "$labs"
echo ready
read -r _
ip link set lo up
ip address add "$address" dev uplink
ip link set uplink up
# As systemd sets it; a new network's own value lets nobody send echo requests.
echo '0 0' >/proc/sys/net/ipv4/ping_group_range
echo running
exec cat
