"""Own the lab's certificate authority, and issue certificates as text.

``host_config`` writes them into the hosts. libvirt and QEMU check their own certificates before
they use them: a version 3 certificate of an authority that may sign, valid now, with the purpose
it is used for (libvirt's src/rpc/virnettlscontext.c and virnettlscert.c, QEMU's
crypto/tlscredsx509.c).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: No lab lives longer, and nobody should trust what it leaves behind.
LIFETIME = timedelta(days=7)
#: Clocks of one machine agree, but a certificate has whole seconds only.
HEAD_START = timedelta(minutes=5)

SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class Credentials:
    """A certificate and its private key, as PEM text."""

    certificate: str
    key: str


class Authority:
    """A certificate authority.

    Args:
        key: The private key.
        certificate: Its own certificate.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    def __repr__(self) -> str:
        return f"Authority({self._certificate.subject.rfc4514_string()!r})"

    @classmethod
    def new(cls, name: str) -> Self:
        """Return a new authority, self-signed."""
        key = _new_key()
        subject = _name(name)
        builder = _begun(subject, key, subject, key, LIFETIME).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        builder = builder.add_extension(_usage(signs=True), critical=True)
        return cls(key, builder.sign(key, hashes.SHA256()))

    @classmethod
    def load(cls, credentials: Credentials) -> Self:
        """Return the authority that has these :attr:`credentials`."""
        key = serialization.load_pem_private_key(credentials.key.encode(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(key, x509.load_pem_x509_certificate(credentials.certificate.encode()))

    @property
    def certificate(self) -> str:
        """Return the certificate with which others verify what this authority has signed."""
        return _pem(self._certificate)

    @property
    def credentials(self) -> Credentials:
        """Return the authority's certificate and private key."""
        return Credentials(self.certificate, _private(self._key))

    def server(
        self, name: str, addresses: tuple[str, ...] = (), *, lifetime: timedelta = LIFETIME
    ) -> Credentials:
        """Return the credentials with which a server proves that it is ``name``.

        Args:
            name: Its host name.
            addresses: The IP addresses that clients connect to as well.
            lifetime: How long the certificate is valid from now on.
        """
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        names += [x509.IPAddress(ip_address(address)) for address in addresses]
        return self._issue(name, SERVER, names, lifetime)

    def client(self, name: str, *, lifetime: timedelta = LIFETIME) -> Credentials:
        """Return the credentials with which a client proves who it is.

        Args:
            name: The client's name, which the server only logs.
            lifetime: How long the certificate is valid from now on.
        """
        return self._issue(name, CLIENT, [], lifetime)

    def _issue(
        self,
        name: str,
        purpose: x509.ObjectIdentifier,
        names: list[x509.GeneralName],
        lifetime: timedelta,
    ) -> Credentials:
        key = _new_key()
        builder = _begun(_name(name), key, self._certificate.subject, self._key, lifetime)
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(signs=False), False),
            (x509.ExtendedKeyUsage([purpose]), True),
        ):
            builder = builder.add_extension(extension, critical=critical)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return Credentials(_pem(builder.sign(self._key, hashes.SHA256())), _private(key))


def _new_key() -> ec.EllipticCurvePrivateKey:
    # A tenth of a millisecond; an RSA key of the same strength takes longer than a lab to start.
    return ec.generate_private_key(ec.SECP256R1())


def _begun(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    # Python's own ssl, from 3.13 on, requires the key identifiers.
    ours = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    theirs = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - HEAD_START)
        .not_valid_after(now + lifetime)
        .add_extension(ours, critical=False)
        .add_extension(theirs, critical=False)
    )


def _name(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "migrationlab"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        # Only RSA keys encipher keys, but libvirt 9 and QEMU 7 require it of any key.
        key_encipherment=not signs,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _private(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
