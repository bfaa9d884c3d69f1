"""Tests of egress.wire.forwarding."""

from __future__ import annotations

import h11
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ProtocolError
from egress.wire.forwarding import max_forwards, serialize_request, serialize_response
from egress.wire.framing import Framing, Kind, request_framing, response_framing
from egress.wire.request_head import RequestHead, RequestReader
from egress.wire.response_head import ResponseHead, ResponseReader
from egress.wire.target import parse_target
from egress.wire.via import Via

NONE = Framing(Kind.NONE)
CHUNKED = Framing(Kind.CHUNKED)
CLOSE = Framing(Kind.CLOSE)


def request(data: bytes) -> RequestHead:
    """Read a request head."""
    head = RequestReader(1 << 16, 1 << 12, 64).feed(data)
    assert head is not None
    return head


VIA = Via(b"egress")


def response(data: bytes) -> ResponseHead:
    """Read a response head."""
    head = ResponseReader(1 << 16).feed(data)
    assert head is not None
    return head


def sent_on(data: bytes, *, upgrade: bytes | None = None) -> bytes:
    """Read a request and write what goes to the origin."""
    head = request(data)
    return serialize_request(head, parse_target(head.method, head.target), request_framing(head), VIA, upgrade=upgrade)


def fields_sent_on(*fields: bytes, start: bytes = b"GET http://a/ HTTP/1.1") -> list[bytes]:
    """Write a request with these fields on, and give what becomes of them: neither Host nor Via."""
    out = sent_on(b"\r\n".join([start, b"Host: a", *fields, b"", b""]))
    lines = out.split(b"\r\n")
    via = b"Via: 1.1 egress" if start.endswith(b"1.1") else b"Via: 1.0 egress"
    assert lines[1] == b"Host: a" and lines[-3:] == [via, b"", b""], lines
    return lines[2:-3]


