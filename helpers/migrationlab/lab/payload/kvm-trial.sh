#!/bin/sh
# Boots the lab's guest with KVM, its console on standard output. Called by accelerator.py as
#
#   kvm-trial.sh IMAGE KERNEL INITRAMFS
#
# inside new mount, net and pid namespaces, so nobody else sees what is mounted over the image.
set -eu
image=$1
mount -t tmpfs -o mode=755 tmpfs "$image/dev"
for device in null zero random urandom kvm; do
    touch "$image/dev/$device"
    mount --bind "/dev/$device" "$image/dev/$device"
done
mount -t tmpfs tmpfs "$image/tmp"
cp "$2" "$image/tmp/kernel"
cp "$3" "$image/tmp/initramfs"
# As libvirtd does: the lab's QEMU cannot use a group that may open /dev/kvm.
exec setpriv --clear-groups chroot "$image" /usr/bin/qemu-system-x86_64 -machine q35,accel=kvm -m 128 \
    -display none -nodefaults -serial stdio -no-reboot \
    -kernel /tmp/kernel -initrd /tmp/initramfs -append "console=ttyS0 quiet panic=-1 \
migrationlab.guest=0 migrationlab.pages=256 migrationlab.rate=0 migrationlab.pattern=sequential \
migrationlab.observer=127.0.0.1 migrationlab.beat_port=7007 migrationlab.control_port=7008 \
migrationlab.address=127.0.0.2/8"
