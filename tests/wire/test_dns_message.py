"""Messages of DNS: only what answers the question is believed."""

from __future__ import annotations

import contextlib
import struct
from ipaddress import ip_address
from itertools import pairwise
from typing import cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from egress.wire.dns_message import AAAA, RECORD_LIMIT, A, Answer, Question, encode_name, read_answer

HOST = "www.example.com"
NAME = encode_name(HOST)
QUESTION = Question(0x1234, NAME, A)
ADDRESS, OTHER = ip_address("192.0.2.1"), ip_address("192.0.2.2")

# A response to a standard query; recursion desired and available.
FLAGS = 0x8180


def message(
    records: bytes = b"", count: int = 0, *, flags: int = FLAGS, identity: int = 0x1234, section: bytes | None = None
) -> bytes:
    """Make a message, by default one that answers QUESTION."""
    asked = QUESTION.section if section is None else section
    return struct.pack("!HHHHHH", identity, flags, int(bool(asked)), count, 0, 0) + asked + records


def record(owner: bytes, kind: int, value: bytes, group: int = 1, length: int | None = None) -> bytes:
    """Make a record."""
    return owner + struct.pack("!HHIH", kind, group, 60, len(value) if length is None else length) + value


POINTER = b"\xc0\x0c"  # to the name of the question
ONE = record(POINTER, 1, ADDRESS.packed)


class QuestionTests(SynchronousTestCase):
    """What is sent."""

    def test_octets(self) -> None:
        """A header that desires recursion, and the name in labels (RFC 1035 section 4.1)."""
        self.assertEqual(
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01",
            QUESTION.encode(),
        )

    def test_second_opinion(self) -> None:
        """twisted.names reads the question."""
        read = dns.Message()
        read.fromStr(Question(7, encode_name("a_b.Example.com"), AAAA).encode())

        (query,) = read.queries
        self.assertEqual((7, 1, 0), (read.id, read.recDes, read.answer))
        self.assertEqual((b"a_b.example.com", dns.AAAA, dns.IN), (query.name.name, query.type, query.cls))

    def test_names_that_cannot_be_asked_for(self) -> None:
        """Labels have 1 to 63 octets, names 255 at most."""
        for host in ("", "a..b", ".a", "a.", "x" * 64, ".".join(["x" * 63] * 4)):
            with self.subTest(host=host), self.assertRaises(ValueError):
                encode_name(host)
        encode_name(".".join(["x" * 63] * 3 + ["x" * 61]))


