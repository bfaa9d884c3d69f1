"""From `[listener.tls]` to a factory with TLS."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.service.dry_run import make_dry_run
from egress.service.listen.tls import load_tls
from egress.service.settings.source import load
from tests.upstream.certificates import Root

ROOT = Root()
SERVER = ROOT.issue("proxy.example")
OTHER = ROOT.issue("other.example")


class ListenerTlsTests(SynchronousTestCase):
    """The table and its files."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.put("cert.pem", SERVER.pem, 0o644)
        self.put("key.pem", SERVER.key_pem)
        self.put("ca.pem", ROOT.pem, 0o644)

    def put(self, name: str, content: bytes, mode: int = 0o600) -> None:
        """Write a file."""
        path = self.directory / name
        path.write_bytes(content)
        path.chmod(mode)

    def file(self, tls: str, more: str = "") -> str:
        """Write a configuration."""
        path = self.directory / "egress.toml"
        listener = f'[[listener]]\nname = "agents"\nendpoint = "tcp:3128:interface=0.0.0.0"\n{more}\n[listener.tls]\n'
        path.write_text(listener + tls, "utf-8")
        return str(path)

    def assert_wrong(self, tls: str, where: str, words: str, more: str = "") -> None:
        """Assert that the proxy would not start, and what it would say."""
        file = self.file(tls, more)
        with self.assertRaises(ConfigError) as caught:
            make_dry_run(load(file), Clock(), {})
        self.assertEqual((file, where), (caught.exception.file, caught.exception.where))
        self.assertIn(words, caught.exception.problem)

    def test_files_count_from_the_configuration(self) -> None:
        """Relative paths count from the file's directory; TLS lets tokens and certificates be asked for."""
        for tls in (
            'certificate = "cert.pem"\nkey = "key.pem"\n',
            'certificate = "cert.pem"\nkey = "key.pem"\nclient_ca = "ca.pem"\n',
        ):
            source = load(self.file(tls))

            self.assertEqual(["agents"], list(load_tls(source)))
        make_dry_run(load(self.file(tls, 'require = "certificate"')), Clock(), {})

    def test_one_file(self) -> None:
        """The key may be in the file of the certificate."""
        self.put("both.pem", SERVER.key_pem + SERVER.pem)

        self.assertEqual(["agents"], list(load_tls(load(self.file('certificate = "both.pem"\n')))))

    def test_without_a_table(self) -> None:
        """A listener without it speaks no TLS."""
        self.assertEqual({}, load_tls(load(self.file(""))))

    def test_faults(self) -> None:
        """What cannot be used stops the start, and the key that names it is told."""
        self.put("open.pem", SERVER.key_pem, 0o604)
        self.put("other.pem", OTHER.key_pem)
        self.put("empty.pem", b"")
        tls = "listener[0].tls."
        rows = (
            ('certificate = "none.pem"\nkey = "key.pem"\n', "certificate", "cannot be read: No such file"),
            ('certificate = "empty.pem"\nkey = "key.pem"\n', "certificate", "holds no certificate"),
            ('certificate = "cert.pem"\nkey = "none.pem"\n', "key", "cannot be read: No such file"),
            ('certificate = "cert.pem"\nkey = "open.pem"\n', "key", "open to every user"),
            ('certificate = "cert.pem"\nkey = "other.pem"\n', "key", "not the one of the first certificate"),
            ('certificate = "cert.pem"\nkey = "key.pem"\nclient_ca = "empty.pem"\n', "client_ca", "no certificate"),
            ('certificate = "cert.pem"\nkey = "key.pem"\nclient_ca = "none.pem"\n', "client_ca", "No such file"),
            ('key = "key.pem"\n', "key", "means nothing without `certificate`"),
            ('client_ca = "ca.pem"\n', "client_ca", "means nothing without `certificate`"),
        )
        for written, key, words in rows:
            with self.subTest(written=written):
                self.assert_wrong(written, tls + key, words)

    def test_weak_key(self) -> None:
        """A key that OpenSSL finds too short is told of as well."""
        key = rsa.generate_private_key(65537, 1024)
        weak = ROOT.issue("proxy.example", key=key)
        self.put("weak.pem", weak.key_pem + weak.pem)

        self.assert_wrong('certificate = "weak.pem"\n', "listener[0].tls.certificate", "cannot be used for TLS")

    def test_certificates_need_authorities(self) -> None:
        """To require certificates without saying whose is a mistake."""
        self.assert_wrong(
            'certificate = "cert.pem"\nkey = "key.pem"\n',
            "listener[0].require",
            "authorities",
            'require = "certificate"',
        )
