"""From the configuration to an upstream that can be used."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.tls.pem import TrustedAuthorities, load_client_certificate, load_trust
from egress.upstream import Upstream, make_plain_upstream, make_upstream
from egress.upstream.proxy_url import parse_proxy_url
from egress.upstream.routing_settings import UpstreamSettings
from tests.upstream.certificates import Root
from tests.upstream.ends import place

ROOT = Root()
CLIENT = ROOT.issue(is_server=False)


class FilesCase(SynchronousTestCase):
    """A directory to write to."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()

    def file(self, name: str, content: bytes, mode: int = 0o600) -> str:
        """Write a file."""
        path = self.directory / name
        path.write_bytes(content)
        path.chmod(mode)
        return str(path)


class TrustTests(FilesCase):
    """PEM files."""

    def test_authorities(self) -> None:
        """All that are in the file count."""
        other = Root("other")

        trust = load_trust(self.file("ca.pem", ROOT.pem + b"a remark\n" + other.pem), has_system=False)

        self.assertEqual(trust, TrustedAuthorities((ROOT.certificate, other.certificate), has_system=False))

    def test_no_authority(self) -> None:
        """A file without one ends the start: to trust nobody, or everybody, is not what was meant."""
        for content in (b"", b"hello", CLIENT.key_pem, ROOT.pem[:200]):
            with self.assertRaises(ConfigError) as caught:
                load_trust(self.file("ca.pem", content), has_system=True)
            self.assertEqual(caught.exception.where, "ca")
            self.assertIn("no certificate", caught.exception.problem)

    def test_nobody(self) -> None:
        """A trust in nobody cannot even be made."""
        with self.assertRaises(ValueError):
            TrustedAuthorities((), has_system=False)

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
                load_trust(path, has_system=True)
            self.assertIn(words, caught.exception.problem)

    def test_too_long(self) -> None:
        """A file has a bound."""
        with self.assertRaises(ConfigError) as caught:
            load_trust(self.file("ca.pem", ROOT.pem + b" " * (4 * 1024 * 1024)), has_system=True)
        self.assertIn("longer", caught.exception.problem)

    def test_a_client_certificate(self) -> None:
        """In one file or in two, with those above it."""
        one = load_client_certificate(self.file("both.pem", CLIENT.key_pem + CLIENT.pem + ROOT.pem))
        two = load_client_certificate(
            self.file("cert.pem", CLIENT.pem + ROOT.pem, 0o644), self.file("key.pem", CLIENT.key_pem)
        )

        for each in (one, two):
            self.assertEqual(each.chain, (CLIENT.certificate, ROOT.certificate))
            self.assertNotIn("PRIVATE", repr(each))

    def test_a_client_certificate_that_cannot_be_used(self) -> None:
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
                load_client_certificate(certificate, key)
            self.assertEqual(caught.exception.where, where)
            self.assertIn(words, caught.exception.problem)
            self.assertNotIn("hunter2", str(caught.exception))


class UpstreamTests(FilesCase):
    """What is made of settings."""

    def make(self, url: str, directory: str | None = None, **more: object) -> Upstream:
        """Make one."""
        settings = UpstreamSettings("corporate", url, **more)  # type: ignore[arg-type]
        return make_upstream(settings, Clock(), directory)

    def test_plain(self) -> None:
        """A URL alone."""
        upstream = self.make("http://proxy.corp:3128")

        self.assertEqual((upstream.name, upstream.scheme), ("corporate", "http"))
        self.assertEqual(upstream.authority, place("proxy.corp", 3128))
        self.assertIsNone(upstream.credentials)
        self.assertIsNone(upstream.tls)

    def test_credentials(self) -> None:
        """Out of the URL, a file, or the service manager's directory; none of them is in its spelling."""
        path = self.file("proxy", b"u:hunter2\n")
        upstreams = [
            self.make("https://u:hunter2@proxy.corp"),
            self.make("http://u:hunter2@proxy.corp", allow_plaintext_credentials=True),
            self.make("https://proxy.corp", credentials=path),
            self.make("https://proxy.corp", str(self.directory), credentials="systemd:proxy"),
            make_plain_upstream("HTTPS_PROXY", parse_proxy_url("http://u:hunter2@proxy.corp", ""), "HTTPS_PROXY"),
        ]
        for upstream in upstreams:
            assert upstream.credentials is not None
            self.assertEqual(upstream.credentials.authorization(), b"Basic dTpodW50ZXIy")
            self.assertNotIn("hunter2", repr(upstream) + str(upstream))

    def test_tls(self) -> None:
        """An https:// one has it, for the very host of its URL."""
        ca = self.file("ca.pem", ROOT.pem)
        certificate = self.file("client.pem", CLIENT.key_pem + CLIENT.pem)

        for upstream in (
            self.make("https://proxy.corp"),
            self.make("https://proxy.corp", ca=ca),
            self.make("https://proxy.corp", ca=ca, ca_mode="replace", certificate=certificate),
            make_plain_upstream("HTTPS_PROXY", parse_proxy_url("https://proxy.corp", ""), "HTTPS_PROXY"),
        ):
            assert upstream.tls is not None
            self.assertEqual(upstream.tls.authority, place("proxy.corp", 443))

    def test_a_bad_file(self) -> None:
        """Its key is told, relative to the table."""
        for key in ("ca", "certificate", "credentials"):
            with self.assertRaises(ConfigError) as caught:
                self.make("https://proxy.corp", **{key: str(self.directory / "none")})
            self.assertEqual(caught.exception.where, key)

    def test_tls_is_for_https(self) -> None:
        """An upstream that would be spoken to in the clear by mistake cannot be made."""
        with self.assertRaises(ValueError):
            Upstream("corporate", "https", place("proxy.corp", 443))
