"""The recorded head of a sealed audit log."""

from __future__ import annotations

import os
from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.audit.chain_head import ChainHead, head_path, is_within, parse_hash, parse_head, read_head
from egress.audit.hash_chain import digest

HEAD = ChainHead("a" * 64, "/var/lib/egress/audit.jsonl", "b" * 32, 7)


class ChainHeadTests(SynchronousTestCase):
    @given(place=st.text(), seq=st.integers(0, 1 << 59))
    def test_round_trip(self, place: str, seq: int) -> None:
        """A head is read as it was recorded, in one line of ASCII."""
        head = ChainHead("0f" * 32, place, "0e" * 16, seq)

        self.assertEqual(head, parse_head(head.encode()))
        self.assertTrue(head.encode().isascii())
        self.assertEqual(1, head.encode().count(b"\n"))

    def test_not_a_head(self) -> None:
        """Other octets are no head, however they look."""
        good = HEAD.encode()
        for data in (
            b"",
            b"[]",
            b"{}",
            b"[" * 100_000,
            b"\xff",
            good.replace(b"a" * 64, b"A" * 64),
            good.replace(b"a" * 64, b"a" * 63),
            good.replace(b"b" * 32, b""),
            good.replace(b": 7", b": true"),
            good.replace(b": 7", b": -1"),
            good.replace(b'"/var', b'5, "/var'),
        ):
            self.assertRaises(ValueError, parse_head, data)
        for text in ("", "a" * 63, "A" * 64, "a" * 64 + "\n"):
            self.assertRaises(ValueError, parse_hash, text)
        self.assertEqual(ChainHead("a" * 64), parse_hash("a" * 64))

    def test_read(self) -> None:
        """A recorded head is read; none is None; a FIFO in its place does not block."""
        state = self.mktemp()
        os.makedirs(state)
        path = head_path(state, "file")
        self.assertIsNone(read_head(path))
        with open(path, "wb") as stream:
            stream.write(HEAD.encode())
        self.assertEqual(HEAD, read_head(path))
        os.unlink(path)
        os.mkfifo(path)
        self.assertRaises(ValueError, read_head, path)

    def test_within(self) -> None:
        """A line is found among the last ones of a file, also if it has no end."""
        stream = BytesIO(b"one\ntwo\nthree")
        for line in (b"one", b"two", b"three"):
            self.assertTrue(is_within(ChainHead(digest(line).decode()), stream))
        self.assertFalse(is_within(ChainHead(digest(b"four").decode()), stream))
