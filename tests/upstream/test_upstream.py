"""From the configuration to a usable upstream."""

from __future__ import annotations

from twisted.internet.task import Clock

from egress.errors import ConfigError
from egress.upstream import Upstream, make_plain_upstream, make_upstream
from egress.upstream.proxy_url import parse_proxy_url
from egress.upstream.routing_settings import UpstreamSettings
from tests.tls.files_case import FilesCase
from tests.upstream.certificates import Root
from tests.upstream.ends import place

ROOT = Root()
CLIENT = ROOT.issue(is_server=False)


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
