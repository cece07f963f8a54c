#!/bin/sh
# Start nginx in the guest. A PUT writes a file; the files are in the guest's memory.
mkdir -p /www /tmp /var/log/nginx /var/lib/nginx
echo "root:x:0:0::/:/bin/sh" >/etc/passwd
echo "root:x:0:" >/etc/group
head -c 1000 /dev/urandom >/www/page
cat >/nginx.conf <<'END'
user root;
daemon off;
pid /nginx.pid;
error_log stderr warn;
worker_processes 1;
events { worker_connections 64; }
http {
    access_log off;
    # A client keeps its connection for the whole migration.
    keepalive_requests 100000000;
    keepalive_timeout 600s;
    server {
        listen 80;
        root /www;
        client_body_temp_path /tmp;
        location / { dav_methods PUT; }
    }
}
END
# shellcheck disable=SC2093
exec /usr/sbin/nginx -c /nginx.conf
