"""Causes that lie in names, URIs, ports and the way to the other host."""

from __future__ import annotations

from migrationlab.explain.cause import Cause, Log, NoticedBy

CLIENT, SOURCE, DESTINATION, QEMU = NoticedBy

#: Ports on which a libvirtd, or the ssh that leads to it, listens; not QEMU's.
_LIBVIRTD_PORTS = ("22", "16509", "16514")

ADDRESSES = (
    Cause(
        id="migration-uri-scheme-unsupported",
        by=DESTINATION,
        wordings=(
            "unsupported scheme {} in migration uri",
            # 2011, libvirt 0.9.
            "only tcp URIs are supported for KVM/QEMU migrations",
            "unexpected migration schema",
        ),
        cause="a connection URI, or something else, stands where the migration URI belongs: the "
        "address at which the destination's QEMU listens for the guest's memory",
        mend="give tcp://HOST as migration URI, or leave it out; the qemu+…:// URI is the "
        "connection URI (in peer2peer, virsh's --desturi; in normal mode the URI to connect to)",
        seen="qemu_migration.c qemuMigrationDstPrepareDirect; libvirt 0.9 to 11",
    ),
    Cause(
        id="migration-uri-scheme-missing",
        by=DESTINATION,
        wordings=("missing scheme in migration uri",),
        cause="the migration URI has no scheme: a bare host name, or nothing",
        mend="write tcp:// before the host: tcp://HOST or tcp://HOST:PORT; or leave it out",
        seen="qemu_migration.c qemuMigrationDstPrepareDirect, qemuMigrationSrcPerformNative",
    ),
    Cause(
        id="migration-uri-host-missing",
        by=DESTINATION,
        wordings=("missing host in migration uri",),
        cause="the migration URI names no host",
        mend="give the destination's name or address: tcp://HOST",
        seen="qemu_migration.c qemuMigrationDstPrepareDirect",
    ),
    Cause(
        id="connection-uri-unparsable",
        by=CLIENT,
        wordings=("unable to parse uri qemu{}", "unable to parse uri test{}"),
        cause="the connection URI is not well formed; often the slashes after its colon are "
        "missing",
        mend="write it as qemu+ssh://root@HOST/system",
        seen="viruri.c virURIParse",
    ),
    Cause(
        id="migration-uri-unparsable",
        by=DESTINATION,
        wordings=("unable to parse uri {word}",),
        cause="the URI cannot be read: an address with a port but without a scheme looks like one "
        "whose scheme is a number",
        mend="a migration URI is tcp://HOST:PORT (IPv6: tcp://[ADDRESS]:PORT)",
        seen="viruri.c virURIParse, by qemu_migration.c qemuMigrationAnyParseURI",
        at_opening="connection-uri-unparsable",
    ),
    Cause(
        id="migration-protocol-unknown",
        by=DESTINATION,
        wordings=("unknown migration protocol", "a valid migration protocol"),
        cause="QEMU was told to listen by a protocol that it does not have",
        mend="use tcp, or unix with libvirt 6.8 or newer; RDMA needs a QEMU built with it",
        seen="qemu_migration.c qemuMigrationDstCheckProtocol; QEMU migration.c "
        "qemu_start_incoming_migration",
    ),
    Cause(
        id="disks-uri-invalid",
        by=DESTINATION,
        wordings=(
            "no uri scheme specified:",
            "uri with tcp scheme did not provide a server part",
            "unix disks uri does not include path",
            "unsupported scheme in disks uri",
            "nbd port must be in range",
            "both port and uri requested for disk migration",
            "malformed nbd port",
        ),
        cause="the address at which the destination takes in the copied disks does not serve",
        mend="give a disks port of 0 to 65535, or a disks URI tcp://HOST:PORT or unix:///PATH, "
        "not both",
        seen="qemu_migration.c qemuMigrationDstStartNBDServer, qemuMigrationSrcNBDStorageCopy",
    ),
    Cause(
        id="unix-migration-needs-more",
        by=DESTINATION,
        wordings=(
            "nbd uri must be supplied when migration uri uses unix transport",
            "usage of listen-address is forbidden when migration uri uses unix",
            "explicit destination hostname is required for tls migration over unix socket",
            "nbd migration with tls is not supported over unix socket",
        ),
        cause="a migration over a unix socket needs, or forbids, another setting: copied disks "
        "need a disks URI, TLS needs the destination's name, a listen address has no meaning",
        mend="with a unix:// migration URI: leave out the listen address; for copied disks give "
        "a disks URI; for TLS give the destination's name, and copy no disks",
        seen="qemu_driver.c qemuDomainMigratePrepare3Params; qemu_migration.c "
        "qemuMigrationSrcPerformNative; libvirt 6.8 to 11",
    ),
    Cause(
        id="listen-address-without-ipv6",
        by=DESTINATION,
        wordings=("host isn't capable of ipv6",),
        cause="the listen address is an IPv6 one, and the destination has no IPv6",
        mend="give an IPv4 listen address, or set up IPv6 on the destination",
        seen="qemu_migration.c qemuMigrationDstPrepare",
    ),
    Cause(
        id="connection-uri-transport-unknown",
        by=None,
        wordings=(
            "transport in url not recognised",
            "transport methods unix, ssh and ext are not supported",
            "for 'ext' transport, command is required",
        ),
        cause="the word after the + in the connection URI is no transport of libvirt",
        mend="use qemu+ssh, qemu+tls, qemu+tcp, qemu+unix, qemu+libssh, qemu+libssh2 or qemu+ext",
        seen="remote_sockets.c remoteSplitURIScheme, remote_driver.c doRemoteOpen",
    ),
    Cause(
        id="connection-uri-unix-with-host",
        by=None,
        wordings=("using unix socket and remote server {} is not supported",),
        cause="a unix socket is on this machine, but the connection URI names another",
        mend="leave the host out (qemu:///system), or use qemu+ssh://HOST/system",
        seen="remote_sockets.c remoteSplitURIScheme",
    ),
    Cause(
        id="connection-uri-driver-unknown",
        by=None,
        wordings=(
            "no connection driver available for",
            "libvirt was built without the {} driver",
            "does not include a driver name",
            "is missing the server part",
            "missing scheme for uri",
            "unknown remote mode",
            "invalid uri {} (maybe you want",
        ),
        cause="libvirt has no driver for this connection URI: its scheme or its path is unknown",
        mend="write qemu+ssh://root@HOST/system (or …/session); the path says which of the "
        "host's libvirtds is meant",
        seen="libvirt.c virConnectOpenInternal; remote_driver.c doRemoteOpen",
        alone=frozenset({5}),
    ),
    Cause(
        id="connection-not-from-inside-daemon",
        by=SOURCE,
        wordings=("connections from inside daemon must be direct",),
        cause="the source's libvirtd was asked to connect to the destination by a path that only "
        "a client may use",
        mend="in peer2peer give a connection URI with a host and a transport, as "
        "qemu+ssh://root@HOST/system",
        seen="remote_driver.c doRemoteOpen",
    ),
    Cause(
        id="same-host-uuid",
        by=DESTINATION,
        wordings=("attempt to migrate guest to the same host {word}-{word}-{word}",),
        cause="both libvirtds say the same host UUID: one machine was cloned from the other, or "
        "the destination's name leads back to the source (127.0.0.1 in its /etc/hosts)",
        mend="set host_uuid in libvirtd.conf (or virtqemud.conf) of one host to a fresh value "
        "from uuidgen and restart it; if they are one host, see where the name leads: getent hosts "
        "NAME on the source",
        seen="qemu_migration_cookie.c qemuMigrationCookieXMLParse; libvirt 0.8 to 11",
        logs=(Log.DESTINATION_DAEMON,),
    ),
    Cause(
        id="same-host",
        by=CLIENT,
        wordings=("attempt to migrate guest to the same host",),
        cause="the connection URI names no host, or localhost: the guest would stay where it is",
        mend="name the destination as the source reaches it: qemu+ssh://root@HOST/system",
        seen="libvirt-domain.c virDomainMigrateCheckNotLocal",
    ),
    Cause(
        id="name-resolves-to-localhost",
        by=DESTINATION,
        wordings=(
            "hostname on destination resolved to localhost",
            "migration_host must not be the address of the local machine",
            "migration_address must not be the address of the local machine",
        ),
        cause="the destination's own name leads to 127.x there, so it cannot tell the source "
        "where to send the memory",
        mend="in the destination's /etc/hosts let its name lead to its real address, or set "
        "migration_host in its qemu.conf, or give a migration URI: tcp://ADDRESS",
        seen="qemu_migration.c qemuMigrationDstPrepareDirect; qemu_conf.c",
    ),
    Cause(
        id="libvirtd-name-unresolvable",
        by=None,
        wordings=(
            "ssh: could not resolve hostname",
            "cannot recv data: {}could not resolve hostname",
            *(f"unable to resolve address {{quoted}} service '{port}'" for port in _LIBVIRTD_PORTS),
        ),
        cause="whoever opens the connection does not know the name in the connection URI: in "
        "normal mode the client, in peer2peer the source host",
        mend="make the name known there (DNS or /etc/hosts), or give an address",
        seen="virnetsocket.c virNetSocketNewConnectTCP; OpenSSH",
        never=("could not read from remote repository",),
    ),
    Cause(
        id="name-unresolvable",
        by=SOURCE,
        wordings=(
            "unable to resolve address {quoted} service {quoted}",
            "address resolution failed for",
            "cannot resolve {} address: {}",
            "could not rdma_getaddrinfo address",
        ),
        cause="the name in the migration URI is unknown to the host that has to dial it; where no "
        "URI was given, it is the destination's own name for itself",
        mend="make the name known on the source (DNS or /etc/hosts), or give the address: "
        "tcp://ADDRESS; or set migration_host on the destination",
        seen="virnetsocket.c virNetSocketNewConnectTCP; QEMU util/qemu-sockets.c inet_parse_addr",
        at_opening="libvirtd-name-unresolvable",
    ),
    Cause(
        id="libvirtd-unreachable",
        by=None,
        wordings=(
            *(f"unable to connect to server at '{{word}}:{port}'" for port in _LIBVIRTD_PORTS),
            "ssh: connect to host {word} port {n}",
        ),
        cause="no libvirtd (or sshd) answers there: it does not run, does not listen on that "
        "transport, or a firewall is between",
        mend="see that libvirtd runs there and listens: qemu+tls needs port 16514 (libvirtd-tls."
        "socket or --listen), qemu+tcp 16509, qemu+ssh 22; in peer2peer try it from the source",
        seen="virnetsocket.c virNetSocketNewConnectTCP; OpenSSH",
        never=("could not read from remote repository",),
        logs=(Log.DESTINATION_DAEMON,),
    ),
    Cause(
        id="libvirtd-socket-missing",
        by=None,
        wordings=(
            "failed to connect socket to {quoted}",
            "no uri is provided and cannot identify any listening daemon",
            "cannot use direct socket mode for",
            "cannot recv data: {}no such file or directory: connection reset",
        ),
        cause="there is no libvirtd behind that unix socket: it does not run, or the socket has "
        "another path or other rights (a session's, or virtqemud's, is not the system's)",
        mend="start libvirtd (or virtqemud.socket) there; where it says Permission denied, be root "
        "or a member of the group libvirt; look whether qemu:///system or qemu:///session is "
        "meant; in peer2peer qemu+unix needs ?socket=PATH",
        seen="virnetsocket.c virNetSocketNewConnectUNIX; remote_sockets.c",
    ),
    Cause(
        id="port-closed",
        by=SOURCE,
        wordings=(
            "unable to connect to server at '{word}:{n}'",
            "failed to connect to '{word}:{n}'",
            "failed to connect to '[{word}]:{n}'",
        ),
        cause="the source cannot reach the port at which the destination's QEMU listens: a "
        "firewall is between (No route to host, timed out), or the address leads elsewhere "
        "(Connection refused)",
        mend="open TCP 49152 to 49215 on the destination (firewall-cmd --add-port=49152-49215/"
        "tcp), or give a port in the migration URI, or an address that the source can reach",
        seen="virnetsocket.c virNetSocketNewConnectTCP, by qemu_migration.c "
        "qemuMigrationSrcConnect; QEMU util/qemu-sockets.c inet_connect_addr",
        logs=(Log.DESTINATION_QEMU,),
        at_opening="libvirtd-unreachable",
    ),
    Cause(
        id="unix-socket-unreachable",
        by=QEMU,
        wordings=(
            "failed to connect to '/{word}'",
            "failed to bind socket to /{word}",
            "unix socket path {} is too long",
            "path {word} too long for unix socket",
        ),
        cause="the unix socket of the migration cannot be used by QEMU there: nobody forwards it, "
        "its folder is missing or not QEMU's to use, or its path exceeds 107 bytes",
        mend="put the socket where both QEMUs may use it (rights, SELinux label), keep its path "
        "short, and have the proxy between the hosts run before the migration starts",
        seen="QEMU util/qemu-sockets.c unix_connect_saddr, unix_listen_saddr",
        logs=(Log.SOURCE_QEMU, Log.DESTINATION_QEMU),
    ),
    Cause(
        id="ports-exhausted",
        by=DESTINATION,
        wordings=("unable to find an unused port in range", "failed to find an available port"),
        cause="all ports of the range for migrations are taken on the destination: too many "
        "migrations at once, or another program in the range",
        mend="migrate fewer at once, widen migration_port_min and migration_port_max in the "
        "destination's qemu.conf, or free the range (ss -ltnp)",
        seen="virportallocator.c virPortAllocatorAcquire",
        logs=(Log.DESTINATION_DAEMON,),
    ),
    Cause(
        id="port-taken",
        by=QEMU,
        wordings=(
            "'migrate-incoming': {}failed to bind socket",
            "-incoming {}: failed to bind socket",
            "'nbd-server-start': {}failed to bind socket",
            "'migrate-incoming': {}failed to listen on socket",
            "unable to bind to port",
        ),
        cause="QEMU on the destination could not listen there: the port is taken, or the listen "
        "address is not one of that host's",
        mend="give another port, or none; a listen address must be one of the destination's own",
        seen="QEMU util/qemu-sockets.c inet_listen_saddr; virportallocator.c",
        logs=(Log.DESTINATION_QEMU, Log.DESTINATION_DAEMON),
        codes=frozenset({1, 9, 38}),
    ),
    Cause(
        id="hostname-unknown",
        by=DESTINATION,
        wordings=("failed to determine host name", "no hostname found"),
        cause="a host does not know its own name",
        mend="set it (hostnamectl set-hostname NAME), and let /etc/hosts or DNS know it; or give "
        "a migration URI",
        seen="virutil.c virGetHostnameImpl",
        alone=frozenset({108}),
    ),
    Cause(
        id="keepalive-timeout",
        by=None,
        wordings=("due to keepalive timeout",),
        codes=frozenset({1, 38, 39}),
        cause="the other libvirtd did not answer for half a minute: the wire is cut, or that host "
        "hangs or is gone",
        mend="see the wire and the host; the guest goes on at the source unless it had been "
        "handed over: look on both hosts before starting it anywhere",
        seen="virkeepalive.c virKeepAliveTimerInternal",
        logs=(Log.SOURCE_DAEMON, Log.DESTINATION_DAEMON),
    ),
    Cause(
        id="host-lost",
        by=None,
        wordings=(
            "client socket is closed",
            "disconnected from {word} due to",
            "end of file while reading data",
            "end of file while writing data",
            "cannot recv data: {}connection reset by peer",
            "cannot write data: broken pipe",
            "cannot recv data: input/output error",
            "received hangup event on socket",
            "received error event on socket",
            "received hangup / error event on socket",
            "cannot recv data: connection timed out",
            "failed to reconnect to the hypervisor",
            "lost connection to destination host",
            "the connection which controls migration of domain",
            "but we don't know if the domain was successfully started on destination",
        ),
        codes=frozenset({1, 9, 38, 39, 55}),
        never=("postgres", "mysql", "psql", "redis"),
        cause="a connection to a libvirtd ended: the daemon died or was restarted, its host went "
        "away, or what lies between (ssh, a firewall) hung up",
        mend="see that the host and its libvirtd run; look on both hosts where the guest runs "
        "(virsh list) before starting it anywhere, then migrate again",
        seen="virnetclient.c virNetClientIOEventFD; virnetsocket.c; qemu_migration.c "
        "qemuMigrationAnyCompleted",
        logs=(Log.SOURCE_DAEMON, Log.DESTINATION_DAEMON),
    ),
    Cause(
        id="too-many-clients",
        by=None,
        wordings=(
            "too many parameters {n} for limit",
            "unable to accept client",
        ),
        codes=frozenset({1, 38, 39}),
        never=("mysql", "postgres", "http", "redis"),
        cause="the daemon has as many clients as it allows, or a call was too large for it",
        mend="raise max_clients and max_anonymous_clients in libvirtd.conf, or close connections",
        seen="virnetserver.c virNetServerAddClient",
        logs=(Log.DESTINATION_DAEMON,),
    ),
    Cause(
        id="event-loop-missing",
        by=CLIENT,
        wordings=(
            "perhaps it's missing event loop implementation",
            "unable to enable keepalives without async io support",
            "cannot setup keepalive on connection as requested",
        ),
        cause="this program runs no libvirt event loop, which keepalive and events need",
        mend="register and run one before the first connection: virEventRegisterDefaultImpl and "
        "a thread with virEventRunDefaultImpl",
        seen="remote_driver.c remoteConnectSetKeepAlive",
    ),
)
