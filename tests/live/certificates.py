"""A certificate authority of the tests' own, for origins and proxies."""

from __future__ import annotations

import datetime
import ssl
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAMES = ("localhost", "other.example")
ADDRESSES = (ip_address("127.0.0.1"),)
_DAY = datetime.timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


class CertificateAuthority:
    """An authority, and a certificate that it gave to a server and one to a client.

    Attributes:
        path: the authority's own certificate, for the others to trust.
        chain: the server's key and certificate.
        client: the client's key and certificate.
    """

    def __init__(
        self,
        directory: Path,
        names: tuple[str, ...] = NAMES,
        addresses: tuple[IPv4Address | IPv6Address, ...] = ADDRESSES,
    ) -> None:
        """Make them.

        Args:
            directory: where their files are.
            names: whose the server's certificate is.
            addresses: the same.
        """
        self.path = directory / "authority.pem"
        self.chain = directory / "server.pem"
        self.client = directory / "client.pem"
        self._names = [*(x509.DNSName(each) for each in names), *(x509.IPAddress(each) for each in addresses)]
        own = ec.generate_private_key(ec.SECP256R1())
        root = self._sign(own.public_key(), "tests of egress", own, None)
        self.path.write_bytes(root.public_bytes(Encoding.PEM))
        self._give(self.chain, names[0], own, ExtendedKeyUsageOID.SERVER_AUTH)
        self._give(self.client, "a client", own, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _give(self, path: Path, name: str, signer: ec.EllipticCurvePrivateKey, use: x509.ObjectIdentifier) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = self._sign(key.public_key(), name, signer, use)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.touch(mode=0o600)
        path.write_bytes(secret + leaf.public_bytes(Encoding.PEM))

    def _sign(
        self,
        subject: ec.EllipticCurvePublicKey,
        name: str,
        signer: ec.EllipticCurvePrivateKey,
        use: x509.ObjectIdentifier | None,
    ) -> x509.Certificate:
        is_authority = use is None
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name("tests of egress"))
            .public_key(subject)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(_key_usage(is_authority=is_authority), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                critical=False,
            )
        )
        if use is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        if use == ExtendedKeyUsageOID.SERVER_AUTH:
            builder = builder.add_extension(x509.SubjectAlternativeName(self._names), critical=False)
        return builder.sign(signer, hashes.SHA256())

    def for_server(self, *protocols: str) -> ssl.SSLContext:
        """Make what a server needs.

        Args:
            protocols: what it speaks, for ALPN.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain)
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    def for_client(self) -> ssl.SSLContext:
        """Make what a client needs that trusts this authority and no other."""
        return ssl.create_default_context(cafile=str(self.path))
