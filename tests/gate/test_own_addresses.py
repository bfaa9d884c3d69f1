"""Destinations that are the proxy itself or a proxy of a route."""

from __future__ import annotations

from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from egress.gate import own_addresses
from egress.gate.own_addresses import OwnAddresses, is_local
from egress.model import Address
from egress.testing import make_authority

# An address of this machine that no socket is bound to, and one that is another machine's.
LOCAL, FAR = "192.0.2.1", "93.184.216.34"


def is_fake_local(address: Address) -> bool:
    """Tell whether an address is this machine's."""
    return address.is_loopback or str(address) == LOCAL


def own(*sockets: tuple[str, int], hops: tuple[tuple[str, int], ...] = ()) -> OwnAddresses:
    """Make what is looked at."""
    return OwnAddresses(sockets, tuple(make_authority(*hop) for hop in hops), local=is_fake_local)


def addresses(*words: str) -> tuple[Address, ...]:
    """Make addresses."""
    return tuple(ip_address(word) for word in words)


class Listeners(SynchronousTestCase):
    """`serves`."""

    def test_table(self) -> None:
        """An address and port is a listener's where a connection to it would arrive there."""
        one, every = ("127.0.0.1", 3128), ("0.0.0.0", 3129)
        for found, port, expected in (
            ("127.0.0.1", 3128, True),
            ("127.0.0.1", 3130, False),
            ("127.0.0.2", 3128, False),
            ("::ffff:127.0.0.1", 3128, True),
            ("64:ff9b::7f00:1", 3128, True),
            ("0.0.0.0", 3128, True),
            ("::", 3128, True),
            (LOCAL, 3128, False),
            (LOCAL, 3129, True),
            (f"::ffff:{LOCAL}", 3129, True),
            ("127.9.9.9", 3129, True),
            (FAR, 3129, False),
        ):
            with self.subTest(f"{found} {port}"):
                authority = make_authority("a.example", port)
                self.assertEqual(expected, own(one, every).serves(authority, addresses(found)))

    def test_any_of_them(self) -> None:
        """One address of several is enough."""
        self.assertTrue(own(("127.0.0.1", 3128)).serves(make_authority("a.example", 3128), addresses(FAR, "127.0.0.1")))

    def test_the_kernel_is_asked(self) -> None:
        """Addresses of this machine are those that the kernel lets a socket bind to."""
        self.assertTrue(is_local(ip_address("127.8.7.6")))
        self.assertFalse(is_local(ip_address(FAR)))


class Proxies(SynchronousTestCase):
    """`names_hop`, `holds`, `learn`, `dialling` and `is_machine_of_hop`."""

    def test_by_name(self) -> None:
        """A proxy is known by the name and port of its configuration."""
        known = own(hops=(("proxy.example", 8080), (FAR, 8081)))

        self.assertTrue(known.names_hop(make_authority("proxy.example", 8080)))
        self.assertFalse(known.names_hop(make_authority("proxy.example", 8081)))
        self.assertFalse(known.names_hop(make_authority("other.example", 8080)))
        self.assertEqual((["proxy.example"], []), (known.hop_names(8080), known.hop_names(8081)))
        self.assertEqual({8080, 8081}, known.hop_ports)

    def test_by_address(self) -> None:
        """A proxy configured by address is held under every name that leads there, on its port only."""
        known = own(hops=((FAR, 8080),))

        self.assertTrue(known.holds(make_authority("alias.example", 8080), addresses(FAR)))
        self.assertTrue(known.holds(make_authority("alias.example", 8080), addresses(f"::ffff:{FAR}")))
        self.assertFalse(known.holds(make_authority("alias.example", 80), addresses(FAR)))
        self.assertFalse(known.serves(make_authority("alias.example", 8080), addresses(FAR)))

    def test_learned(self) -> None:
        """The addresses of a proxy configured by name are held once they are learned, and stay so."""
        known = own(hops=(("proxy.example", 8080),))
        authority = make_authority("alias.example", 8080)
        self.assertFalse(known.is_known("proxy.example", 8080))
        self.assertFalse(known.holds(authority, addresses(FAR)))

        known.learn("proxy.example", 8080, addresses(FAR))
        known.learn("proxy.example", 8080, addresses("93.184.216.35"))

        self.assertTrue(known.is_known("proxy.example", 8080))
        self.assertTrue(known.holds(authority, addresses(FAR)))
        self.assertTrue(known.holds(authority, addresses("93.184.216.35")))

    def test_dialled(self) -> None:
        """Where a proxy is dialled is learned, and a listener of ours there is told."""
        known = own(("127.0.0.1", 8080), hops=(("proxy.example", 8080),))
        proxy = make_authority("proxy.example", 8080)

        self.assertFalse(known.dialling(proxy, addresses(FAR)))
        self.assertTrue(known.dialling(proxy, addresses("127.0.0.1")))

        self.assertTrue(known.holds(make_authority("alias.example", 8080), addresses(FAR)))

    def test_bounded(self) -> None:
        """A name whose addresses change with every answer does not fill the memory."""
        self.patch(own_addresses, "_LEARNED", 2)
        known = own(hops=(("proxy.example", 8080),))
        for last in range(1, 6):
            known.learn("proxy.example", 8080, addresses(f"93.184.216.{last}"))

        held = [
            known.holds(make_authority("alias.example", 8080), addresses(f"93.184.216.{last}")) for last in range(1, 6)
        ]
        self.assertEqual([True, True, False, False, False], held)

    def test_machine_of_the_proxy(self) -> None:
        """Loopback and the unspecified address are the proxy's own machine there, on its port."""
        known = own(hops=(("proxy.example", 8080),))
        for found, port, expected in (
            ("127.0.0.1", 8080, True),
            ("::1", 8080, True),
            ("0.0.0.0", 8080, True),
            ("::ffff:127.0.0.1", 8080, True),
            ("127.0.0.1", 8081, False),
            (FAR, 8080, False),
        ):
            with self.subTest(f"{found} {port}"):
                self.assertEqual(expected, known.is_machine_of_hop(port, addresses(found)))
