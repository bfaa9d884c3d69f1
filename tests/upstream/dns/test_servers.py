"""Which name servers are asked."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.upstream.dns.servers import NameServers, parse


class ParseTests(SynchronousTestCase):
    """resolv.conf(5)"""

    def test_name_servers(self) -> None:
        """The first three lines with an address count; every other line has no effect."""
        text = """
# nameserver 192.0.2.9
; nameserver 192.0.2.9
search corp.example
options ndots:5 timeout:1 attempts:1 rotate
nameserver
nameserver name.example
 nameserver 192.0.2.1   # first
nameserver\t2001:DB8:0::1
nameservers 192.0.2.9
nameserver fe80::1%eth0
nameserver 192.0.2.4
"""
        self.assertEqual(["192.0.2.1", "2001:db8::1", "fe80::1%eth0"], parse(text))

    @given(st.text(max_size=200))
    def test_any_text(self, text: str) -> None:
        """Nothing in the file is an error."""
        self.assertLessEqual(len(parse(text)), 3)


class NameServersTests(SynchronousTestCase):
    """`NameServers`"""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def texts(self, servers: NameServers) -> list[str]:
        """Give the addresses of the servers."""
        return [each.at.address for each in servers.current()]

    def test_file_changes(self) -> None:
        """The file is read again after a change; a server that stays is the same object, with what is known of it."""
        self.path.write_text("nameserver 192.0.2.1\nnameserver 192.0.2.2\n", "ascii")
        servers = NameServers(path=str(self.path))
        first = servers.current()
        self.assertIs(first, servers.current())

        self.path.write_text("nameserver 192.0.2.3\nnameserver 192.0.2.1\n", "ascii")
        os.utime(self.path, ns=(1, 1))

        self.assertEqual(["192.0.2.3", "192.0.2.1"], self.texts(servers))
        self.assertIs(first[0], servers.current()[1])

    def test_no_server(self) -> None:
        """Without a file or without a name server in it, the machine itself is asked, as the C library does."""
        servers = NameServers(path=str(self.path))
        self.assertEqual(["127.0.0.1"], self.texts(servers))

        self.path.write_text("search corp.example\n", "ascii")

        self.assertEqual(["127.0.0.1"], self.texts(servers))

    def test_unreadable(self) -> None:
        """What is no file counts as one without name servers."""
        self.assertEqual(["127.0.0.1"], self.texts(NameServers(path="/")))

    def test_configured(self) -> None:
        """Servers of the configuration replace the file's, with their ports, each once; a reload may change them."""
        servers = NameServers(("192.0.2.1:5353", "2001:db8::1", "192.0.2.1:5353"), str(self.path))
        self.assertEqual(
            [("192.0.2.1", 5353), ("2001:db8::1", 53)], [(s.at.address, s.at.port) for s in servers.current()]
        )

        servers.configured = ()

        self.assertEqual(["127.0.0.1"], self.texts(servers))

    def test_twice(self) -> None:
        """A server that is listed twice is asked once."""
        self.path.write_text("nameserver 192.0.2.1\nnameserver 192.0.2.1\n", "ascii")

        self.assertEqual(["192.0.2.1"], self.texts(NameServers(path=str(self.path))))
