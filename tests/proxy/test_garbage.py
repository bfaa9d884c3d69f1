"""Requests leave no reference cycles."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable

from egress.proxy.limits import Limits
from egress.testing.peers import NetworkPeer
from tests.proxy.support import ServerCase

GET = b"GET http://origin.example/ HTTP/1.1\r\nHost: origin.example\r\n\r\n"
POST = b"POST http://origin.example/ HTTP/1.1\r\nHost: origin.example\r\nContent-Length: 5\r\n\r\nhello"
REFUSED = b"GET http://refused.example/ HTTP/1.1\r\nHost: refused.example\r\n\r\n"
CONNECT = b"CONNECT origin.example:443 HTTP/1.1\r\nHost: origin.example:443\r\n\r\n"
UPGRADE = GET[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHANGED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


class GarbageTests(ServerCase):
    """The service makes the collector's searches rare, so cycles would pile up."""

    limits = Limits(response_seconds=5)

    def assert_nothing_left(self, dialogue: Callable[[], object]) -> None:
        """Run a dialogue some times, and assert that it leaves no object of the proxy in a cycle."""
        dialogue()
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(5):
                dialogue()
            gc.collect()
            found = Counter(
                type(each).__qualname__
                for each in gc.garbage
                if type(each).__module__.startswith("egress.")
                and not type(each).__module__.startswith("egress.testing")
            )
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        self.assertEqual({}, dict(found))

    def ask(self, *said: bytes, ends: str = "closes") -> NetworkPeer:
        """Connect, say something, and end the connection."""
        client = self.client()
        for each in said:
            client.says(each)
            self.network.settle()
        getattr(client, ends)()
        self.network.settle()
        return client

    def test_requests(self) -> None:
        """Plain requests, with and without a body, whole and in pieces."""
        self.origin(answer=lambda peer, data: peer.says(OK) if data.endswith((b"\r\n\r\n", b"hello")) else None)
        self.assert_nothing_left(lambda: self.ask(GET, GET))
        self.assert_nothing_left(lambda: self.ask(POST))
        self.assert_nothing_left(lambda: self.ask(POST[:-2], POST[-2:]))

    def test_responses_in_pieces(self) -> None:
        """Responses that come in pieces."""

        def answer(peer: NetworkPeer, _: bytes) -> None:
            peer.says(OK[:-1])
            self.network.reactor.callLater(0, peer.says, OK[-1:])

        self.origin(answer=answer)
        self.assert_nothing_left(lambda: self.ask(GET))

    def test_refusals(self) -> None:
        """Refusals, and a dead origin."""
        self.assert_nothing_left(lambda: self.ask(REFUSED, REFUSED))
        self.assert_nothing_left(lambda: self.ask(GET))

    def test_clients_that_leave(self) -> None:
        """A client that resets while it waits."""
        self.origin(answer=lambda *_: None)
        self.assert_nothing_left(lambda: self.ask(GET, ends="aborts"))

    def test_late_origins(self) -> None:
        """An origin that never answers."""
        self.origin(answer=lambda *_: None)

        def wait() -> None:
            client = self.client()
            client.says(GET)
            self.network.settle()
            self.network.advance(10)
            client.closes()
            self.network.settle()

        self.assert_nothing_left(wait)

    def test_tunnels(self) -> None:
        """Tunnels, by CONNECT and by a change of the protocol."""
        self.origin(port=443)
        self.origin(answer=lambda peer, data: peer.says(CHANGED) if data.startswith(b"GET") else None)
        self.assert_nothing_left(lambda: self.ask(CONNECT, b"hello"))
        self.assert_nothing_left(lambda: self.ask(CONNECT, b"hello", ends="aborts"))
        self.assert_nothing_left(lambda: self.ask(UPGRADE, b"hello"))