class RequestOnwardTests(SynchronousTestCase):
    """What an origin gets."""

    def test_whole(self) -> None:
        """The path is canonical, Host is the target's, fields keep order, spelling and blanks, ours come last."""
        self.assertEqual(
            sent_on(
                b"POST http://Example.COM.:8080/%7Ea/./b?c=%7e HTTP/1.1\r\nHost: other\r\nX-b:  2 \r\n"
                b"Proxy-Connection: k\r\ncontent-length: 007\r\nx-A:1\r\nCookie: d\r\n\r\n"
            ),
            b"POST /~a/b?c=%7e HTTP/1.1\r\nHost: example.com:8080\r\nX-b:  2 \r\nx-A:1\r\nCookie: d\r\n"
            b"Content-Length: 7\r\nVia: 1.1 egress\r\n\r\n",
        )

    def test_host(self) -> None:
        """Host is the authority that was judged, whatever the client's Host says (RFC 9112 section 3.2.2)."""
        for target, host in (
            (b"http://a", b"a"),
            (b"http://a:80/", b"a"),
            (b"http://a:/", b"a"),
            (b"http://[::1]:/", b"[::1]"),
            (b"http://a:8080/", b"a:8080"),
            (b"http://a:180/", b"a:180"),
            (b"ws://A/", b"a"),
            (b"http://[::1]/", b"[::1]"),
            (b"http://[0::1]:81/", b"[::1]:81"),
            (b"http://0x7f.1/", b"127.0.0.1"),
        ):
            out = sent_on(b"GET " + target + b" HTTP/1.1\r\nHost: evil.example\r\n\r\n")
            self.assertTrue(out.startswith(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nVia: "), out)

    def test_user_information(self) -> None:
        """User information in the target goes on as Authorization, and nowhere else, where the client sends none."""
        start = b"GET http://joe:secret@a/b HTTP/1.1"
        basic = b"Authorization: Basic am9lOnNlY3JldA=="
        for fields, expected in (
            ([], [basic]),
            ([b"X: 1", b"X-Authorization: 2"], [b"X: 1", b"X-Authorization: 2", basic]),
            ([b"Proxy-Authorization: Basic eDp5"], [basic]),
            ([b"authorization: Bearer x"], [b"authorization: Bearer x"]),
            ([b"A: 1", b"Authorization:"], [b"A: 1", b"Authorization:"]),
            ([b"Connection: authorization", b"Authorization: x"], []),
            ([b"Connection: authorization"], [basic]),
        ):
            self.assertEqual(expected, fields_sent_on(*fields, start=start), fields)
        self.assertEqual([], fields_sent_on(start=start.replace(b"GET", b"TRACE")))
        out = sent_on(start + b"\r\nHost: a\r\n\r\n")
        self.assertTrue(out.startswith(b"GET /b HTTP/1.1\r\nHost: a\r\n"), out)
        head = request(start + b"\r\nHost: a\r\n\r\n")
        out = serialize_request(
            head, parse_target("GET", head.target), NONE, VIA, is_absolute=True, authorization=b"Basic x"
        )
        self.assertEqual(
            b"GET http://a/b HTTP/1.1\r\nHost: a\r\n" + basic + b"\r\nProxy-Authorization: Basic x\r\n"
            b"Via: 1.1 egress\r\n\r\n",
            out,
        )

    def test_old_client(self) -> None:
        """A client of HTTP/1.0 is sent on as HTTP/1.1, and Via says what it spoke."""
        self.assertEqual(
            sent_on(b"GET http://a/ HTTP/1.0\r\n\r\n"), b"GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 egress\r\n\r\n"
        )

    def test_hop_by_hop_fields_stay(self) -> None:
        """What concerns one connection, or us, is not sent on (RFC 9110 section 7.6.1)."""
        for field in (
            b"Connection: close",
            b"Connection: keep-alive",
            b"Keep-Alive: timeout=5",
            b"Proxy-Connection: keep-alive",
            b"Proxy-Authorization: Basic x",
            b"PROXY-ANYTHING: x",
            b"TE: gzip",
            b"Upgrade: websocket",
            b"HTTP2-Settings: AAMAAABk",
            b"Expect: something",
        ):
            self.assertEqual(fields_sent_on(b"A: 1", field, b"B: 2"), [b"A: 1", b"B: 2"], field)

    def test_end_to_end_fields_go_on(self) -> None:
        """Everything else is sent on as it came, those that we read last (the order of names means nothing)."""
        fields = [
            b"Authorization: Bearer x",
            b"cookie: a=b",
            b"Expect: 100-Continue",
            b"Trailer: X",
            b"Max-Forwards: 3",
            b"Via: 1.0 before",
            b"X: ",
            b"X: \xe9",
            b"proxyish: x",
        ]
        read = (b"Expect", b"Max-F", b"Via")
        expected = [field for field in fields if not field.startswith(read)]
        last = [b"Expect: 100-continue", b"Max-Forwards: 3", b"Via: 1.0 before"]
        self.assertEqual(fields_sent_on(*fields), [*expected, *last])

    def test_expect_of_an_old_client(self) -> None:
        """HTTP/1.0 has no 100, so its expectation is ignored (RFC 9110 section 10.1.1)."""
        self.assertEqual(fields_sent_on(b"Expect: 100-continue", start=b"GET http://a/ HTTP/1.0"), [])

    def test_named_fields_stay(self) -> None:
        """A field that Connection names is not sent on, in any case and from any of its fields."""
        self.assertEqual(
            fields_sent_on(b"Connection: X-One, keep-alive", b"x-one: 1", b"X-Two: 2", b"connection:x-TWO", b"Y: 3"),
            [b"Y: 3"],
        )
        self.assertEqual(fields_sent_on(b"Connection: Authorization", b"Authorization: x", b"Y: 3"), [b"Y: 3"])

    def test_naming_what_a_proxy_needs(self) -> None:
        """Connection cannot take away what says where a request goes and ends, or how far."""
        for option, code in (
            (b"Host", "bad_framing"),
            (b"content-length", "bad_framing"),
            (b"x, Transfer-Encoding", "bad_framing"),
            (b"Via", "bad_head"),
            (b"max-forwards", "bad_head"),
        ):
            fault = self.assertRaises(ProtocolError, fields_sent_on, b"Connection: " + option)
            self.assertEqual(fault.code, code)

    def test_framing_is_written_anew(self) -> None:
        """Each framing becomes one field, whatever the client's spelling."""
        for field, expected in (
            (b"Content-Length: 0", [b"Content-Length: 0"]),
            (b"CONTENT-LENGTH: 0012", [b"Content-Length: 12"]),
            (b"transfer-encoding: Chunked", [b"Transfer-Encoding: chunked"]),
            (b"X: 1", [b"X: 1"]),
        ):
            self.assertEqual(fields_sent_on(field, start=b"POST http://a/ HTTP/1.1"), expected)

    def test_te_stays(self) -> None:
        """TE concerns the client's connection, whatever it says and whether Connection names it (RFC 9110, 10.1.4)."""
        for fields in (
            [b"TE: trailers"],
            [b"Connection: TE", b"te: gzip;q=1, Trailers"],
            [b"TE:", b"TE: trailers"],
            [b"Connection: close, te", b"TE: trailers"],
        ):
            self.assertEqual(fields_sent_on(b"A: 1", *fields), [b"A: 1"])

    def test_upgrade(self) -> None:
        """An upgrade goes on only where the proxy says so, and as the proxy says it."""
        head = (
            b"GET ws://a/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket, x\r\nTE: trailers\r\n\r\n"
        )
        self.assertNotIn(b"pgrade", sent_on(head))
        self.assertEqual(
            sent_on(head, upgrade=b"websocket"),
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nVia: 1.1 egress\r\n\r\n",
        )

    def test_options_of_a_server(self) -> None:
        """OPTIONS without a path is sent on as an asterisk."""
        out = sent_on(b"OPTIONS http://a:81 HTTP/1.1\r\nHost: a:81\r\n\r\n")
        self.assertTrue(out.startswith(b"OPTIONS * HTTP/1.1\r\nHost: a:81\r\n"))

    def test_asterisk_is_for_the_proxy(self) -> None:
        """A request for the proxy itself has nowhere to go."""
        self.assertRaises(ValueError, sent_on, b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")

    def test_max_forwards(self) -> None:
        """TRACE and OPTIONS count the proxies on their way (RFC 9110 section 7.6.2)."""
        for method in (b"TRACE", b"OPTIONS"):
            start = method + b" http://a/ HTTP/1.1"
            self.assertEqual(fields_sent_on(b"X: 1", b"max-forwards: 010", start=start), [b"X: 1", b"max-forwards: 9"])
            self.assertEqual(fields_sent_on(b"Max-Forwards: 1", start=start), [b"Max-Forwards: 0"])
            for bad in (b"0", b"", b"-1", b"x", b"1, 2", b"9" * 19, b"1\r\nMax-Forwards: 1"):
                fault = self.assertRaises(ProtocolError, fields_sent_on, b"Max-Forwards: " + bad, start=start)
                self.assertEqual(fault.code, "bad_head")
        self.assertEqual(fields_sent_on(b"Max-Forwards: x"), [b"Max-Forwards: x"])

    def test_forwards_left(self) -> None:
        """The proxy can ask whether it is the last."""
        for start, field, expected in (
            (b"TRACE", b"Max-Forwards: 0", 0),
            (b"OPTIONS", b"Max-Forwards: 7", 7),
            (b"OPTIONS", b"X: 7", None),
            (b"GET", b"Max-Forwards: 0", None),
        ):
            head = request(start + b" http://a/ HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n")
            self.assertEqual(max_forwards(head), expected)

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    ["Host", "Connection", "TE", "Upgrade", "Via", "X", "Content-Length", "Proxy-X", "Expect", "Y"]
                ),
                st.sampled_from(["x", "keep-alive", "close, y", "trailers", "5", "http/2", "upgrade"]),
            ),
            max_size=8,
        )
    )
    def test_read_back(self, fields: list[tuple[str, str]]) -> None:
        """What is sent on is read by our reader and by h11, says the same framing, and keeps what it should."""
        block = "".join(f"{name}: {value}\r\n" for name, value in fields)
        try:
            head = request(f"POST http://a/b?c HTTP/1.1\r\n{block}\r\n".encode())
            framing = request_framing(head)
            out = serialize_request(head, parse_target("POST", head.target), framing, VIA)
        except ProtocolError:
            return
        again = request(out)
        self.assertEqual((again.method, again.target, request_framing(again)), ("POST", b"/b?c", framing))
        self.assertEqual(again.fields.values(b"host"), [b"a"])
        self.assertEqual(again.fields.values(b"x"), [] if b"x" in head.fields.options else head.fields.values(b"x"))
        self.assertEqual(again.fields.values(b"y"), [] if b"y" in head.fields.options else head.fields.values(b"y"))
        self.assertEqual(again.fields.values(b"via"), [*head.fields.values(b"via"), b"1.1 egress"])
        self.assertEqual(again.fields.options, frozenset())
        self.assertEqual(again.fields.values(b"te"), [])
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(out)
        event = connection.next_event()
        assert isinstance(event, h11.Request)
        self.assertEqual(list(event.headers), [(lower, value) for lower, _, value in again.fields.all()])


DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


def make_date() -> bytes:
    """Give the line that is added to a response without Date."""
    return DATE


def answered(
    data: bytes,
    framing: Framing = NONE,
    *,
    is_http11: bool = True,
    keep_alive: bool = True,
    upgrade: bytes | None = None,
) -> list[bytes]:
    """Read a response, write what goes to the client, and give its lines without Date and those that end every head."""
    out = serialize_response(
        response(data), framing, is_http11=is_http11, keep_alive=keep_alive, make_date=make_date, upgrade=upgrade
    )
    lines = out.replace(DATE, b"").split(b"\r\n")
    assert lines[-2:] == [b"", b""], lines
    return lines[:-2]


class ResponseOnwardTests(SynchronousTestCase):
    """What a client gets."""

    def test_whole(self) -> None:
        """Fields keep order and spelling; framing, Via and the connection's are written anew."""
        head = response(
            b"HTTP/1.1 404 Not here\r\nX-b: 2\r\nConnection: close, X-hop\r\nx-hop: 1\r\nKeep-Alive: timeout=5\r\n"
            b"content-length: 05\r\nSet-Cookie: a\r\nset-cookie: b\r\nVia: 1.0 before\r\n\r\n"
        )
        self.assertEqual(
            serialize_response(
                head, response_framing(head, "GET"), is_http11=True, keep_alive=True, make_date=make_date
            ),
            b"HTTP/1.1 404 Not here\r\nX-b: 2\r\nSet-Cookie: a\r\nset-cookie: b\r\nVia: 1.0 before\r\n"
            b"Content-Length: 5\r\nVia: 1.1 egress\r\n" + DATE + b"\r\n",
        )

    def test_date(self) -> None:
        """A final answer without Date gets one, once; a Date of the origin's stays (RFC 9110 section 6.6.1)."""
        own = b"Date: Mon, 07 Nov 1994 08:49:37 GMT"
        for start, is_added in (
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", True),
            (b"HTTP/1.1 200 OK\r\nX-Date: 1\r\nContent-Length: 5\r\nUpdate: 2\r\n", True),
            (b"HTTP/1.1 200 OK\r\n" + own + b"\r\nContent-Length: 5\r\n", False),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n" + own.lower() + b"\r\n", False),
            (b"HTTP/1.1 200 OK\r\nDATE: \r\nContent-Length: 5\r\n", False),
            (b"HTTP/1.0 500 OK\r\nA: b\r\n", True),
            (b"HTTP/1.0 500 OK\r\n" + own + b"\r\n", False),
            (b"HTTP/1.1 304 OK\r\n", True),
            (b"HTTP/1.1 200 OK\r\n" + own + b"\r\nConnection: date\r\n", True),
            (b"HTTP/1.1 103 Early\r\n", False),
        ):
            head = response(start + b"\r\n")
            out = serialize_response(
                head, response_framing(head, "GET"), is_http11=True, keep_alive=True, make_date=make_date
            )
            self.assertEqual(out.count(DATE), is_added, start)
            self.assertEqual(out.lower().count(b"\ndate:"), 0 if head.status < 200 else 1, start)

    def test_status_line(self) -> None:
        """The reason goes on, or its absence, and the version is ours (RFC 9112 section 4)."""
        self.assertEqual(answered(b"HTTP/1.0 204\r\n\r\n"), [b"HTTP/1.1 204 ", b"Via: 1.0 egress"])

    def test_hop_by_hop_fields_stay(self) -> None:
        """What concerns the origin's connection, or would pass for our own, does not reach the client."""
        for field in (
            b"Connection: keep-alive",
            b"Keep-Alive: max=5",
            b"Proxy-Connection: close",
            b"Proxy-Authenticate: Basic realm=x",
            b"Proxy-Authentication-Info: x",
            b"proxy-status: x",
            b"TE: trailers",
            b"Upgrade: h2c",
            b"Transfer-Encoding: chunked",
        ):
            head = b"HTTP/1.1 200 OK\r\nA: 1\r\n" + field + b"\r\nB: 2\r\n\r\n"
            self.assertEqual(answered(head), [b"HTTP/1.1 200 OK", b"A: 1", b"B: 2", b"Via: 1.1 egress"], field)

    def test_framing(self) -> None:
        """The body's end is told in the client's version, or by the connection's end, of which the client is told."""
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        start = [b"HTTP/1.1 200 OK"]
        via = b"Via: 1.1 egress"
        close = b"Connection: close"
        chunked = b"Transfer-Encoding: chunked"
        length = b"Content-Length: 5"
        for framing, is_http11, keep_alive, expected in (
            (Framing(Kind.LENGTH, 5), True, True, [length, via]),
            (Framing(Kind.LENGTH, 5), True, False, [length, via, close]),
            (Framing(Kind.LENGTH, 5), False, True, [length, via, b"Connection: keep-alive"]),
            (Framing(Kind.LENGTH, 5), False, False, [length, via, close]),
            (CHUNKED, True, True, [chunked, via]),
            (CHUNKED, True, False, [chunked, via, close]),
            (CHUNKED, False, False, [via, close]),
            (CHUNKED, False, True, [via, close]),
            (CLOSE, True, False, [via, close]),
            (CLOSE, True, True, [via, close]),
            (CLOSE, False, True, [via, close]),
            (NONE, True, True, [via]),
        ):
            self.assertEqual(answered(head, framing, is_http11=is_http11, keep_alive=keep_alive), start + expected)

    def test_length_without_body(self) -> None:
        """Answers to HEAD and 304 keep the length of what they do not bring; 1xx and 204 have none."""
        for status, field, is_kept in (
            (b"200", b"Content-Length: 5", True),
            (b"304", b"Content-Length: 5", True),
            (b"204", b"Content-Length: 5", False),
            (b"103", b"Content-Length: 5", False),
            (b"200", b"Content-Length: +5", False),
            (b"200", b"Content-Length: 5\r\nContent-Length: 5", True),
            (b"200", b"Content-Length: 5, 5", True),
            (b"200", b"Content-Length: 5\r\nContent-Length: 6", False),
            (b"200", b"Content-Length: " + b"9" * 19, False),
        ):
            lines = answered(b"HTTP/1.1 " + status + b" x\r\n" + field + b"\r\n\r\n")
            self.assertEqual(b"Content-Length: 5" in lines, is_kept, field)
            self.assertEqual(any(line.lower().startswith(b"content-length") for line in lines), is_kept)

    def test_interim(self) -> None:
        """An interim answer says nothing of the connection: the final one does."""
        self.assertEqual(
            answered(b"HTTP/1.1 100 Continue\r\n\r\n", keep_alive=False),
            [b"HTTP/1.1 100 Continue", b"Via: 1.1 egress"],
        )

    def test_upgrade(self) -> None:
        """A 101 names the protocol that the proxy agreed to (RFC 9110 section 7.8)."""
        lines = answered(
            b"HTTP/1.1 101 Switching\r\nUpgrade: other\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            keep_alive=False,
            upgrade=b"websocket",
        )
        self.assertEqual(
            lines,
            [
                b"HTTP/1.1 101 Switching",
                b"Sec-WebSocket-Accept: x",
                b"Via: 1.1 egress",
                b"Connection: Upgrade",
                b"Upgrade: websocket",
            ],
        )

    @settings(max_examples=150, deadline=None)
    @given(
        st.sampled_from([200, 204, 304, 404]),
        st.lists(
            st.tuples(
                st.sampled_from(["Connection", "Content-Length", "Transfer-Encoding", "X", "Y", "Upgrade"]),
                st.sampled_from(["x", "close", "content-length, via, y", "chunked", "5", "upgrade"]),
            ),
            max_size=6,
        ),
        st.booleans(),
        st.booleans(),
        st.sampled_from(["GET", "HEAD"]),
    )
    def test_read_back(
        self, status: int, fields: list[tuple[str, str]], is_http11: bool, keep_alive: bool, method: str
    ) -> None:
        """What the client gets has the framing that was read, or ends with the connection, and then says so."""
        block = "".join(f"{name}: {value}\r\n" for name, value in fields)
        head = response(f"HTTP/1.1 {status} x\r\n{block}\r\n".encode())
        try:
            framing = response_framing(head, method)
        except ProtocolError:
            return
        again = response(
            serialize_response(head, framing, is_http11=is_http11, keep_alive=keep_alive, make_date=make_date)
        )
        is_dechunked = framing.kind is Kind.CHUNKED and not is_http11
        self.assertEqual(response_framing(again, method), CLOSE if is_dechunked else framing)
        is_closing = not keep_alive or is_dechunked or framing.kind is Kind.CLOSE
        expected = {b"close"} if is_closing else set() if is_http11 else {b"keep-alive"}
        self.assertEqual(again.fields.options, expected)
        self.assertEqual(again.fields.values(b"x"), [] if b"x" in head.fields.options else head.fields.values(b"x"))
