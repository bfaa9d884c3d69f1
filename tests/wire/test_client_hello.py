"""Reading a ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3)."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import CAUSES, ProtocolError
from egress.wire.client_hello import ClientHello, ClientHelloReader
from egress.wire.tls_record import begins_tls

LIMIT = 65536

Extension = tuple[int, bytes]

SUPPORTED_VERSIONS: Extension = (43, b"\x02\x03\x04")
ALPN: Extension = (16, b"\x00\x09\x08http/1.1")
ECH: Extension = (0xFE0D, b"\x00" * 10)


def vector(data: bytes, width: int) -> bytes:
    """Put the length in front (RFC 8446 section 3.4)."""
    return len(data).to_bytes(width, "big") + data


def server_name(*names: bytes, kind: int = 0) -> Extension:
    """Make a server_name extension (RFC 6066 section 3)."""
    return 0, vector(b"".join(bytes([kind]) + vector(name, 2) for name in names), 2)


def message(
    extensions: Iterable[Extension] | None = (),
    *,
    version: bytes = b"\x03\x03",
    session: bytes = b"s" * 32,
    ciphers: bytes = b"\x13\x01\x13\x02",
    compressions: bytes = b"\x00",
    surplus: bytes = b"",
) -> bytes:
    """Make a ClientHello as a handshake message; no extensions block at all where `extensions` is None."""
    body = version + b"r" * 32 + vector(session, 1) + vector(ciphers, 2) + vector(compressions, 1)
    if extensions is not None:
        body += vector(b"".join(kind.to_bytes(2, "big") + vector(data, 2) for kind, data in extensions), 2)
    return b"\x01" + vector(body + surplus, 3)


def records(handshake: bytes, size: int = 16384, version: bytes = b"\x03\x01") -> bytes:
    """Put a handshake message into records that carry `size` octets each."""
    return b"".join(b"\x16" + version + vector(handshake[at : at + size], 2) for at in range(0, len(handshake), size))


def splits(data: bytes) -> Iterator[tuple[bytes, ...]]:
    """Cut data in two at every place, and into single octets."""
    for at in range(len(data) + 1):
        yield data[:at], data[at:]
    yield tuple(data[at : at + 1] for at in range(len(data)))


def read(pieces: Iterable[bytes], limit: int = LIMIT) -> ClientHello | None:
    """Feed pieces and give the last answer."""
    reader = ClientHelloReader(limit)
    hello = None
    for piece in pieces:
        hello = reader.feed(piece)
    return hello


def spoken(
    name: str | None,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    protocols: Iterable[str] = ("h2", "http/1.1"),
) -> bytes:
    """Let the real TLS library speak first, and give what it says."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = version
    context.set_alpn_protocols(list(protocols))
    outgoing = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake cannot end without a server")


