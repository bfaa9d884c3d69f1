"""Seeded fuzz of bodies and hellos: the result is a value or a ProtocolError, independent of the split.

The rounds are few enough for every run of the tests; the seeds are fixed, so that a failure repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import h11
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ProtocolError
from egress.wire.chunked import ChunkedBody
from egress.wire.client_hello import ClientHelloReader
from tests.wire.test_chunked import BROKEN_BODIES, CHUNKED_BODIES, RESPONSE_BODIES, h11_reads
from tests.wire.test_client_hello import (
    ALPN,
    BROKEN_RECORDS,
    ECH,
    SUPPORTED_VERSIONS,
    message,
    records,
    server_name,
    spoken,
)

_ROUNDS = 6000
_ODD_OCTETS = b'\x00\x01\x02\x03\x16\x17\x7f\x80\xff\r\n\t ;:="\\0123456789aAfFgG.-_'


def mutated(random: Random, seed: bytes, others: Sequence[bytes]) -> bytes:
    """Change a few octets: replaced, dropped, doubled, put in, or taken from another seed."""
    data = bytearray(seed)
    for _ in range(random.choice((0, 1, 1, 1, 2, 3, 8))):
        at = random.randrange(len(data) + 1)
        span = random.choice((1, 1, 1, 2, 5))
        way = random.randrange(6)
        if way == 0:
            data[at : at + 1] = bytes([random.choice(_ODD_OCTETS)])
        elif way == 1:
            data[at:at] = bytes([random.choice(_ODD_OCTETS)])
        elif way == 2:
            del data[at : at + span]
        elif way == 3:
            data[at:at] = data[at : at + span]
        elif way == 4 and at < len(data):
            data[at] = (data[at] + random.choice((-1, 1))) % 256
        else:
            other = random.choice(others)
            begin = random.randrange(len(other) + 1)
            data[at:] = other[begin:]
    return bytes(data)


def cut(random: Random, data: bytes) -> list[bytes]:
    """Cut data at a few places."""
    edges = sorted(random.randrange(len(data) + 1) for _ in range(random.choice((1, 2, 5))))
    return [data[begin:end] for begin, end in zip([0, *edges], [*edges, len(data)], strict=True)]


def outcome(read: Callable[[Sequence[bytes]], tuple[object, ...]], pieces: Sequence[bytes]) -> tuple[object, ...]:
    """Say what comes of pieces: a value, or the code of a ProtocolError. Any other error passes through."""
    try:
        return read(pieces)
    except ProtocolError as error:
        return (error.code,)


def read_chunked(pieces: Sequence[bytes]) -> tuple[object, ...]:
    """Read a chunked body with small limits."""
    reader = ChunkedBody("bad_framing", line_limit_bytes=64, trailer_limit_bytes=128)
    content = b"".join(map(reader.feed, pieces))
    return content, reader.is_complete, reader.trailers, reader.rest


def read_hello(pieces: Sequence[bytes]) -> tuple[object, ...]:
    """Read a hello with a small limit."""
    reader = ClientHelloReader(2048)
    hello = None
    for piece in pieces:
        hello = reader.feed(piece)
    return hello, reader.held


class FuzzTests(SynchronousTestCase):
    """Broken input of every kind."""

    def test_chunked_bodies(self) -> None:
        """A broken chunked body is refused or read, alike for every split; what is read, h11 reads alike."""
        random = Random(9112)
        seeds = [body for body, _, _ in CHUNKED_BODIES] + [body for _, body in BROKEN_BODIES + RESPONSE_BODIES]
        complete = refused = 0
        for _ in range(_ROUNDS):
            data = mutated(random, random.choice(seeds), seeds)
            found = outcome(read_chunked, [data])
            self.assertEqual(outcome(read_chunked, cut(random, data)), found, data)
            if len(found) == 1:
                self.assertEqual(found, ("bad_framing",))
                refused += 1
                continue
            content, is_complete, _, rest = found
            if not is_complete:
                self.assertRaises((EOFError, h11.RemoteProtocolError), h11_reads, data)
                continue
            complete += 1
            second = h11_reads(data)
            self.assertEqual((second[0], second[2]), (content, rest), data)
        # The fuzz is worth something only while it meets both ends.
        self.assertGreater(min(complete, refused), _ROUNDS // 20)

    def test_hellos(self) -> None:
        """A broken ClientHello is refused or read, alike for every split, and nothing of it is lost."""
        random = Random(8446)
        whole = message((SUPPORTED_VERSIONS, server_name(b"fuzz.example"), ALPN, ECH))
        seeds = [records(whole), records(whole, 11), records(message(None)), spoken("fuzz.example")]
        seeds += [stream for _, stream in BROKEN_RECORDS]
        complete = refused = 0
        for _ in range(_ROUNDS):
            data = mutated(random, random.choice(seeds), seeds)
            found = outcome(read_hello, [data])
            self.assertEqual(outcome(read_hello, cut(random, data)), found, data)
            if len(found) == 1:
                self.assertEqual(found, ("hello_malformed",))
                refused += 1
                continue
            hello, held = found
            self.assertEqual(held, data)
            complete += hello is not None
        self.assertGreater(min(complete, refused), _ROUNDS // 20)
