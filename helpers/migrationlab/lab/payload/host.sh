#!/bin/sh
# One lab host, from empty namespaces to running daemons. Called by rack_init.py as
#
#   host.sh NAME IMAGE DIRECTORY GUESTS DISK CAPABILITIES DAEMONS
#
# inside new net, mount, uts, ipc and pid namespaces. IMAGE is the host's operating system, read
# only. DIRECTORY is the host's folder, which the owner sees too (etc/ with its settings, run/ for
# libvirt's sockets, log/). GUESTS is the lab's folder of guests, the same on both hosts. DISK is
# for the host's own changes. CAPABILITIES caches what libvirt finds out about the image's QEMU, so
# that a new lab does not wait for it. DAEMONS has the modular daemons; it is empty where libvirtd is
# the host's daemon. Prints "ready", waits for a line on standard input (the rack
# makes the host's network cards meanwhile), and continues as host-init.sh.
set -eu
name=$1 image=$2 directory=$3 guests=$4 disk=$5 capabilities=$6 daemons=$7
root=$disk/root
mkdir -p "$disk/upper" "$disk/work" "$root"
# In a user namespace overlayfs may store its metadata in user.* attributes only.
options=lowerdir=$image,upperdir=$disk/upper,workdir=$disk/work
mount -t overlay -o "$options" overlay "$root" 2>/dev/null ||
    mount -t overlay -o "$options,userxattr" overlay "$root"

# Mode 755: with the usual sticky 1777 the kernel forbids writing to a /dev/null of another user
# where fs.protected_regular is set.
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/net" "$root/dev/pts" "$root/dev/shm"
for device in null zero full random urandom tty net/tun kvm userfaultfd; do
    if [ -e "/dev/$device" ]; then
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    fi
done
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys" 2>/dev/null || mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root/run/libvirt" "$root/run/sshd" "$root/run/migrationlab" "$root/var/log/libvirt"
mount --bind "$directory/run" "$root/run/libvirt"
mount --bind "$directory/log" "$root/var/log/libvirt"
mkdir -p "$root/var/lib/migrationlab/guests"
mount --bind "$guests" "$root/var/lib/migrationlab/guests"
mkdir -p "$root/var/cache/libvirt/qemu/capabilities"
mount --bind "$capabilities" "$root/var/cache/libvirt/qemu/capabilities"
[ -z "$daemons" ] || mount --bind "$daemons" "$root/usr/local/sbin"
cp "$(dirname "$0")/host-init.sh" "$root/run/migrationlab/"

hostname "$name"
echo "$name" >"$root/etc/hostname"
cp -r "$directory/etc/." "$root/etc/"
mkdir -p "$root/root/.ssh"
chmod 700 "$root/root/.ssh"
cp "$directory/ssh/"* "$root/root/.ssh/"
chmod 600 "$root/root/.ssh/"* "$root/etc/ssh/ssh_host_ed25519_key"

echo ready
read -r _
cd "$root"
pivot_root . mnt
exec chroot . /bin/sh /run/migrationlab/host-init.sh
