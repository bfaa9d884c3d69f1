"""Finding the record that may hold a second ClientHello (RFC 8446 section 5.1)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.wire.client_records import ClientRecords
from tests.wire.test_client_hello import message, records, server_name, splits

SPEC_CHANGE = b"\x14\x03\x03\x00\x01\x01"
EARLY = b"\x17\x03\x03\x00\x05early"
EMPTY = b"\x17\x03\x03\x00\x00"
ALERT = b"\x15\x03\x03\x00\x02\x02\x5a"
HELLO = records(message((server_name(b"a.example"),)))

# What passes, and what begins a record that does not.
STREAMS: tuple[tuple[bytes, bytes], ...] = (
    (b"", b""),
    (SPEC_CHANGE, b""),
    (EARLY * 3 + EMPTY + ALERT, b""),
    (b"", HELLO),
    (SPEC_CHANGE, HELLO),
    (EARLY + SPEC_CHANGE, HELLO),
    (EARLY, b"\x16"),
    (EARLY, b"\x18\x03\x03\x00\x03\x01\x00\x00"),
    (SPEC_CHANGE, b"\x80\x2e\x01"),
    (b"", b"GET / HTTP/1.1\r\n"),
)


def read(pieces: Iterable[bytes]) -> tuple[bytes, bytes, bytes]:
    """Feed pieces; give what passed, what is kept and what follows from the found record on."""
    reader, passed, found = ClientRecords(), b"", b""
    for piece in pieces:
        if found:
            found += piece
            continue
        passing, found = reader.feed(piece)
        passed += passing
    return passed, reader.kept, found


class ClientRecordsTests(SynchronousTestCase):
    """What a client sends after its ClientHello."""

    def test_streams(self) -> None:
        """Records without a handshake message pass at once, and the first other one is found, for every split."""
        for passing, found in STREAMS:
            for pieces in splits(passing + found):
                self.assertEqual(read(pieces), (passing, b"", found))

    def test_header_is_kept(self) -> None:
        """Of a record that passes, no more than a part of its header is kept."""
        for size in range(5):
            self.assertEqual(read([SPEC_CHANGE + EARLY[:size]]), (SPEC_CHANGE, EARLY[:size], b""))
        self.assertEqual(read([SPEC_CHANGE + EARLY[:6]]), (SPEC_CHANGE + EARLY[:6], b"", b""))

    @settings(max_examples=400, deadline=None, database=None, derandomize=True)
    @given(
        st.lists(st.sampled_from([SPEC_CHANGE, EARLY, EMPTY, ALERT, HELLO]) | st.binary(max_size=7), max_size=8),
        st.lists(st.integers(0, 200), max_size=6),
    )
    def test_any_stream(self, parts: list[bytes], cuts: list[int]) -> None:
        """Nothing is lost, nothing depends on the split, and no record of another type passes."""
        stream = b"".join(parts)
        edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
        passed, kept, found = read(stream[begin:end] for begin, end in pairwise(edges))

        self.assertEqual(passed + kept + found, stream)
        self.assertEqual((passed, kept, found), read([stream]))
        self.assertLess(len(kept), 5)
        self.assertNotIn(found[:1], (b"\x14", b"\x15", b"\x17"))
        at = 0
        while at < len(passed):
            self.assertIn(passed[at], (0x14, 0x15, 0x17))
            at += 5 + int.from_bytes(passed[at + 3 : at + 5], "big")
