"""The meaning of OpenSSL's errors."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import CODES
from egress.tls.errors import FAULTS, describe_certificate, describe_upstream, refuse_client


def error_of(*texts: str) -> SSL.Error:
    """Make an error as pyOpenSSL raises it."""
    return SSL.Error([("SSL routines", "", text) for text in texts])


class CertificateTests(SynchronousTestCase):
    """Objections to a certificate."""

    def test_numbers(self) -> None:
        """An unknown one is described by its number."""
        self.assertIn("(OpenSSL's error 9999)", describe_certificate(9999))
        self.assertIn("expired", describe_certificate(10))


class FaultTests(SynchronousTestCase):
    """One table for both sides."""

    def test_every_row(self) -> None:
        """Each row is found by its words, for each side that it has a meaning for, and hidden by none above it."""
        for fault in FAULTS:
            with self.subTest(fault.words):
                error = error_of(f"tlsv1 {fault.words}")
                if fault.upstream:
                    self.assertEqual(fault.upstream, describe_upstream(error))
                if fault.client:
                    refused = refuse_client(error)
                    self.assertEqual((fault.code, fault.client), (refused.code, refused.reason))
                self.assertTrue(fault.upstream or fault.client)
                self.assertIn(fault.code, CODES)

    def test_sentences(self) -> None:
        """A meaning for a client is a sentence; one for an upstream ends a sentence."""
        for fault in FAULTS:
            self.assertTrue(not fault.client or (fault.client[0].isupper() and fault.client.endswith(".")))
            self.assertFalse(fault.upstream.endswith("."))

    def test_what_has_no_meaning(self) -> None:
        """Without a known meaning OpenSSL's own words are given, for an upstream in the sentence."""
        self.assertEqual("OpenSSL says: no shared cipher", describe_upstream(error_of("no shared cipher")))
        self.assertEqual("OpenSSL says: a; b", describe_upstream(error_of("a", "b")))
        self.assertEqual("the TLS connection failed", describe_upstream(SSL.Error()))
        refused = refuse_client(error_of("alert unrecognized name"))
        self.assertEqual("The TLS handshake with the client failed.", refused.reason)
        self.assertEqual("alert unrecognized name", refused.detail)

    def test_no_failure_of_tls(self) -> None:
        """Other ends of a connection are not described."""
        self.assertEqual("", describe_upstream(ConnectionDone()))
        self.assertEqual("", describe_upstream(None))