class AnswerTests(SynchronousTestCase):
    """What is believed."""

    def read(self, data: bytes) -> Answer:
        """Read an answer to QUESTION."""
        answer = read_answer(data, QUESTION)
        assert answer is not None, "no answer to the question"
        return answer

    def test_addresses(self) -> None:
        """Addresses of the name that was asked for, in their order; owners may be compressed, or in capitals."""
        more = record(NAME.upper(), 1, OTHER.packed)

        self.assertEqual(Answer(0, (ADDRESS, OTHER)), self.read(message(ONE + more, 2)))

    def test_aliases(self) -> None:
        """Aliases are followed within the answer, in any order of its records."""
        near, far = encode_name("near.example.net"), encode_name("far.example.org")
        records = [record(far, 1, ADDRESS.packed), record(near, 5, far), record(POINTER, 5, near)]
        for order in (records, records[::-1]):
            self.assertEqual((ADDRESS,), self.read(message(b"".join(order), 3)).addresses)

    def test_what_is_not_believed(self) -> None:
        """Addresses of other names, of another class or type, and what follows the answer section."""
        other = encode_name("other.example.com")
        for what, records, count in (
            ("another name", record(other, 1, ADDRESS.packed), 1),
            ("an alias of another name", record(other, 5, NAME) + record(other, 1, ADDRESS.packed), 2),
            ("an alias without addresses", record(POINTER, 5, other), 1),
            ("class CHAOS", record(POINTER, 1, ADDRESS.packed, group=3), 1),
            ("an address of IPv6", record(POINTER, 28, bytes(16)), 1),
            ("text", record(POINTER, 16, b"\x03abc"), 1),
            ("additional", ONE, 0),
        ):
            with self.subTest(what):
                self.assertEqual((), self.read(message(records, count)).addresses)

    def test_no_answer_to_this_question(self) -> None:
        """Another identity, name, type or class, a question, another kind of message: the answer may still come."""
        for what, data in (
            ("identity", message(ONE, 1, identity=0x1235)),
            ("name", message(ONE, 1, section=encode_name("www.example.net") + QUESTION.section[-4:])),
            ("type", message(ONE, 1, section=NAME + b"\0\x1c\0\1")),
            ("class", message(ONE, 1, section=NAME + b"\0\1\0\3")),
            ("no question", message(ONE, 1, section=b"")),
            ("no such name without a question", message(flags=FLAGS | 3, section=b"")),
            ("a question", message(ONE, 1, flags=0x0100)),
            ("an update", message(ONE, 1, flags=FLAGS | 0x2800)),
            ("compressed question", message(ONE, 1, section=b"\xc0\x0c\0\1\0\1")),
            ("short", message()[:11]),
            ("nothing", b""),
        ):
            with self.subTest(what):
                self.assertIsNone(read_answer(data, QUESTION))

    def test_capitals_in_the_question(self) -> None:
        """A server may repeat the name in other letters, but no other octets."""
        self.assertEqual((ADDRESS,), self.read(message(ONE, 1, section=NAME.upper() + b"\0\1\0\1")).addresses)

    def test_codes(self) -> None:
        """Failures, and the answer that there is no such name, have no addresses."""
        for status in range(1, 16):
            self.assertEqual(Answer(status), self.read(message(ONE, 1, flags=FLAGS | status)))
        self.assertEqual(Answer(1), self.read(message(flags=FLAGS | 1, section=b"")))

    def test_truncated(self) -> None:
        """What is there of a truncated answer is not used."""
        self.assertEqual(Answer(0, is_truncated=True), self.read(message(ONE, 1, flags=FLAGS | 0x0200)))

    def test_referral(self) -> None:
        """No records from a server that neither knows the name nor asks others say nothing about the name."""
        for flags, is_referral in ((0x8100, True), (0x8180, False), (0x8500, False)):
            self.assertEqual(Answer(0, is_referral=is_referral), self.read(message(flags=flags)))

    def test_malformed(self) -> None:
        """An answer to the question that cannot be read as a whole is not used at all."""
        far = encode_name("far.example.org")
        chain = b"".join(record(encode_name(f"a{n}"), 5, encode_name(f"a{n + 1}")) for n in range(20))
        loop = record(POINTER, 5, far) + record(far, 5, POINTER)
        long_name = b"\x3f" + b"x" * 63
        for what, records, count in (
            ("ends early", ONE[:-1], 1),
            ("fewer records than it says", ONE, 2),
            ("more records than anybody needs", ONE * (RECORD_LIMIT + 1), RECORD_LIMIT + 1),
            ("an address of 3 octets", record(POINTER, 1, b"abc"), 1),
            ("an address of 5 octets", record(POINTER, 1, b"abcde"), 1),
            ("an alias with a rest", record(POINTER, 5, far + b"x"), 1),
            ("an alias beyond its record", record(POINTER, 5, far, length=4), 1),
            ("two aliases", record(POINTER, 5, far) + record(POINTER, 5, encode_name("b.example")), 2),
            ("aliases in a circle", loop, 2),
            ("too many aliases", record(POINTER, 5, encode_name("a0")) + chain, 21),
            ("a pointer to itself", record(b"\xc0\x21", 1, ADDRESS.packed), 1),
            ("a pointer ahead", record(b"\xc0\xff", 1, ADDRESS.packed), 1),
            ("half a pointer", b"\xc0", 1),
            ("an unknown type of label", record(b"\x41a\0", 1, ADDRESS.packed), 1),
            ("a name of 256 octets", record(long_name * 4 + b"\0", 1, ADDRESS.packed), 1),
            ("more labels than any answer has", *_costly()),
            ("pointers to pointers without end", b"".join(_staircase(30)), 30),
        ):
            with self.subTest(what), self.assertRaises(ValueError):
                read_answer(message(records, count), QUESTION)

    def test_many_records(self) -> None:
        """As many addresses of one name as are allowed are read, whose owner is written in full."""
        records = record(encode_name("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p"), 1, ADDRESS.packed) * RECORD_LIMIT

        self.assertEqual((), self.read(message(records, RECORD_LIMIT)).addresses)

    def test_a_name_that_is_a_pointer(self) -> None:
        """A pointer may lead to a pointer, as some encoders write it."""
        self.assertEqual((), self.read(message(b"".join(_staircase(10)), 10)).addresses)


