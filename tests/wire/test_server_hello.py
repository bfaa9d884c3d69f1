"""Telling a HelloRetryRequest from other answers (RFC 8446 section 4.1.4)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.wire.server_hello import RETRY_RANDOM, ServerHelloReader
from tests.wire.test_client_hello import records, splits, vector

ALERT = b"\x15\x03\x03\x00\x02\x01\x70"
SPEC_CHANGE = b"\x14\x03\x03\x00\x01\x01"


def server_hello(
    random: bytes = b"r" * 32, *, kind: bytes = b"\x02", extensions: bytes = b"\x00\x2b\x00\x02\x03\x04"
) -> bytes:
    """Make a ServerHello as a handshake message."""
    body = b"\x03\x03" + random + vector(b"s" * 32, 1) + b"\x13\x01\x00" + vector(extensions, 2)
    return kind + vector(body, 3)


RETRY = server_hello(RETRY_RANDOM)
HELLO = server_hello()

# Streams after which no second ClientHello can follow.
FINAL: tuple[tuple[str, bytes], ...] = (
    ("a ServerHello of TLS 1.3", records(HELLO, version=b"\x03\x03")),
    ("a ServerHello of TLS 1.0", records(HELLO, version=b"\x03\x01")),
    ("with other messages in its record", records(HELLO + b"\x0b\x00\x00\x01x")),
    ("cut short after its random", records(HELLO)[:43]),
    ("after alerts", ALERT * 3 + records(HELLO)),
    ("a random that differs in its last octet", records(server_hello(RETRY_RANDOM[:-1] + b"\x00"))),
    ("an answer in HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ("a greeting", b"220 ready\r\n"),
    ("one octet that is no content type", b"+"),
    ("a content type without the version", b"\x16x"),
    ("SSL 2.0", b"\x80\x2e\x04"),
)

# Streams after which a second ClientHello may follow: a HelloRetryRequest, or what no server sends.
RETRYING: tuple[tuple[str, bytes], ...] = (
    ("a HelloRetryRequest", records(RETRY, version=b"\x03\x03")),
    ("with a change_cipher_spec behind it", records(RETRY) + SPEC_CHANGE),
    ("with another message in its record", records(RETRY + b"\x0b\x00\x00\x01x")),
    ("in records of one octet", records(RETRY, 1)),
    ("in records of seven octets", records(RETRY, 7)),
    ("after alerts", ALERT * 3 + records(RETRY)),
    ("after a change_cipher_spec", SPEC_CHANGE + records(RETRY)),
    ("after an empty record", b"\x16\x03\x03\x00\x00" + records(RETRY)),
    ("a hello_retry_request of the drafts", records(server_hello(kind=b"\x06"))),
    ("a ClientHello", records(server_hello(kind=b"\x01"))),
    ("application data", b"\x17\x03\x03\x00\x01x"),
    ("something else after an alert", ALERT + b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ("many alerts", ALERT * 65),
)

# Streams that do not tell yet.
OPEN: tuple[bytes, ...] = (b"", b"\x16", b"\x16\x03", records(HELLO)[:42], records(RETRY)[:42], ALERT, ALERT * 64)


def read(pieces: Iterable[bytes]) -> bool | None:
    """Feed pieces to a fresh reader."""
    reader = ServerHelloReader()
    found = reader.may_retry
    for piece in pieces:
        found = reader.feed(piece)
    return found


class ServerHelloTests(SynchronousTestCase):
    """What an origin's first octets say."""

    def test_random(self) -> None:
        """The random is that of the RFC."""
        self.assertEqual(hashlib.sha256(b"HelloRetryRequest").digest(), RETRY_RANDOM)

    def test_final(self) -> None:
        """A ServerHello, or what is not TLS, is known, for every split."""
        for row, stream in FINAL:
            for pieces in splits(stream):
                self.assertIs(read(pieces), False, row)

    def test_retrying(self) -> None:
        """A HelloRetryRequest, or an unknown TLS stream, is known, for every split."""
        for row, stream in RETRYING:
            for pieces in splits(stream):
                self.assertIs(read(pieces), True, row)

    def test_open(self) -> None:
        """The answer waits for the octets that tell."""
        for stream in OPEN:
            for pieces in splits(stream):
                self.assertIsNone(read(pieces), stream)

    def test_answer_comes_with_the_random(self) -> None:
        """The answer is there with the last octet of the random, and does not wait for the message."""
        for message, found in ((RETRY, True), (HELLO, False)):
            self.assertIsNone(read([records(message)[:42]]))
            self.assertIs(read([records(message)[:43]]), found)

    def test_answer_stays(self) -> None:
        """Octets after the answer do not change it."""
        for stream, after, found in (
            (b"220 ready\r\n", records(RETRY), False),
            (records(HELLO), records(RETRY), False),
            (records(RETRY), records(HELLO), True),
        ):
            self.assertIs(read([stream, after]), found)

    def test_little_is_kept(self) -> None:
        """A long record is passed over, and not kept."""
        reader = ServerHelloReader()

        reader.feed(b"\x15\x03\x03\xff\xff" + bytes(60_000))
        reader.feed(bytes(5_535) + records(HELLO)[:40])

        self.assertLessEqual(len(reader._kept) + len(reader._message), 42)
        self.assertIs(reader.feed(records(HELLO)[40:]), False)

    @settings(max_examples=400, deadline=None, database=None, derandomize=True)
    @given(
        st.lists(
            st.sampled_from([ALERT, SPEC_CHANGE, records(RETRY), records(HELLO, 5), records(RETRY, 3), b"\x16\x03\x03"])
            | st.binary(max_size=8),
            max_size=6,
        ).map(b"".join),
        st.lists(st.integers(0, 120), max_size=6),
    )
    def test_any_stream(self, stream: bytes, cuts: list[int]) -> None:
        """The answer does not depend on the split, never changes, and no stream raises an exception."""
        edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
        pieces = [stream[begin:end] for begin, end in pairwise(edges)]
        octets = [stream[at : at + 1] for at in range(len(stream))]
        self.assertEqual(read(pieces), read([stream]))
        self.assertEqual(read(octets), read([stream]), "the fast path, which wants one piece, tells the same")
        answers = [read([stream[:size]]) for size in range(len(stream) + 1)]
        self.assertLessEqual(len(set(answers) - {None}), 1)
