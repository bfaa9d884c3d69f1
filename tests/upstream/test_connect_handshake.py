"""CONNECT through a proxy: whole dialogues on the in-memory network."""

from __future__ import annotations

from typing import cast

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import IProtocol, IPushProducer, IStreamClientEndpoint
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from egress.errors import CODES, DialFailed
from egress.model import Trace
from egress.testing.network import Network
from egress.testing.peers import NetworkPeer, Origin
from egress.transports.connection_notice import abort
from egress.upstream.connect_handshake import INTERIM_LIMIT, ConnectHandshake
from egress.upstream.first_hop_endpoint import FirstHopEndpoint
from egress.upstream.handshake import HandshakeEndpoint
from egress.upstream.hop_errors import offered_schemes
from tests.upstream.ends import Broken, Ear, Ears, HalfEar, Refusing, dial_failed, place

PROXY = "192.0.2.9"
PASSWORD = b"dXNlcjpodW50ZXIy"
AUTHORIZATION = b"Basic " + PASSWORD
GOOD = b"HTTP/1.1 200 Connection established\r\n\r\n"
LIMIT = 4096
FIELDS = b"User-Agent: test\r\nX-Token: hunter2\r\n"


@define(eq=False)
class Tunnel:
    """One tunnel on a network of its own."""

    network: Network = field(factory=Network)
    trace: Trace = field(factory=Trace)
    ears: Ears = field(factory=Ears)
    target: bytes = b"example.com:443"
    authorization: bytes | None = None
    proxy: Origin = field(init=False)

    def endpoint(self) -> HandshakeEndpoint:
        """Make the endpoint."""
        reactor = self.network.reactor
        proxy = FirstHopEndpoint(reactor, None, place(PROXY, 8080), 2.0, 3.0, "corporate", self.trace)
        return HandshakeEndpoint(proxy, self.strategy, 5.0, reactor, "corporate", self.trace)

    def strategy(self) -> ConnectHandshake:
        """Make the strategy of one handshake."""
        return ConnectHandshake(self.target, FIELDS, self.authorization, LIMIT)

    def dial(self) -> Deferred[IProtocol]:
        """Begin, and let all that happens at once happen."""
        result = self.endpoint().connect(self.ears)
        self.network.settle()
        return result

    def answered(self, *pieces: bytes, then: str = "") -> Deferred[IProtocol]:
        """Dial, and let the proxy answer as long as anybody listens."""
        self.proxy = self.network.origin(PROXY, 8080)
        result = self.dial()
        for piece in pieces:
            if not self.proxy.peer.is_closed:
                self.proxy.peer.says(piece)
                self.network.settle()
        if then and not self.proxy.peer.is_closed:
            getattr(self.proxy.peer, then)()
            self.network.settle()
        return result


