"""The syntax and matching of NO_PROXY."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.hostname import canonical_host
from egress.model import Address, Authority
from egress.testing.requests import make_authority
from egress.upstream.no_proxy import NoProxy

# The list, then `host port` that it holds, then those that it does not.
LISTS: list[tuple[str, list[str], list[str]]] = [
    (
        "corp.com",
        ["corp.com 80", "a.corp.com 443", "a.b.corp.com 1"],
        ["xcorp.com 80", "corp.com.x 80", "com 80"],
    ),
    (".corp.com", ["a.corp.com 80", "a.b.corp.com 80"], ["corp.com 80", "xcorp.com 80"]),
    ("*.corp.com", ["a.corp.com 80", "a.b.corp.com 80"], ["corp.com 80"]),
    ("corp.com:8443", ["corp.com 8443", "a.corp.com 8443"], ["corp.com 443", "a.corp.com 8444"]),
    ("*.corp.com:8443", ["a.corp.com 8443"], ["corp.com 8443", "a.corp.com 443"]),
    ("corp.com:1,corp.com:2", ["corp.com 1", "corp.com 2"], ["corp.com 3"]),
    ("corp.com:1,corp.com,corp.com:2", ["corp.com 1", "corp.com 3"], []),
    ("a.corp.com:1,corp.com:2", ["a.corp.com 1", "a.corp.com 2", "b.corp.com 2"], ["b.corp.com 1"]),
    ("CORP.com., \t.Example. ", ["corp.com 80", "x.example 80"], ["example 80"]),
    ("b\u00fccher.example", ["xn--bcher-kva.example 80"], ["bcher.example 80"]),
    ("_srv.corp.com", ["_srv.corp.com 80"], ["corp.com 80"]),
    ("localhost", ["localhost 80", "a.localhost 80"], ["127.0.0.1 80"]),
    (",corp.com,,", ["corp.com 80"], ["a.example 80"]),
    ("*", ["corp.com 80", "192.0.2.1 1", "2001:db8::1 1"], []),
    ("corp.com,*", ["example.com 80"], []),
    ("192.0.2.1", ["192.0.2.1 80", "::ffff:192.0.2.1 80"], ["192.0.2.2 80", "1.192.0.2.1.example 80"]),
    ("192.0.2.1:8080", ["192.0.2.1 8080"], ["192.0.2.1 80"]),
    ("::ffff:192.0.2.1", ["192.0.2.1 80"], ["192.0.2.2 80"]),
    ("10.96.0.0/12", ["10.96.0.1 443", "10.111.255.255 80", "::ffff:10.96.0.1 80"], ["10.112.0.0 80", "10.95.9.9 80"]),
    ("10.97.1.2/12", ["10.96.0.1 443"], ["10.112.0.0 80"]),
    ("10.0.0.0/8:443", ["10.1.2.3 443"], ["10.1.2.3 80", "11.0.0.1 443"]),
    ("0.0.0.0/0", ["192.0.2.1 80"], ["2001:db8::1 80", "corp.com 80"]),
    ("::/0", ["2001:db8::1 80"], ["192.0.2.1 80", "::ffff:192.0.2.1 80"]),
    ("::ffff:10.0.0.0/104", ["10.1.2.3 80", "::ffff:10.1.2.3 80"], ["11.0.0.1 80"]),
    ("2001:DB8::1", ["2001:db8::1 80"], ["2001:db8::2 80"]),
    ("[2001:db8::1]", ["2001:db8::1 80"], ["2001:db8::2 80"]),
    ("[2001:db8:0::1]:443", ["2001:db8::1 443"], ["2001:db8::1 80"]),
    ("fd00::/8", ["fd12::1 80"], ["fe80::1 80", "2001:db8::1 80"]),
    ("[fd00::]/8", ["fd12::1 80"], ["fe80::1 80"]),
    ("[fd00::/8]", ["fd12::1 80"], ["fe80::1 80"]),
    ("[fd00::]/8:6443", ["fd12::1 6443"], ["fd12::1 80"]),
    ("[fd00::/8]:6443", ["fd12::1 6443"], ["fd12::1 80"]),
    ("fd00::/8:6443", ["fd12::1 6443"], ["fd12::1 80"]),
]

SENSELESS = [
    "", " ", ",,", " , ,", "corp.com:", "corp.com:0", "corp.com:99999", "corp.com:https", "corp.com:+80", ":8080", ".",
    "*.", "..corp.com", "**", "**.corp.com", "*corp.com", "a.*.com", "10.*", "192.0.2.*", "10.0.0.0/33", "10.0.0.0/-1",
    "10.0.0.0/", "/8", "10.0.0.0/08", "10.0.0.0/8/8", "010.0.0.0/8", "fd00::/129", "[fd00::/8", "fd00::]/8",
    "[fd00::]8", "corp.com/8", "[10.0.0.0]/8", "[10.0.0.1]", "[corp.com]:80", "[]", "fe80::1%eth0",
    ".192.0.2.1", "*.2001:db8::1",
    "256.1.1.1", "1.2.3.4.5", "<local>", "a b", "a;b", "http://corp.com", "user:hunter2@corp.com", "-a.com", "a..com",
    "10.0.0.0/8:0", "10.0.0.0/8:", "[fd00::1]:", "[fd00::1]80",
]  # fmt: skip


def authority(text: str) -> Authority:
    """Read `host port`."""
    host, _, port = text.partition(" ")
    return make_authority(host, int(port))


class NoProxyTests(SynchronousTestCase):
    """What is in a list and what is not."""

    def test_lists(self) -> None:
        """Names, suffixes, ports, addresses and networks match as operators know it from other programs."""
        for text, inside, outside in LISTS:
            compiled = NoProxy.parse(text, "NO_PROXY")
            for probe in inside:
                self.assertTrue(compiled.matches_name(authority(probe)), (text, probe))
            for probe in outside:
                self.assertFalse(compiled.matches_name(authority(probe)), (text, probe))

    def test_senseless(self) -> None:
        """What names nothing is an error that names the variable, and none of it is repeated."""
        for text in SENSELESS:
            with self.assertRaises(ConfigError, msg=text) as caught:
                NoProxy.parse(text, "NO_PROXY")
            self.assertEqual(caught.exception.where, "NO_PROXY")
            self.assertNotIn("hunter2", str(caught.exception))

    def test_numbers(self) -> None:
        """Numbers that are no address in dotted decimal are an error with what to write, or are left out."""
        for entry, network in (
            ("192.168.", "192.168.0.0/16"),
            ("10.", "10.0.0.0/8"),
            ("10", "10.0.0.0/8"),
            ("10.:8080", "10.0.0.0/8"),
            ("192.168.*", "192.168.0.0/16"),
            ("10/8", "10.0.0.0/8"),
            ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
            ("0x7f.1", "192.0.2.1"),
            ("2130706433", "192.0.2.1"),
        ):
            with self.assertRaises(ConfigError) as caught:
                NoProxy.parse(f"corp.com,{entry}", "no_proxy")
            self.assertIn("entry 2: ", caught.exception.problem)
            self.assertIn(network, caught.exception.problem)

            lenient = NoProxy.parse(f"corp.com,{entry}", "NO_PROXY", is_lenient=True)
            self.assertEqual(len(lenient.left_out), 1)
            self.assertIn(repr(entry), lenient.left_out[0])
            self.assertIn(network, lenient.left_out[0])
            self.assertTrue(lenient.matches_name(authority("corp.com 80")))
            for address in ("192.0.0.168", "0.0.0.10", "192.168.0.1", "10.0.0.1", "127.0.0.1"):
                self.assertFalse(lenient.matches_name(authority(f"{address} 8080")), (entry, address))

    def test_lenient(self) -> None:
        """A list with what cannot be understood holds the rest, and all that was left out."""
        for entry in filter(str.strip, SENSELESS):
            compiled = NoProxy.parse(f"corp.com,{entry}", "NO_PROXY", is_lenient=True)
            self.assertEqual(len(compiled.left_out), len([each for each in entry.split(",") if each.strip()]), entry)
            self.assertTrue(compiled.matches_name(authority("corp.com 80")))
            self.assertNotIn("hunter2", str(compiled.left_out))
        self.assertFalse(NoProxy.parse(" , ,", "NO_PROXY", is_lenient=True).matches_name(authority("corp.com 80")))

    def test_long_entry(self) -> None:
        """A long entry is quoted by its beginning."""
        (left_out,) = NoProxy.parse(f"{'x' * 70_000}.", "NO_PROXY", is_lenient=True).left_out

        self.assertLess(len(left_out), 200)

    def test_entry_is_counted(self) -> None:
        """The error says which entry is wrong."""
        with self.assertRaises(ConfigError) as caught:
            NoProxy.parse("corp.com, ,user:hunter2@corp.com,example.com", "NO_PROXY")
        self.assertEqual(str(caught.exception), "NO_PROXY: entry 3: this is a URL; write its host alone")

    def test_bad_entry_behind_a_star(self) -> None:
        """A star does not excuse the entries behind it."""
        self.assertRaises(ConfigError, NoProxy.parse, "*,corp.com:99999", "NO_PROXY")

    def test_loopback(self) -> None:
        """This machine is never asked of a proxy that the environment names; other lists hold what they say."""
        for probe in ("localhost 80", "a.localhost 1", "127.9.9.9 80", "::1 80", "::ffff:127.0.0.1 80"):
            self.assertTrue(NoProxy.loopback().matches_name(authority(probe)), probe)
            self.assertTrue(NoProxy.parse("corp.com", "", has_loopback=True).matches_name(authority(probe)), probe)
            self.assertFalse(NoProxy.parse("corp.com", "").matches_name(authority(probe)), probe)
        self.assertFalse(NoProxy.loopback().matches_name(authority("corp.com 80")))

    def test_resolved_addresses(self) -> None:
        """Of a name's addresses those go direct that an address or a network lists, in their order."""
        compiled = NoProxy.parse("10.96.0.0/12, 2001:db8::1, 192.0.2.7:443, corp.com", "NO_PROXY")
        every = ("192.0.2.7", "10.96.0.9", "2001:db8::2", "2001:db8::1", "192.0.2.8", "10.97.0.1")
        addresses = tuple(map(ip_address, every))

        self.assertEqual(
            [str(address) for address in compiled.direct_addresses(addresses, 443)],
            ["192.0.2.7", "10.96.0.9", "2001:db8::1", "10.97.0.1"],
        )
        self.assertEqual(
            [str(address) for address in compiled.direct_addresses(addresses, 80)],
            ["10.96.0.9", "2001:db8::1", "10.97.0.1"],
        )
        self.assertEqual(NoProxy.parse("*", "").direct_addresses(addresses, 80), addresses)

    def test_the_wish(self) -> None:
        """Cluster services stay direct, by name and by address; the rest does not."""
        compiled = NoProxy.parse("*.svc.cluster.local,10.96.0.0/12", "NO_PROXY")

        self.assertTrue(compiled.matches_name(authority("api.team.svc.cluster.local 443")))
        self.assertTrue(compiled.matches_name(authority("10.100.7.1 443")))
        self.assertFalse(compiled.matches_name(authority("api.example.com 443")))
        self.assertFalse(compiled.is_all)

    @given(st.text(max_size=40))
    @example("[]/:")
    @example("\u2488com")
    def test_any_text(self, text: str) -> None:
        """Any text is a list or a ConfigError."""
        try:
            NoProxy.parse(text, "NO_PROXY")
        except ConfigError as error:
            self.assertTrue(error.problem)


