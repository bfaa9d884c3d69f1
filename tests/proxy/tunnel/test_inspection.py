"""What is read of tunnels, apart from the first ClientHello: other protocols, answers, and second ClientHellos."""

from __future__ import annotations

from egress.model import AuditEvent, HelloFacts
from egress.proxy.limits import TlsSettings
from egress.testing.peers import NetworkPeer, Origin
from tests.proxy.support import ADDRESS
from tests.proxy.tunnel.support import CONNECT, TunnelCase, hello
from tests.wire.test_client_hello import ECH, SUPPORTED_VERSIONS, message, records, server_name
from tests.wire.test_server_hello import HELLO, RETRY

TO_ADDRESS = f"CONNECT {ADDRESS}:443 HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n".encode()

# Streams of other protocols whose first octet is the content type of a TLS record.
_LIKE_TLS = (b"\x14\x00\x01", b"\x15hello", b"\x16hello", b"\x17\x00", b"\x18\x2d\x00")


class OtherProtocols(TunnelCase):
    """Streams that begin with an octet as TLS does, and are not TLS."""

    def test_they_pass(self) -> None:
        """They pass as they came, whatever pieces they came in."""
        for sent in _LIKE_TLS:
            with self.subTest(sent):
                self.setUp()
                client, origin = self.open()
                for octet in sent:
                    client.says(bytes((octet,)))
                    self.network.settle()
                client.says(b"more")
                self.network.settle()
                self.assertEqual(origin.peer.received, sent + b"more")
                origin.peer.says(b"answer")
                self.network.settle()
                client.heard(b"answer")

    def test_end_before_it_shows(self) -> None:
        """One octet and a FIN are passed on."""
        client, origin = self.open()
        client.says(b"\x16")
        client.ends()
        self.network.settle()

        self.assertEqual((origin.peer.received, origin.peer.saw_eof), (b"\x16", True))
        origin.peer.closes()
        self.network.settle()
        self.assertEqual(self.ends()[-1].cause, "complete")

    def test_silence_before_it_shows(self) -> None:
        """One octet that may begin a ClientHello has the ClientHello's deadline."""
        client, origin = self.open()
        client.says(b"\x16")

        self.network.advance(self.limits.hello_seconds + 1)

        self.assertTrue(client.was_reset)
        self.assertEqual(origin.peer.received, b"")
        self.assertEqual(self.ends()[-1].cause, "hello_timeout")


# What begins as TLS does, and cannot be read as one ClientHello.
_UNREADABLE = (
    b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
    b"\x15\x03\x01\x00\x02\x01\x5a",
    b"\x16\x03\x01\x40\x00\x01\x01\x00\x00",
)


class NothingToCompare(TunnelCase):
    """In a tunnel to a literal address there is no name to compare."""

    def open_any(self) -> tuple[NetworkPeer, Origin]:
        """Open a tunnel whose ClientHello is not compared."""
        return self.open(TO_ADDRESS)

    def test_unreadable(self) -> None:
        """What cannot be read as a ClientHello passes, and the audit log has no name."""
        for sent in _UNREADABLE:
            with self.subTest(sent):
                self.setUp()
                client, origin = self.open_any()
                client.says(sent)
                self.network.settle()
                self.assertEqual(origin.peer.received, sent)
                client.says(b"more")
                client.closes()
                self.network.settle()
                self.assertEqual(origin.peer.received, sent + b"more")
                origin.peer.closes()
                self.network.settle()
                self.assertEqual((self.ends()[-1].cause, self.ends()[-1].hello), ("complete", None))

    def test_unfinished(self) -> None:
        """What does not end as a ClientHello passes at the deadline or the client's FIN."""
        for sent in (b"\x16", hello("any.example")[:50]):
            for ends in (True, False):
                with self.subTest(sent=sent, ends=ends):
                    self.setUp()
                    client, origin = self.open_any()
                    client.says(sent)
                    self.network.settle()
                    self.assertEqual(origin.peer.received, b"")
                    if ends:
                        client.ends()
                        self.network.settle()
                    else:
                        self.network.advance(self.limits.hello_seconds + 1)
                    self.assertEqual((origin.peer.received, origin.peer.saw_eof), (sent, ends))
                    self.assertFalse(client.was_reset)


