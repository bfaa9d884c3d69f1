"""A proxy that is this proxy itself is found before anything is sent to it."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.service.build.own_proxies import check_own_proxies
from egress.testing.requests import make_authority
from egress.upstream import HostsFile

# The socket's address, and the host of a proxy on its port.
FOUND = [
    ("127.0.0.1", "127.0.0.1"),
    ("127.0.0.1", "::ffff:127.0.0.1"),
    ("127.0.0.1", "0.0.0.0"),
    ("127.0.0.1", "localhost"),
    ("::1", "localhost"),
    ("127.0.0.1", "egress.localhost"),
    ("127.0.0.1", "node.example"),
    ("0.0.0.0", "127.0.0.9"),
    ("::", "node.example"),
]
OTHERS = [
    ("127.0.0.1", "127.0.0.2"),
    ("127.0.0.1", "192.0.2.1"),
    ("0.0.0.0", "192.0.2.1"),
    ("127.0.0.1", "other.example"),
    ("127.0.0.1", "far.example"),
]


class OwnProxyTests(SynchronousTestCase):
    """Addresses, names of this machine, and names of others."""

    def setUp(self) -> None:
        path = Path(self.mktemp())
        path.write_text("127.0.0.1 localhost node.example\n192.0.2.1 far.example\n", "ascii")
        self.hosts = HostsFile(str(path))

    def check(self, address: str, host: str, port: int = 3128, hosts: HostsFile | None = None) -> None:
        """Check one proxy against one socket on port 3128."""
        check_own_proxies({"HTTPS_PROXY": make_authority(host, port)}, [(address, 3128)], hosts)

    def test_found(self) -> None:
        """The error names the place where the proxy was named."""
        for address, host in FOUND:
            with self.assertRaises(ConfigError, msg=host) as caught:
                self.check(address, host, hosts=self.hosts)
            self.assertEqual(caught.exception.where, "HTTPS_PROXY")
            self.assertIn("is a listener of this proxy itself", caught.exception.problem)

    def test_others(self) -> None:
        """Another address, port or name is another proxy."""
        for address, host in OTHERS:
            self.check(address, host, hosts=self.hosts)
        for address, host in FOUND:
            self.check(address, host, 3129, self.hosts)

    def test_without_hosts_file(self) -> None:
        """A name that is not looked up in a hosts file, or in none that can be read, is no error."""
        self.check("127.0.0.1", "node.example")
        self.check("127.0.0.1", "node.example", hosts=HostsFile("/proc/self/mem/hosts"))
