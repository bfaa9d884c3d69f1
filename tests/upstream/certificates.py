"""Authorities and certificates, made in memory."""

from __future__ import annotations

import datetime
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL, crypto

from egress.tls import OwnCertificate, TrustedAuthorities

_DAY = datetime.timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Identity:
    """A certificate and its key.

    Attributes:
        certificate: the certificate.
        key: its private key.
        above: the certificates between this one and a root, nearest first.
    """

    def __init__(self, certificate: x509.Certificate, key: Any, above: tuple[x509.Certificate, ...] = ()) -> None:
        self.certificate = certificate
        self.key = key
        self.above = above

    @property
    def pem(self) -> bytes:
        """The certificate and those above it."""
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.certificate, *self.above))

    @property
    def key_pem(self) -> bytes:
        """The key, in the clear."""
        text: bytes = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return text

    @property
    def own(self) -> OwnCertificate:
        """The certificate as a process presents it."""
        return OwnCertificate((self.certificate, *self.above), self.key)

    def for_server(self, asks_for: Identity | None = None, versions: tuple[int, int] = (0, 0)) -> SSL.Context:
        """Make a server's context with it.

        Args:
            asks_for: the authority of client certificates, which are then required.
            versions: the lowest and highest version of TLS; 0 for any.
        """
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(versions[0])
        context.set_max_proto_version(versions[1])
        context.use_certificate(self.certificate)
        context.use_privatekey(self.key)
        for each in self.above:
            context.add_extra_chain_cert(each)
        if asks_for is not None:
            store = context.get_cert_store()
            assert store is not None
            store.add_cert(crypto.X509.from_cryptography(asks_for.certificate))
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        return context


class Root(Identity):
    """An authority."""

    def __init__(self, name: str = "tests of egress", signer: Root | None = None) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        by_name, by_key = (name, key) if signer is None else (signer.name, signer.key)
        self.name: str = name
        certificate = _sign(key, name, by_name, by_key, (), is_authority=True)
        above = () if signer is None or not signer.above else signer.above
        super().__init__(certificate, key, above)

    @property
    def trust(self) -> TrustedAuthorities:
        """Believe this authority alone."""
        return TrustedAuthorities((self.certificate,), has_system=False)

    def issue(self, *names: str, begins: int = -1, ends: int = 1, is_server: bool = True, key: Any = None) -> Identity:
        """Sign a certificate.

        Args:
            names: and addresses that it is for.
            begins: in how many days it becomes valid.
            ends: and in how many it ends.
            is_server: it is for a server, else for a client.
            key: the private key; a new one if left out.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(key, "leaf", self.name, self.key, names, begins=begins, ends=ends, is_server=is_server)
        return Identity(certificate, key)


def self_signed(*names: str) -> Identity:
    """Make a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Identity(_sign(key, "leaf", "leaf", key, names), key)


def _sign(
    subject: Any,
    name: str,
    by_name: str,
    by_key: Any,
    names: tuple[str, ...],
    *,
    begins: int = -1,
    ends: int = 1,
    is_authority: bool = False,
    is_server: bool = True,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(by_name))
        .public_key(subject.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins * _DAY)
        .not_valid_after(now + ends * _DAY)
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(map(_general, names)), critical=False)
    if not is_authority:
        usage = ExtendedKeyUsageOID.SERVER_AUTH if is_server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return builder.sign(by_key, hashes.SHA256())
