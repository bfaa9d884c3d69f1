"""Tests of egress.wire.request_head, and of properties that request and response heads share."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable

import h11
import httptools
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import CODES, ProtocolError
from egress.wire.fields import Field, parse_fields
from egress.wire.request_head import RequestHead, RequestReader, _fields_memo
from egress.wire.response_head import ResponseReader
from tests.wire.head_cases import (
    FIELD_LIMIT,
    LIMIT_BYTES,
    REFUSED_REQUESTS,
    REFUSED_RESPONSES,
    REQUESTS,
    RESPONSES,
    TARGET_LIMIT_BYTES,
    R,
    outcome,
    request_reader,
    response_reader,
    uncut_and_cut,
    value_of,
)

TOKEN = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
tokens = st.text(TOKEN, min_size=1, max_size=12).map(str.encode)
values = st.lists(st.sampled_from([*range(0x21, 0x7F), *range(0x80, 0x100), 0x20, 0x09]), max_size=16).map(
    lambda octets: bytes(octets).strip(b" \t")
)
blanks = st.text(" \t", max_size=3).map(str.encode)
# Host and Connection are told apart by name, framing is h11's business too: they come in tests of their own.
SPECIAL = {b"host", b"connection", b"content-length", b"transfer-encoding"}
names = tokens.filter(lambda name: name.lower() not in SPECIAL)
lines = st.lists(st.tuples(names, blanks, values, blanks), max_size=8)
targets = st.text([chr(octet) for octet in range(0x21, 0x7F)], min_size=1, max_size=24).map(str.encode)
reasons = values


def field_block(fields: list[tuple[bytes, bytes, bytes, bytes]]) -> tuple[bytes, tuple[Field, ...]]:
    """Write fields with blanks around their values, and say what they are to be read as."""
    block = b"".join(name + b":" + before + value + after + b"\r\n" for name, before, value, after in fields)
    return block, tuple((name.lower(), name, value) for name, _, value, _ in fields)


class SpellingTests(SynchronousTestCase):
    """How a head looks in a traceback."""

    def test_secrets(self) -> None:
        """Nothing in it that may be secret is spelled: no credentials, no cookies, no query."""
        lines = b"Host: a\r\nProxy-Authorization: Basic hunter2\r\nCookie: hunter2\r\nConnection: hunter2\r\n\r\n"
        request = request_reader().feed(b"GET http://a/?hunter2 HTTP/1.1\r\n" + lines)
        response = response_reader().feed(b"HTTP/1.1 407 hunter2\r\nProxy-Authenticate: hunter2\r\n\r\n")
        assert request is not None and response is not None

        told = repr((request, response, request.fields, response.fields))

        self.assertNotIn("hunter2", told)
        self.assertIn("method='GET'", told)
        self.assertIn("status=407", told)


class RequestTableTests(SynchronousTestCase):
    """Requests that are read, and requests that are not."""

    def test_read(self) -> None:
        """Every head of the table is read as it says, however it is cut, and what follows is left alone."""
        for data, expected in REQUESTS.items():
            uncut, cuts = uncut_and_cut(request_reader, data)
            self.assertEqual(uncut, ([expected], None, b""), data)
            for cut in cuts:
                self.assertEqual(cut, uncut, data)

    def test_read_from_pieces_only(self) -> None:
        """A whole head and the same head after its first octet give equal heads: both ways of reading agree."""
        for data, expected in REQUESTS.items():
            self.assertEqual(outcome(request_reader(), [data[:1], data[1:]])[0], [expected])

    def test_refused(self) -> None:
        """Every refusal of the table has the same code however the octets are cut."""
        for sentence, code, data in REFUSED_REQUESTS:
            uncut, cuts = uncut_and_cut(request_reader, data)
            self.assertEqual(uncut, ([], code, b""), sentence)
            for cut in cuts:
                self.assertEqual(cut, uncut, sentence)

    def test_refused_for_good(self) -> None:
        """After a refusal the same reader refuses whatever comes."""
        for sentence, code, data in REFUSED_REQUESTS:
            for pieces in ([data], [data[:1], data[1:]]):
                reader = request_reader()
                self.assertEqual(outcome(reader, pieces)[1], code, sentence)
                self.assertEqual(outcome(reader, [b"GET x HTTP/1.0\r\n\r\n"])[1], code, sentence)

    def test_codes_are_known(self) -> None:
        """Each refusal has a status and a hint."""
        for _, code, _ in REFUSED_REQUESTS:
            self.assertIn(code, CODES)

    def test_reason_is_free_of_input(self) -> None:
        """No reason repeats what the client sent."""
        for mark in (b"sesame", b"sesame: open", b"GET sesame\x00 HTTP/1.1", b"GET /s HTTP/sesame"):
            fault = self.assertRaises(ProtocolError, request_reader().feed, mark + b"\r\n\r\n")
            self.assertNotIn("sesame", str(fault))
            self.assertTrue(str(fault).isascii())


class RequestReaderTests(SynchronousTestCase):
    """A connection's requests, one after the other."""

    def test_pipelined(self) -> None:
        """Several heads in one piece are read one by one, cut anywhere."""
        data = b"".join(REQUESTS)
        uncut, cuts = uncut_and_cut(lambda: RequestReader(LIMIT_BYTES, TARGET_LIMIT_BYTES, FIELD_LIMIT), data)
        self.assertEqual(uncut, (list(REQUESTS.values()), None, b""))
        for cut in cuts:
            self.assertEqual(cut, uncut)

    def test_empty_line_before_each(self) -> None:
        """One empty line may come before every request of a connection, not before the first alone."""
        data = b"\r\nGET x HTTP/1.0\r\n\r\n" * 3
        uncut, cuts = uncut_and_cut(request_reader, data)
        self.assertEqual((len(uncut[0]), uncut[1]), (3, None))
        for cut in cuts:
            self.assertEqual(cut, uncut)

    def test_rest(self) -> None:
        """What follows a head is kept to the octet, whether the head came whole or not."""
        for pieces in ([b"GET x HTTP/1.0\r\n\r\n\r\n\r\nbody"], [b"GET x HTTP/1.0\r", b"\n\r\n\r\n\r\nbody"]):
            reader = request_reader()
            for piece in pieces:
                head = reader.feed(piece)
            self.assertIsNotNone(head)
            self.assertEqual(reader.rest, b"\r\n\r\nbody")
            self.assertFalse(reader.is_begun)

    def test_is_begun(self) -> None:
        """A head is begun by its first octet, not by the empty line that may come before it, and over at its end."""
        reader = request_reader()
        self.assertFalse(reader.is_begun)
        self.assertIsNone(reader.feed(b"\r\n"))
        self.assertFalse(reader.is_begun)
        self.assertIsNone(reader.feed(b"G"))
        self.assertTrue(reader.is_begun)
        self.assertIsNotNone(reader.feed(b"ET x HTTP/1.0\r\n\r\n"))
        self.assertFalse(reader.is_begun)

    def test_limits_are_reachable(self) -> None:
        """A head exactly as large as its limits allow is read; one octet or field more is not."""
        target = b"x" * TARGET_LIMIT_BYTES
        fields = b"X: y\r\n" * (FIELD_LIMIT - 2) + b"Host: a\r\n"
        start = b"GET " + target + b" HTTP/1.1\r\n" + fields
        fill = LIMIT_BYTES - len(start) - len(b"Y: \r\n\r\n")
        exact = start + b"Y: " + b"z" * fill + b"\r\n\r\n"

        uncut, cuts = uncut_and_cut(request_reader, exact)
        self.assertEqual((len(uncut[0]), uncut[1]), (1, None))
        for cut in cuts:
            self.assertEqual(cut, uncut)
        self.assertEqual(outcome(request_reader(), [exact.replace(b"Y: ", b"Y:  ")])[1], "head_too_large")
        self.assertEqual(outcome(request_reader(), [exact.replace(b"Y: zz", b"Y:\r\nZ:")])[1], "head_too_large")
        self.assertEqual(outcome(request_reader(), [exact.replace(b" x", b" xx", 1)])[1], "target_too_long")

    def test_first_fault_is_told(self) -> None:
        """Of two faults the one that came first is told, also where the second is in the request's size."""
        data = b"GET x HTTP/1.1\r\nHost\r\nX: " + b"y" * LIMIT_BYTES + b"\r\n\r\n"
        uncut, cuts = uncut_and_cut(request_reader, data)
        self.assertEqual(uncut[1], "bad_head")
        self.assertEqual({cut[1] for cut in cuts}, {"bad_head"})

    def test_told_early(self) -> None:
        """A client that does not speak HTTP/1.1 hears of it at once, not after a deadline."""
        for data in (b"\x16", b"GET x HTTP/1.1\n", b"PRI * HTTP/2.0\r\n", b"GET x HTTP/3.0\r\n", b"GET x\r\n"):
            self.assertRaises(ProtocolError, request_reader().feed, data)

    def test_tls_is_named(self) -> None:
        """TLS on a plain-text port is recognised by its first octet."""
        fault = self.assertRaises(ProtocolError, request_reader().feed, b"\x16")
        self.assertEqual(fault.reason, "TLS was spoken to a plain-text port")

    def test_slow_growth_is_linear(self) -> None:
        """A head that comes octet by octet costs no more per octet when it is long."""

        def cost(fields: int) -> float:
            data = b"GET x HTTP/1.0\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyy\r\n" * fields
            reader = RequestReader(1 << 20, 1024, 1 << 20)
            begun = time.process_time()
            for place in range(len(data)):
                reader.feed(data[place : place + 1])
            return (time.process_time() - begun) / fields

        # Quadratic work would make this a factor of sixteen.
        self.assertLess(min(cost(1600), cost(1600)), 6 * max(cost(100), cost(100)))

    def test_values(self) -> None:
        """A field's values are found by its lower-case name, in order."""
        head = request_reader().feed(b"GET x HTTP/1.0\r\nA: 1\r\nB: 2\r\na: 3\r\n\r\n")
        assert head is not None
        self.assertEqual(head.fields.values(b"a"), [b"1", b"3"])
        self.assertEqual(head.fields.values(b"c"), [])

    def test_options_of_a_head_made_by_hand(self) -> None:
        """A head that was not read has its connection options all the same."""
        head = RequestHead("GET", b"x", True, parse_fields(b"Connection: close, X\r\n", is_request=True))
        self.assertEqual(head.fields.options, {b"close", b"x"})


