"""Tests of egress.wire.authority."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ProtocolError
from egress.hostname import canonical_host
from egress.wire import authority
from egress.wire.authority import parse_authority

NAMES = {
    "example.com": "example.com",
    "EXAMPLE.Com.": "example.com",
    "localhost": "localhost",
    "_dmarc.example": "_dmarc.example",
    "under_score.example": "under_score.example",
    "a--b.example": "a--b.example",
    "xn--bcher-kva.example": "xn--bcher-kva.example",
    "1.2.3.4.example": "1.2.3.4.example",
    "a.1e3": "a.1e3",
    "1_0": "1_0",
    "0xg": "0xg",
    "a" * 63: "a" * 63,
    ".".join(["a" * 63] * 3 + ["b" * 61]): ".".join(["a" * 63] * 3 + ["b" * 61]),
}

ADDRESSES = {
    "192.0.2.1": "192.0.2.1",
    "192.0.2.1.": "192.0.2.1",
    "0": "0.0.0.0",
    "127.1": "127.0.0.1",
    "127.0.1": "127.0.0.1",
    "1.2.3.": "1.2.0.3",
    "1.65535": "1.0.255.255",
    "1.2.65535": "1.2.255.255",
    "2130706433": "127.0.0.1",
    "4294967295": "255.255.255.255",
    "0x7f.1": "127.0.0.1",
    "0X7F000001": "127.0.0.1",
    "0177.0.0.01": "127.0.0.1",
    "017700000001": "127.0.0.1",
    "0xa9fea9fe": "169.254.169.254",
    "010.0.0.1": "8.0.0.1",
    "00.0.0.0": "0.0.0.0",
    "::": "::",
    "::1": "::1",
    "0:0:0:0:0:0:0:1": "::1",
    "2001:DB8::A:0:0:B": "2001:db8::a:0:0:b",
    "2001:db8:0:0:1:0:0:1": "2001:db8::1:0:0:1",
    "2001:db8:0:1:1:1:1:1": "2001:db8:0:1:1:1:1:1",
    "2001:0db8::0001": "2001:db8::1",
    "::ffff:192.0.2.1": "::ffff:192.0.2.1",
    "::FFFF:c000:201": "::ffff:192.0.2.1",
    "64:ff9b::192.0.2.1": "64:ff9b::c000:201",
}

NOT_HOSTS = [
    "",
    ".",
    "..",
    "a..b",
    ".a",
    "a..",
    "-a",
    "a-",
    "a.-b",
    "a-.b",
    "a b",
    " a",
    "a\t",
    "a\n",
    "a\x00",
    "a%2eb",
    "a/b",
    "a\\b",
    "a@b",
    "a#b",
    "a?b",
    "a*b",
    "a,b",
    "[::1]",
    "b\u00fccher.example",
    "\uff11\uff12\uff17.0.0.1",
    "127\u30020.0.1",
    "\u212a.example",
    "\u0661",
    "a" * 64,
    ".".join(["a" * 63] * 3 + ["b" * 62]),
    "256.0.0.1",
    "1.2.3.256",
    "1.2.65536",
    "1.16777216",
    "4294967296",
    "1.2.3.4.5",
    "1..2",
    "a.1",
    "example.0x7f",
    "example.09",
    "08",
    "1.08.0.1",
    "0x",
    "1.0x",
    "0x1.0x",
    "+1",
    "9" * 253,
    "fe80::1%eth0",
    "fe80::1%25eth0",
    ":::",
    ":",
    "1::2::3",
    "::12345",
    "::g",
    "::1.2.3",
    "::1.2.3.04",
    "::1.",
    "::1/64",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "a:80",
]


class CanonicalHostTests(SynchronousTestCase):
    """One spelling for each host."""

    def test_names(self) -> None:
        """A name becomes lower case without its final dot."""
        for text, expected in NAMES.items():
            self.assertEqual(canonical_host(text), (expected, None), text)

    def test_addresses(self) -> None:
        """Every spelling of an address becomes its standard one."""
        for text, expected in ADDRESSES.items():
            self.assertEqual(canonical_host(text), (expected, ip_address(expected)), text)

    def test_refused(self) -> None:
        """What is neither is refused, with a sentence that repeats nothing of it."""
        for text in NOT_HOSTS:
            fault = self.assertRaises(ValueError, canonical_host, text)
            self.assertTrue(str(fault).isascii(), text)
            if len(text) > 3:
                self.assertNotIn(text, str(fault))

    @settings(max_examples=150, deadline=None)
    @given(st.text(max_size=20) | st.text("0123456789abcdefx.:-_A%", max_size=24))
    def test_canonical_is_stable(self, text: str) -> None:
        """Any text is refused, or has a canonical form that is its own canonical form."""
        try:
            host, address = canonical_host(text)
        except ValueError:
            return
        self.assertEqual(canonical_host(host), (host, address))
        self.assertTrue(host and host.isascii() and host == host.lower())
        # A mapped address is spelt differently by different versions of Python; it is the same address.
        self.assertEqual(address is not None and ip_address(host), address or False)

    @settings(max_examples=100, deadline=None)
    @given(st.ip_addresses(v=4), st.sampled_from(["{0}", "0x{0:x}", "0{0:o}"]))
    def test_ipv4_as_one_number(self, address: IPv4Address, spelling: str) -> None:
        """An IPv4 address as one number in any base is that address."""
        self.assertEqual(canonical_host(spelling.format(int(address))), (str(address), address))

    @settings(max_examples=100, deadline=None)
    @given(st.ip_addresses(v=6))
    def test_ipv6_spellings(self, address: IPv6Address) -> None:
        """The long and the short spelling of an IPv6 address are one host."""
        short = canonical_host(str(address))
        self.assertEqual(short[1], address)
        self.assertEqual(canonical_host(address.exploded.upper()), short)


AUTHORITIES = {
    b"a:80": ("a", 80, "a:80"),
    b"A.:1": ("a", 1, "a:1"),
    b"a:65535": ("a", 65535, "a:65535"),
    b"192.0.2.1:443": ("192.0.2.1", 443, "192.0.2.1:443"),
    b"0x7f.1:443": ("127.0.0.1", 443, "127.0.0.1:443"),
    b"[::1]:443": ("::1", 443, "[::1]:443"),
    b"[2001:DB8:0::1]:8443": ("2001:db8::1", 8443, "[2001:db8::1]:8443"),
}

NOT_AUTHORITIES = [
    b"",
    b"a",
    b"a:",
    b":80",
    b"a:0",
    b"a:080",
    b"a:+80",
    b"a:-80",
    b"a: 80",
    b"a:80 ",
    b"a:8_0",
    b"a:65536",
    b"a:100000",
    b"a:99999999999999999999",
    b"a:http",
    b"a:\xb2",
    b"a:80:80",
    b"::1:80",
    b"[::1]",
    b"[::1]:",
    b"[::1]80",
    b"[::1",
    b"[]:80",
    b"[a]:80",
    b"[127.0.0.1]:80",
    b"[v1.x:y]:80",
    b"[::1%25lo]:80",
    b"[[::1]]:80",
    b"a]:80",
    b"u@a:80",
    b"u:p@a:80",
    b"@a:80",
    b"a:80@b:90",
    b"a/:80",
    b"a:80/",
    b"\xe9:80",
    b"\xef\xbc\x91:80",
    b"a\x00:80",
    b"a%00:80",
    b"*:80",
]


class ParseAuthorityTests(SynchronousTestCase):
    """Hosts with ports."""

    def test_read(self) -> None:
        """An authority is read into canonical host, port and address, the first time and from memory."""
        for raw, (host, port, text) in AUTHORITIES.items():
            for _ in range(2):
                found = parse_authority(raw)
                self.assertEqual((found.host, found.port, found.text), (host, port, text))
                self.assertEqual(found.address, canonical_host(host)[1])

    def test_refused(self) -> None:
        """What is no authority is a bad target, every time, and is not repeated."""
        for raw in NOT_AUTHORITIES:
            for _ in range(2):
                fault = self.assertRaises(ProtocolError, parse_authority, raw)
                self.assertEqual(fault.code, "bad_target", raw)
                self.assertTrue(fault.reason.isascii())

    def test_default_port(self) -> None:
        """A missing port is the default; the same octets without one stay refused."""
        self.assertEqual(parse_authority(b"a", 80).port, 80)
        self.assertEqual(parse_authority(b"a", 443).port, 443)
        self.assertEqual(parse_authority(b"[::1]", 80).text, "[::1]:80")
        self.assertEqual(parse_authority(b"a:8080", 80).port, 8080)
        self.assertRaises(ProtocolError, parse_authority, b"a")
        self.assertRaises(ProtocolError, parse_authority, b"a:", 80)

    def test_memory_is_bounded(self) -> None:
        """The memo holds a bounded number of short keys, and no refused authority."""
        for number in range(5000):
            parse_authority(b"h%d:80" % number)
        self.assertLessEqual(len(authority._memo), 4096)
        self.assertRaises(ProtocolError, parse_authority, b"-h:80")
        self.assertNotIn((b"-h:80", None), authority._memo)
        self.assertLessEqual(max(len(raw) for raw, _ in authority._memo), 260)

    @settings(max_examples=150, deadline=None)
    @given(st.binary(max_size=20) | st.text("0123456789abcdefx.:-_A%[]@", max_size=24).map(str.encode))
    def test_round_trip(self, raw: bytes) -> None:
        """Any octets are a bad target, or an authority whose own text is read as itself."""
        try:
            found = parse_authority(raw)
        except ProtocolError as fault:
            self.assertEqual(fault.code, "bad_target")
            return
        self.assertEqual(parse_authority(found.text.encode("ascii")), found)
