"""Tests of the lab's authority: certificates are valid for their name, purpose and time only."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from migrationlab.lab.certificates import LIFETIME, Authority, Credentials


def written(folder: Path, credentials: Credentials) -> tuple[Path, Path]:
    """Write a certificate and its key to a folder, and return the two files."""
    folder.mkdir()
    files = folder / "cert.pem", folder / "key.pem"
    for path, text in zip(files, (credentials.certificate, credentials.key), strict=True):
        path.write_text(text)
    return files


def shake_hands(
    folder: Path,
    *,
    trusted_by_client: Authority,
    trusted_by_server: Authority,
    server: Credentials,
    client: Credentials,
    name: str,
) -> None:
    """Connect a client and a server, each with its own certificate, by TLS.

    Raises:
        ssl.SSLError: One of them does not accept the other.
    """
    at_server = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cadata=trusted_by_server.certificate
    )
    at_server.verify_mode = ssl.CERT_REQUIRED
    at_server.load_cert_chain(*written(folder / "server", server))
    at_client = ssl.create_default_context(cadata=trusted_by_client.certificate)
    # As every Python from 3.13 on does by itself.
    at_client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    at_server.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    at_client.load_cert_chain(*written(folder / "client", client))
    here, there = socket.socketpair()
    refused: list[ssl.SSLError] = []

    def serve() -> None:
        try:
            with at_server.wrap_socket(there, server_side=True) as accepted:
                accepted.sendall(b"welcome")
        except ssl.SSLError as error:
            refused.append(error)
            there.close()

    server_side = threading.Thread(target=serve)
    server_side.start()
    try:
        with here, at_client.wrap_socket(here, server_hostname=name) as connection:
            # In TLS 1.3 the client is ready before the server has looked at its certificate.
            assert connection.recv(7) == b"welcome" or refused
    finally:
        server_side.join()
    if refused:
        raise refused[0]


@pytest.fixture
def authority() -> Authority:
    """Return an authority."""
    return Authority.new("of a test")


@pytest.mark.parametrize("name", ["host-b", "10.11.0.2"])
def test_server_and_client_accept_each_other(
    tmp_path: Path, authority: Authority, name: str
) -> None:
    """A server and a client of one authority connect, by the server's name and by its address."""
    shake_hands(
        tmp_path,
        trusted_by_client=authority,
        trusted_by_server=authority,
        server=authority.server("host-b", ("10.11.0.2",)),
        client=authority.client("host-a"),
        name=name,
    )


def test_client_refuses_another_name(tmp_path: Path, authority: Authority) -> None:
    """A client refuses the certificate of another host."""
    with pytest.raises(ssl.SSLCertVerificationError, match="host-b"):
        shake_hands(
            tmp_path,
            trusted_by_client=authority,
            trusted_by_server=authority,
            server=authority.server("host-a"),
            client=authority.client("host-a"),
            name="host-b",
        )


def test_client_refuses_an_unknown_authority(tmp_path: Path, authority: Authority) -> None:
    """A client refuses a certificate of an unknown authority."""
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(
            tmp_path,
            trusted_by_client=Authority.new("another"),
            trusted_by_server=authority,
            server=authority.server("host-b"),
            client=authority.client("host-a"),
            name="host-b",
        )


def test_server_refuses_a_client_of_an_unknown_authority(
    tmp_path: Path, authority: Authority
) -> None:
    """A server refuses a client of an unknown authority."""
    with pytest.raises(ssl.SSLError):
        shake_hands(
            tmp_path,
            trusted_by_client=authority,
            trusted_by_server=authority,
            server=authority.server("host-b"),
            client=Authority.new("another").client("host-a"),
            name="host-b",
        )


def test_server_refuses_a_servers_certificate_as_a_clients(
    tmp_path: Path, authority: Authority
) -> None:
    """A server's certificate is refused as a client's."""
    with pytest.raises(ssl.SSLError):
        shake_hands(
            tmp_path,
            trusted_by_client=authority,
            trusted_by_server=authority,
            server=authority.server("host-b"),
            client=authority.server("host-a"),
            name="host-b",
        )


def test_certificate_expires(tmp_path: Path, authority: Authority) -> None:
    """A certificate expires after its lifetime."""
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake_hands(
            tmp_path,
            trusted_by_client=authority,
            trusted_by_server=authority,
            server=authority.server("host-b", lifetime=timedelta(seconds=-1)),
            client=authority.client("host-a"),
            name="host-b",
        )


def test_lifetimes_are_days(authority: Authority) -> None:
    """The certificates of a lab and of its authority expire within days."""
    for text in (
        authority.certificate,
        authority.server("host-b").certificate,
        authority.client("host-a").certificate,
    ):
        certificate = x509.load_pem_x509_certificate(text.encode())
        assert certificate.not_valid_after_utc <= datetime.now(UTC) + LIFETIME
        assert certificate.not_valid_before_utc < datetime.now(UTC)


def test_loaded_authority_is_the_same(tmp_path: Path, authority: Authority) -> None:
    """A certificate of a loaded authority is accepted by clients of the original."""
    again = Authority.load(authority.credentials)
    assert again.certificate == authority.certificate
    shake_hands(
        tmp_path,
        trusted_by_client=authority,
        trusted_by_server=again,
        server=again.server("host-b"),
        client=authority.client("host-a"),
        name="host-b",
    )


def test_repr_has_no_key(authority: Authority) -> None:
    """The repr of an authority has its name, not its key."""
    assert repr(authority) == "Authority('CN=of a test,O=migrationlab')"