class PropertyTests(SynchronousTestCase):
    """What holds for all heads."""

    @settings(max_examples=100, deadline=None)
    @given(tokens, targets, st.booleans(), lines, st.integers(0, 400))
    def test_request_round_trip(
        self, method: bytes, target: bytes, is_http11: bool, fields: list[tuple[bytes, bytes, bytes, bytes]], cut: int
    ) -> None:
        """Whatever is written by the grammar is read as it was meant, in one piece and in two, and as h11 reads it."""
        block, expected = field_block([(b"Host", b" ", b"a", b""), *fields])
        data = method + b" " + target + (b" HTTP/1.1\r\n" if is_http11 else b" HTTP/1.0\r\n") + block + b"\r\n"
        reader = RequestReader(1 << 16, 1 << 10, 64)
        head = reader.feed(data)
        assert head is not None
        self.assertEqual(
            (head.method, head.target, head.is_http11, head.fields.all()),
            (method.decode(), target, is_http11, expected),
        )
        cut %= len(data)
        parts = RequestReader(1 << 16, 1 << 10, 64)
        again = parts.feed(data[:cut]) if cut else None
        self.assertIsNone(again)
        again = parts.feed(data[cut:])
        assert again is not None
        self.assertEqual(value_of(again), value_of(head))

    @settings(max_examples=100, deadline=None)
    @given(st.integers(100, 599), reasons, st.booleans(), lines)
    def test_response_round_trip(
        self, status: int, reason: bytes, is_http11: bool, fields: list[tuple[bytes, bytes, bytes, bytes]]
    ) -> None:
        """Whatever is written by the grammar is read as it was meant."""
        block, expected = field_block(fields)
        version = b"HTTP/1.1" if is_http11 else b"HTTP/1.0"
        data = b"%b %d %b\r\n%b\r\nrest" % (version, status, reason, block)
        reader = ResponseReader(1 << 16)
        head = reader.feed(data)
        assert head is not None
        self.assertEqual(
            (head.status, head.reason, head.is_http11, head.fields.all()), (status, reason, is_http11, expected)
        )
        self.assertEqual(reader.rest, b"rest")

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(st.sampled_from([b"GET ", b"x ", b"HTTP/1.1", b"\r\n", b"\n", b"Host: a", b":", b" ", b"\x00", b"a"]))
    )
    def test_any_octets(self, words: list[bytes]) -> None:
        """Any octets give heads or a ProtocolError, the same however they are cut."""
        data = b"".join(words)
        for uncut, cuts in (uncut_and_cut(request_reader, data), uncut_and_cut(response_reader, data)):
            for cut in cuts:
                self.assertEqual(cut, uncut)


