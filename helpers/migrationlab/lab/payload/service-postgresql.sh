#!/bin/sh
# Start PostgreSQL in the guest; its data are in the guest's memory. The image has the database,
# because initdb takes many seconds under TCG (prepare-postgresql.sh).
mkdir -p /dev/shm /tmp
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
chmod 1777 /tmp
set -- /usr/lib/postgresql/*/bin/postgres
exec /usr/bin/setpriv --reuid 999 --regid 999 --clear-groups "$1" -D /data \
    -c "listen_addresses=*" -c unix_socket_directories= -c shared_buffers=32MB -c jit=off \
    -c min_wal_size=32MB -c max_wal_size=64MB -c log_timezone=GMT -c timezone=GMT