class NothingToCompareRecorded(NothingToCompare):
    """With `sni = "record"` nothing is compared either."""

    tls = TlsSettings(sni="record")

    def open_any(self) -> tuple[NetworkPeer, Origin]:
        """Open a tunnel by name."""
        return self.open()


def made(name: str | None, size: int = 16384, *, has_ech: bool = False) -> bytes:
    """Make a ClientHello by hand, in records of some size."""
    names = () if name is None else (server_name(name.encode()),)
    more = (ECH,) if has_ech else ()
    return records(message((*names, SUPPORTED_VERSIONS, *more)), size, version=b"\x03\x03")


SPEC_CHANGE = b"\x14\x03\x03\x00\x01\x01"
EARLY = b"\x17\x03\x03\x00\x05early"
KEY_EXCHANGE = b"\x16\x03\x03\x00\x05\x10\x00\x00\x01x"


class RetryCase(TunnelCase):
    """Arranges a tunnel whose client has sent a ClientHello."""

    first: str | None = "origin.example"

    def greet(self, after: bytes = b"") -> tuple[NetworkPeer, NetworkPeer]:
        """Open a tunnel and send a ClientHello.

        Args:
            after: what the client sends together with it.

        Returns:
            The client and the origin's end.
        """
        client, origin = self.open()
        self.say(client, made(self.first) + after)
        return client, origin.peer

    def retry(self, answer: bytes = records(RETRY) + SPEC_CHANGE) -> tuple[NetworkPeer, NetworkPeer]:
        """Let the origin answer with a HelloRetryRequest, and forget what came so far."""
        client, origin = self.greet()
        self.assertEqual(origin.take(), made(self.first))
        self.say(origin, answer)
        self.assertEqual(client.take(), answer)
        return client, origin

    def say(self, peer: NetworkPeer, data: bytes) -> None:
        """Let a peer say something, and let all of it happen."""
        peer.says(data)
        self.network.settle()

    def end(self, client: NetworkPeer, origin: NetworkPeer) -> AuditEvent:
        """Close both ends, and give the event of the end."""
        client.closes()
        origin.closes()
        self.network.settle()
        self.assertEqual(self.server.connections.live, set())
        return self.ends()[-1]

    def assert_joined(self, client: NetworkPeer, origin: NetworkPeer) -> None:
        """Assert that both directions pass octets that no ClientHello begins with, as they come."""
        client.take()
        origin.take()
        self.say(client, KEY_EXCHANGE + b"up")
        self.assertEqual(origin.take(), KEY_EXCHANGE + b"up")
        self.say(origin, b"down")
        self.assertEqual(client.take(), b"down")

    def assert_refused_by(self, cause: str, client: NetworkPeer, origin: NetworkPeer) -> None:
        """Assert that both sides were reset, and the origin heard nothing more."""
        self.network.settle()
        self.assertTrue(client.was_reset)
        self.assertTrue(origin.was_reset)
        self.assertEqual(origin.take(), b"")
        self.assertEqual(self.ends()[-1].cause, cause)
        self.assertEqual(self.server.connections.live, set())


