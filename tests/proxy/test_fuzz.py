"""Seeded fuzz of whole dialogues: output is well formed for any input, and no state remains.

h11 and OpenSSL are the second opinions. The seeds are fixed, so that a failure repeats.
"""

from __future__ import annotations

import contextlib
import ssl
from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Any

import h11
from attrs import define, field
from zope.interface import implementer

from egress.interfaces import IPolicy, IPolicyObserver
from egress.model import Admission, AuditEvent, Outcome, Request, Resolution, Verdict
from egress.policy.destinations import make_destinations
from egress.proxy.limits import HttpSettings
from egress.testing.peers import NetworkPeer
from tests.proxy.support import ADDRESS, RULES, ServerCase
from tests.wire.test_client_hello import ALPN, ECH, SUPPORTED_VERSIONS, message, records, server_name
from tests.wire.test_fuzz import cut, mutated

_ROUNDS = 1500
_URL = b"http://origin.example"
_HOST = b" HTTP/1.1\r\nHost: origin.example\r\n"
_CONNECT = b"CONNECT origin.example:443 HTTP/1.1\r\nHost: origin.example:443\r\n\r\n"
_GET = b"GET " + _URL + b"/a?b" + _HOST + b"\r\n"
_CHUNKS = b"5;x=y\r\nhello\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"


def _hello(name: bytes, size: int = 16384) -> bytes:
    return records(message((server_name(name), SUPPORTED_VERSIONS, ALPN, ECH)), size)


_REQUESTS = (
    _GET * 3,
    b"HEAD " + _URL + b"/" + _HOST + b"\r\n" + _GET,
    b"GET " + _URL + b"/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + _GET,
    b"POST " + _URL + b"/" + _HOST + b"Content-Length: 10\r\nExpect: 100-continue\r\n\r\n0123456789" + _GET,
    b"POST " + _URL + b"/" + _HOST + b"Transfer-Encoding: chunked\r\n\r\n" + _CHUNKS + _GET,
    b"PUT " + _URL + b"/" + _HOST + b"Content-Length: 0\r\nConnection: X-A, close\r\nX-A: 1\r\n\r\n",
    b"GET " + _URL + b"/" + _HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nframes",
    b"GET http://denied.example/ HTTP/1.1\r\nHost: denied.example\r\n\r\n" + _GET,
    b"OPTIONS *" + _HOST + b"\r\n" + b"TRACE " + _URL + b"/" + _HOST + b"Max-Forwards: 0\r\n\r\n" + _GET,
    _CONNECT + _hello(b"origin.example") + b"more",
    _CONNECT + _hello(b"ORIGIN.example.", 7),
    _CONNECT + _hello(b"other.example"),
    _CONNECT + b"SSH-2.0-x\r\n" + _GET,
    _GET + _CONNECT + b"late",
)
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
_ANSWERS = (
    _OK,
    _OK + _OK,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + _CHUNKS,
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _OK,
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nframes",
    b"",
)


def _server_name(stream: bytes) -> str | None:
    """Let OpenSSL say which host a stream names, if it can tell."""
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _object, name, _context: names.append(name)
    incoming = ssl.MemoryBIO()
    incoming.write(stream)
    with contextlib.suppress(ssl.SSLError):
        context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()
    return names[0] if names else None


@implementer(IPolicy, IPolicyObserver)
@define(eq=False)
class _Witness:
    """Counts what it is told of each request."""

    name: str = "witness"
    pure: bool = False
    started_ids: Counter[str] = field(factory=Counter)
    ended_ids: Counter[str] = field(factory=Counter)

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict:
        return Verdict(Outcome.ABSTAIN, self.name)

    def started(self, request: Request, admission: Admission) -> None:
        self.started_ids[request.id] += 1

    def moved(self, request: Request, up: int, down: int) -> Verdict | None:
        return None

    def ended(self, record: AuditEvent) -> None:
        assert record.request is not None
        self.ended_ids[record.request.id] += 1