def go_says_direct(entries: list[str], host: str, port: str) -> bool:
    """Decide as httpproxy's `useProxy` is written, one entry after the other, for entries that it does not drop."""
    try:
        ip: Address | None = ip_address(host)
    except ValueError:
        ip = None
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if host == "localhost" or (ip is not None and ip.is_loopback):
        return True
    return any(_go_entry_matches(entry.strip().lower(), host, port, ip) for entry in entries)


def _go_entry_matches(entry: str, host: str, port: str, ip: Address | None) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        network = ip_network(entry, strict=False)
        return ip is not None and ip.version == network.version and ip in network
    name, wanted = entry, ""
    if entry.startswith("["):
        name, _, behind = entry[1:].partition("]")
        wanted = behind.removeprefix(":")
    elif entry.count(":") == 1:
        name, _, wanted = entry.partition(":")
    if wanted not in ("", port):
        return False
    try:
        return ip_address(name) == ip
    except ValueError:
        pass
    if ip is not None:
        return False
    suffix = name.removeprefix("*") if name.startswith("*.") else name
    if suffix.startswith("."):
        return host.endswith(suffix)
    return host == suffix or host.endswith("." + suffix)


LABELS = st.sampled_from(["a", "b", "corp", "com", "local", "xa"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
ADDRESSES = st.one_of(
    st.sampled_from([0x0A600001, 0x0A600002, 0x7F000001, 0xC0000201]).map(IPv4Address),
    st.sampled_from([1, 0xFD << 120 | 1, 0x2001_0DB8 << 96 | 1]).map(IPv6Address),
)
PORTS = st.sampled_from(["", ":80", ":443"])


def _spell(address: Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)


ENTRIES = st.one_of(
    st.tuples(st.sampled_from(["", ".", "*."]), NAMES, PORTS).map("".join),
    st.tuples(ADDRESSES.map(_spell), PORTS).map("".join),
    st.tuples(ADDRESSES, st.integers(0, 32)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    st.integers(0, 128).map(lambda length: str(IPv6Network((0xFD << 120, length), strict=False))),
)


class AgreementTests(SynchronousTestCase):
    """The compiled list against the rules read one by one."""

    @given(
        st.lists(ENTRIES, min_size=1, max_size=6),
        st.lists(st.tuples(st.one_of(NAMES, ADDRESSES.map(str)), st.sampled_from([80, 443])), max_size=8),
    )
    def test_agrees_with_go(self, entries: list[str], probes: list[tuple[str, int]]) -> None:
        """A list means what it means to programs in Go."""
        compiled = NoProxy.parse(", ".join(entries), "NO_PROXY", has_loopback=True)

        for host, port in probes:
            expected = go_says_direct(entries, host, str(port))
            canonical, address = canonical_host(host)
            self.assertEqual(
                compiled.matches_name(Authority(canonical, port, address)), expected, (entries, host, port)
            )
            if address is not None:
                self.assertEqual(bool(compiled.direct_addresses((address,), port)), expected)