class Retries(RetryCase):
    """A second ClientHello, after a HelloRetryRequest, must name the judged host too."""

    def test_the_same_name(self) -> None:
        """A second ClientHello for the judged host passes, and the tunnel is joined."""
        client, origin = self.retry()

        self.say(client, SPEC_CHANGE + made("origin.example"))

        self.assertEqual(origin.take(), SPEC_CHANGE + made("origin.example"))
        self.assert_joined(client, origin)
        self.assertEqual(self.end(client, origin).hello, HelloFacts("origin.example", False, "origin.example"))

    def test_another_name(self) -> None:
        """One for another host resets both sides, and the audit log has both names."""
        for first in ("origin.example", None):
            with self.subTest(first):
                self.setUp()
                self.first = first
                client, origin = self.retry()

                self.say(client, made("evil.example"))

                self.assert_refused_by("server_name", client, origin)
                event = self.ends()[-1]
                assert event.refused is not None
                self.assertEqual(event.refused.code, "server_name_refused")
                self.assertEqual(event.hello, HelloFacts(first or "", False, "evil.example"))

    def test_no_name(self) -> None:
        """One without a name passes, and the audit log says so."""
        client, origin = self.retry()

        self.say(client, made(None))

        self.assert_joined(client, origin)
        self.assertEqual(self.end(client, origin).hello, HelloFacts("origin.example", False, ""))

    def test_every_piece(self) -> None:
        """Both ClientHellos and the answer may come octet by octet, in any records, with early data between."""
        client, origin = self.open()
        up = made("origin.example", 7) + EARLY * 2 + SPEC_CHANGE + EARLY
        for octet in up:
            self.say(client, bytes((octet,)))
        self.assertEqual(origin.peer.take(), up)
        down = b"\x15\x03\x03\x00\x02\x01\x70" + records(RETRY, 5)
        for octet in down:
            self.say(origin.peer, bytes((octet,)))
            self.assertEqual(client.take(), bytes((octet,)), "what the origin sends goes to the client at once")
        second = EARLY + SPEC_CHANGE + made("origin.example", 7)
        for octet in second:
            self.say(client, bytes((octet,)))

        self.assertEqual(origin.peer.take(), second)
        self.assert_joined(client, origin.peer)

    def test_another_name_in_pieces(self) -> None:
        """Another name is found in pieces of any size, and behind early data."""
        for size in (1, 3, 16384):
            with self.subTest(size):
                self.setUp()
                client, origin = self.retry(records(RETRY, size))
                self.say(client, EARLY + SPEC_CHANGE)
                self.assertEqual(origin.take(), EARLY + SPEC_CHANGE)
                for octet in made("evil.example", size):
                    self.say(client, bytes((octet,)))
                self.assert_refused_by("server_name", client, origin)

    def test_early_data_with_the_first(self) -> None:
        """Early data that comes in one piece with the ClientHello, or begins in it, is forwarded at once."""
        client, origin = self.greet(EARLY + EARLY[:7])
        self.assertEqual(origin.take(), made("origin.example") + EARLY + EARLY[:7])
        self.say(client, EARLY[7:] + EARLY[:3])
        self.assertEqual(origin.take(), EARLY[7:])

        self.say(origin, records(HELLO))

        self.assertEqual(origin.take(), EARLY[:3])
        self.assert_joined(client, origin)

    def test_malformed(self) -> None:
        """What is no ClientHello, or in a record that only some servers accept, goes no further."""
        for second in (
            KEY_EXCHANGE,
            b"\x16\x47\x45" + made("evil.example")[3:],
            b"\x16\x03\x03\x00\x00",
            b"\x18\x03\x03\x00\x03\x01\x00\x00",
            b"GET / HTTP/1.1\r\n",
        ):
            with self.subTest(second):
                self.setUp()
                client, origin = self.retry()
                self.say(client, second)
                self.assert_refused_by("hello_malformed", client, origin)

    def test_unfinished(self) -> None:
        """One that does not end in time, or ends in a FIN, goes no further."""
        for ends in (True, False):
            with self.subTest(ends=ends):
                self.setUp()
                client, origin = self.retry()
                self.say(client, made("origin.example")[:50])
                if ends:
                    client.ends()
                    self.network.settle()
                else:
                    self.network.advance(self.limits.hello_seconds + 1)
                self.assert_refused_by("hello_truncated" if ends else "hello_timeout", client, origin)

    def test_two_at_once(self) -> None:
        """A handshake record that a client sends before the answer goes no further."""
        for second in (made("evil.example"), made("origin.example"), KEY_EXCHANGE, b"\x16"):
            for is_later in (True, False):
                with self.subTest(second=second, is_later=is_later):
                    self.setUp()
                    client, origin = self.greet(b"" if is_later else EARLY + second)
                    if is_later:
                        self.say(client, second)
                    self.assertEqual(origin.take(), made("origin.example") + (b"" if is_later else EARLY))
                    self.assert_refused_by("hello_malformed", client, origin)

    def test_what_no_server_sends(self) -> None:
        """After a TLS record that no server answers with, a second ClientHello is read as well."""
        client, origin = self.retry(b"\x17\x03\x03\x00\x01x")

        self.say(client, made("evil.example"))

        self.assert_refused_by("server_name", client, origin)

    def test_silence(self) -> None:
        """A client that sends nothing after a HelloRetryRequest has the deadlines of a tunnel."""
        client, origin = self.retry()

        self.network.advance(3)
        self.assertEqual([record.event for record in self.audit_log.records], ["open"])
        self.network.advance(self.limits.idle_seconds * 1.5)

        self.assert_refused_by("idle", client, origin)

    def test_deadline_ends_with_the_second(self) -> None:
        """The deadline of a second ClientHello does not end the tunnel after it."""
        client, origin = self.retry()
        sent = made("origin.example")
        self.say(client, sent[:50])
        self.say(client, sent[50:])

        self.network.advance(self.limits.hello_seconds + 1)

        self.assert_joined(client, origin)

    def test_policy_ends_it(self) -> None:
        """A tunnel can be ended while a second ClientHello is awaited."""
        client, origin = self.retry()

        (live,) = self.server.connections.live
        live.end("policy")

        self.assert_refused_by("policy", client, origin)