class UserInformationTests(SynchronousTestCase):
    """A Host that repeats the user information of the target, as urllib sends it."""

    def test_host(self) -> None:
        """It is accepted where it is the target's authority, and refused where the two differ in any octet."""
        for target, host, is_accepted in (
            (b"http://u:p@a/", b"u:p@a", True),
            (b"http://u:p@a:80?b", b"u:p@a:80", True),
            (b"http://u:p@a", b"u:p@a", True),
            (b"http://u:p@a/", b"u:q@a", False),
            (b"http://u:p@a/", b"u:p@b", False),
            (b"http://u:p@ab/", b"u:p@a", False),
            (b"http://u:p@a:80/", b"u:p@a", False),
            (b"http://a/", b"u:p@a", False),
            (b"http://a/u:p@a", b"u:p@a", False),
            (b"u:p@a", b"u:p@a", False),
            (b"/", b"u:p@a", False),
            (b"http://a b/", b"a b", False),
        ):
            data = b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
            uncut, cuts = uncut_and_cut(request_reader, data)
            self.assertEqual((None if is_accepted else "bad_head", int(is_accepted)), (uncut[1], len(uncut[0])), data)
            for cut in cuts:
                self.assertEqual(cut, uncut)

    def test_memo(self) -> None:
        """The fields are not remembered: they hold a secret, and are valid with this target only."""
        block = b"Host: u:p@a\r\nAccept: */*\r\n\r\n"
        self.assertIsNotNone(request_reader().feed(b"GET http://u:p@a/ HTTP/1.1\r\n" + block))
        self.assertRaises(ProtocolError, request_reader().feed, b"GET http://a/ HTTP/1.1\r\n" + block)
        self.assertFalse([key for key in _fields_memo if b"@" in key])


