"""Plain HTTP through the proxy server: the request at the origin, and the response at the client."""

from __future__ import annotations

import re

from egress.proxy.client.connection import ClientConnection
from egress.proxy.limits import HttpSettings, Limits
from egress.testing.peers import NetworkPeer
from tests.proxy.support import ADDRESS, ADDRESS6, DATE, ServerCase

GET = b"GET http://origin.example/a/b?q=1 HTTP/1.1\r\nHost: origin.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Requests(ServerCase):
    """Heads and bodies on their way to the origin."""

    def test_empty_port(self) -> None:
        """An empty port in the target is port 80 (RFC 3986 section 3.2.3)."""
        origin = self.origin()

        self.said(GET.replace(b"http://origin.example/", b"http://origin.example:/"))

        origin.heard(b"GET /a/b?q=1 HTTP/1.1\r\nHost: origin.example\r\n")

    def test_absolute_form_becomes_origin_form(self) -> None:
        """A request for an allowed host reaches it in origin form, with Host from the target and a Via."""
        origin = self.origin()

        self.said(b"GET http://Origin.Example:80/a?q=1 HTTP/1.1\r\nHost: other.example\r\nAccept: */*\r\n\r\n")

        self.assertEqual(
            origin.peer.received,
            b"GET /a?q=1 HTTP/1.1\r\nHost: origin.example\r\nAccept: */*\r\nVia: 1.1 egress\r\n\r\n",
        )

    def test_answer_reaches_the_client(self) -> None:
        """The origin's answer is passed on, with a Via, and the connection lives on."""
        self.origin(answer=lambda peer, _: peer.says(OK))

        client = self.said(GET)

        self.assertEqual(
            client.received,
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nVia: 1.1 egress\r\n" + DATE + b"\r\nhello",
        )
        self.assertFalse(client.saw_eof)

    def test_every_method_passes(self) -> None:
        """Methods that nobody has heard of are judged and passed on like the others."""
        origin = self.origin(answer=lambda peer, _: peer.says(b"HTTP/1.1 204 No Content\r\n\r\n"))
        client = self.client()

        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "PROPFIND", "BREW"):
            client.says(f"{method} http://origin.example/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            self.network.settle()
            origin.peer.heard(f"{method} / HTTP/1.1\r\n".encode())
            origin.peer.take()

    def test_max_forwards_is_counted_down(self) -> None:
        """One that may go on goes on with one less."""
        origin = self.origin()

        self.said(b"TRACE http://origin.example/x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n")

        origin.heard(b"TRACE /x HTTP/1.1\r\n", contains=b"Max-Forwards: 2\r\n")

    def test_options_of_a_whole_server(self) -> None:
        """An absolute target without a path is passed on as `*` (RFC 9112, 3.2.4)."""
        origin = self.origin()

        self.said(b"OPTIONS http://origin.example HTTP/1.1\r\nHost: a\r\n\r\n")

        origin.heard(b"OPTIONS * HTTP/1.1\r\n")

    def test_body_by_length(self) -> None:
        """A body with a length is passed on as it comes."""
        origin = self.origin()
        client = self.said(b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")

        client.says(b"56789")
        self.network.settle()

        origin.heard(contains=b"Content-Length: 10\r\n")
        self.assertTrue(origin.peer.received.endswith(b"\r\n\r\n0123456789"))

    def test_chunked_body_loses_its_extensions(self) -> None:
        """A chunked body is decoded and encoded anew: extensions go, harmless trailers stay, others go."""
        origin = self.origin()

        self.said(
            b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\nHost: evil\r\nContent-Length: 9\r\n\r\n"
        )

        _, _, body = origin.peer.received.partition(b"\r\n\r\n")
        self.assertEqual(body, b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")

    def test_hop_by_hop_fields_stay_behind(self) -> None:
        """Fields for this hop, those that Connection names, and everything for a proxy, do not reach the origin."""
        origin = self.origin()

        self.said(
            b"GET http://origin.example/ HTTP/1.1\r\nHost: a\r\nConnection: X-Mine, keep-alive\r\nX-Mine: 1\r\n"
            b"Keep-Alive: 5\r\nProxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\n"
            b"X-Other: 2\r\n\r\n"
        )

        self.assertEqual(
            origin.peer.received,
            b"GET / HTTP/1.1\r\nHost: origin.example\r\nX-Other: 2\r\nVia: 1.1 egress\r\n\r\n",
        )

    def test_body_waits_for_the_origin(self) -> None:
        """A large upload to an origin that does not read is held back, not gathered."""
        origin = self.origin()
        client = self.client()
        client.says(b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n")
        self.network.settle()
        origin.peer.stops_reading()

        client.says(b"x" * 3_000_000)
        self.network.settle()
        self.assertGreater(client.unsent, 2_000_000)

        origin.peer.reads_again()
        self.network.settle()
        self.assertTrue(origin.peer.received.endswith(b"\r\n\r\n" + b"x" * 3_000_000))

    def test_body_before_the_origin_stands_waits(self) -> None:
        """Much of a body that comes while the name is looked up waits in the kernel."""
        origin = self.origin()
        self.resolver.hold("origin.example")
        client = self.said(
            b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
        )
        self.assertLess(self.network.buffered_bytes(), 400_000)

        self.resolver.answer("origin.example", ADDRESS)
        self.network.settle()

        self.assertTrue(origin.peer.received.endswith(b"x" * 1_000_000))
        self.assertEqual(client.received, b"")

    def test_ipv6_literal(self) -> None:
        """A literal IPv6 address is dialled, and keeps its brackets in Host."""
        origin = self.origin(ADDRESS6, 80)

        self.said(f"GET http://[{ADDRESS6}]/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())

        origin.heard(f"GET / HTTP/1.1\r\nHost: [{ADDRESS6}]\r\n".encode())

    def test_malformed_chunk_ends_the_request(self) -> None:
        """A body that breaks its framing is never passed on as whole."""
        origin = self.origin()

        client = self.said(
            b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX"
        )

        self.assert_refused(client, 400, "bad_framing")
        self.assertTrue(origin.peer.was_reset)

    def test_client_that_leaves_in_its_body(self) -> None:
        """A body cut short resets the origin's connection."""
        origin = self.origin()
        client = self.said(b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")

        client.ends()
        self.network.settle()

        self.assertTrue(origin.peer.was_reset)
        self.assertEqual(self.ends()[-1].cause, "client_closed")


class Answers(ServerCase):
    """Answers on their way to the client."""

    def answered(self, answer: bytes, request: bytes = GET, *, ends: bool = False) -> bytes:
        """Give what the client hears of an answer."""

        def say(peer: NetworkPeer, _data: bytes) -> None:
            peer.says(answer)
            if ends:
                peer.closes()

        self.origin(answer=say)
        self.last = self.said(request)
        return self.last.received

    def test_chunked_answer(self) -> None:
        """A chunked answer is encoded anew, without extensions, with its trailers."""
        heard = self.answered(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a\r\n\r\n"
        )

        self.assertTrue(heard.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"), heard)
        self.assertFalse(self.last.saw_eof)

    def test_chunked_answer_for_an_old_client(self) -> None:
        """A client of HTTP/1.0 gets the content itself, and the end of the connection as its end."""
        heard = self.answered(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            b"GET http://origin.example/ HTTP/1.0\r\n\r\n",
        )

        self.assertTrue(heard.endswith(b"\r\n\r\nabc"), heard)
        self.assertNotIn(b"ransfer-", heard)
        self.assertTrue(self.last.saw_eof)

    def test_answer_until_close(self) -> None:
        """An answer without framing ends with the connection, here too."""
        heard = self.answered(b"HTTP/1.1 200 OK\r\n\r\nall of it", ends=True)

        self.assertTrue(heard.endswith(b"Connection: close\r\n\r\nall of it"), heard)
        self.assertTrue(self.last.saw_eof)
        self.assertFalse(self.last.was_reset)

    def test_head_has_no_body(self) -> None:
        """The answer to HEAD keeps its length and has no body; surplus bytes never reach the client."""
        heard = self.answered(OK, b"HEAD http://origin.example/ HTTP/1.1\r\nHost: a\r\n\r\n")

        self.assertEqual(heard, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nVia: 1.1 egress\r\n" + DATE + b"\r\n")
        self.assertEqual(len(self.server.pool), 0)

    def test_surplus_after_204_and_304(self) -> None:
        """Bytes after an answer that has no body are dropped with their connection."""
        for status in (b"204 No Content", b"304 Not Modified"):
            with self.subTest(status):
                self.setUp()
                heard = self.answered(b"HTTP/1.1 " + status + b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\nsurplus")
                self.assertEqual(heard, b"HTTP/1.1 " + status + b"\r\nVia: 1.1 egress\r\n" + DATE + b"\r\n")
                self.assertEqual(len(self.server.pool), 0)

    def test_interim_answers_pass(self) -> None:
        """100 and 103 are passed on before the final answer."""
        heard = self.answered(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)

        self.assertTrue(heard.startswith(b"HTTP/1.1 100 Continue\r\n"), heard)
        self.assertIn(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n", heard)
        self.assertTrue(heard.endswith(b"hello"))

    def test_interim_answers_are_not_for_old_clients(self) -> None:
        """A client of HTTP/1.0 gets the final answer only (RFC 9110, 15.2)."""
        heard = self.answered(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"GET http://origin.example/ HTTP/1.0\r\n\r\n")

        self.assertTrue(heard.startswith(b"HTTP/1.1 200 OK\r\n"), heard)

    def test_interim_answers_without_end(self) -> None:
        """An origin that never comes to the point is given up."""
        self.answered(b"HTTP/1.1 102 Processing\r\n\r\n" * 40)

        self.assertIn(b"HTTP/1.1 502 ", self.last.received)

    def test_malformed_heads_are_502(self) -> None:
        """An answer that is not exactly HTTP is never passed on."""
        rows = {
            "not http": b"SSH-2.0-OpenSSH\r\n\r\n",
            "length and coding": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            "odd coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "unasked upgrade": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
            "no end": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000,
        }
        for name, answer in rows.items():
            with self.subTest(name):
                self.setUp()
                self.answered(answer)
                self.assert_refused(self.last, 502, "origin_malformed")

    def test_truncated_answers_are_never_passed_off_as_whole(self) -> None:
        """An answer that ends too early ends in a reset for the client."""
        rows = {
            "length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
            "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b",
        }
        for name, answer in rows.items():
            with self.subTest(name):
                self.setUp()
                self.answered(answer, ends=True)
                self.assertTrue(self.last.was_reset)
                self.assertEqual(self.ends()[-1].cause, "origin_truncated")

    def test_reset_ends_no_body_well(self) -> None:
        """A body without framing that ends in a reset was cut, not ended."""
        origin = self.origin()
        client = self.said(GET)
        origin.peer.says(b"HTTP/1.1 200 OK\r\n\r\nsome of it")
        self.network.settle()

        origin.peer.aborts()
        self.network.settle()

        self.assertTrue(client.was_reset)
        self.assertEqual(self.ends()[-1].cause, "origin_truncated")

    def test_malformed_chunk_after_the_head(self) -> None:
        """A body that breaks its framing resets the client."""
        origin = self.origin()
        client = self.said(GET)
        origin.peer.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        self.network.settle()

        origin.peer.says(b"zz\r\n")
        self.network.settle()

        self.assertTrue(client.received.endswith(b"3\r\nabc\r\n"), client.received)
        self.assertTrue(client.was_reset)
        self.assertEqual(self.ends()[-1].cause, "origin_malformed")

    def test_closed_without_answer(self) -> None:
        """An origin that closes without a word, or within its head, is a 502 of its own kind."""
        for answer in (b"", b"HTTP/1.1 200 OK\r\nConte"):
            with self.subTest(answer):
                self.setUp()
                origin = self.origin()
                client = self.said(GET)
                origin.peer.says(answer)
                origin.peer.closes()
                self.network.settle()
                self.assert_refused(client, 502, "origin_closed")

    def test_accepted_and_reset(self) -> None:
        """A destination that accepts a connection and resets it at once is not called unreachable, in tunnels too."""
        for port, request in ((80, GET), (443, b"CONNECT origin.example:443 HTTP/1.1\r\nHost: a\r\n\r\n")):
            with self.subTest(port):
                self.setUp()
                origin = self.origin(port=port)
                self.network.delay(ADDRESS, 1)
                client = self.said(request)
                # What waits to be accepted is reset, before the proxy server has looked at the result of its dial.
                self.network.clock.callLater(1, origin.stops)
                self.network.advance(1)

                problem = self.assert_refused(client, 502, "origin_closed")
                self.assertEqual("The destination closed the connection at once.", problem["reason"])
                self.assertEqual("failed", self.ends()[-1].cause)

    def test_slow_reader_holds_the_origin_back(self) -> None:
        """A client that does not read lets the origin wait, and nothing is gathered."""
        origin = self.origin()
        client = self.said(GET)
        client.stops_reading()

        origin.peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
        self.network.settle()
        self.assertGreater(origin.peer.unsent, 2_000_000)

        client.reads_again()
        self.network.settle()
        self.assertTrue(client.received.endswith(b"\r\n\r\n" + b"x" * 3_000_000))

    def test_early_answer_closes(self) -> None:
        """An answer before the request's end is passed on whole, and then the connection closes."""
        origin = self.origin()
        client = self.said(b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n012")

        origin.peer.says(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        self.network.settle()

        self.assertTrue(client.received.endswith(b"Connection: close\r\n\r\nno"), client.received)
        self.assertTrue(client.saw_eof)
        self.assertFalse(client.was_reset)

    def test_expect_continue(self) -> None:
        """The expectation goes to the origin, and its 100 comes back."""
        origin = self.origin()
        client = self.said(
            b"PUT http://origin.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        origin.heard(contains=b"Expect: 100-continue\r\n")

        origin.peer.says(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.network.settle()
        client.heard(b"HTTP/1.1 100 Continue\r\n")
        client.says(b"body")
        self.network.settle()

        self.assertTrue(origin.peer.received.endswith(b"body"))

    def test_other_expectations_fail(self) -> None:
        """What nobody can promise is answered 417."""
        client = self.said(b"GET http://origin.example/ HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n")

        self.assert_refused(client, 417, "expectation_failed")


class Pipelines(ServerCase):
    """More than one request on a connection."""

    def test_pipelined_requests_are_answered_in_order(self) -> None:
        """Requests sent together are served one by one, refused ones in their place."""
        self.origin(answer=lambda peer, _: peer.says(OK))

        client = self.said(
            GET + b"GET http://denied.example/ HTTP/1.1\r\nHost: a\r\n\r\n" + GET.replace(b"/a/b", b"/c")
        )

        self.assertEqual(
            re.findall(rb"HTTP/1\.1 \d+|hello", client.received),
            [b"HTTP/1.1 200", b"hello", b"HTTP/1.1 403", b"HTTP/1.1 200", b"hello"],
        )

    def test_many_refusals_at_once(self) -> None:
        """Hundreds of pipelined requests do not pile up on the stack."""
        one = b"GET http://denied.example/ HTTP/1.1\r\nHost: a\r\n\r\n"

        client = self.said(one * 1500)

        self.assertEqual(client.received.count(b"HTTP/1.1 403 "), 1500)

    def test_stale_connection_is_tried_anew_once(self) -> None:
        """A pooled connection that dies under a request without a word is replaced, if repeating is safe."""
        served = self.dying_origin(OK)

        client = self.said(GET + GET)

        self.assertEqual(client.received.count(b"hello"), 2)
        self.assertEqual(len(served), 3)

    def test_stale_connection_is_not_tried_anew_for_post(self) -> None:
        """A request that may have had an effect is not repeated."""
        served = self.dying_origin(OK)

        client = self.said(GET + b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")

        self.assertIn(b"HTTP/1.1 502 ", client.received)
        self.assertEqual(len(served), 2)

    def test_origin_that_closes_is_not_pooled(self) -> None:
        """Connection: close from the origin does not close the client's."""
        self.origin(answer=lambda peer, _: peer.says(OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")))

        client = self.said(GET)

        self.assertEqual(len(self.server.pool), 0)
        self.assertNotIn(b"Connection: close", client.received)
        self.assertFalse(client.saw_eof)

    def test_half_closed_client_gets_its_answer(self) -> None:
        """Where clients may half-close, a FIN after a whole request only means that no other will follow."""
        self.server.http = HttpSettings(client_half_close="answer")
        origin = self.origin()
        client = self.said(GET)
        client.ends()
        self.network.settle()

        origin.peer.says(OK)
        self.network.settle()

        self.assertTrue(client.received.endswith(b"hello"))
        self.assertTrue(client.saw_eof)

    def test_pipelining_is_bounded(self) -> None:
        """Requests sent ahead wait in the kernel."""
        self.origin()
        client = self.client()

        client.says(GET * 20_000)
        self.network.settle()

        self.assertGreater(client.unsent, 1_000_000)


class Upgrades(ServerCase):
    """WebSocket."""

    ASK = (
        b"GET ws://origin.example/chat HTTP/1.1\r\nHost: origin.example\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    YES = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

    def test_websocket_becomes_a_tunnel(self) -> None:
        """After 101 bytes go both ways, those that came with it included."""
        origin = self.origin()
        client = self.said(self.ASK)
        origin.heard(contains=b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
        origin.peer.take()

        origin.peer.says(self.YES + b"first")
        self.network.settle()
        client.says(b"second")
        self.network.settle()

        client.heard(b"HTTP/1.1 101 ")
        self.assertTrue(client.received.endswith(b"first"))
        origin.heard(b"second")

    def test_declined_upgrade_is_an_ordinary_answer(self) -> None:
        """An origin that does not change protocols answers as ever, and the connection lives on."""
        self.origin(answer=lambda peer, _: peer.says(OK))

        client = self.said(self.ASK + GET)

        self.assertEqual(client.received.count(b"hello"), 2)

    def test_half_close_after_upgrade(self) -> None:
        """A tunnel after 101 half-closes like any other."""
        origin = self.origin()
        client = self.said(self.ASK)
        origin.peer.says(self.YES)
        self.network.settle()

        client.says(b"last")
        client.ends()
        self.network.settle()
        self.assertTrue(origin.peer.saw_eof)
        origin.peer.says(b"answer")
        origin.peer.closes()
        self.network.settle()

        self.assertTrue(client.received.endswith(b"answer"))
        self.assertEqual(self.ends()[-1].cause, "complete")


class Failures(ServerCase):
    """Each failure has its own code."""

    def test_private_address(self) -> None:
        """A public name that leads inside is refused, without naming the address to the client."""
        self.resolver.answer("origin.example", "10.1.2.3")

        client = self.said(GET)

        problem = self.assert_refused(client, 403, "address_refused")
        self.assertNotIn("10.1.2.3", str(problem))
        self.assertEqual((problem["policy"], problem["rule"]), ("ssrf-guard", ""))
        self.assertIn("addresses", problem["hint"])
        self.assertEqual(self.network.dialled, [])

    def test_one_private_answer_among_public_ones(self) -> None:
        """Every answer must pass."""
        self.resolver.answer("origin.example", [ADDRESS, "169.254.169.254"])

        self.assert_refused(self.said(GET), 403, "address_refused")

    def test_denied_names_are_never_looked_up(self) -> None:
        """A look-up is itself a way out."""
        self.said(b"GET http://secret.denied.example/ HTTP/1.1\r\nHost: a\r\n\r\n")
        self.said(b"CONNECT denied.example:443 HTTP/1.1\r\nHost: denied.example:443\r\n\r\n")

        self.assertEqual(self.resolver.asked, [])

    def test_unknown_host(self) -> None:
        """What no rule names is refused with a way to ask for it."""
        problem = self.assert_refused(
            self.said(b"GET http://unknown.example/ HTTP/1.1\r\nHost: a\r\n\r\n"), 403, "no_rule"
        )

        self.assertIn("operator", problem["hint"])
        self.assertTrue(problem["request_id"])

    def test_head_is_refused_without_a_body(self) -> None:
        """The answer to HEAD never has one."""
        client = self.said(b"HEAD http://denied.example/ HTTP/1.1\r\nHost: a\r\n\r\n")

        client.heard(b"HTTP/1.1 403 ")
        self.assertTrue(client.received.endswith(b"\r\n\r\n"))

    def test_the_proxy_itself(self) -> None:
        """The proxy server is no destination, by address or by a name that leads to it."""
        self.arrange_on_own_port()

        self.assert_refused(self.said(b"GET http://127.0.0.1:3199/ HTTP/1.1\r\nHost: a\r\n\r\n"), 403, "own_address")
        self.assert_refused(self.said(b"CONNECT self.example:3199 HTTP/1.1\r\nHost: a\r\n\r\n"), 403, "own_address")
        self.assertEqual(self.network.dialled, [])

    def arrange_on_own_port(self) -> None:
        """Allow everything, on the proxy server's own port."""
        self._port = 3199
        self.resolver.answer("self.example", "127.0.0.1")
        self.arrange(
            rules={"allow": [{"hosts": ["**", "127.0.0.0/8"], "ports": ["1-65535"], "addresses": ["127.0.0.0/8"]}]}
        )

    def test_reset_within_the_request_body(self) -> None:
        """A client that is still sending its body gets the refusal, and what it sends then does not reset it."""
        origin = self.origin()
        client = self.said(
            b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + b"x" * 1000
        )
        origin.peers[-1].aborts()
        self.network.settle()

        client.says(b"x" * 70_000)
        self.network.settle()

        self.assert_refused(client, 502, "origin_closed")
        self.assertFalse(client.was_reset)
        self.network.advance(self.limits.linger_seconds + 1)
        self.assertEqual(len(self.server.connections.live), 0)


class Deadlines(ServerCase):
    """Every wait ends."""

    limits = Limits(
        head_seconds=5,
        keepalive_seconds=20,
        response_seconds=30,
        body_stall_seconds=10,
        idle_seconds=40,
    )

    def test_head(self) -> None:
        """A head that does not end is answered 408."""
        client = self.said(b"GET http://origin.example/ HTT")

        self.network.advance(6)

        self.assert_refused(client, 408, "head_timeout")

    def test_head_a_byte_at_a_time(self) -> None:
        """Each further byte does not give it more time."""
        client = self.client()
        for octet in b"GET http://o":
            client.says(bytes((octet,)))
            self.network.advance(1)

        self.assert_refused(client, 408, "head_timeout")

    def test_silence(self) -> None:
        """A connection without a request closes, without an answer that nobody asked for."""
        client = self.client()

        self.network.advance(21)

        self.assertEqual(client.received, b"")
        self.assertTrue(client.saw_eof)

    def test_silence_between_requests(self) -> None:
        """So does one that has had its answer."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.said(GET)

        self.network.advance(21)

        self.assertTrue(client.received.endswith(b"hello"))
        self.assertTrue(client.saw_eof)

    def test_stalled_body(self) -> None:
        """A body that does not move on is answered 408; one that does is not."""
        origin = self.origin()
        client = self.said(b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n")
        for _ in range(5):
            self.network.advance(8)
            client.says(b"x")
        self.network.settle()
        self.assertEqual(client.received, b"")

        self.network.advance(25)

        self.assert_refused(client, 408, "body_timeout")
        self.assertTrue(origin.peer.was_reset)

    def test_no_answer(self) -> None:
        """An origin that does not answer is 504."""
        origin = self.origin()
        client = self.said(GET)

        self.network.advance(31)

        self.assert_refused(client, 504, "origin_timeout")
        self.assertTrue(origin.peer.was_reset)

    def test_stalled_answer(self) -> None:
        """An answer that stalls after its head ends in a reset."""
        origin = self.origin()
        client = self.said(GET)
        origin.peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel")
        self.network.settle()

        self.network.advance(self.limits.idle_seconds * 1.3)

        self.assertTrue(client.was_reset)
        self.assertEqual(self.ends()[-1].cause, "idle")

    def test_slow_stream_lives(self) -> None:
        """Server-sent events with long pauses are not cut while something comes within the idle time."""
        origin = self.origin()
        client = self.said(GET)
        origin.peer.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10):
            self.network.advance(35)
            origin.peer.says(b"1\r\nx\r\n")
        self.network.settle()

        self.assertFalse(client.is_closed)
        self.assertEqual(client.received.count(b"1\r\nx\r\n"), 10)

    def test_refused_client_that_never_leaves(self) -> None:
        """A client that keeps its connection after a refusal is let go."""
        client = self.said(b"BAD\r\n\r\n")
        client.heard(b"HTTP/1.1 400 ")

        self.network.advance(5)

        self.assertTrue(client.is_closed)
        self.assertEqual(len(self.server.connections.live), 0)


class SlowGates(ServerCase):
    """The deadlines of a connection do not run while a request is judged."""

    limits = Limits(head_seconds=5, keepalive_seconds=6)

    def test_slow_name(self) -> None:
        """A name that resolves after the head's deadline still gets its one answer."""
        self.resolver.hold("origin.example")
        origin = self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.said(GET[:-1])
        self.network.advance(4.5)
        client.says(GET[-1:])
        self.network.advance(20)
        self.assertEqual(client.received, b"")

        self.resolver.answer("origin.example", ADDRESS)
        self.network.settle()

        self.assertEqual(client.received.count(b"HTTP/1.1 "), 1)
        self.assertEqual(len(origin.peers), 1)
        self.assertEqual([record.status for record in self.ends()], [200])

    def test_slow_name_in_second_place(self) -> None:
        """So does one whose request came on a connection that had served another."""
        self.origin(answer=lambda peer, _: peer.says(OK))
        client = self.said(GET)
        self.resolver.hold("a.wide.example")
        client.says(b"GET http://a.wide.example/ HTTP/1.1\r\nHost: a\r\n\r\n")
        self.network.advance(20)

        self.resolver.answer("a.wide.example", ADDRESS)
        self.network.settle()

        self.assertEqual(client.received.count(b"HTTP/1.1 200"), 2)


class Greed(ServerCase):
    """A client that asks and does not read has to wait."""

    def greedy(self, request: bytes) -> NetworkPeer:
        """Ask a great many times and read nothing."""
        client = self.client()
        client.stops_reading()
        client.says(request * 20_000)
        self.network.settle()
        return client

    def test_refusals(self) -> None:
        """Refusals that nobody reads are not gathered; when they are read, all of them come."""
        client = self.greedy(b"GET http://x.y/ HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertLess(self.network.buffered_bytes(), 400_000)

        client.reads_again()
        self.network.settle()

        self.assertEqual(client.received.count(b"HTTP/1.1 403 "), 20_000)

    def test_answers(self) -> None:
        """Nor are short answers of an origin."""
        self.origin(answer=lambda peer, _: peer.says(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000))
        client = self.greedy(GET)
        self.assertLess(self.network.buffered_bytes(), 400_000)

        self.network.advance(self.limits.idle_seconds + 2)

        self.assertTrue(client.is_closed)
        self.assertEqual(len(self.server.connections.live), 0)

    def test_requests_behind_a_body(self) -> None:
        """What follows a chunked body that is complete before its origin is dialled waits in the kernel."""
        self.origin()
        self.network.delay(ADDRESS, 0.5)
        head = b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        client = self.client()
        client.says(head + b"2\r\nok\r\n0\r\n\r\n" + GET * 2_000)
        self.network.settle()
        self.network.advance(1)

        client.says(GET * 20_000)
        self.network.settle()

        (connection,) = self.server.connections.live
        assert isinstance(connection, ClientConnection)
        self.assertLess(len(connection.held), 200_000)

    def test_end_while_waiting(self) -> None:
        """One that gives up while it has to wait is let go."""
        client = self.greedy(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")

        client.aborts()
        self.network.settle()

        self.assertEqual(len(self.server.connections.live), 0)

    def test_stop_while_waiting(self) -> None:
        """So is one that has to wait when the proxy stops."""
        client = self.greedy(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")

        self.server.drain()
        self.network.advance(self.limits.drain_seconds + 1)

        self.assertTrue(client.was_reset)


class Leftovers(ServerCase):
    """Bytes that are no request, before a FIN."""

    def test_fin_behind_an_unfinished_head(self) -> None:
        """The connection closes at once."""
        self.server.http = HttpSettings(client_half_close="answer")
        self.origin(answer=lambda peer, _: peer.says(OK))
        for rest in (b"\r\n", b"GET http://or"):
            with self.subTest(rest):
                client = self.client()
                client.says(GET + rest)
                client.ends()
                self.network.settle()
                self.assertTrue(client.saw_eof)
                self.assertEqual(len(self.server.connections.live), 0)


class Counts(ServerCase):
    """Every count has a ceiling."""

    limits = Limits(connections=3, connections_per_client=2, request_body_bytes=10)

    def test_connections_of_one_client(self) -> None:
        """One client cannot take all; the answer says what to do, and room is made again."""
        first, _second, third = self.client(), self.client(), self.client()
        self.network.settle()
        self.assert_refused(third, 429, "too_many_connections")

        first.closes()
        third.closes()
        self.network.settle()
        fourth = self.client()
        self.network.settle()

        self.assertEqual(fourth.received, b"")

    def test_connections_in_all(self) -> None:
        """Beyond the ceiling everybody is told."""
        for last in range(4):
            client = self.network.dial("127.0.0.1", self.port(), source=f"192.0.2.{last + 2}")
        self.network.settle()

        self.assert_refused(client, 503, "busy")

    def test_body_announced_too_long(self) -> None:
        """A length over the limit is refused before anything is dialled."""
        client = self.said(b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n")

        self.assert_refused(client, 413, "body_too_large")
        self.assertEqual(self.network.dialled, [])

    def test_body_grown_too_long(self) -> None:
        """A chunked body is cut off at the limit."""
        origin = self.origin()

        client = self.said(
            b"POST http://origin.example/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n"
        )

        self.assert_refused(client, 413, "body_too_large")
        self.assertTrue(origin.peer.was_reset)
