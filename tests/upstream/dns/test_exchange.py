"""One question to one name server: forged answers, and answers by TCP."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from typing import ClassVar

from twisted.internet.defer import CancelledError
from twisted.names import dns

from egress.errors import ResolverFailed
from egress.testing.datagrams import DatagramServer
from egress.testing.peers import NetworkPeer, Origin
from tests.upstream.dns.server import Nameserver, Record
from tests.upstream.dns.support import FIRST, FOUR, HOST, SECOND, SIX, WORLD, LookupCase


class ForgeryTests(LookupCase):
    """Answers that are not the server's."""

    def forge(self, data: bytes, **changes: int) -> bytes:
        """Make an answer with another address."""
        answer = Nameserver(lambda name, kind: [("A", "203.0.113.66")])(data)
        assert answer is not None
        return struct.pack("!H", int.from_bytes(data[:2], "big") ^ changes.get("identity", 0)) + answer[2:]

    def test_wrong_answers(self) -> None:
        """Answers from elsewhere, to another question or with another identity are passed over."""
        server = self.network.datagrams(FIRST, 53)
        found = self.look_up()

        server.sends(self.forge(server.heard[0]), 0, source=("192.0.2.66", 53))
        server.sends(self.forge(server.heard[0], identity=1), 0)
        server.sends(self.forge(server.heard[0].replace(b"www", b"xyz")), 0)
        server.sends(b"", 0)
        self.network.settle()
        self.assertNoResult(found)
        for place in (0, 1):
            server.sends(Nameserver(WORLD)(server.heard[place]) or b"", place)
        self.network.settle()

        self.assert_found(found, SIX, FOUR)

    def test_many_wrong_answers(self) -> None:
        """Somebody who guesses gets a few guesses, and then a connection, which nobody can guess."""
        server = self.network.datagrams(FIRST, 53)
        origin = self.network.origin(FIRST, 53)
        found = self.look_up()

        for number in range(1, 20):
            server.sends(self.forge(server.heard[0], identity=number), 0)
        server.sends(self.forge(server.heard[0]), 0)
        self.network.settle()

        self.assertNoResult(found)
        self.assertEqual(1, len(origin.peers))
        found.cancel()
        self.failureResultOf(found, CancelledError)


class SendTests(LookupCase):
    """Questions that cannot be sent."""

    def test_sent_once_more(self) -> None:
        """A socket that can send no more is closed (see tearDown)."""
        self.network.blackhole(FIRST)
        found = self.look_up()
        for each in self.network._kernel.sockets.values():
            each.error = errno.EPERM

        self.network.advance(1.0)

        self.assert_fails(found, ResolverFailed, "a name server cannot be reached")


class TcpTests(LookupCase):
    """Answers that do not fit into a datagram."""

    addresses = (FIRST, SECOND)
    many: ClassVar[list[Record]] = [("A", f"198.51.100.{number}") for number in range(1, 61)]

    def serve_both(self, answer: Callable[[NetworkPeer, bytes], object] | None = None) -> Origin:
        """Run a name server whose datagrams are too short, and its TCP side."""
        self.name_server = self.serve(lambda name, kind: self.many if kind == "A" else [])
        return self.network.origin(FIRST, 53, answer or self.answer_by_tcp)

    def answer_by_tcp(self, peer: NetworkPeer, data: bytes) -> None:
        """Answer by TCP."""
        (length,) = struct.unpack_from("!H", data)
        self.assertEqual(length, len(data) - 2)
        answer = self.name_server.answer(data[2:])
        assert answer is not None
        peer.says(struct.pack("!H", len(answer)) + answer)

    def test_truncated(self) -> None:
        """The whole answer is asked for by TCP, with another identity, and the connection is closed."""
        origin = self.serve_both()
        datagrams = self.network._kernel.datagram_servers[FIRST, 53]
        assert isinstance(datagrams, DatagramServer)

        self.assert_found(self.look_up(), *(address for _, address in self.many))

        self.assertEqual([(HOST, "A"), (HOST, "AAAA"), (HOST, "A")], self.name_server.asked)
        self.assertNotEqual(datagrams.heard[0][:2], bytes(origin.peer.received[2:4]))
        self.assertTrue(origin.peer.saw_eof)

    def test_in_pieces(self) -> None:
        """An answer that comes octet by octet is one answer."""
        self.network.segment_bytes = 1
        self.serve_both()

        self.assertEqual(60, len(self.successResultOf(self.look_up())))

    def test_failures(self) -> None:
        """A connection that is refused, ends early, or has a wrong or malformed answer: the next server is asked."""

        def closes(peer: NetworkPeer, data: bytes) -> None:
            peer.closes()

        def says(answer: bytes) -> Callable[[NetworkPeer, bytes], object]:
            return lambda peer, data: peer.says(struct.pack("!H", len(answer)) + answer)

        def says_malformed(peer: NetworkPeer, data: bytes) -> None:
            peer.says(struct.pack("!H", len(data) - 2) + data[2:4] + b"\x81\x80\0\1\0\1\0\0\0\0" + data[14:])

        for what, answer, problem in (
            ("refused", None, "a name server gave no answer by TCP"),
            ("closed", closes, "a name server gave no answer by TCP"),
            ("nothing", says(b""), "a name server gave a malformed answer by TCP"),
            ("another", says(dns.Message(1, answer=1).toStr()), "a name server gave a malformed answer by TCP"),
            ("malformed", says_malformed, "a name server gave a malformed answer by TCP"),
        ):
            with self.subTest(what):
                self.setUp()
                origin = self.serve_both(answer)
                if answer is None:
                    origin.stops()
                other = self.serve(lambda name, kind: "SERVFAIL", SECOND)

                self.assert_fails(self.look_up(), ResolverFailed, f"{problem}, a name server answered SERVFAIL")

                self.assertIn((HOST, "A"), other.asked)

    def test_slow(self) -> None:
        """While a connection has no answer, the next server is asked beside it; whoever is first counts."""
        origin = self.serve_both(lambda peer, data: None)
        self.serve(address=SECOND)

        found = self.look_up()
        self.network.advance(1.0)

        self.assert_found(found, FOUR)
        self.assertTrue(origin.peer.saw_eof)

    def test_given_up(self) -> None:
        """Who cancels closes the connection too (see tearDown)."""
        self.serve_both(lambda peer, data: None)
        found = self.look_up()

        found.cancel()

        self.failureResultOf(found, CancelledError)

    def test_given_up_while_connecting(self) -> None:
        """Nor is a connection left that was never made."""
        self.serve(lambda name, kind: self.many if kind == "A" else [])
        self.network.delay(FIRST, 30.0)
        found = self.look_up()

        found.cancel()

        self.failureResultOf(found, CancelledError)
