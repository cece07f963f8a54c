"""Carry a connection to a libvirtd by TLS, like ``nc`` by TCP.

    tlspipe.py ADDRESS PORT NAME PKI

It connects to ADDRESS, verifies that the other side is NAME with the authority in the folder PKI,
shows the client's certificate from there, and then forwards standard input and output. It uses the
standard library only: it starts as a file, without the owner's packages.
"""

import contextlib
import os
import select
import socket
import ssl
import sys

CHUNK_BYTES = 65536
INPUT = 0


def connect(address: str, port: int, name: str, pki: str) -> ssl.SSLSocket:
    """Return a connection in which each side has verified the other."""
    context = ssl.create_default_context(cafile=f"{pki}/cacert.pem")
    context.load_cert_chain(f"{pki}/clientcert.pem", f"{pki}/clientkey.pem")
    connection = context.wrap_socket(
        socket.create_connection((address, port)), server_hostname=name
    )
    # libvirtd sends one byte to accept the client (libvirt's src/rpc/virnetclient.c,
    # virNetClientSetTLSSession); the client's library does not expect it from a program.
    if connection.recv(1) != b"\1":
        raise ConnectionError(f"libvirtd of {name} does not accept this client")
    return connection


def carry(connection: ssl.SSLSocket) -> None:
    """Forward data in both directions until one side ends."""
    output = sys.stdout.buffer
    sources: list[int | ssl.SSLSocket] = [INPUT, connection]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if INPUT in ready:
            data = os.read(INPUT, CHUNK_BYTES)
            if not data:
                return
            connection.settimeout(None)
            connection.sendall(data)
        # The input can be a message of TLS itself, without data to forward.
        connection.settimeout(0)
        with contextlib.suppress(ssl.SSLWantReadError):
            while data := connection.recv(CHUNK_BYTES):
                output.write(data)
                output.flush()
            return


def main(address: str, port: str, name: str, pki: str) -> int:
    """Carry one connection; return the exit status."""
    try:
        carry(connect(address, int(port), name, pki))
    except OSError as error:  # which ssl.SSLError is
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


sys.exit(main(*sys.argv[1:]))