class Answers(RetryCase):
    """What the origin answers to a ClientHello, or sends before it."""

    def test_server_hello(self) -> None:
        """A ServerHello joins the tunnel."""
        client, origin = self.greet()

        self.say(origin, records(HELLO) + b"rest")

        self.assertEqual(client.take(), records(HELLO) + b"rest")
        self.assert_joined(client, origin)
        self.assertEqual(self.end(client, origin).hello, HelloFacts("origin.example"))

    def test_other_protocol(self) -> None:
        """An answer that is not TLS joins the tunnel."""
        client, origin = self.greet()

        self.say(origin, b"HTTP/1.1 400 Bad Request\r\n\r\n")

        client.heard(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assert_joined(client, origin)

    def test_origin_speaks_first(self) -> None:
        """A greeting that is not TLS goes to the client at once, and a later ClientHello is compared."""
        for name in ("origin.example", "evil.example"):
            with self.subTest(name):
                self.setUp()
                client, origin = self.open()
                for greeting in (b"2", b"20 ready\r\n"):
                    self.say(origin.peer, greeting)
                    self.assertEqual(client.take(), greeting)
                self.say(client, made(name))
                if name == "origin.example":
                    self.assertEqual(origin.peer.take(), made(name))
                    self.assert_joined(client, origin.peer)
                else:
                    self.assert_refused_by("server_name", client, origin.peer)

    def test_request_before_the_hello(self) -> None:
        """A HelloRetryRequest that comes before the ClientHello counts as one after it."""
        client, origin = self.open()
        self.say(origin.peer, records(RETRY))
        self.say(client, made("origin.example"))
        origin.peer.take()

        self.say(client, made("evil.example"))

        self.assert_refused_by("server_name", client, origin.peer)

    def test_alert(self) -> None:
        """An alert of the origin goes to the client at once, and so does its FIN."""
        client, origin = self.greet()
        alert = b"\x15\x03\x03\x00\x02\x02\x28"

        self.say(origin, alert)
        self.assertEqual(client.take(), alert)
        origin.ends()
        self.network.settle()

        self.assertTrue(client.saw_eof)
        self.assertEqual(self.end(client, origin).cause, "complete")

    def test_origin_ends_first(self) -> None:
        """An origin's FIN is passed on in every state; what the client sends after it arrives."""
        for is_greeted in (True, False):
            with self.subTest(is_greeted=is_greeted):
                self.setUp()
                if is_greeted:
                    client, peer = self.greet()
                else:
                    client, origin = self.open()
                    peer = origin.peer
                peer.take()
                peer.ends()
                self.network.settle()
                self.assertTrue(client.saw_eof)
                self.say(client, SPEC_CHANGE)
                self.assertEqual(peer.take(), SPEC_CHANGE if is_greeted else b"")
                client.ends()
                self.network.settle()
                self.assertTrue(client.is_closed)
                self.assertEqual(self.server.connections.live, set())

    def test_client_ends_first(self) -> None:
        """A client's FIN after its ClientHello is passed on, and the answer still arrives."""
        client, origin = self.greet(EARLY[:3])
        client.ends()
        self.network.settle()
        self.assertEqual(origin.take(), made("origin.example") + EARLY[:3])
        self.assertTrue(origin.saw_eof)

        self.say(origin, records(RETRY) * 3)
        origin.ends()
        self.network.settle()

        self.assertEqual(client.take(), records(RETRY) * 3)
        self.assertEqual(self.ends()[-1].cause, "complete")
        self.assertEqual(self.server.connections.live, set())

    def test_resets(self) -> None:
        """A reset of one side is a reset of the other, before and after a HelloRetryRequest."""
        for arrange in (self.greet, self.retry):
            for by_client in (True, False):
                with self.subTest(arrange=arrange.__name__, by_client=by_client):
                    self.setUp()
                    client, origin = arrange()
                    (client if by_client else origin).aborts()
                    self.network.settle()
                    self.assertTrue((origin if by_client else client).was_reset)
                    self.assertEqual(self.ends()[-1].cause, "client_reset" if by_client else "origin_reset")
                    self.assertEqual(self.server.connections.live, set())

    def test_octets_are_counted(self) -> None:
        """The audit log has the octets each way, those before the tunnel was joined among them."""
        client, origin = self.retry()
        self.say(client, EARLY + made("origin.example") + b"rest")
        self.say(origin, b"more")
        event = self.end(client, origin)

        up = made("origin.example") * 2 + EARLY + b"rest"
        down = records(RETRY) + SPEC_CHANGE + b"more"
        self.assertEqual((event.client_bytes, event.server_bytes), (len(up), len(down)))

    def test_client_does_not_read(self) -> None:
        """An origin that sends alerts without end is held back by a client that does not read; nothing is lost."""
        client, origin = self.greet()
        alerts = (b"\x15\x03\x03\xff\xff" + bytes(65_535)) * 30
        client.stops_reading()

        self.say(origin, alerts)
        self.assertGreater(origin.unsent, 1_000_000)
        self.say(origin, records(HELLO))
        client.reads_again()
        self.network.settle()

        self.assertEqual(client.take(), alerts + records(HELLO))
        self.assert_joined(client, origin)

    def test_origin_does_not_read(self) -> None:
        """A client that sends early data without end is held back by an origin that does not read; nothing is lost."""
        for answer in (HELLO, RETRY):
            with self.subTest(answer is RETRY):
                self.setUp()
                client, origin = self.greet()
                origin.take()
                early = (b"\x17\x03\x03\x40\x00" + bytes(16_384)) * 120
                origin.stops_reading()
                self.say(client, early)
                self.assertGreater(client.unsent, 1_000_000)
                self.say(origin, records(answer))
                self.say(client, made("origin.example") + b"rest")

                origin.reads_again()
                self.network.settle()

                self.assertEqual(origin.take(), early + made("origin.example") + b"rest")
                self.assert_joined(client, origin)


class RecordedRetries(RetryCase):
    """With `sni = "record"` nothing is compared, and both names are recorded."""

    tls = TlsSettings(sni="record")

    def test_another_name(self) -> None:
        """A second ClientHello with another name passes, and the audit log has both names."""
        client, origin = self.retry()

        self.say(client, SPEC_CHANGE + made("other.example"))

        self.assert_joined(client, origin)
        self.assertEqual(self.end(client, origin).hello, HelloFacts("origin.example", False, "other.example"))

    def test_unreadable(self) -> None:
        """What is no second ClientHello, or comes before the answer, passes."""
        for arrange in (self.greet, self.retry):
            with self.subTest(arrange.__name__):
                self.setUp()
                client, origin = arrange()
                origin.take()
                self.say(client, EARLY + KEY_EXCHANGE)
                self.assertEqual(origin.take(), EARLY + KEY_EXCHANGE)
                self.assert_joined(client, origin)
                self.assertEqual(self.end(client, origin).hello, HelloFacts("origin.example"))

    def test_unfinished(self) -> None:
        """A second ClientHello that does not end passes at its deadline, or at the client's FIN."""
        for ends in (True, False):
            with self.subTest(ends=ends):
                self.setUp()
                client, origin = self.retry()
                sent = made("other.example")[:50]
                self.say(client, sent)
                self.assertEqual(origin.take(), b"")
                if ends:
                    client.ends()
                    self.network.settle()
                else:
                    self.network.advance(self.limits.hello_seconds + 1)
                self.assertEqual((origin.take(), origin.saw_eof), (sent, ends))


class RetriesAtAnAddress(RecordedRetries):
    """In a tunnel to a literal address neither."""

    tls = TlsSettings()

    def open(self, request: bytes = TO_ADDRESS) -> tuple[NetworkPeer, Origin]:
        """Open a tunnel to an address."""
        return super().open(request)


class Encrypted(RetryCase):
    """A ClientHello that has an encrypted one (ECH), with `ech = "record"`."""

    def test_it_is_recorded(self) -> None:
        """The outer name is compared, and the audit log says that there is another one."""
        client, origin = self.open()
        self.say(client, made("origin.example", has_ech=True))
        self.say(origin.peer, records(HELLO))

        self.assert_joined(client, origin.peer)
        self.assertEqual(self.end(client, origin.peer).hello, HelloFacts("origin.example", True))

    def test_another_outer_name(self) -> None:
        """Another outer name is refused as any other name."""
        client, origin = self.open()
        self.say(client, made("evil.example", has_ech=True))

        self.assert_refused_by("server_name", client, origin.peer)

    def test_in_either_of_two(self) -> None:
        """One of two ClientHellos is enough for the audit log."""
        for first, second in ((True, False), (False, True)):
            with self.subTest(first=first):
                self.setUp()
                client, origin = self.open()
                self.say(client, made("origin.example", has_ech=first))
                self.say(origin.peer, records(RETRY))
                self.say(client, made("origin.example", has_ech=second))
                self.assert_joined(client, origin.peer)
                facts = HelloFacts("origin.example", True, "origin.example")
                self.assertEqual(self.end(client, origin.peer).hello, facts)


class EncryptedRefused(RetryCase):
    """With `ech = "refuse"`."""

    tls = TlsSettings(ech="refuse")

    def assert_ech_refused(self, cause: str, client: NetworkPeer, origin: NetworkPeer) -> None:
        """Assert that both sides were reset, for ECH."""
        self.assert_refused_by(cause, client, origin)
        refused = self.ends()[-1].refused
        assert refused is not None
        self.assertEqual(refused.code, "ech_refused")

    def test_first(self) -> None:
        """A first ClientHello with ECH goes no further, by name and at a literal address."""
        for request in (CONNECT, TO_ADDRESS):
            with self.subTest(request):
                self.setUp()
                client, origin = self.open(request)
                self.say(client, made("origin.example", has_ech=True))
                self.assert_ech_refused("ech", client, origin.peer)
                self.assertEqual(self.ends()[-1].hello, HelloFacts("origin.example", True))

    def test_second(self) -> None:
        """Neither does a second one, after a first without ECH."""
        client, origin = self.retry()
        self.say(client, made("origin.example", has_ech=True))

        self.assert_ech_refused("ech", client, origin)
        self.assertEqual(self.ends()[-1].hello, HelloFacts("origin.example", True, "origin.example"))

    def test_without(self) -> None:
        """A ClientHello without ECH passes, by name and at a literal address."""
        for request in (CONNECT, TO_ADDRESS):
            with self.subTest(request):
                self.setUp()
                client, origin = self.open(request)
                self.say(client, hello("origin.example"))
                self.say(origin.peer, records(HELLO))
                self.assert_joined(client, origin.peer)

    def test_unreadable_at_an_address(self) -> None:
        """What could hide ECH is refused, where there is no name to compare as well."""
        for sent in _UNREADABLE:
            with self.subTest(sent):
                self.setUp()
                client, origin = self.open(TO_ADDRESS)
                self.say(client, sent)
                self.assert_ech_refused("hello_malformed", client, origin.peer)

    def test_other_protocols_at_an_address(self) -> None:
        """What is not TLS passes."""
        client, origin = self.open(TO_ADDRESS)
        self.say(client, b"SSH-2.0-x\r\n")

        self.assertEqual(origin.peer.take(), b"SSH-2.0-x\r\n")


class EncryptedRefusedRecorded(EncryptedRefused):
    """With `sni = "record"` as well: ECH is refused, names are not compared."""

    tls = TlsSettings(sni="record", ech="refuse")

    def test_another_name(self) -> None:
        """Another name passes."""
        client, origin = self.open()
        self.say(client, made("other.example"))

        self.assertEqual(origin.peer.take(), made("other.example"))
