#!/bin/sh
# Builds libvirt's modular daemons from the source package of an image's own libvirt: Debian has them
# not (debian/not-installed of its libvirt: "don't ship split daemons just yet"). Called as
#
#   build-daemons.sh IMAGE OUT VERSION EXPIRED SOURCES…
#
# inside new mount and pid namespaces. VERSION is the image's libvirt. EXPIRED is yes where the
# mirror's lists may have expired. SOURCES are the lines of APT's list of source packages. What it
# installs and compiles lies over the image in memory, and is gone with the namespaces. The daemons
# are put into OUT. Lines that begin with "I: " tell how far it is.
# The status is 3 if the source cannot be had.
set -eu
image=$1 out=$2 version=$3 expired=$4
shift 4
say() { echo "I: $*" >&2; }

root=$out/root
mkdir -p "$out/memory" "$root"
mount -t tmpfs tmpfs "$out/memory"
mkdir "$out/memory/upper" "$out/memory/work"
options=lowerdir=$image,upperdir=$out/memory/upper,workdir=$out/memory/work
mount -t overlay -o "$options" overlay "$root" 2>/dev/null ||
    mount -t overlay -o "$options,userxattr" overlay "$root"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
cat /etc/resolv.conf >"$root/etc/resolv.conf"
for line; do echo "$line"; done >"$root/etc/apt/sources.list.d/migrationlab-source.list"
if [ "$expired" = yes ]; then
    echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/99expired"
fi
cat >"$root/tmp/build" <<'END'
set -eu
export DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin
say() { echo "I: $*" >&2; }
# Its own user has no use for what only root can reach here.
apt="apt-get -qq -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0"
say "reading the lists of packages"
$apt update >&2
cd /tmp
say "fetching the source of libvirt $version"
# The two archives are all that a build needs. Their checksums are in the signed list.
$apt source --print-uris --download-only "libvirt=$version" | tr -d "'" >uris
grep -e '[.]orig[.]tar' -e '[.]debian[.]tar' uris | grep -v '[.]asc ' |
    while read -r uri file size sum; do
        /usr/lib/apt/apt-helper -qq -o APT::Sandbox::User=root download-file "$uri" "$file" "$sum" >&2 ||
            exit 3
    done
[ "$(ls -- *.tar.* | wc -l)" = 2 ] || exit 3
say "installing the compiler and libraries"
json=libjson-c-dev
case $version in 9.*) json=libyajl-dev ;; esac
$apt install --yes --no-install-recommends gcc libc6-dev patch xz-utils meson ninja-build pkg-config \
    python3-docutils xsltproc libxml2-utils libxml2-dev libglib2.0-dev libgnutls28-dev \
    libtirpc-dev rpcsvc-proto libcap-ng-dev libudev-dev libpciaccess-dev libnl-3-dev \
    libnl-route-3-dev libacl1-dev gettext libdbus-1-dev $json >&2
say "unpacking"
mkdir source
cd source
tar --extract --strip-components=1 --file ../libvirt_*.orig.tar.*
tar --extract --file ../libvirt_*.debian.tar.*
grep -v -e '^#' -e '^$' debian/patches/series | while read -r name _; do
    patch --quiet -p1 <"debian/patches/$name" >&2
done
json=json_c
grep -q "'json_c'" meson_options.txt || json=yajl
say "configuring"
meson setup build --prefix=/usr --sysconfdir=/etc --localstatedir=/var \
    --libdir=lib/x86_64-linux-gnu -Drunstatedir=/run -Dsystem=true -Dauto_features=disabled \
    -Ddriver_qemu=enabled -Ddriver_remote=enabled -Ddriver_libvirtd=enabled -D$json=enabled \
    -Dcapng=enabled -Dudev=enabled -Dpciaccess=enabled -Dlibnl=enabled \
    -Dqemu_user=libvirt-qemu -Dqemu_group=libvirt-qemu -Dtests=disabled >/tmp/configured 2>&1 ||
    { tail -n 20 /tmp/configured >&2; exit 1; }
NINJA_STATUS='I: compiling %f of %t: ' ninja -C build src/virtqemud src/virtproxyd >&2
END
chroot "$root" env version="$version" sh /tmp/build
say "copying the daemons"
for daemon in virtqemud virtproxyd; do
    strip -o "$out/$daemon" "$root/tmp/source/build/src/$daemon" 2>/dev/null ||
        cp "$root/tmp/source/build/src/$daemon" "$out/$daemon"
done
