"""The buffer of a head that arrives in pieces. The readers' tables are in the tests of the readers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ProtocolError
from egress.wire.head_buffer import HeadBuffer, HeadRules
from tests.wire.head_cases import splits

# A head and all octets after it, or the code and the reason of a fault; two empty texts where neither is known.
Outcome: TypeAlias = tuple[bytes, bytes] | tuple[str, str]


def check_octet(octet: int) -> None:
    """Refuse every first octet but `A`."""
    if octet != 0x41:
        raise ProtocolError("bad_octet", "the first octet is wrong")


def check_line(line: bytes) -> None:
    """Refuse a first line without CRLF at its end, and a first line that holds `!`."""
    if not line.endswith(b"\r\n") or b"!" in line:
        raise ProtocolError("bad_line", "the first line is wrong")


def rules(
    line_limit_bytes: int | None = None,
    field_limit: int | None = None,
    *,
    allows_empty_line: bool = False,
    allows_repair: bool = False,
) -> HeadRules:
    """Make rules, strict ones unless a test says otherwise."""
    return HeadRules(check_octet, check_line, line_limit_bytes, field_limit, allows_empty_line, allows_repair)


STRICT = rules()
REPAIR = rules(allows_repair=True)
EMPTY_LINE = rules(allows_empty_line=True)


def outcome(
    rules: HeadRules, pieces: Iterable[bytes], limit_bytes: int = 1000
) -> tuple[str, str] | tuple[bytes, bytes]:
    """Add pieces: give the code and reason of the fault, or the head and all octets after it."""
    buffer, head = HeadBuffer(rules, limit_bytes), None
    later = b""
    try:
        for piece in pieces:
            if head is None:
                head = buffer.add(piece)
            else:
                later += piece
    except ProtocolError as error:
        return error.code, error.reason
    return (head, buffer.rest() + later) if head is not None else ("", "")


class HeadBufferTests(SynchronousTestCase):
    """`HeadBuffer`."""

    def assert_outcome(self, expected: Outcome, rules: HeadRules, data: bytes, limit_bytes: int = 1000) -> None:
        """Assert the outcome for the whole data and for each of its splits."""
        self.assertEqual(expected, outcome(rules, [data], limit_bytes), data)
        for pieces in splits(data):
            self.assertEqual(expected, outcome(rules, pieces, limit_bytes), pieces)

    def assert_fault(self, code: str, reason: str, rules: HeadRules, data: bytes, limit_bytes: int = 1000) -> None:
        """Assert the fault for the whole data and for each of its splits."""
        self.assert_outcome((code, reason), rules, data, limit_bytes)

    def test_head(self) -> None:
        """A head is returned with its blank line, and the octets after it are the rest."""
        for head in (b"A\r\n\r\n", b"A b c\r\nX: y\r\n\r\n", b"A\r\nX:\r\ny:\t\xff\r\n\r\n"):
            for rest in (b"", b"\r\n", b"A\r\n\r\n", b"\n"):
                self.assert_outcome((head, rest), STRICT, head + rest)

    def test_incomplete(self) -> None:
        """Without its blank line a head is not returned, whatever has arrived of it."""
        head = b"A b\r\nX: y\r\nZ:\r\n\r\n"
        for end in range(len(head)):
            self.assert_outcome(("", ""), STRICT, head[:end])

    def test_is_begun(self) -> None:
        """A head is begun with its first octet; an empty line before the head does not count."""
        buffer = HeadBuffer(EMPTY_LINE, 1000)
        seen = []
        for data in (b"", b"\r\n", b"A"):
            buffer.add(data)
            seen.append(buffer.is_begun)

        self.assertEqual([False, False, True], seen)

    def test_empty_line(self) -> None:
        """One empty line before the head is skipped where the rules allow it, and does not count for the limit."""
        head = b"A\r\nX: y\r\n\r\n"
        wrong = ("bad_octet", "the first octet is wrong")
        self.assert_outcome((head, b""), EMPTY_LINE, b"\r\n" + head, len(head))
        self.assert_fault(*wrong, EMPTY_LINE, b"\r\n\r\n" + head)
        self.assert_fault(*wrong, EMPTY_LINE, b"\n" + head)
        self.assert_fault(*wrong, EMPTY_LINE, b"\rA" + head)
        self.assert_fault(*wrong, STRICT, b"\r\n" + head)

    def test_first_octet(self) -> None:
        """A wrong first octet is reported before its line is complete."""
        self.assert_fault("bad_octet", "the first octet is wrong", STRICT, b"B")

    def test_first_line(self) -> None:
        """The first line is checked once it is complete, before the fields."""
        self.assert_outcome(("", ""), STRICT, b"A!")
        self.assert_fault("bad_line", "the first line is wrong", STRICT, b"A!\r\n: x\r\n")

    def test_field_faults(self) -> None:
        """Each fault of a field line has its reason."""
        for line, reason in (
            (b"X: a\rb", "a line holds CR without LF"),
            (b"X: a\x00b", "a field line holds a control byte"),
            (b"X: a\x7f", "a field line holds a control byte"),
            (b" x: y", "a field is folded over more than one line"),
            (b"\tx: y", "a field is folded over more than one line"),
            (b"X", "a field line has no colon"),
            (b": y", "a field has no name"),
            (b"X : y", "there are blanks between a field's name and its colon"),
            (b"X\t: y", "there are blanks between a field's name and its colon"),
            (b"X y: z", "a field's name is not a token"),
            (b"X\xe9: z", "a field's name is not a token"),
        ):
            self.assert_fault("bad_head", reason, STRICT, b"A\r\nB: c\r\n" + line + b"\r\n")

    def test_faults_without_repair(self) -> None:
        """A fault that is no blank before a colon and no folding is a fault where repairs are allowed too."""
        for line, reason in (
            (b"X: a\x00b", "a field line holds a control byte"),
            (b"X", "a field line has no colon"),
            (b" ", "a field is folded over more than one line"),
            (b": y", "a field has no name"),
            (b"X y: z", "a field's name is not a token"),
        ):
            self.assert_fault("bad_head", reason, REPAIR, b"A\r\nB: c\r\n" + line + b"\r\n\r\n")

    def test_repairable_lines(self) -> None:
        """Blanks before a colon and folded lines are left to the repair where the rules allow it."""
        head = b"A\r\nX : y\r\n z\r\n\t\xff\r\n\r\n"
        self.assert_outcome((head, b"rest"), REPAIR, head + b"rest")

    def test_first_field_line_continues_nothing(self) -> None:
        """A folded line that follows the first line is a fault, even among lines that are passed over at once."""
        for blank in (b" ", b"\t"):
            self.assert_fault(
                "bad_head",
                "a field is folded over more than one line",
                REPAIR,
                b"A\r\n" + blank + b"x: y\r\nB: c\r\n\r\n",
            )

    def test_line_ends(self) -> None:
        """Where repairs are allowed, LF may end every line of a head, as the first line decides."""
        head = b"A\nX: y\nB : c\n d\n\n"
        self.assert_outcome((head, b"\n"), REPAIR, head + b"\n")
        self.assert_fault("bad_head", "a line ends in LF without CR", STRICT, b"A\n")
        self.assert_fault("bad_head", "a line ends in LF without CR", STRICT, b"A\r\nX: y\n")
        self.assert_fault("bad_head", "a line ends in LF without CR", REPAIR, b"A\r\nX: y\nB: c\r\n\r\n")
        mixed = "a line holds CR although the first line ends in LF alone"
        self.assert_fault("bad_head", mixed, REPAIR, b"A\nX: y\r\n\n")
        self.assert_fault("bad_head", mixed, REPAIR, b"A\nX: y\n\r\n")

    def test_limit(self) -> None:
        """A head may have exactly so many octets, its blank line included."""
        head = b"A\r\nX: y\r\n\r\n"
        for rules in (STRICT, REPAIR):
            self.assert_outcome((head, b"rest"), rules, head + b"rest", len(head))
            self.assert_fault("head_too_large", "the head is too large", rules, head + b"rest", len(head) - 1)
            self.assert_fault("head_too_large", "the head is too large", rules, head[:-2], len(head) - 3)
            self.assert_outcome(("", ""), rules, head[:-2], len(head) - 2)

    def test_limit_before_a_later_fault(self) -> None:
        """A line beyond the limit is too long before it is malformed, and a line within the limit is malformed."""
        for rules in (STRICT, REPAIR):
            data = b"A\r\nX: y\r\nmalformed\r\n"
            self.assert_fault("head_too_large", "the head is too large", rules, data, len(data) - 1)
            self.assert_fault("bad_head", "a field line has no colon", rules, data, len(data))

    def test_line_limit(self) -> None:
        """The first line has a limit of its own with a code of its own, and field lines do not have it."""
        strict = rules(line_limit_bytes=6)
        head = b"AAAA\r\nX: 0123456789\r\n\r\n"
        self.assert_outcome((head, b""), strict, head)
        self.assert_fault("target_too_long", "the request line is too long", strict, b"A" + head)
        self.assert_fault("target_too_long", "the request line is too long", strict, b"AAAAAAA")
        self.assert_outcome(("", ""), strict, b"AAAAAA")
        self.assert_fault("head_too_large", "the head is too large", strict, b"A" * 7, limit_bytes=5)
        self.assert_fault("target_too_long", "the request line is too long", strict, b"A" * 7, limit_bytes=6)

    def test_field_limit(self) -> None:
        """A head may have exactly so many field lines; a further line is not examined."""
        head = b"A\r\nX: y\r\nX: y\r\n"
        for limited in (rules(field_limit=2), rules(field_limit=2, allows_repair=True)):
            self.assert_outcome((head + b"\r\n", b""), limited, head + b"\r\n")
            self.assert_fault("head_too_large", "the head has too many fields", limited, head + b"X: y\r\n\r\n")
            self.assert_fault("head_too_large", "the head has too many fields", limited, head + b"malformed\r\n")

    def test_first_fault(self) -> None:
        """The earliest fault in wire order is reported, also where later octets have arrived with it."""
        self.assert_fault("bad_head", "a field has no name", STRICT, b"A\r\n: x\r\nX : y\r\n\r\n")
        self.assert_fault("bad_head", "a field has no name", REPAIR, b"A\r\nX: y\r\n: x\r\nmalformed\r\n\r\n")

    def test_fault_for_good(self) -> None:
        """After a fault, each further call raises the error again."""
        for rules in (STRICT, REPAIR):
            buffer = HeadBuffer(rules, 1000)
            for data in (b"A\r\n: x\r\n", b"", b"B: c\r\n\r\n", b"A\r\n\r\n"):
                error = self.assertRaises(ProtocolError, buffer.add, data)
                self.assertEqual("a field has no name", error.reason)


_piece = st.sampled_from(
    [
        b"A",
        b"B",
        b"!",
        b":",
        b" ",
        b"\t",
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"X: y\r\n",
        b"X : y\r\n",
        b" z\r\n",
        b"\0",
    ]
)
_rules = st.builds(
    rules,
    st.none() | st.integers(0, 12),
    st.none() | st.integers(0, 3),
    allows_empty_line=st.booleans(),
    allows_repair=st.booleans(),
)


class SplitTests(SynchronousTestCase):
    """Any octets, by any rules."""

    @given(_rules, st.integers(1, 40), st.lists(_piece, max_size=12), st.data())
    def test_split(self, rules: HeadRules, limit_bytes: int, words: list[bytes], data: st.DataObject) -> None:
        """The outcome does not depend on how the octets were split."""
        octets = b"A" * data.draw(st.integers(0, 1)) + b"".join(words)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=6)))
        pieces = [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
        whole = outcome(rules, [octets], limit_bytes)

        self.assertEqual(whole, outcome(rules, pieces, limit_bytes))
        self.assertEqual(whole, outcome(rules, [octets[at : at + 1] for at in range(len(octets))], limit_bytes))

    @given(_rules, st.integers(1, 40), st.lists(_piece, max_size=12))
    def test_result(self, rules: HeadRules, limit_bytes: int, words: list[bytes]) -> None:
        """A head is within its limits, ends in its first blank line, and nothing of the octets after it is lost."""
        octets = b"A" + b"".join(words)
        head, rest = outcome(rules, [octets], limit_bytes)
        if isinstance(head, bytes) and isinstance(rest, bytes):
            end = b"\r\n" if head.split(b"\n")[0].endswith(b"\r") else b"\n"
            lines = head.split(end)
            self.assertEqual(octets, head + rest)
            self.assertLessEqual(len(head), limit_bytes)
            self.assertEqual([b"", b""], lines[-2:])
            self.assertNotIn(b"", lines[:-2])
            if rules.field_limit is not None:
                self.assertLessEqual(len(lines) - 3, rules.field_limit)
            if rules.line_limit_bytes is not None and rules.line_limit_bytes <= limit_bytes:
                self.assertLessEqual(len(lines[0] + end), rules.line_limit_bytes)
