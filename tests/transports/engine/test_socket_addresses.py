"""Address literals."""

from __future__ import annotations

import socket

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.trial.unittest import SynchronousTestCase

from egress.transports.engine.socket_addresses import describe, parse


class LiteralTests(SynchronousTestCase):
    """What may be dialled."""

    def test_families(self) -> None:
        """Literals of both families are taken."""
        self.assertEqual((socket.AF_INET, ("192.0.2.1", 80)), parse("192.0.2.1", 80))
        self.assertEqual((socket.AF_INET6, ("2001:db8::1", 443, 0, 0)), parse("2001:db8::1", 443))

    def test_scope(self) -> None:
        """A link-local address says by which interface."""
        index = socket.if_nametoindex("lo")

        self.assertEqual(index, parse("fe80::1%lo", 80)[1][3])

    def test_others(self) -> None:
        """Names, other spellings of numbers and impossible ports are not."""
        for host in (
            "localhost",
            "",
            "1.2.3",
            "0x7f.0.0.1",
            "127.0.0.1 ",
            "[::1]",
            "::1%nowhere",
            "1.2.3.4:80",
            "\udc80",
        ):
            self.assertRaises(ValueError, parse, host, 80)
        for port in (0, -1, 65_536):
            self.assertRaises(ValueError, parse, "192.0.2.1", port)

    def test_description(self) -> None:
        """Twisted's address objects hold what the socket says."""
        self.assertEqual(IPv4Address("TCP", "192.0.2.1", 80), describe(("192.0.2.1", 80)))
        self.assertEqual(IPv6Address("TCP", "fe80::1", 80, 0, 3), describe(("fe80::1", 80, 0, 3)))
