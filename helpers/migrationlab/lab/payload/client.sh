#!/bin/sh
# The lab's admin client: this machine's files and programs, on the lab's LAN. Called as
#
#   client.sh NAME DIRECTORY LABS ADDRESS
#
# inside new net, mount, uts, ipc and pid namespaces. DIRECTORY has its files (hosts,
# nsswitch.conf, passwd, home/). It is mounted over LABS, the folder of all labs, which hides the
# sockets of the labs.
# Prints "ready", waits for a line on standard input (its network card is made meanwhile), prints
# "running", and ends with its standard input.
set -eu
name=$1 directory=$2 labs=$3 address=$4
hostname "$name"
mount --bind "$directory/hosts" /etc/hosts
# Without this, services of this machine look names up for it through their sockets.
[ ! -e /etc/nsswitch.conf ] || mount --bind "$directory/nsswitch.conf" /etc/nsswitch.conf
# ssh looks for its keys in root's home of this file, whatever HOME is.
mount --bind "$directory/passwd" /etc/passwd
mount --bind "$directory" "$labs"
echo ready
read -r _
ip link set lo up
ip address add "$address" dev uplink
ip link set uplink up
# As systemd sets it; by default a new network lets nobody send echo requests.
echo '0 0' >/proc/sys/net/ipv4/ping_group_range
echo running
exec cat
