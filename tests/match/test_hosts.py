"""Host patterns, alone and indexed."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.hostname import canonical_host
from egress.match import HostIndex, NumberError, parse_host, parse_network

CANONICAL = [
    ("API.Example.com.", "api.example.com"),
    ("*.Example.com", "*.example.com"),
    ("**.example.com.", "**.example.com"),
    ("**", "**"),
    ("*.com", "*.com"),
    ("b\u00fccher.example", "xn--bcher-kva.example"),
    ("*.B\u00dcCHER.example", "*.xn--bcher-kva.example"),
    ("_x.b\u00fccher.example", "_x.xn--bcher-kva.example"),
    ("stra\u00dfe.example", "xn--strae-oqa.example"),
    ("\uff11\uff12\uff17.0.0.1", "127.0.0.1"),
    ("192.0.2.1.", "192.0.2.1"),
    ("192.0.2.0/24", "192.0.2.0/24"),
    ("0.0.0.0/0", "0.0.0.0/0"),
    ("::/0", "::/0"),
    ("2001:DB8::/32", "2001:db8::/32"),
    ("2001:db8:0::1", "2001:db8::1"),
]

REFUSED = [
    "",
    "*",
    "*.",
    "**.",
    "***.example.com",
    "a.*.example.com",
    "*.*.example.com",
    "api-*.example.com",
    "*example.com",
    "example.*",
    "*.192.0.2.1",
    "**.1",
    "10.0.0.1/8",
    "2001:db8::1/32",
    "10.0.0.0/33",
    "10.0.0.0/08",
    "10.0.0.0/",
    "10.0.0.0/255.0.0.0",
    "10/8",
    "0x0a.0.0.0/8",
    "example.com/24",
    "fe80::/10%eth0",
    "fe80::1%eth0",
    "[::1]",
    "example.com:443",
    "https://example.com",
    "https://example.com/x",
    "user@example.com",
    "exam ple.com",
    "exa\x00mple.com",
    "a..b",
    "\u2603-.example",
    "xn\u00fc--.example",
]

# Numbers that are no address in dotted decimal, and the network to write, if it can be told.
NUMBERS = [
    ("192.168.", "192.168.0.0/16"),
    ("10.", "10.0.0.0/8"),
    ("10", "10.0.0.0/8"),
    ("192.168", "192.168.0.0/16"),
    ("192.0.2", "192.0.2.0/24"),
    ("192.0.2.", "192.0.2.0/24"),
    ("10.*", "10.0.0.0/8"),
    ("192.168.*", "192.168.0.0/16"),
    ("192.168.*.*", "192.168.0.0/16"),
    ("10/8", "10.0.0.0/8"),
    ("10./8", "10.0.0.0/8"),
    ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
    ("127.1", "127.1.0.0/16"),
    ("2130706433", ""),
    ("0x7f.1", ""),
    ("0x7f000001", ""),
    ("0177.0.0.1", ""),
    ("010.0.0.1", ""),
    ("10.300", ""),
    ("0x0a.0.0.0/8", ""),
]

MATCHES = [
    ("example.com", "example.com", True),
    ("example.com", "a.example.com", False),
    ("*.example.com", "a.example.com", True),
    ("*.example.com", "example.com", False),
    ("*.example.com", "a.b.example.com", False),
    ("*.example.com", "aexample.com", False),
    ("**.example.com", "a.example.com", True),
    ("**.example.com", "a.b.c.example.com", True),
    ("**.example.com", "example.com", False),
    ("**.example.com", "aexample.com", False),
    ("**", "example.com", True),
    ("**", "10.0.0.1", True),
    ("**", "::1", True),
    ("10.0.0.0/8", "10.255.255.255", True),
    ("10.0.0.0/8", "11.0.0.0", False),
    ("10.0.0.0/8", "::ffff:10.0.0.1", False),
    ("::/0", "10.0.0.1", False),
    ("2001:db8::/32", "2001:db8::1", True),
    ("127.0.0.1", "127.1", True),
    ("*.com", "10.0.0.1", False),
]


class HostPatternTests(SynchronousTestCase):
    """What operators may write for hosts."""

    def test_canonical(self) -> None:
        """Patterns are brought into the form in which hosts are compared."""
        for text, expected in CANONICAL:
            self.assertEqual(parse_host(text).text, expected, ascii(text))

    def test_refused(self) -> None:
        """What could be taken for something else is refused, and not repeated."""
        for text in REFUSED:
            with self.assertRaises(ValueError, msg=ascii(text)) as caught:
                parse_host(text)
            self.assertTrue(str(caught.exception).isascii())

    def test_numbers(self) -> None:
        """Numbers that are no address in dotted decimal are refused with what to write instead."""
        for text, network in NUMBERS:
            readers = (parse_network,) if network == "" or "*" not in text else ()
            for read in (parse_host, *readers):
                with self.assertRaises(NumberError, msg=text) as caught:
                    read(text)
                self.assertIn(
                    f"write the network as {network}" if network else "four decimal numbers", str(caught.exception)
                )

    def test_matches(self) -> None:
        """A star is one label, two are one or more, and networks hold addresses alone."""
        for pattern, text, expected in MATCHES:
            host, address = canonical_host(text)
            parsed = parse_host(pattern)
            self.assertEqual(parsed.match(host, address), expected, (pattern, text))
            self.assertEqual(bool(HostIndex([(parsed, None)]).find(host, address)), expected, (pattern, text))
