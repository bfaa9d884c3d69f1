"""The guard."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.errors import Refused
from egress.hostname import canonical_host
from egress.interfaces import IGuard
from egress.model import Address, Authority, Outcome, Verdict
from egress.policy.addresses import METADATA_ADDRESSES, RESERVED_NAMES, SPECIAL_NETWORKS, TRANSPARENT_NETWORKS
from egress.policy.guard import Guard, GuardSettings

REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
    "169.254.1.1", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.9", "192.0.2.1", "192.88.99.1",
    "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255", "::", "::1", "::2", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:0:8.8.8.8", "64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b:1::8.8.8.8", "64:ff9b:1::1",
    "64:ff9b::1:808:808", "100::1", "100:0:0:1::1", "200::1", "1fff:ffff::1", "2001::1", "2001:2::1", "2001:10::1",
    "2001:20::1", "2001:db8::1", "2001:1ff:ffff::1", "2002:808:808::1", "2002:a00:1::1", "3fff::1", "3fff:fff::1",
    "4000::1", "5f00::1", "fc00::1", "fd00::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ffff::1",
    "2001:0:808:808:0:ffff:f7f7:f7f7",
]  # fmt: skip

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
    "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0",
    "192.31.196.1", "192.52.193.1", "192.167.255.255", "192.169.0.0", "192.175.48.1", "198.17.255.255",
    "198.20.0.0", "223.255.255.255", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2001:200::", "2001:4860:4860::8888",
    "2003::", "2606:4700::1111", "2620:4f:8000::1", "3ffe:ffff:ffff:ffff::1", "3fff:1000::", "2a00::1",
]  # fmt: skip


def _authority(host: str) -> Authority:
    canonical, address = canonical_host(host)
    return Authority(canonical, 443, address)


def _verdict(*admits: str, pattern: str = "example.com") -> Verdict:
    networks = tuple(ip_network(network) for network in admits)
    return Verdict(Outcome.ALLOW, "destinations", rule="r", pattern=pattern, admits=networks)


class GuardTests(SynchronousTestCase):
    """What no rule opens by mistake."""

    def setUp(self) -> None:
        self.guard = Guard()
        self.name = _authority("example.com")

    def refusal(self, *addresses: Address | str, admits: tuple[str, ...] = (), host: str = "example.com") -> str | None:
        """Give the code of the refusal, or None."""
        found = tuple(ip_address(a) if isinstance(a, str) else a for a in addresses)
        try:
            self.guard.check_addresses(_authority(host), found, _verdict(*admits))
        except Refused as refused:
            self.assertNotRegex(refused.reason, r"\d+\.\d+|::")
            self.assertEqual((refused.policy, refused.rule), ("ssrf-guard", ""))
            self.assertTrue(refused.detail.endswith("; allowed by destinations / r"), refused.detail)
            return refused.code
        return None

    def test_provides(self) -> None:
        """It is a guard."""
        verifyObject(IGuard, self.guard)

    def test_not_public(self) -> None:
        """Addresses that are not global unicast are refused, and so is what hides them."""
        for text in REFUSED:
            self.assertEqual(self.refusal(text), "address_refused", text)

    def test_public(self) -> None:
        """Public addresses pass."""
        for text in PUBLIC:
            self.assertIsNone(self.refusal(text), text)

    def test_edges(self) -> None:
        """The first and last address of each block are refused; those outside are when another block holds them."""
        networks = [special.network for special in SPECIAL_NETWORKS]
        for network in networks:
            kind = IPv4Address if network.version == 4 else IPv6Address
            first, last = int(network[0]), int(network[-1])
            for value in (first - 1, first, last, last + 1):
                if not 0 <= value < 2**network.max_prefixlen:
                    continue
                address = kind(value)
                if any(address in block for block in TRANSPARENT_NETWORKS):
                    continue
                expected = any(address in block for block in networks)
                self.assertEqual(self.refusal(address) is not None, expected, f"{address} of {network}")
                if address in network and address not in METADATA_ADDRESSES:
                    self.assertIsNone(self.refusal(address, admits=(str(network),)), str(address))

    @given(st.ip_addresses())
    def test_agrees_with_ipaddress(self, address: Address) -> None:
        """Whatever the standard library is sure not to be public is refused."""
        if address.is_loopback or address.is_multicast or address.is_link_local:
            self.assertIsNotNone(self.refusal(address))
        # For IPv6 the library counts the prefixes of IPv4-mapped addresses and of NAT64 as reserved.
        if address.is_reserved and not any(address in network for network in TRANSPARENT_NETWORKS):
            self.assertIsNotNone(self.refusal(address))
        if isinstance(address, IPv4Address):
            self.assertEqual(self.refusal(address), self.refusal(f"::ffff:{address}"))
            self.assertEqual(self.refusal(address), self.refusal(f"64:ff9b::{address}"))

    def test_spellings(self) -> None:
        """Every spelling of loopback is loopback."""
        for text in ("127.0.0.1", "127.1", "0x7f.1", "2130706433", "017700000001", "127.0.0.1.", "::ffff:7f00:1"):
            address = canonical_host(text)[1]
            assert address is not None
            self.assertEqual(self.refusal(address, host=text), "address_refused", text)

    def test_admitted(self) -> None:
        """The rule that matched opens networks, whatever spelling of IPv4 leads there."""
        for text in ("10.2.3.4", "::ffff:10.2.3.4", "64:ff9b::10.2.3.4"):
            self.assertIsNone(self.refusal(text, admits=("10.2.0.0/16",)), text)
            self.assertIsNotNone(self.refusal(text, admits=("10.3.0.0/16", "2001:db8::/32")), text)
        self.assertIsNone(self.refusal("fd12::1", admits=("fd00::/8",)))
        self.assertIsNotNone(self.refusal("2002:a02:304::1", admits=("10.2.0.0/16",)))
        self.assertIsNone(self.refusal("2002:a02:304::1", admits=("2002::/16",)))
        self.assertIsNotNone(self.refusal("::10.2.3.4", admits=("10.2.0.0/16",)))

    def test_every_answer(self) -> None:
        """One address that may not be dialled refuses the name."""
        self.assertIsNone(self.refusal("1.1.1.1", "2606:4700::1111"))
        self.assertIsNotNone(self.refusal("1.1.1.1", "10.0.0.1"))
        self.assertIsNotNone(self.refusal("10.0.0.1", "10.0.0.2", admits=("10.0.0.1/32",)))
        self.assertIsNone(self.refusal())

    def test_metadata(self) -> None:
        """Metadata addresses stay shut in a network that is open, until the very address is admitted."""
        for address in METADATA_ADDRESSES:
            self.assertIsNotNone(self.refusal(address), str(address))
            self.assertIsNotNone(self.refusal(address, admits=("0.0.0.0/0", "::/0")), str(address))
            self.assertIsNone(self.refusal(address, admits=("0.0.0.0/0", str(address))), str(address))

    def test_metadata_within_ipv6(self) -> None:
        """A metadata address inside an IPv6 address is one, in all forms."""
        for text in (
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b::168.63.129.16",
            "64:ff9b:1::169.254.169.254",
            "64:ff9b:1:a9fe:a9:fe00::",
            "2002:a9fe:a9fe::1",
            "2001:0:a9fe:a9fe::1",
            "2001::5601:5601",
            "fd00::5efe:169.254.169.254",
        ):
            self.assertIsNotNone(self.refusal(text, admits=("0.0.0.0/0", "::/0")), text)
            self.assertIsNone(self.refusal(text, admits=(text,)), text)
        for text in ("::ffff:169.254.169.254", "64:ff9b::169.254.169.254"):
            self.assertIsNone(self.refusal(text, admits=("169.254.169.254/32",)), text)

    def test_which_key_opens(self) -> None:
        """The refusal says which key opens the address: `hosts` for a literal, `addresses` for a name."""
        for host, text, key in [
            ("example.com", "10.0.0.1", "addresses"),
            ("10.0.0.1", "10.0.0.1", "hosts"),
            ("example.com", "169.254.169.254", "addresses"),
            ("169.254.169.254", "169.254.169.254", "hosts"),
        ]:
            with self.assertRaises(Refused) as caught:
                self.guard.check_addresses(_authority(host), (ip_address(text),), _verdict())
            self.assertIn(f"`{key}`", caught.exception.reason)
            self.assertIn(text, caught.exception.detail)

    def test_names(self) -> None:
        """Reserved names are refused before they are looked up."""
        for host in [*RESERVED_NAMES, "x.localhost", "a.b.localhost", "LOCALHOST.", "Metadata.Google.Internal"]:
            authority = _authority(host)
            for verdict in (
                _verdict(pattern="**"),
                _verdict("127.0.0.0/8", pattern="**"),
                _verdict("127.0.0.0/8", pattern="*.localhost"),
                _verdict(pattern=authority.host),
            ):
                with self.assertRaises(Refused) as caught:
                    self.guard.check_name(authority, verdict)
                refused = caught.exception
                self.assertEqual((refused.code, refused.policy, refused.rule), ("name_refused", "ssrf-guard", ""))
                self.assertEqual(refused.detail, "allowed by destinations / r")
            self.guard.check_name(authority, _verdict("127.0.0.0/8", pattern=authority.host))

    def test_other_names(self) -> None:
        """Names that only look alike, and literals, are not refused by name."""
        for host in ("example.com", "localhost.example.com", "notlocalhost", "xlocalhost", "127.0.0.1", "::1"):
            self.guard.check_name(_authority(host), _verdict())

    def test_disabled(self) -> None:
        """A guard that is switched off refuses nothing."""
        guard = Guard(GuardSettings(enabled=False))
        guard.check_name(_authority("localhost"), _verdict())
        guard.check_addresses(self.name, (ip_address("169.254.169.254"),), _verdict())

    def test_table(self) -> None:
        """Every block has a name, a source and a date."""
        for special in SPECIAL_NETWORKS:
            self.assertTrue(special.name)
            self.assertRegex(special.source, r"^RFC \d+$")
            self.assertRegex(special.since, r"^\d{4}-\d\d$")
