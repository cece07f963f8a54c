"""Own the lab's certificate authority, and issue certificates as text.

``host_config`` writes them into the hosts. libvirt and QEMU check their own certificates before
they use them: a version 3 certificate, valid now and for its purpose, of an authority that may
sign (libvirt's src/rpc/virnettlscontext.c and virnettlscert.c, QEMU's
crypto/tlscredsx509.c).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

#: No lab lives longer, and no certificate should be trusted after its lab.
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
    """A certificate authority."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    def __repr__(self) -> str:
        return f"Authority({self._certificate.subject.rfc4514_string()!r})"

    @classmethod
    def new(cls, name: str) -> Self:
        """Return a new authority, self-signed."""
        key = _new_key()
        return cls(key, _signed(_name(name), key, _name(name), key, LIFETIME))

    @classmethod
    def load(cls, credentials: Credentials) -> Self:
        """Return the authority that has these :attr:`credentials`."""
        key = serialization.load_pem_private_key(credentials.key.encode(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(key, x509.load_pem_x509_certificate(credentials.certificate.encode()))

    @property
    def certificate(self) -> str:
        """Return the certificate that verifies this authority's signatures."""
        return self.credentials.certificate

    @property
    def credentials(self) -> Credentials:
        """Return the authority's certificate and private key."""
        return _credentials(self._certificate, self._key)

    def server(
        self, name: str, addresses: tuple[str, ...] = (), *, lifetime: timedelta = LIFETIME
    ) -> Credentials:
        """Return the credentials of a server called ``name``.

        Clients may connect to its IP ``addresses`` as well.
        """
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        names += [x509.IPAddress(ip_address(address)) for address in addresses]
        return self._issue(name, SERVER, lifetime, (x509.SubjectAlternativeName(names), False))

    def client(self, name: str, *, lifetime: timedelta = LIFETIME) -> Credentials:
        """Return the credentials of a client; the server only logs the ``name``."""
        return self._issue(name, CLIENT, lifetime)

    def _issue(
        self,
        name: str,
        purpose: x509.ObjectIdentifier,
        lifetime: timedelta,
        *more: tuple[x509.ExtensionType, bool],
    ) -> Credentials:
        key = _new_key()
        more = ((x509.ExtendedKeyUsage([purpose]), True), *more)
        issuer = self._certificate.subject
        return _credentials(_signed(_name(name), key, issuer, self._key, lifetime, *more), key)


def _new_key() -> ec.EllipticCurvePrivateKey:
    # A tenth of a millisecond; an RSA key of the same strength takes longer than a lab to start.
    return ec.generate_private_key(ec.SECP256R1())


def _name(name: str) -> x509.Name:
    return x509.Name.from_rfc4514_string(f"CN={name},O=migrationlab")


def _signed(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    lifetime: timedelta,
    *more: tuple[x509.ExtensionType, bool],
) -> x509.Certificate:
    """Return a certificate with ``more`` extensions and whether they are critical.

    Only a self-signed certificate may sign others.
    """
    now, signs = datetime.now(UTC), key is issuer_key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - HEAD_START)
        .not_valid_after(now + lifetime)
    )
    usage = x509.KeyUsage(
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
    for extension, critical in (
        (x509.BasicConstraints(ca=signs, path_length=0 if signs else None), True),
        (usage, signs),
        # Python's own ssl, from 3.13 on, requires the key identifiers.
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False),
        *more,
    ):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


def _credentials(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Credentials:
    text = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return Credentials(text, private_text(key, serialization.PrivateFormat.PKCS8))


def private_text(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, kind: serialization.PrivateFormat
) -> str:
    """Return a private key as PEM text."""
    none = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, kind, none).decode()