class FuzzTests(ServerCase):
    """Broken and hostile dialogues, cut anywhere."""

    def arrange(self, policies: Iterable[IPolicy] | None = None, rules: dict[str, Any] | None = None) -> None:
        self.witness = _Witness()
        super().arrange([make_destinations("rules", RULES, self.host), self.witness])

    def setUp(self) -> None:
        super().setUp()
        self.plain, self.opaque = self.origin(answer=self.answer), self.origin(port=443)
        self.answers: list[bytes] = []
        self.leaving: set[NetworkPeer] = set()
        self.met = Counter[str]()

    def answer(self, peer: NetworkPeer, data: bytes) -> None:
        """Say the next of the prepared answers, or close."""
        if peer in self.leaving:
            return
        if self.answers and b"\r\n\r\n" in data:
            peer.says(self.answers.pop())
        elif not self.answers:
            self.leave(peer)

    def leave(self, peer: NetworkPeer, *, is_polite: bool = True) -> None:
        """Let an origin close or reset its connection."""
        self.leaving.add(peer)
        peer.closes() if is_polite else peer.aborts()

    def test_dialogues(self) -> None:
        """Origins get whole requests and clients whole answers, or a reset; each request has one end."""
        random = Random(9110)
        for turn in range(_ROUNDS):
            self.network.segment_bytes = random.choice((1, 9, 1460))
            self.server.http = HttpSettings(random.choice(("close", "answer")))
            sent = mutated(random, random.choice(_REQUESTS), _REQUESTS) if turn % 3 else random.choice(_REQUESTS)
            answers = [
                mutated(random, answer, _ANSWERS) if answer and random.random() < 0.4 else answer
                for answer in random.choices(_ANSWERS, k=random.randrange(4))
            ]
            self.answers = answers.copy()
            try:
                self.play(random, sent)
            except Exception as error:
                raise self.failureException(f"{error!r}: turn {turn}, {sent!r}, {answers!r}") from error
        self.network.advance(self.limits.pool_seconds + self.limits.idle_seconds)
        self.assertEqual((len(self.server.pool), self.network.open_links()), (0, 0))
        self.server.stop()
        self.network.assert_quiet()
        # The fuzz is worth something only while it meets every kind of end.
        self.assertGreater(min(self.met[way] for way in ("answer", "refusal", "reset", "tunnel", "request")), 10)

    def play(self, random: Random, sent: bytes) -> None:
        """Play one dialogue to its end, and judge it."""
        before = len(self.audit_log.records)
        self.plain.peers.clear()
        self.opaque.peers.clear()
        self.leaving.clear()
        client = self.client()
        for piece in cut(random, sent):
            client.says(piece)
            self.disturb(random)
        client.aborts() if (is_abandoned := random.random() < 0.1) else client.ends()
        self.network.settle()
        # An end may make the proxy dial anew, for what waited behind it.
        while open_ones := [each for each in (*self.plain.peers, *self.opaque.peers) if not each.is_closed]:
            for origin in open_ones:
                self.leave(origin, is_polite=random.random() < 0.8)
            self.network.settle()
        if not is_abandoned:
            self.check_client(client, self.audit_log.records[before:])
        self.check_rest(self.audit_log.records[before:])
        for origin in self.plain.peers:
            self.check_requests(origin)
        for origin in self.opaque.peers:
            self.check_tunnel(origin, sent)

    def disturb(self, random: Random) -> None:
        """Let a look-up take long, time pass, an origin leave."""
        if random.random() < 0.1:
            self.resolver.hold("origin.example")
        self.network.settle()
        if random.random() < 0.1:
            self.network.advance(random.choice((0.5, 3.0, 16.0, 80.0)))
        self.resolver.answer("origin.example", ADDRESS)
        if self.plain.peers and random.random() < 0.1:
            self.leave(self.plain.peer, is_polite=random.random() < 0.5)
        self.network.settle()

    def check_client(self, client: NetworkPeer, told: list[AuditEvent]) -> None:
        """Assert that a client heard one well-formed answer for each record, the last one cut only by a reset."""
        rest = client.received
        for record in told:
            if not record.status:
                continue
            method = b"GET" if record.request is None else record.request.method.encode()
            reader = h11.Connection(h11.CLIENT)
            reader.send(h11.Request(method=method, target="/", headers=[("Host", "a"), ("Upgrade", "websocket")]))
            reader.send(h11.EndOfMessage())
            reader.receive_data(rest)
            if client.saw_eof:
                reader.receive_data(b"")
            status, event = 0, reader.next_event()
            while not isinstance(event, h11.EndOfMessage) and event not in (h11.NEED_DATA, h11.PAUSED):
                status, event = getattr(event, "status_code", status), reader.next_event()
            self.assertIn(status, (record.status, 0) if client.was_reset else (record.status,))
            if event is h11.NEED_DATA:
                self.assertTrue(client.was_reset, "an answer stopped in its middle, without a reset")
                self.met["reset"] += 1
                return
            rest = reader.trailing_data[0]
            self.met["answer" if record.refused is None else "refusal"] += 1
            if event is h11.PAUSED:
                return  # a tunnel
        self.assertEqual(rest, b"", "the client heard more than the audit log knows of")

    def check_requests(self, origin: NetworkPeer) -> None:
        """Assert that an origin got well-formed requests, the last one cut only by a reset."""
        rest = origin.received
        while rest:
            reader = h11.Connection(h11.SERVER)
            reader.receive_data(rest)
            while not isinstance(event := reader.next_event(), h11.EndOfMessage) and event is not h11.NEED_DATA:
                pass
            if event is h11.NEED_DATA:
                self.assertTrue(origin.was_reset or origin.is_closed, f"a request stopped in its middle: {rest!r}")
                return
            self.met["request"] += 1
            rest = reader.trailing_data[0]
            if b"\r\nUpgrade: websocket\r\n" in origin.received:
                return  # frames may follow

    def check_tunnel(self, origin: NetworkPeer, sent: bytes) -> None:
        """Assert that a tunnel gave nothing but what its client said, and no other host's name."""
        if origin.received not in sent:  # no tunnel: port 443 can be asked for in plain HTTP
            self.check_requests(origin)
            return
        self.assertIn(_server_name(origin.received) or "origin.example", ("origin.example", "ORIGIN.example."))
        self.met["tunnel"] += bool(origin.received)

    def check_rest(self, told: list[AuditEvent]) -> None:
        """Assert that a dialogue left nothing behind, and each of its requests one end."""
        ends = Counter(record.request.id for record in told if record.request is not None and record.event != "open")
        self.assertLessEqual(set(ends.values()), {1})
        self.assertEqual(self.witness.started_ids, self.witness.ended_ids)
        self.assertLessEqual(set(self.witness.started_ids.values()), {1})
        self.assertEqual((len(self.server.connections.live), self.server.connections.per_client), (0, {}))
