"""PEM files of certificates, keys and authorities."""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from egress.errors import ConfigError
from egress.tls.files import FILE_LIMIT_BYTES, load_authorities, load_certificate
from tests.tls.files_case import FilesCase
from tests.upstream.certificates import Root

ROOT = Root()
CLIENT = ROOT.issue(is_server=False)


class FilesTests(FilesCase):
    """PEM files."""

    def test_authorities(self) -> None:
        """All that are in the file count."""
        other = Root("other")

        authorities = load_authorities("ca", self.file("ca.pem", ROOT.pem + b"a remark\n" + other.pem))

        self.assertEqual(authorities, (ROOT.certificate, other.certificate))

    def test_no_authority(self) -> None:
        """A file without one ends the start: to trust nobody, or everybody, is not what was meant."""
        for content in (b"", b"hello", CLIENT.key_pem, ROOT.pem[:200]):
            with self.assertRaises(ConfigError) as caught:
                load_authorities("client_ca", self.file("ca.pem", content))
            self.assertEqual(caught.exception.where, "client_ca")
            self.assertIn("no certificate", caught.exception.problem)

    def test_not_a_file(self) -> None:
        """What cannot be read says so; a pipe is not waited for."""
        os.mkfifo(self.directory / "fifo")
        for path, words in (
            (str(self.directory / "none"), "No such file"),
            (str(self.directory), "regular file"),
            (str(self.directory / "fifo"), "regular file"),
            ("a\0b", "no file name"),
        ):
            with self.assertRaises(ConfigError) as caught:
                load_authorities("ca", path)
            self.assertIn(words, caught.exception.problem)

    def test_too_long(self) -> None:
        """A file has a bound."""
        with self.assertRaises(ConfigError) as caught:
            load_authorities("ca", self.file("ca.pem", ROOT.pem + b" " * FILE_LIMIT_BYTES))
        self.assertIn("longer", caught.exception.problem)

    def test_a_certificate(self) -> None:
        """In one file or in two, with those above it."""
        one = load_certificate(self.file("both.pem", CLIENT.key_pem + CLIENT.pem + ROOT.pem))
        two = load_certificate(
            self.file("cert.pem", CLIENT.pem + ROOT.pem, 0o644), self.file("key.pem", CLIENT.key_pem)
        )

        for each in (one, two):
            self.assertEqual(each.chain, (CLIENT.certificate, ROOT.certificate))
            self.assertNotIn("PRIVATE", repr(each))

    def test_a_certificate_that_cannot_be_used(self) -> None:
        """Each says which key is wrong and why, and nothing of what was read."""
        encrypted = CLIENT.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
        cert = self.file("cert.pem", CLIENT.pem, 0o644)
        rows = [
            (cert, "", "certificate", "open to every user"),
            (self.file("own.pem", CLIENT.pem), "", "certificate", "no private key"),
            (cert, self.file("open.pem", CLIENT.key_pem, 0o644), "key", "open to every user"),
            (cert, self.file("other.pem", ROOT.key_pem), "key", "not the one of the first certificate"),
            (cert, self.file("encrypted.pem", encrypted), "key", "encrypted"),
            (cert, self.file("noise.pem", b"hunter2"), "key", "no private key"),
            (cert, str(self.directory / "none"), "key", "No such file"),
            (self.file("empty.pem", b""), self.file("key.pem", CLIENT.key_pem), "certificate", "no certificate"),
        ]
        for certificate, key, where, words in rows:
            with self.assertRaises(ConfigError) as caught:
                load_certificate(certificate, key)
            self.assertEqual(caught.exception.where, where)
            self.assertIn(words, caught.exception.problem)
            self.assertNotIn("hunter2", str(caught.exception))