def _costly() -> tuple[bytes, int]:
    """Make as many records as are allowed, whose owner has as many labels as a name can have."""
    first = record(b"\x01a" * 127 + b"\0", 1, ADDRESS.packed)
    again = record(struct.pack("!H", 0xC000 | 12 + len(QUESTION.section)), 1, ADDRESS.packed)
    return first + again * (RECORD_LIMIT - 1), RECORD_LIMIT


def _staircase(count: int) -> list[bytes]:
    """Make records of whose owners each is a pointer to the owner before it."""
    at, records = 12 + len(QUESTION.section), [record(b"\x01a\0", 16, b"")]
    for _ in range(count - 1):
        records.append(record(struct.pack("!H", 0xC000 | at), 16, b""))
        at += len(records[-2])
    return records


LABELS = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=20)
HOSTS = st.lists(LABELS, min_size=1, max_size=5).map(".".join)


class SecondOpinionTests(SynchronousTestCase):
    """twisted.names as the server, and as a reader of the same octets."""

    @given(HOSTS, st.lists(HOSTS, max_size=4, unique=True), st.lists(st.ip_addresses(v=6), max_size=5))
    def test_answers(self, host: str, aliases: list[str], addresses: list[object]) -> None:
        """What twisted.names writes, with its compression, is read."""
        chain = [host, *(alias for alias in aliases if alias != host)]
        answer = dns.Message(5, answer=1, recAv=1, maxSize=0)
        answer.queries = [dns.Query(host.encode(), dns.AAAA, dns.IN)]
        for owner, target in pairwise(chain):
            answer.answers.append(dns.RRHeader(owner.encode(), dns.CNAME, dns.IN, 60, dns.Record_CNAME(target)))
        for address in addresses:
            answer.answers.append(dns.RRHeader(chain[-1].encode(), dns.AAAA, dns.IN, 60, dns.Record_AAAA(str(address))))

        read = read_answer(answer.toStr(), Question(5, encode_name(host), AAAA))

        self.assertEqual(Answer(0, tuple(addresses)), read)  # type: ignore[arg-type]

    @given(st.binary(max_size=120), st.integers(0, 5))
    def test_any_octets(self, rest: bytes, count: int) -> None:
        """No octets do anything but one of the three outcomes, and what is believed twisted.names has read too."""
        data = message(rest, count)
        try:
            answer = read_answer(data, QUESTION)
        except ValueError:
            return
        assert answer is not None
        if answer.addresses:
            other = dns.Message()
            other.fromStr(data)
            records = [each.payload for each in other.answers if each.type == dns.A]
            known = {cast(dns.Record_A, payload).dottedQuad() for payload in records}
            self.assertLessEqual({str(address) for address in answer.addresses}, known)

    @given(st.data())
    def test_cut_anywhere(self, data: st.DataObject) -> None:
        """An answer that ends early is malformed, or not recognised."""
        whole = message(ONE + record(NAME, 1, OTHER.packed), 2)
        cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
        with contextlib.suppress(ValueError):
            self.assertIsNone(read_answer(cut, QUESTION))
