"""The name of a certificate's holder."""

from __future__ import annotations

import datetime
from ipaddress import IPv4Address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from egress.tls import name_of

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = datetime.datetime.now(datetime.UTC)
DNS, URI, MAIL = x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name


def certificate(*common: str, names: list[x509.GeneralName] | None = None, raw: bytes = b"") -> x509.Certificate:
    """Make a certificate with common names and alternative names, which may be given as DER."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in common])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + datetime.timedelta(days=1))
    )
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if raw:
        kind = x509.SubjectAlternativeName.oid
        builder = builder.add_extension(x509.UnrecognizedExtension(kind, raw), critical=False)
    return builder.sign(KEY, hashes.SHA256())


class NameTests(SynchronousTestCase):
    """The order of names, and what is no name."""

    def test_order(self) -> None:
        """A DNS name comes first, then a URI, then a mail address; the common name only where there is none."""
        uri, mail = URI("spiffe://example/agent-7"), MAIL("agent@example")
        rows = [
            (certificate("other", names=[mail, uri, DNS("Agent-7.example"), DNS("b.example")]), "agent-7.example"),
            (certificate("other", names=[mail, uri]), "spiffe://example/agent-7"),
            (certificate("other", names=[mail]), "agent@example"),
            (certificate("agent-7"), "agent-7"),
            (certificate("Agent 7"), "Agent 7"),
            (certificate("agent-7", names=[x509.IPAddress(IPv4Address("192.0.2.1"))]), "agent-7"),
        ]
        for given, name in rows:
            with self.subTest(name=name):
                self.assertEqual(name, name_of(given))

    def test_no_name(self) -> None:
        """What is not plain is no name: nobody can write a rule for it, or mistake it for another."""
        rows = [
            certificate(),
            certificate("one", "two"),
            certificate(" agent-7"),
            certificate("agent\n7"),
            certificate("agent\N{HYPHEN}7"),
            certificate("a", names=[URI("x:" + "y" * 300)]),
        ]
        for given in rows:
            with self.subTest(subject=given.subject):
                self.assertEqual("", name_of(given))

    def test_unreadable(self) -> None:
        """Nor has a certificate one whose names cannot be read: they are of unknown kinds, or no names at all."""
        rows = {
            "x400Address": b"\x30\x04\xa3\x02\x30\x00",
            "ediPartyName": b"\x30\x06\xa5\x04\xa1\x02\x0c\x00",
            "an x400Address before a DNS name": b"\x30\x07\xa3\x02\x30\x00\x82\x01a",
            "nonsense": b"\x05\x00",
        }
        for kind, raw in rows.items():
            with self.subTest(kind=kind):
                self.assertEqual("", name_of(certificate("agent-7", raw=raw)))