class SecondOpinionTests(SynchronousTestCase):
    """What we read, others read the same way, or refuse.

    Known exceptions, where others refuse what we read (none reads anything differently):
    h11 and httptools refuse methods, targets or Host values by lists of their own, and judge framing in the head.
    httptools leaves the blanks after a value in it (RFC 9112 section 5.1 has them removed); we send it on without them.
    """

    def check_request(self, data: bytes) -> bool:
        """Compare our reading of one request with theirs. True if somebody else read it too."""
        head = RequestReader(1 << 16, 1 << 12, 64).feed(data)
        assert head is not None
        return bool(self.check_h11_request(data, head) + self.check_httptools_request(data, head))

    def check_h11_request(self, data: bytes, head: RequestHead) -> bool:
        connection = h11.Connection(h11.SERVER)
        # h11 skips no empty line.
        connection.receive_data(data.removeprefix(b"\r\n"))
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            return False
        assert isinstance(event, h11.Request)
        self.assertEqual((event.method.decode(), event.target), (head.method, head.target), data)
        self.assertEqual(event.http_version, b"1.1" if head.is_http11 else b"1.0")
        self.assertEqual(
            [(name, value) for name, value in event.headers],
            [(lower, value) for lower, _, value in head.fields.all()],
            data,
        )
        return True

    def check_httptools_request(self, data: bytes, head: RequestHead) -> bool:
        heard = Heard()
        parser = httptools.HttpRequestParser(heard)
        with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
            parser.feed_data(data)
        if not heard.is_complete:
            return False
        self.assertEqual((parser.get_method().decode(), heard.url), (head.method, head.target), data)
        self.assertEqual(parser.get_http_version(), "1.1" if head.is_http11 else "1.0")
        self.assertEqual(
            [(name, value.rstrip(b" \t")) for name, value in heard.headers],
            [(name, value) for _, name, value in head.fields.all()],
            data,
        )
        return True

    def test_table(self) -> None:
        """The table's requests are read alike."""
        agreed = sum(self.check_request(data) for data in REQUESTS)
        self.assertGreater(agreed, len(REQUESTS) // 2)

    @settings(max_examples=100, deadline=None)
    @given(st.sampled_from([b"GET", b"POST", b"OPTIONS", b"PATCH"]), targets, st.booleans(), lines)
    def test_requests(
        self, method: bytes, path: bytes, is_http11: bool, fields: list[tuple[bytes, bytes, bytes, bytes]]
    ) -> None:
        """Requests of all shapes are read alike."""
        block, _ = field_block([(b"Host", b" ", b"a", b""), *fields])
        version = b"HTTP/1.1" if is_http11 else b"HTTP/1.0"
        self.check_request(b"%b http://a/%b %b\r\n%b\r\n" % (method, path, version, block))

    @settings(max_examples=100, deadline=None)
    @given(st.sampled_from([200, 204, 301, 404, 500]), reasons, st.booleans(), lines)
    def test_responses(
        self, status: int, reason: bytes, is_http11: bool, fields: list[tuple[bytes, bytes, bytes, bytes]]
    ) -> None:
        """Responses of all shapes are read alike."""
        block, _ = field_block(fields)
        version = b"HTTP/1.1" if is_http11 else b"HTTP/1.0"
        data = b"%b %d %b\r\n%b\r\n" % (version, status, reason, block)
        head = ResponseReader(1 << 16).feed(data)
        assert head is not None

        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
        connection.receive_data(data)
        event = connection.next_event()
        assert isinstance(event, h11.Response)
        self.assertEqual((event.status_code, event.reason), (head.status, head.reason))
        self.assertEqual(
            [(name, value) for name, value in event.headers], [(lower, value) for lower, _, value in head.fields.all()]
        )


class Heard:
    """What httptools says."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_complete = False

    def on_url(self, url: bytes) -> None:
        """Keep a piece of the target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field."""
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Note that the head was accepted."""
        self.is_complete = True


class MutationTests(SynchronousTestCase):
    """Heads that were damaged at random, by a fixed seed."""

    SECONDS = 1.0

    def mutate(self, make: Callable[[], R], seeds: list[bytes]) -> None:
        """Damage seeds for a while; each is read or refused, and alike in one piece, in two and octet by octet."""
        chance = random.Random(9112)
        words = [b"\r\n", b"\r", b"\n", b" ", b"\t", b":", b"\x00", b"\xff", b"Host: a\r\n", b"\r\n\r\n", b"HTTP/1.1"]
        end = time.process_time() + self.SECONDS
        rounds = read = 0
        while time.process_time() < end:
            data = chance.choice(seeds)
            for _ in range(chance.randrange(1, 4)):
                at = chance.randrange(len(data) + 1)
                cut = chance.choice((0, 0, 1, 4))
                word = chance.choice(words) if chance.random() < 0.6 else bytes([chance.randrange(256)])
                data = data[:at] + word + data[at + cut :]
            uncut = outcome(make(), [data])
            place = chance.randrange(len(data) + 1)
            self.assertEqual(outcome(make(), [data[:place], data[place:]]), uncut, data)
            self.assertEqual(outcome(make(), [data[i : i + 1] for i in range(len(data))]), uncut, data)
            rounds += 1
            read += bool(uncut[0])
        self.assertGreater(rounds, 100)
        self.assertGreater(read, 0)

    def test_requests(self) -> None:
        """No damage to a request gets anything but a head or a ProtocolError."""
        self.mutate(request_reader, [*REQUESTS, *(data for _, _, data in REFUSED_REQUESTS)])

    def test_responses(self) -> None:
        """No damage to a response gets anything but a head or a ProtocolError."""
        self.mutate(response_reader, [*RESPONSES, *(data for _, data in REFUSED_RESPONSES)])
