"""Tests of what egress.wire.head remembers of the fields of requests."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ProtocolError
from egress.wire import head as head_module
from egress.wire.fields import Fields
from egress.wire.head import RequestReader

PLAIN = b"Host: a\r\nUser-Agent: b\r\nAccept: */*\r\n"

LINES = [
    *(b"Host: a\r\n", b"host: b\r\n", b"Host: a b\r\n", b"Accept: */*\r\n", b"user-agent: c\r\n", b"X-Key: d\r\n"),
    *(b"Connection: keep-alive\r\n", b"Connection: close\r\n", b"Connection: X-Key\r\n", b"Proxy-Connection: e\r\n"),
    *(b"Cookie: f\r\n", b"Authorization: g\r\n", b"Proxy-Authorization: Basic h\r\n", b"Content-Length: 1\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Expect: i\r\n", b"Upgrade: j\r\n", b"Accept : k\r\n", b"Accept: \x00\r\n"),
    *(b" l\r\n", b"Accept: m\n", b"Accept\r\n"),
]


def spelled(fields: Fields) -> tuple[object, ...]:
    """Give all that is known of fields."""
    return (
        fields.block,
        fields.special,
        fields.ordinary,
        fields.options,
        fields.is_plain,
        fields.lines,
    )


def outcome(data: bytes, *, field_limit: int = 6, limit_bytes: int = 200) -> tuple[object, ...]:
    """Read a request."""
    reader = RequestReader(limit_bytes, 32, field_limit)
    try:
        head = reader.feed(data)
    except ProtocolError as error:
        return error.code, error.reason
    if head is None:
        return ()
    return head.method, head.target, head.is_http11, spelled(head.fields), reader.rest


class RememberedFieldsTests(SynchronousTestCase):
    """The memory of fields."""

    def setUp(self) -> None:
        head_module._remembered.clear()
        self.addCleanup(head_module._remembered.clear)

    def test_fields_that_come_again(self) -> None:
        """The same fields under another request line are the same object: they were not read again."""
        reader = RequestReader(1024, 64, 8)
        first = reader.feed(b"GET http://a/b HTTP/1.1\r\n" + PLAIN + b"\r\n")
        second = reader.feed(b"HEAD http://a/c HTTP/1.0\r\n" + PLAIN + b"\r\n")
        assert first is not None
        assert second is not None
        self.assertIs(first.fields, second.fields)
        self.assertEqual((second.method, second.target, second.is_http11), ("HEAD", b"http://a/c", False))

    def test_secrets_are_not_remembered(self) -> None:
        """Nor is anything else that is not known to be harmless, in whatever spelling."""
        for line in (
            *(b"Authorization: x", b"Proxy-Authorization: x", b"Cookie: x", b"Set-Cookie: x", b"X-Api-Key: x"),
            *(b"cookie: x", b"AUTHORIZATION: x", b"Content-Length: 0", b"Referer: x", b"Traceparent: x", b"A: x"),
        ):
            outcome(b"GET x HTTP/1.1\r\n" + PLAIN + line + b"\r\n\r\n")
            self.assertEqual(head_module._remembered, {}, line)

    def test_what_is_at_fault_is_not_remembered(self) -> None:
        """Neither are fields that are good for HTTP/1.0 only."""
        outcome(b"GET x HTTP/1.0\r\nAccept: */*\r\n\r\n")
        outcome(b"GET x HTTP/1.1\r\nHost: a b\r\n\r\n")
        self.assertEqual(head_module._remembered, {})

    def test_bounds(self) -> None:
        """The memory holds so many heads, each of so many octets."""
        reader = RequestReader(1 << 16, 64, 8)
        for number in range(2 * head_module._REMEMBERED):
            reader.feed(b"GET x HTTP/1.1\r\nHost: a%d\r\n\r\n" % number)
            self.assertLessEqual(len(head_module._remembered), head_module._REMEMBERED)
        head_module._remembered.clear()
        reader.feed(b"GET x HTTP/1.1\r\nHost: a\r\nAccept: " + b"a" * head_module._REMEMBERED_OCTETS + b"\r\n\r\n")
        self.assertEqual(head_module._remembered, {})

    @settings(max_examples=1000, deadline=None)
    @given(
        st.lists(st.sampled_from(LINES), max_size=8),
        st.sampled_from(
            [b"GET x HTTP/1.1\r\n", b"GET x HTTP/1.0\r\n", b"CONNECT x HTTP/1.1\r\n", b"GET  HTTP/1.1\r\n"]
        ),
        st.sampled_from([b"\r\n", b"\r\nrest", b""]),
    )
    def test_memory_changes_nothing(self, lines: list[bytes], start: bytes, end: bytes) -> None:
        """What is read, and what is refused and why, is the same with a memory and without, in one piece and in two."""
        block = b"".join(lines)
        data = start + block + end
        head_module._remembered.clear()
        fresh = outcome(data)
        # As another client, with wider limits and the newer version, may have had it remembered.
        outcome(b"GET y HTTP/1.1\r\n" + block + b"\r\n", field_limit=64, limit_bytes=1 << 12)
        self.assertEqual(outcome(data), fresh)
        reader = RequestReader(200, 32, 6)
        try:
            head = reader.feed(data[:1]) or reader.feed(data[1:])
        except ProtocolError as error:
            self.assertEqual((error.code, error.reason), fresh)
        else:
            cut = (head.method, head.target, head.is_http11, spelled(head.fields), reader.rest) if head else ()
            self.assertEqual(cut, fresh)