# Names as sent, and as they are read.
NAMES: tuple[tuple[bytes, str], ...] = (
    (b"example.com", "example.com"),
    (b"EXAMPLE.Com", "example.com"),
    (b"example.com.", "example.com"),
    (b"localhost", "localhost"),
    (b"a", "a"),
    (b"_dmarc.under_score.example", "_dmarc.under_score.example"),
    (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
    (b"-odd-.example", "-odd-.example"),
    (b"x" * 63 + b".example", "x" * 63 + ".example"),
    (b".".join([b"x" * 62] * 4), ".".join(["x" * 62] * 4)),
    # RFC 6066 forbids addresses; clients send them.
    (b"192.0.2.1", "192.0.2.1"),
    (b"2001:DB8::1", "2001:db8::1"),
    (b"::", "::"),
    (b"::ffff:192.0.2.1", "::ffff:192.0.2.1"),
)

# Names that no host has.
IMPOSSIBLE_NAMES: tuple[bytes, ...] = (
    b"",
    b".",
    b"..",
    b"a..b",
    b".a",
    b"a..",
    b"a b",
    b"a\x00b",
    b"a\n",
    b"a:443",
    b"a/b",
    b"*.example.com",
    b"user@example.com",
    b"example.com\x00.evil.example",
    b"[::1]",
    b"fe80::1%eth0",
    b":",
    b"1:2:3",
    b"a%2eb",
    b"a,b",
    "b\u00fccher.example".encode(),
    "b\u00fccher.example".encode("latin-1"),
    "\u212aelvin.example".encode(),
    b"\xff",
    b"x" * 64 + b".example",
    b".".join([b"x" * 63] * 4),
)

_NAME = server_name(b"a.example")

# Handshake messages, without their records, that are no good, and the section that says so.
BROKEN_MESSAGES: tuple[tuple[str, bytes], ...] = (
    ("RFC 8446 4: ServerHello", b"\x02" + message()[1:]),
    ("RFC 8446 4: HelloRequest", b"\x00\x00\x00\x00"),
    ("RFC 8446 4: Finished", b"\x14\x00\x00\x0c" + b"x" * 12),
    ("RFC 8446 4.1.2: empty", b"\x01\x00\x00\x00"),
    ("RFC 8446 4.1.2: ends within the random", b"\x01" + vector(b"\x03\x03" + b"r" * 31, 3)),
    ("RFC 8446 4.1.2: ends after the random", b"\x01" + vector(b"\x03\x03" + b"r" * 32, 3)),
    ("RFC 8446 4.1.2: SSL 2.0", message(version=b"\x00\x02")),
    ("RFC 8446 4.1.2: unknown major version", message(version=b"\x04\x00")),
    ("RFC 8446 4.1.2: DTLS", message(version=b"\xfe\xfd")),
    ("RFC 8446 4.1.2: long session id", message(session=b"s" * 33)),
    ("RFC 8446 4.1.2: no cipher suites", message(ciphers=b"")),
    ("RFC 8446 4.1.2: half a cipher suite", message(ciphers=b"\x13\x01\x13")),
    ("RFC 8446 4.1.2: no compression method", message(compressions=b"")),
    ("RFC 8446 4.1.2: octets after the extensions", message((_NAME,), surplus=b"\x00")),
    ("RFC 8446 4.1.2: one octet of extensions", message(None, surplus=b"\x00")),
    ("RFC 8446 4.1.2: extensions too long", message(None, surplus=b"\x00\x05\x00\x17\x00\x00")),
    ("RFC 8446 4.2: extension cut short", message(None, surplus=b"\x00\x03\x00\x17\x00")),
    ("RFC 8446 4.2: extension longer than the block", message(None, surplus=b"\x00\x05\x00\x17\x00\x02\x00")),
    ("RFC 8446 4.2: doubled extension", message((ALPN, _NAME, ALPN))),
    ("RFC 8446 4.2: doubled server_name", message((_NAME, _NAME))),
    ("RFC 8446 4.2: two server_name that differ", message((_NAME, ALPN, server_name(b"b.example")))),
    ("RFC 6066 3: empty extension", message(((0, b""),))),
    ("RFC 6066 3: one octet", message(((0, b"\x00"),))),
    ("RFC 6066 3: empty list", message((server_name(),))),
    ("RFC 6066 3: two names", message((server_name(b"a.example", b"b.example"),))),
    ("RFC 6066 3: the same name twice", message((server_name(b"a.example", b"a.example"),))),
    ("RFC 6066 3: unknown type of name", message((server_name(b"a.example", kind=1),))),
    ("RFC 6066 3: list longer than the extension", message(((0, b"\x00\x05\x00\x00\x01a"),))),
    ("RFC 6066 3: list shorter than the extension", message(((0, b"\x00\x04\x00\x00\x01ab"),))),
    ("RFC 6066 3: name longer than the list", message(((0, b"\x00\x04\x00\x00\x02a"),))),
    ("RFC 6066 3: name shorter than the list", message(((0, b"\x00\x05\x00\x00\x01ab"),))),
    ("RFC 6066 3: list ends within the length", message(((0, b"\x00\x02\x00\x00"),))),
    *((f"RFC 6066 3: impossible name {name!r}", message((server_name(name),))) for name in IMPOSSIBLE_NAMES),
)

_GOOD = message((_NAME,))

# Streams of records that are no good.
BROKEN_RECORDS: tuple[tuple[str, bytes], ...] = (
    ("RFC 8446 5.1: empty record first", b"\x16\x03\x01\x00\x00" + records(_GOOD)),
    ("RFC 8446 5.1: empty record within", records(_GOOD[:9]) + b"\x16\x03\x01\x00\x00" + records(_GOOD[9:])),
    ("RFC 8446 5.1: record too long", b"\x16\x03\x01\x40\x01"),
    ("RFC 8446 5.1: major version 2", records(_GOOD, version=b"\x02\x00")),
    ("RFC 8446 5.1: major version 4", records(_GOOD, version=b"\x04\x01")),
    ("RFC 8446 5.1: other major version later", records(_GOOD[:9]) + records(_GOOD[9:], version=b"\xfe\xff")),
    ("RFC 8446 5.1: alert within", records(_GOOD[:9]) + b"\x15\x03\x01\x00\x02\x01\x00" + records(_GOOD[9:])),
    ("RFC 8446 5.1: data within", records(_GOOD[:9]) + b"\x17\x03\x01\x00\x01x" + records(_GOOD[9:])),
    ("RFC 8446 5.1: spec change within", records(_GOOD[:9]) + b"\x14\x03\x01\x00\x01\x01" + records(_GOOD[9:])),
    ("RFC 8446 5.1: an octet after the hello", records(_GOOD + b"\x01")),
    ("RFC 8446 5.1: two hellos in one record", records(_GOOD + _GOOD)),
    ("RFC 8446 5.1: an octet after the hello, later", records(_GOOD + b"\x01", len(_GOOD) - 9)),
    ("RFC 8446 5.1: not a handshake record", b"\x17" + records(_GOOD)[1:]),
    ("RFC 9112 3: not TLS at all", b"GET / HTTP/1.1\r\n\r\n"),
)


class HelloTests(SynchronousTestCase):
    """What is taken out of a ClientHello."""

    def test_names(self) -> None:
        """The name is given in lower case, without its trailing dot."""
        for sent, name in NAMES:
            found = read([records(message((SUPPORTED_VERSIONS, server_name(sent), ALPN)))])
            self.assertEqual(found, ClientHello(name, False), sent)

    def test_no_name(self) -> None:
        """A hello without a name, or without any extensions (RFC 5246 section 7.4.1.2), has the empty name."""
        for extensions in ((SUPPORTED_VERSIONS, ALPN), (), None):
            self.assertEqual(read([records(message(extensions))]), ClientHello("", False))

    def test_encrypted_hello(self) -> None:
        """An encrypted hello is noticed, wherever it stands, with and without an outer name."""
        self.assertEqual(read([records(message((ECH, _NAME)))]), ClientHello("a.example", True))
        self.assertEqual(read([records(message((_NAME, ALPN, ECH)))]), ClientHello("a.example", True))
        self.assertEqual(read([records(message((ECH,)))]), ClientHello("", True))

    def test_versions(self) -> None:
        """The versions that clients write into record and hello do not matter below the major one."""
        for minor in range(5):
            version = bytes([3, minor])
            self.assertEqual(
                read([records(message((_NAME,), version=version), version=version)]), ClientHello("a.example", False)
            )

    def test_short_fields(self) -> None:
        """Fields may be as short as the grammar has them."""
        short = message((_NAME,), session=b"", ciphers=b"\x00\x2f", compressions=b"\x01\x00")

        self.assertEqual(read([records(short)]), ClientHello("a.example", False))

    def test_every_split(self) -> None:
        """The answer is the same for every split, and comes with the last octet and not before."""
        stream = records(_GOOD)
        for pieces in splits(stream):
            self.assertEqual(read(pieces), ClientHello("a.example", False))
        for size in range(len(stream)):
            self.assertIsNone(read([stream[:size]]))

    def test_every_fragmentation(self) -> None:
        """A hello may be cut into any number of records (RFC 8446 section 5.1)."""
        for size in range(1, len(_GOOD) + 1):
            stream = records(_GOOD, size)
            self.assertEqual(read([stream]), ClientHello("a.example", False), size)
            self.assertEqual(
                read(stream[at : at + 1] for at in range(len(stream))), ClientHello("a.example", False), size
            )

    def test_everything_is_held(self) -> None:
        """All octets fed are held in order, with those that follow the hello."""
        early = b"\x14\x03\x03\x00\x01\x01" + b"\x17\x03\x03\x00\x05early"
        stream = records(_GOOD, 40) + early
        for pieces in splits(stream):
            reader = ClientHelloReader(LIMIT)
            for piece in pieces:
                hello = reader.feed(piece)
            self.assertEqual((hello, reader.held), (ClientHello("a.example", False), stream))
            self.assertEqual(reader.held[reader.size :], early)


class RefusalTests(SynchronousTestCase):
    """What could be read differently by a server is refused."""

    def assert_refused(self, pieces: Iterable[bytes], row: str, limit: int = LIMIT) -> None:
        """The stream is refused, in plain words that do not repeat it."""
        with self.assertRaises(ProtocolError, msg=row) as caught:
            read(pieces, limit)
        self.assertEqual(caught.exception.code, "hello_malformed", row)
        self.assertTrue(caught.exception.reason.isascii())

    def test_code_is_a_cause(self) -> None:
        """The record knows the code as an end of a tunnel."""
        self.assertIn("hello_malformed", CAUSES)

    def test_messages(self) -> None:
        """A handshake message that is not exactly one ClientHello is refused, however it comes."""
        for row, handshake in BROKEN_MESSAGES:
            for size in (1, 7, 16384):
                stream = records(handshake, size)
                self.assert_refused([stream], row)
                self.assert_refused((stream[at : at + 1] for at in range(len(stream))), row)

    def test_records(self) -> None:
        """Records that do not carry exactly one ClientHello are refused for every split."""
        for row, stream in BROKEN_RECORDS:
            for pieces in splits(stream):
                self.assert_refused(pieces, row)

    def test_refused_early(self) -> None:
        """What is certainly wrong is refused before the rest of it is here."""
        self.assert_refused([b"\x16\x03\x01\x02\x00\x02"], "not a ClientHello")
        self.assert_refused([b"\x16\x03\x01\x02\x00\x01\x00\x00\x10"], "a record longer than its hello")
        self.assert_refused([b"\x16\x03\x01\x02\x00\x01\xff\xff\xff"], "longer than the limit")

    def test_every_length_must_add_up(self) -> None:
        """A length that is changed by one, anywhere, makes no other hello out of the same octets."""
        handshake = message((SUPPORTED_VERSIONS, server_name(b"a.example"), ALPN))
        at_session, at_ciphers, at_compressions, at_extensions = 38, 71, 77, 79
        at_lists = at_extensions + 2 + 7 + 4
        lengths = (at_session, at_ciphers, at_compressions, at_extensions, at_lists - 2, at_lists, at_lists + 3)
        for at in lengths:
            for change in (-1, 1):
                place = at if at in (at_session, at_compressions) else at + 1
                changed = bytearray(handshake)
                changed[place] += change
                self.assert_refused([records(bytes(changed))], f"length at {at} changed by {change}")

    def test_limit(self) -> None:
        """The hello may take `limit_bytes` of the stream, record headers included, and not one more."""
        for size in (16384, 20):
            stream = records(_GOOD, size)
            for pieces in splits(stream + b"more"):
                self.assertEqual(read(pieces, len(stream)), ClientHello("a.example", False))
                self.assert_refused(pieces, "limit", len(stream) - 1)

    def test_endless_hello(self) -> None:
        """A hello that does not end is refused at the limit, not gathered."""
        stream = records(_GOOD + b"\x00" * 1000)
        reader = ClientHelloReader(64)
        self.assertIsNone(reader.feed(stream[:5]))

        with self.assertRaises(ProtocolError):
            reader.feed(stream[5:64])


class RealHelloTests(SynchronousTestCase):
    """ClientHellos as the TLS library of this Python writes them."""

    def test_with_name(self) -> None:
        """The name is read, in TLS 1.2 and 1.3, for every split."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            stream = spoken("Real.Example", version)
            self.assertTrue(begins_tls(stream))
            for pieces in splits(stream):
                self.assertEqual(read(pieces), ClientHello("real.example", False))

    def test_without_name(self) -> None:
        """No name is sent for no host, nor by this library for an address."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for name in (None, "192.0.2.1", "2001:db8::1"):
                self.assertEqual(read([spoken(name, version)]), ClientHello("", False))

    def test_several_records(self) -> None:
        """A hello longer than a record is read out of all of them."""
        stream = spoken("real.example", protocols=["x" * 255] * 100)
        self.assertGreater(len(stream), 16384 + 5)

        self.assertEqual(
            read(stream[at : at + 1000] for at in range(0, len(stream), 1000)), ClientHello("real.example", False)
        )
