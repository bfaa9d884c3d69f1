"""Tests of egress.wire.response_head."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ProtocolError
from egress.wire.response_head import ResponseReader
from tests.wire.head_cases import (
    LIMIT_BYTES,
    REFUSED_RESPONSES,
    RESPONSES,
    response_reader,
    uncut_and_cut,
)


class ResponseTableTests(SynchronousTestCase):
    """Responses that are read, and responses that are not."""

    def test_read(self) -> None:
        """Every head of the table is read as it says, however it is cut."""
        for data, expected in RESPONSES.items():
            uncut, cuts = uncut_and_cut(response_reader, data)
            self.assertEqual(uncut, ([expected], None, b""), data)
            for cut in cuts:
                self.assertEqual(cut, uncut, data)

    def test_several(self) -> None:
        """Interim responses and the final one are read one by one, cut anywhere."""
        uncut, cuts = uncut_and_cut(lambda: ResponseReader(LIMIT_BYTES), b"".join(RESPONSES))
        self.assertEqual(uncut, (list(RESPONSES.values()), None, b""))
        for cut in cuts:
            self.assertEqual(cut, uncut)

    def test_refused(self) -> None:
        """Whatever is wrong with an answer, it is the origin's fault, however the octets are cut."""
        for sentence, data in REFUSED_RESPONSES:
            uncut, cuts = uncut_and_cut(response_reader, data)
            self.assertEqual(uncut, ([], "origin_malformed", b""), sentence)
            for cut in cuts:
                self.assertEqual(cut, uncut, sentence)

    def test_told_early(self) -> None:
        """An origin that does not speak HTTP is found out by its first octet."""
        self.assertRaises(ProtocolError, response_reader().feed, b"S")

    def test_rest(self) -> None:
        """What follows a head is kept to the octet."""
        for pieces in ([b"HTTP/1.1 200\r\n\r\n\r\nbody"], [b"HTTP/1.1 200\r\n", b"\r\n\r\nbody"]):
            reader = response_reader()
            self.assertFalse(reader.is_begun)
            for piece in pieces:
                head = reader.feed(piece)
            assert head is not None
            self.assertEqual((reader.rest, reader.is_begun, head.fields.values(b"x")), (b"\r\nbody", False, []))
