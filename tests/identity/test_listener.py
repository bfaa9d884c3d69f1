"""Identification of clients by facts of connections alone."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.identity import ListenerIdentifier
from egress.interfaces import IIdentifier
from egress.model import Client, Connection


class ListenerIdentifierTests(SynchronousTestCase):
    """Clients are told apart by listener and address."""

    def test_it_is_an_identifier(self) -> None:
        """It can stand wherever an identifier is asked for."""
        self.assertTrue(verifyObject(IIdentifier, ListenerIdentifier()))

    def test_listener_and_address_make_a_client(self) -> None:
        """Rules can name the listener and the address of a client."""
        client = ListenerIdentifier().identify(Connection("agents", "192.0.2.7", 41000), None)

        self.assertEqual(client, Client("agents/192.0.2.7", frozenset({"listener:agents", "address:192.0.2.7"})))

    def test_one_client_is_one_object(self) -> None:
        """Another connection from the same address is the same client, and costs nothing new."""
        identifier = ListenerIdentifier()
        first = identifier.identify(Connection("agents", "192.0.2.7", 41000), None)

        second = identifier.identify(Connection("agents", "192.0.2.7", 41001), b"Basic YTpi")

        self.assertIs(first, second)

    def test_listeners_are_told_apart(self) -> None:
        """The same address at two listeners is two clients."""
        identifier = ListenerIdentifier()

        one = identifier.identify(Connection("agents", "192.0.2.7", 41000), None)
        other = identifier.identify(Connection("builds", "192.0.2.7", 41000), None)

        self.assertNotEqual(one.key, other.key)
        self.assertNotEqual(one.labels, other.labels)

    def test_addresses_that_anybody_can_take(self) -> None:
        """All of 127.0.0.0/8 is one client, and so is a /64 of IPv6: limits would be no limits otherwise."""
        identifier = ListenerIdentifier()
        here = identifier.identify(Connection("agents", "127.9.9.9", 1), None)
        one = identifier.identify(Connection("agents", "2001:db8::1", 1), None)
        two = identifier.identify(Connection("agents", "2001:db8::ffff:2", 1), None)
        other = identifier.identify(Connection("agents", "2001:db8:0:1::1", 1), None)

        self.assertEqual(here, identifier.identify(Connection("agents", "127.0.0.1", 1), None))
        self.assertIn("address:127.0.0.1", here.labels)
        self.assertEqual(one.key, two.key)
        self.assertNotEqual(one.key, other.key)
        self.assertIn("address:2001:db8::ffff:2", two.labels)

    def test_unix_peers_have_no_address(self) -> None:
        """Where there is no address there is no label for one."""
        client = ListenerIdentifier().identify(Connection("agents", "", 0), None)

        self.assertEqual(client, Client("agents/", frozenset({"listener:agents"})))

    def test_dual_stack_listeners_do_not_rename_clients(self) -> None:
        """A rule for an IPv4 address holds for that machine at a listener that also takes IPv6."""
        rows = {
            "::ffff:192.0.2.7": "address:192.0.2.7",
            "::ffff:c000:207": "address:192.0.2.7",
            "::ffff:0:192.0.2.7": "address:::ffff:0:192.0.2.7",
            "::ffff:nonsense": "address:::ffff:nonsense",
            "2001:db8::1": "address:2001:db8::1",
        }
        for peer, label in rows.items():
            with self.subTest(peer=peer):
                client = ListenerIdentifier().identify(Connection("agents", peer, 1), None)

                self.assertEqual(client.labels, {"listener:agents", label})

    def test_memory_is_bounded(self) -> None:
        """A flood of addresses does not grow the memo, and changes no client."""
        identifier = ListenerIdentifier(capacity=2)
        first = identifier.identify(Connection("agents", "192.0.2.1", 1), None)
        for last in range(2, 9):
            identifier.identify(Connection("agents", f"192.0.2.{last}", 1), None)

        again = identifier.identify(Connection("agents", "192.0.2.1", 1), None)

        self.assertIsNot(again, first)
        self.assertEqual(again, first)
        self.assertLessEqual(len(identifier._memo), 2)

    def test_capacity_is_at_least_one(self) -> None:
        """No room at all is a mistake."""
        with self.assertRaises(ValueError):
            ListenerIdentifier(capacity=0)