class RequestTests(SynchronousTestCase):
    """What the proxy gets to see."""

    def asked(self, tunnel: Tunnel) -> bytes:
        """Give what the proxy hears."""
        tunnel.answered()
        return tunnel.proxy.peer.received

    def test_it_is_an_endpoint(self) -> None:
        """It can stand wherever Twisted wants an endpoint."""
        self.assertTrue(verifyObject(IStreamClientEndpoint, Tunnel().endpoint()))

    def test_target_and_fields(self) -> None:
        """Target and Host are equal, and there is no further field but those that are given."""
        asked = self.asked(Tunnel())

        self.assertEqual(asked, b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n%b\r\n" % FIELDS)

    def test_credentials(self) -> None:
        """They go where the proxy looks for them."""
        asked = self.asked(Tunnel(authorization=AUTHORIZATION))

        self.assertIn(b"\r\nProxy-Authorization: Basic dXNlcjpodW50ZXIy\r\n\r\n", asked)

    def test_ipv6_in_brackets(self) -> None:
        """An address of the other family is asked for as it is written."""
        asked = self.asked(Tunnel(target=b"[2001:db8::1]:443"))

        self.assertTrue(asked.startswith(b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n"), asked)

    def test_credentials_are_not_in_its_spelling(self) -> None:
        """Neither the endpoint nor its failure shows them."""
        tunnel = Tunnel(authorization=AUTHORIZATION)

        result = tunnel.answered(b"HTTP/1.1 407 \r\nProxy-Authenticate: Basic\r\n\r\n")

        problem = dial_failed(self.failureResultOf(result))
        for text in (repr(tunnel.endpoint()), repr(tunnel.strategy()), repr(problem), str(problem), problem.reason):
            self.assertNotIn(PASSWORD.decode(), text)
            self.assertNotIn("hunter2", text)


class TunnelTests(SynchronousTestCase):
    """A tunnel that stands."""

    def setUp(self) -> None:
        self.tunnel = Tunnel()
        self.network = self.tunnel.network

    def open(self, *pieces: bytes) -> tuple[Ear, NetworkPeer]:
        """Open one, and forget what was said for it."""
        ear = self.successResultOf(self.tunnel.answered(*(pieces or (GOOD,))))
        assert isinstance(ear, Ear)
        self.tunnel.proxy.peer.take()
        return ear, self.tunnel.proxy.peer

    def test_bytes_go_both_ways(self) -> None:
        """Afterwards the proxy is not noticed any more."""
        ear, proxy = self.open()

        ear.stream.write(b"up")
        proxy.says(b"down")
        self.network.settle()

        proxy.heard(b"up")
        self.assertEqual(ear.heard, b"down")

    def test_no_deadline_is_left(self) -> None:
        """The deadline was the handshake's; a tunnel may be quiet for ever."""
        ear, _ = self.open()

        self.network.advance(3600.0)

        self.assertIsNone(ear.end)
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_early_bytes_are_kept(self) -> None:
        """What follows the head in one piece comes first, once the Deferred has fired, and in order."""
        ear, proxy = self.open(GOOD + b"SSH-2.0-")
        proxy.says(b"server\r\n")
        self.network.settle()

        self.assertEqual(ear.heard, b"SSH-2.0-server\r\n")
        self.assertEqual(ear.events, ["made", "data", "data"])

    def test_early_bytes_come_to_whoever_waits(self) -> None:
        """The protocol is told of them only after its user knows of it."""
        order: list[str] = []
        result = self.tunnel.answered()
        result.addCallback(lambda ear: order.extend(["fired", *cast(Ear, ear).events]))

        self.tunnel.proxy.peer.says(GOOD + b"early")
        self.network.settle()

        self.assertEqual(order, ["fired", "made"])
        self.assertEqual(self.tunnel.ears.built[0].heard, b"early")

    def test_every_split(self) -> None:
        """However the answer is cut, the same bytes come out."""
        answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nVia: 1.1 p\r\n\r\nearly"
        for cut in range(1, len(answer)):
            self.tunnel = Tunnel()
            self.network = self.tunnel.network

            ear, _ = self.open(answer[:cut], answer[cut:])

            self.assertEqual(ear.heard, b"early", cut)

    def test_byte_by_byte(self) -> None:
        """Also in the smallest pieces."""
        self.network.segment_bytes = 1

        ear, _ = self.open(GOOD + b"early")

        self.assertEqual(ear.heard, b"early")

    def test_framing_means_nothing(self) -> None:
        """A 2xx has no content, whatever its fields say (RFC 9110 section 9.3.6)."""
        for fields in (b"Content-Length: 4", b"Transfer-Encoding: chunked", b"Content-Length: 0\r\nContent-Length: 9"):
            self.tunnel = Tunnel()
            self.network = self.tunnel.network

            ear, _ = self.open(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n0\r\n\r\n")

            self.assertEqual(ear.heard, b"0\r\n\r\n", fields)

    def test_repaired_answers(self) -> None:
        """An answer with a fault that permits one reading only opens the tunnel, where its head ends."""
        for head in (
            b"HTTP/1.0 200 Connection established\n\n",
            b"HTTP/1.0 200 OK\nVia : 1.0 p\n q\n\n",
            b"HTTP/1.1 200 OK\r\nVia : 1.0 p\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nVia: 1.0 p\r\n  q\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"\r\n",
        ):
            for cut in (len(head), len(head) - 1):
                self.tunnel = Tunnel()
                self.network = self.tunnel.network

                ear, _ = self.open((head + b"\nearly\n\n")[:cut], (head + b"\nearly\n\n")[cut:])

                self.assertEqual(ear.heard, b"\nearly\n\n", head)

    def test_what_is_good(self) -> None:
        """Any 2xx opens it, of either version, with or without words."""
        for line in (b"HTTP/1.0 200 Connection established", b"HTTP/1.1 200", b"HTTP/1.1 204 ", b"HTTP/1.1 299 x"):
            self.tunnel = Tunnel()
            self.network = self.tunnel.network

            ear, _ = self.open(line + b"\r\n\r\n")

            self.assertIsNone(ear.end, line)

    def test_their_half_close(self) -> None:
        """The target's FIN is passed on, and the other direction stays open."""
        ear, proxy = self.open(GOOD + b"last")

        proxy.ends()
        self.network.settle()
        ear.stream.write(b"still here")
        self.network.settle()

        self.assertEqual(ear.events, ["made", "data", "fin"])
        proxy.heard(b"still here")

    def test_our_half_close(self) -> None:
        """Our FIN goes on, and the target is heard to its end."""
        ear, proxy = self.open()

        ear.stream.loseWriteConnection()
        self.network.settle()
        proxy.says(b"answer")
        proxy.closes()
        self.network.settle()

        self.assertTrue(proxy.saw_eof)
        self.assertEqual(ear.heard, b"answer")
        self.assertIn("our fin", ear.events)

    def test_a_fin_for_who_knows_none(self) -> None:
        """A protocol without half-closes loses its connection then, as with any transport."""
        self.tunnel.ears.kind = Ear
        ear, proxy = self.open()

        proxy.ends()
        self.network.settle()

        self.assertEqual(ear.events, ["made", "lost"])
        self.assertTrue(proxy.is_closed)

    def test_back_pressure_from_us(self) -> None:
        """Who does not read makes the target wait: nothing is gathered in between."""
        ear, proxy = self.open()
        ear.stream.pauseProducing()
        self.network.settle()

        proxy.says(b"x" * 200_000)
        self.network.settle()
        held = proxy.unsent
        ear.stream.resumeProducing()
        self.network.settle()

        self.assertGreater(held, 0)
        self.assertEqual(len(ear.heard), 200_000)

    def test_back_pressure_from_them(self) -> None:
        """A producer is paused while the proxy does not read."""
        ear, proxy = self.open()
        proxy.stops_reading()
        source = Source()

        ear.stream.registerProducer(source, True)
        ear.stream.write(b"x" * 500_000)
        self.network.settle()
        was_paused = source.is_paused
        proxy.reads_again()
        self.network.settle()

        self.assertTrue(was_paused)
        self.assertFalse(source.is_paused)

    def test_a_reset_is_told(self) -> None:
        """The end of the connection is the end of the tunnel."""
        ear, proxy = self.open()

        proxy.aborts()
        self.network.settle()

        self.assertEqual(ear.events, ["made", "lost"])

    def test_early_bytes_for_one_who_has_left(self) -> None:
        """A user who drops the connection when it comes is told of its end."""
        result = self.tunnel.answered()
        result.addCallback(lambda ear: abort(cast(Ear, ear).transport))

        self.tunnel.proxy.peer.says(GOOD + b"early")
        self.network.settle()

        self.assertEqual(self.tunnel.ears.built[0].events[-1], "lost")
        self.network.assert_quiet()

    def test_the_factory_is_started_and_stopped(self) -> None:
        """As Twisted's own endpoints do."""
        ear, _ = self.open()
        ear.stream.loseConnection()
        self.network.settle()

        self.assertEqual((self.tunnel.ears.starts, self.tunnel.ears.stops), (1, 1))


@implementer(IPushProducer)
class Source:
    """A producer that only remembers what it was told."""

    is_paused = False

    def pauseProducing(self) -> None:
        self.is_paused = True

    def resumeProducing(self) -> None:
        self.is_paused = False

    def stopProducing(self) -> None:
        self.is_paused = True


FULL = b"HTTP/1.1 200 OK\r\nPad: " + b"x" * (1024 * 1024)
MALFORMED = "proxy_malformed"

# What the proxy says, what it does then, the code, and a word of the reason.
ROWS: list[tuple[str, bytes, str, str, str]] = [
    ("403", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "", "proxy_refused", "status 403"),
    ("403, closing", b"HTTP/1.1 403 Forbidden\r\n\r\n", "closes", "proxy_refused", "status 403"),
    ("502", b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "", "proxy_failed", "status 502"),
    ("503", b"HTTP/1.0 503 x\r\n\r\n", "closes", "proxy_failed", "status 503"),
    ("redirect", b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n", "", "proxy_refused", "status 302"),
    ("401", b"HTTP/1.1 401 x\r\nWWW-Authenticate: Basic\r\n\r\n", "", "proxy_refused", "status 401"),
    ("407", b"HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\n\r\n", "", "proxy_auth_required", "offers NTLM"),
    ("bare 407", b"HTTP/1.1 407 x\r\n\r\n", "", "proxy_auth_required", "offers no scheme"),
    ("switching", b"HTTP/1.1 101 x\r\nUpgrade: h2c\r\n\r\n", "", MALFORMED, "interim"),
    ("interims", b"HTTP/1.1 103 x\r\n\r\n" * (INTERIM_LIMIT + 1), "", MALFORMED, "interim"),
    ("a megabyte", FULL, "", MALFORMED, "too large"),
    ("SSH", b"SSH-2.0-OpenSSH_9.9\r\n", "", MALFORMED, "does not begin with HTTP"),
    ("SMTP", b"220 mail ESMTP\r\n", "", MALFORMED, "does not begin with HTTP"),
    ("HTTP/2", b"\0\0\x12\x04\0\0\0\0\0", "", MALFORMED, "does not begin with HTTP"),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", MALFORMED, "does not begin with HTTP"),
    ("HTTP/2 version", b"HTTP/2 200\r\n\r\n", "", MALFORMED, "status line"),
    ("HTTP/1.2", b"HTTP/1.2 200 OK\r\n\r\n", "", MALFORMED, "status line"),
    ("TLS alert", b"\x15\x03\x03\0\x02\x02\x0a", "closes", MALFORMED, "https://"),
    ("SOCKS", b"\x05\xff", "", MALFORMED, "does not begin with HTTP"),
    ("LF alone, then CRLF", b"HTTP/1.1 200 OK\nA: b\r\n\r\n", "", MALFORMED, "holds CR"),
    ("CRLF, then LF alone", b"HTTP/1.1 200 OK\r\nA: b\n\r\n", "", MALFORMED, "LF without CR"),
    ("CRLF, and LF alone at the end", b"HTTP/1.1 200 OK\r\nA: b\r\n\n", "", MALFORMED, "LF without CR"),
    ("folding of nothing", b"HTTP/1.1 200 OK\r\n c\r\n\r\n", "", MALFORMED, "folded"),
    ("bare CR", b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "", MALFORMED, "CR without LF"),
    ("status 99", b"HTTP/1.1 099 x\r\n\r\n", "", MALFORMED, "status line"),
    ("status 600", b"HTTP/1.1 600 x\r\n\r\n", "", MALFORMED, "status line"),
    ("nothing, FIN", b"", "ends", MALFORMED, "without an answer"),
    ("nothing, closed", b"", "closes", MALFORMED, "without an answer"),
    ("nothing, reset", b"", "aborts", MALFORMED, "without an answer"),
    ("half a line", b"HTTP/1.1 2", "ends", MALFORMED, "in the middle"),
    ("half a head", b"HTTP/1.1 200 OK\r\nVia: ", "closes", MALFORMED, "in the middle"),
    ("half a head, reset", b"HTTP/1.1 200 OK\r\n", "aborts", MALFORMED, "in the middle"),
    ("only an interim", b"HTTP/1.1 100 Continue\r\n\r\n", "ends", MALFORMED, "in the middle"),
]


class FailureTests(SynchronousTestCase):
    """A proxy that does not do what it should: a typed failure, and nothing left."""

    def failed(self, tunnel: Tunnel, result: Deferred[IProtocol], name: str = "") -> DialFailed:
        """Take the failure, and hold it to what is true of each."""
        problem = dial_failed(self.failureResultOf(result))
        tunnel.network.settle()
        tunnel.network.assert_quiet()
        self.assertEqual(tunnel.ears.built, [], name)
        self.assertIn(problem.code, CODES)
        for text in (problem.reason, CODES[problem.code].hint, CODES[problem.code].title):
            self.assertTrue(text.isascii() and text.isprintable(), name)
            for secret in ("corporate", PROXY, "8080", "hunter2", PASSWORD.decode()):
                self.assertNotIn(secret, text, name)
        self.assertIn("'corporate'", problem.detail, name)
        return problem

    def test_every_row(self) -> None:
        """Each is told by its code and its words."""
        for name, said, then, code, words in ROWS:
            tunnel = Tunnel()

            problem = self.failed(tunnel, tunnel.answered(*([said] if said else []), then=then), name)

            self.assertEqual(problem.code, code, name)
            self.assertIn(words, problem.reason, name)

    def test_every_split(self) -> None:
        """However it is cut, it is the same failure."""
        for name, said, then, code, words in ROWS:
            if not 1 < len(said) < 100:
                continue
            for cut in range(1, len(said)):
                tunnel = Tunnel()

                problem = self.failed(tunnel, tunnel.answered(said[:cut], said[cut:], then=then), name)

                self.assertEqual(problem.code, code, (name, cut))
                self.assertIn(words, problem.reason, (name, cut))

    def test_never(self) -> None:
        """No answer is a timeout, on the clock; its status is 504."""
        tunnel = Tunnel()
        result = tunnel.answered()

        tunnel.network.advance(4.9)
        self.assertNoResult(result)
        tunnel.network.advance(0.2)

        problem = self.failed(tunnel, result)
        self.assertEqual((problem.code, CODES[problem.code].status), ("proxy_timeout", 504))
        self.assertEqual(tunnel.trace.attempts, [(PROXY, ""), ("example.com:443", "timeout")])

    def test_a_drop_at_a_time(self) -> None:
        """A slow answer does not put the deadline off."""
        tunnel = Tunnel()
        result = tunnel.answered()

        for octet in GOOD[:10]:
            tunnel.proxy.peer.says(bytes([octet]))
            tunnel.network.advance(0.5)

        self.assertEqual(self.failed(tunnel, result).code, "proxy_timeout")

    def test_interims_for_ever(self) -> None:
        """They are counted, and do not put the deadline off either."""
        tunnel = Tunnel()

        result = tunnel.answered(*[b"HTTP/1.1 100 \r\n\r\n"] * INTERIM_LIMIT)

        self.assertNoResult(result)
        tunnel.network.advance(5.1)
        self.assertEqual(self.failed(tunnel, result).code, "proxy_timeout")

    def test_credentials_that_are_not_good_enough(self) -> None:
        """A 407 is told apart by whether there were any, and names the schemes of both sides."""
        tunnel = Tunnel(authorization=AUTHORIZATION)
        answer = b'HTTP/1.1 407 x\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: Basic realm="a, b"\r\n\r\n'

        problem = self.failed(tunnel, tunnel.answered(answer))

        self.assertEqual(
            problem.reason,
            "An upstream proxy does not accept our credentials; it offers Negotiate, Basic, and we speak Basic.",
        )

    def test_no_credentials(self) -> None:
        """And where none were sent, that is what is said."""
        tunnel = Tunnel()

        problem = self.failed(tunnel, tunnel.answered(b"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\n\r\n"))

        self.assertIn("wants credentials", problem.reason)
        self.assertEqual(tunnel.trace.attempts, [(PROXY, ""), ("example.com:443", "407")])

    def test_the_proxy_refuses(self) -> None:
        """A proxy that is not there is not a destination that is not there."""
        tunnel = Tunnel()

        problem = self.failed(tunnel, tunnel.dial())

        self.assertEqual(problem.code, "proxy_unreachable")
        self.assertIn("refuses connections", problem.reason)
        self.assertEqual(problem.attempts, ((PROXY, "refused"),))

    def test_the_proxy_is_silent(self) -> None:
        """One that does not answer the dial."""
        tunnel = Tunnel()
        tunnel.network.blackhole(PROXY)
        result = tunnel.dial()

        tunnel.network.advance(2.1)

        self.assertEqual(self.failed(tunnel, result).code, "proxy_unreachable")

    def test_there_is_no_way_to_the_proxy(self) -> None:
        """One without a route."""
        tunnel = Tunnel()
        tunnel.network.unreachable(PROXY)

        problem = self.failed(tunnel, tunnel.dial())

        self.assertEqual(problem.code, "proxy_unreachable")
        self.assertIn("cannot be reached", problem.reason)

    def test_the_audit_log_gets_it_all(self) -> None:
        """Code, attempts and the upstream are in one line."""
        tunnel = Tunnel()

        problem = self.failed(tunnel, tunnel.answered(b"HTTP/1.1 503 x\r\n\r\n"))

        self.assertEqual(
            str(problem),
            f"proxy_failed: {PROXY}, example.com:443 (503); upstream 'corporate': answered 503",
        )

    def test_a_factory_that_builds_nothing(self) -> None:
        """Its failure is its own, and the connection is dropped."""
        for ears, expected in ((Ears(None), NoProtocol), (Refusing(), RuntimeError), (Ears(Broken), RuntimeError)):
            tunnel = Tunnel(ears=ears)

            self.failureResultOf(tunnel.answered(GOOD), expected)

            tunnel.network.settle()
            tunnel.network.assert_quiet()

    @given(st.binary(max_size=300))
    def test_anything(self, said: bytes) -> None:
        """Whatever a proxy says and then leaves: a tunnel or a typed failure, and nothing left."""
        tunnel = Tunnel()

        result = tunnel.answered(b"HTTP/1.1 " + said, then="closes")

        if tunnel.ears.built:
            self.successResultOf(result)
            tunnel.ears.built[0].stream.abortConnection()
            tunnel.network.settle()
        else:
            dial_failed(self.failureResultOf(result))
        tunnel.network.assert_quiet()


class CancelTests(SynchronousTestCase):
    """Whoever waits may stop waiting at any time."""

    def cancel(self, tunnel: Tunnel, result: Deferred[IProtocol]) -> None:
        """Cancel, and see that nothing is left."""
        result.cancel()
        tunnel.network.settle()

        self.failureResultOf(result, CancelledError)
        tunnel.network.assert_quiet()
        self.assertEqual(tunnel.ears.built, [])

    def test_in_the_dial(self) -> None:
        """While the proxy does not answer the dial."""
        tunnel = Tunnel()
        tunnel.network.blackhole(PROXY)

        self.cancel(tunnel, tunnel.dial())

        self.assertEqual(tunnel.trace.attempts, [(PROXY, "cancelled")])

    def test_in_the_handshake(self) -> None:
        """While it does not answer CONNECT: the connection is reset."""
        tunnel = Tunnel()
        result = tunnel.answered()

        self.cancel(tunnel, result)

        self.assertEqual(tunnel.trace.attempts, [(PROXY, ""), ("example.com:443", "cancelled")])

    def test_in_the_middle_of_the_answer(self) -> None:
        """While half of an answer is here."""
        tunnel = Tunnel()

        self.cancel(tunnel, tunnel.answered(b"HTTP/1.1 200 OK\r\n"))

    def test_afterwards(self) -> None:
        """What stands is not touched."""
        tunnel = Tunnel()
        result = tunnel.answered(GOOD)

        result.cancel()
        tunnel.network.settle()

        self.assertIsInstance(self.successResultOf(result), HalfEar)


class SchemesTests(SynchronousTestCase):
    """What a 407 offers (RFC 9110 section 11.6.1)."""

    def test_schemes(self) -> None:
        """Schemes are told from their parameters, in whatever way they are listed."""
        rows: list[tuple[list[bytes], str]] = [
            ([], ""),
            ([b""], ""),
            ([b"Basic"], "Basic"),
            ([b'Basic realm="x"'], "Basic"),
            ([b'Basic realm="x", charset="UTF-8"'], "Basic"),
            ([b"Negotiate", b"NTLM", b'Basic realm="x"'], "Negotiate, NTLM, Basic"),
            ([b'Negotiate, NTLM, Basic realm="x"'], "Negotiate, NTLM, Basic"),
            ([b'Digest realm="a", nonce="b", qop="auth, auth-int", Basic realm="c"'], "Digest, Basic"),
            ([b'Basic realm="a \\", Evil b"'], "Basic"),
            ([b"Basic realm = x , charset = y"], "Basic"),
            ([b"NTLM TlRMTVNTUAACAAAA=="], "NTLM"),
            ([b"Negotiate oYG2MIGzoAMKAQE="], "Negotiate"),
            ([b"Basic, Basic"], "Basic"),
            ([b"<script>alert(1)</script>"], ""),
            ([b"`rm` x"], "another"),
            ([b"A" * 21], "another"),
            ([b"basic, SCRAM-sha-256"], "Basic, SCRAM-SHA-256"),
            ([b"hunter2, correct-horse, Basic"], "Basic, another"),
            ([b'"' + b'\\"' * 100_000], ""),
            ([b",".join(b"S%d" % number for number in range(20))], "another"),
        ]
        for values, expected in rows:
            self.assertEqual(offered_schemes(values), expected, values)

    @given(st.lists(st.binary(max_size=200), max_size=5))
    def test_anything(self, values: list[bytes]) -> None:
        """Whatever a proxy writes there, what is shown is short and plain."""
        shown = offered_schemes(values)

        self.assertLess(len(shown), 200)
        self.assertTrue(shown.replace(", ", "").replace("-", "").isalnum() or not shown)
