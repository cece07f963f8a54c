#!/bin/sh
# Make the empty database in a service's files: prepare-postgresql.sh FOLDER BUSYBOX
# It runs as root of a mount namespace, in a user namespace if an ordinary user builds the image.
set -eu
mount --rbind /dev "$1/dev"
# initdb starts the server by a shell.
mkdir "$1/bin"
cp "$2" "$1/bin/sh"
echo "postgres:x:999:999::/:/bin/sh" >"$1/etc/passwd"
echo "postgres:x:999:" >"$1/etc/group"
mkdir -m 700 "$1/data"
chown 999:999 "$1/data"
initdb=$(cd "$1" && echo usr/lib/postgresql/*/bin/initdb)
TZ=GMT chroot "$1" /usr/bin/setpriv --reuid 999 --regid 999 --clear-groups \
    "/$initdb" --pgdata /data --username postgres --auth trust --no-sync --no-instructions \
    --locale C --encoding UTF8 >/dev/null
echo "host all all 0.0.0.0/0 trust" >>"$1/data/pg_hba.conf"
rm "$1/$initdb" "$1/bin/sh"
rmdir "$1/bin"
