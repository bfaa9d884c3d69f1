"""The canonical spelling of hosts."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.hostname import canonical_host

NAMES = [
    ("example.com", "example.com"),
    ("EXAMPLE.Com", "example.com"),
    ("example.com.", "example.com"),
    ("localhost", "localhost"),
    ("_dmarc.example.com", "_dmarc.example.com"),
    ("a_b.example", "a_b.example"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("1.2.3.4.example", "1.2.3.4.example"),
    ("0x7f.example", "0x7f.example"),
    ("3com", "3com"),
    ("1e100.net", "1e100.net"),
    ("127.0.0.1x", "127.0.0.1x"),
    ("0xg", "0xg"),
    ("a" * 63 + ".b", "a" * 63 + ".b"),
    (".".join(["a" * 49] * 5) + ".", ".".join(["a" * 49] * 5)),
    ("a." * 126 + "a", "a." * 126 + "a"),
    ("a." * 126 + "a.", "a." * 126 + "a"),
]

ADDRESSES = [
    ("127.0.0.1", "127.0.0.1"),
    ("127.0.0.1.", "127.0.0.1"),
    ("0.0.0.0", "0.0.0.0"),
    ("255.255.255.255", "255.255.255.255"),
    ("2130706433", "127.0.0.1"),
    ("0x7f000001", "127.0.0.1"),
    ("0X7F000001", "127.0.0.1"),
    ("017700000001", "127.0.0.1"),
    ("127.1", "127.0.0.1"),
    ("127.0.1", "127.0.0.1"),
    ("0177.0.0.1", "127.0.0.1"),
    ("0x7f.0.0.0x1", "127.0.0.1"),
    ("0x7f.1", "127.0.0.1"),
    ("010.0.0.1", "8.0.0.1"),
    ("169.254.43518", "169.254.169.254"),
    ("0xa9fea9fe", "169.254.169.254"),
    ("0", "0.0.0.0"),
    ("00", "0.0.0.0"),
    ("4294967295", "255.255.255.255"),
    ("1.16777215", "1.255.255.255"),
    ("::1", "::1"),
    ("0:0:0:0:0:0:0:1", "::1"),
    ("2001:DB8::1", "2001:db8::1"),
    ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
    ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
    ("::FFFF:7f00:1", "::ffff:127.0.0.1"),
    ("64:ff9b::10.0.0.1", "64:ff9b::a00:1"),
]

REFUSED = [
    "",
    ".",
    "..",
    ".example.com",
    "example..com",
    "example.com..",
    "127.0.0.1..",
    "-a.example",
    "a-.example",
    "a.-",
    "a" * 64,
    "a" * 64 + ".example",
    "a." * 126 + "ab",
    "a." * 127 + "a",
    "[::1]",
    "::1.",
    "fe80::1%eth0",
    "fe80::1%25eth0",
    "::1/128",
    "1:2:3",
    "example.com:80",
    "::ffff:127.0.0.01",
    "example com",
    " example.com",
    "example.com\n",
    "127.0.0.1\n",
    "exam\x00ple.com",
    "127.0.0.1\x00.example.com",
    "127.0.0.1%00",
    "%6c%6f",
    "a%2eb",
    "b\u00fccher.example",
    "\uff11\uff12\uff17.0.0.1",
    "127\u30020\u30020\u30021",
    "\u0661.0.0.1",
    "\u212aelvin.example",
    "256.1.1.1",
    "1.2.3.256",
    "1.2.65536",
    "1.16777216",
    "4294967296",
    "0x100000000",
    "1.2.3.4.5",
    "09",
    "1.2.3.08",
    "0x",
    "1.2.3.0x",
    "0x.1",
    "example.1",
    "example.0x1f",
    "1.2.3.a.4",
    "999999999999999999999999999999",
    "127.0.0.1/8",
    "user@example.com",
    "*.example.com",
    "a,b",
]


class CanonicalHostTests(SynchronousTestCase):
    """What a host is called."""

    def test_names(self) -> None:
        """Names are lower case and have no trailing dot."""
        for text, expected in NAMES:
            self.assertEqual(canonical_host(text), (expected, None), repr(text))

    def test_addresses(self) -> None:
        """Every spelling of an address is that address."""
        for text, expected in ADDRESSES:
            self.assertEqual(canonical_host(text), (expected, ip_address(expected)), repr(text))

    def test_refused(self) -> None:
        """What is no host is refused, without repeating it."""
        for text in REFUSED:
            with self.assertRaises(ValueError, msg=repr(text)) as caught:
                canonical_host(text)
            self.assertTrue(str(caught.exception).isascii())
            if len(text) > 3:
                self.assertNotIn(text, str(caught.exception))
            self.assertIsNone(caught.exception.__context__ and caught.exception.__cause__)

    @given(st.text(max_size=40) | st.from_regex(r"[0-9a-fx.:A-F-]{1,30}", fullmatch=True))
    def test_canonical_is_a_fixed_point(self, text: str) -> None:
        """A canonical host is its own canonical spelling."""
        try:
            host, address = canonical_host(text)
        except ValueError:
            return
        self.assertEqual(canonical_host(host), (host, address))
        self.assertEqual(address is None, not _is_address(host))

    @given(st.ip_addresses())
    def test_addresses_keep_their_value(self, address: object) -> None:
        """A standard spelling is read as the address that it spells."""
        self.assertEqual(canonical_host(str(address))[1], address)

    @given(st.integers(0, 2**32 - 1), st.sampled_from(["{}", "0x{:x}", "0{:o}", "0X{:X}"]))
    def test_one_number(self, value: int, spelling: str) -> None:
        """One number in any base is an address."""
        self.assertEqual(canonical_host(spelling.format(value))[1], IPv4Address(value))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
