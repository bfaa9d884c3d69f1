"""Endpoint strings."""

from __future__ import annotations

from ipaddress import ip_address

from twisted.internet.endpoints import quoteStringArgument
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.service.listen.endpoint import SystemdEndpoint, TcpEndpoint, UnixEndpoint, overlaps, parse_endpoint


class EndpointTests(SynchronousTestCase):
    """What is known is read, and everything else is refused."""

    def test_tcp(self) -> None:
        """A port, and an address to listen on."""
        for text, address, port in (
            ("tcp:3128", "0.0.0.0", 3128),
            ("tcp:0", "0.0.0.0", 0),
            ("tcp:3128:interface=127.0.0.1", "127.0.0.1", 3128),
            (r"tcp:3128:interface=\:\:1", "::1", 3128),
            (f"tcp:3128:interface={quoteStringArgument('2001:db8::1')}", "2001:db8::1", 3128),
            ("tcp6:3128", "::", 3128),
            (r"tcp6:3128:interface=\:\:1", "::1", 3128),
        ):
            self.assertEqual(TcpEndpoint(ip_address(address), port), parse_endpoint(text, "here"), text)

    def test_unix(self) -> None:
        """A path, and a mode that is 600 if nothing else is said."""
        for text, path, mode in (
            ("unix:/run/egress/proxy server", "/run/egress/proxy server", 0o600),
            ("unix:/run/egress/proxy server:mode=660", "/run/egress/proxy server", 0o660),
            ("unix:/run/egress/proxy server:mode=0660", "/run/egress/proxy server", 0o660),
            (r"unix:/run/a\:b\=c\\d", r"/run/a:b=c\d", 0o600),
        ):
            self.assertEqual(UnixEndpoint(path, mode), parse_endpoint(text, "here"), text)

    def test_systemd(self) -> None:
        """A name, and a number where several sockets have it."""
        for text, name, index in (
            ("systemd:agents", "agents", None),
            ("systemd:egress.socket", "egress.socket", None),
            ("systemd:agents:index=1", "agents", 1),
        ):
            self.assertEqual(SystemdEndpoint(name, index), parse_endpoint(text, "here"), text)

    def test_refused(self) -> None:
        """Unknown kinds, unknown and doubled keys, and bad values are errors with the endpoint's key path."""
        for text, words in (
            ("", "must begin with tcp:"),
            ("3128", "must begin with tcp:"),
            ("ssl:3128", "must begin with tcp:"),
            ("systemd:domain=INET:index=0", "have no 'domain'"),
            ("systemd:", "must be systemd:NAME"),
            ("systemd", "must be systemd:NAME"),
            (r"systemd:a\:b", "must be systemd:NAME"),
            ("systemd:\u00fc", "must be systemd:NAME"),
            ("systemd:agents:index=-1", "a whole number"),
            ("systemd:agents:index=", "a whole number"),
            ("a=b", "must begin with tcp:"),
            ("tcp", "must be tcp:PORT"),
            ("tcp:", "must be tcp:PORT"),
            ("tcp:http", "must be tcp:PORT"),
            ("tcp:-1", "must be tcp:PORT"),
            ("tcp:65536", "must be tcp:PORT"),
            ("tcp:" + "9" * 5000, "must be tcp:PORT"),
            ("tcp:\u0663", "must be tcp:PORT"),
            ("tcp:1:2", "must be tcp:PORT"),
            ("tcp:1:backlog=50", "have no 'backlog'"),
            ("tcp:1:interface=a:interface=b", "'interface' twice"),
            ("tcp:1:interface=localhost", "must be an IP address"),
            ("tcp:1:interface=", "must be an IP address"),
            ("tcp:1:interface=::1", r"a colon inside a value is written \:"),
            (r"tcp:1:interface=fe80\:\:1%eth0", "without a zone"),
            ("tcp6:1:interface=127.0.0.1", "an IPv6 address as interface"),
            ("tcp:1\\", "ends in a backslash"),
            ("unix:", "must be unix:PATH"),
            ("unix", "must be unix:PATH"),
            ("unix:/a\0b", "must be unix:PATH"),
            ("unix:/a:mode=9", "three octal digits"),
            ("unix:/a:mode=rw-", "three octal digits"),
            ("unix:/a:mode=4777", "three octal digits"),
            ("unix:/" + "a" * 200, "longer than 107 octets"),
        ):
            error = self.assertRaises(ConfigError, parse_endpoint, text, "listener[0].endpoint")
            self.assertEqual("listener[0].endpoint", error.where, text)
            self.assertIn(words, error.problem, text)


class OverlapTests(SynchronousTestCase):
    """Two endpoints whose sockets cannot both be bound."""

    def test_table(self) -> None:
        """A wildcard takes the port on all addresses, "::" on those of IPv4 too; port 0 is another one each time."""
        every, every6, local, local6 = "tcp:9", "tcp6:9", "tcp:9:interface=127.0.0.1", "tcp6:9:interface=\\:\\:1"
        mapped = "tcp6:9:interface=\\:\\:ffff\\:127.0.0.1"
        for one, other, is_overlap in (
            (every, every, True),
            (every, local, True),
            (every, every6, True),
            (every, local6, False),
            (every, mapped, True),
            (local, local, True),
            (local, "tcp:9:interface=127.0.0.2", False),
            (local, "tcp:8:interface=127.0.0.1", False),
            (local, every6, True),
            (local, local6, False),
            (local, mapped, True),
            (local6, every6, True),
            ("tcp:0", "tcp:0", False),
            ("unix:/a", "unix:/a:mode=666", True),
            ("unix:/a", "unix:/b", False),
            ("unix:/a", every, False),
            ("systemd:a", "systemd:a", True),
            ("systemd:a:index=0", "systemd:a:index=1", False),
        ):
            ends = parse_endpoint(one, "here"), parse_endpoint(other, "here")
            self.assertEqual((is_overlap, is_overlap), (overlaps(*ends), overlaps(*reversed(ends))), (one, other))
