"""Messages of DNS (RFC 1035 section 4): a question for the addresses of a name, and its answer.

Of an answer, only the answer section is read: addresses whose owner is the name of the question, or a name to which
CNAME records of that section lead.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from attrs import frozen

A = 1
AAAA = 28
NO_ERROR = 0
SERVER_FAILURE = 2
NO_SUCH_NAME = 3
"""Types of records and codes of answers (RFC 1035 sections 3.2.2 and 4.1.1, RFC 3596 section 2.1)."""

RECORD_LIMIT = 256
"""The largest number of records of one answer. An answer with more is malformed."""

CHAIN_LIMIT = 16
"""The largest number of CNAME records between the name of the question and its addresses."""

LABEL_LIMIT = 4096
"""The largest number of labels to read of all names in one answer. An answer with more is malformed."""

_CNAME = 5
_INTERNET = 1
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_RESPONSE, _OPCODE, _AUTHORITATIVE, _TRUNCATED = 0x8000, 0x7800, 0x0400, 0x0200
_RECURSION_DESIRED, _RECURSION_AVAILABLE, _STATUS = 0x0100, 0x0080, 0x000F
_LABEL_BYTES = 63
_NAME_LIMIT = 255
# Jumps of one compressed name. One is enough; some encoders refer to a name that is a pointer itself.
_JUMP_LIMIT = 16
_SIZES = {A: 4, AAAA: 16}


@frozen
class Question:
    """A question for the addresses of one family.

    Attributes:
        identity: the number from 0 to 65535 that the answer repeats.
        name: the name in wire format and lower case, as made by `encode_name`.
        kind: `A` or `AAAA`.
    """

    identity: int
    name: bytes
    kind: int

    def encode(self) -> bytes:
        """Return the message, with recursion desired."""
        return _HEADER.pack(self.identity, _RECURSION_DESIRED, 1, 0, 0, 0) + self.section

    @property
    def section(self) -> bytes:
        """The question section of the message."""
        return self.name + struct.pack("!HH", self.kind, _INTERNET)


@frozen
class Answer:
    """An answer.

    Attributes:
        status: the RCODE.
        addresses: the addresses in the order of the message; none unless `status` is `NO_ERROR`.
        is_truncated: whether the answer did not fit into a datagram.
        is_referral: whether the server neither knows the name nor asks other servers.
    """

    status: int
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()
    is_truncated: bool = False
    is_referral: bool = False


def encode_name(host: str) -> bytes:
    """Convert a canonical name to wire format (RFC 1035 section 3.1).

    Raises:
        ValueError: a label is empty or longer than 63 octets, or the name is longer than 255.
    """
    labels = host.encode("ascii").lower().split(b".")
    if not all(0 < len(label) <= _LABEL_BYTES for label in labels):
        raise ValueError("a label of the name is empty or too long")
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    if len(name) > _NAME_LIMIT:
        raise ValueError("the name is too long")
    return name


def read_answer(data: bytes, question: Question) -> Answer | None:
    """Read a message that may be the answer to a question.

    Returns:
        The answer; None if the message is not an answer to this question.

    Raises:
        ValueError: the message answers the question and is malformed.
    """
    if len(data) < _HEADER.size:
        return None
    identity, flags, questions, answers, _, _ = _HEADER.unpack_from(data)
    if identity != question.identity or flags & (_RESPONSE | _OPCODE) != _RESPONSE:
        return None
    status = flags & _STATUS
    if questions == 0 and status not in (NO_ERROR, NO_SUCH_NAME):
        # A server that cannot read the question may leave it out.
        return Answer(status)
    section = question.section
    asked = data[_HEADER.size : _HEADER.size + len(section)]
    # Lengths of labels are below the letters, so that the whole name can be made lower case.
    if questions != 1 or asked[:-4].lower() + asked[-4:] != section:
        return None
    if flags & _TRUNCATED:
        return Answer(status, is_truncated=True)
    if status != NO_ERROR:
        return Answer(status)
    if answers == 0:
        return Answer(status, is_referral=not flags & (_AUTHORITATIVE | _RECURSION_AVAILABLE))
    if answers > RECORD_LIMIT:
        raise ValueError("the answer has too many records")
    try:
        return Answer(status, _read_addresses(data, _HEADER.size + len(section), answers, question))
    except (IndexError, struct.error):
        raise ValueError("the answer is shorter than it says") from None


def _read_addresses(data: bytes, at: int, count: int, question: Question) -> tuple[IPv4Address | IPv6Address, ...]:
    aliases: dict[bytes, bytes] = {}
    addresses: dict[bytes, list[IPv4Address | IPv6Address]] = {}
    # A pointer of two octets has the cost of the whole name, of up to 127 labels.
    left = LABEL_LIMIT
    for _ in range(count):
        owner, at, labels = _read_name(data, at)
        left -= labels
        kind, group, _, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        end = at + length
        if end > len(data):
            raise ValueError("a record is longer than the answer")
        if group == _INTERNET and kind == question.kind:
            if length != _SIZES[kind]:
                raise ValueError("an address has a wrong length")
            address = IPv4Address(data[at:end]) if kind == A else IPv6Address(data[at:end])
            addresses.setdefault(owner, []).append(address)
        elif group == _INTERNET and kind == _CNAME:
            target, stop, labels = _read_name(data, at)
            left -= labels
            if stop != end:
                raise ValueError("an alias has a wrong length")
            if aliases.setdefault(owner, target) != target:
                raise ValueError("a name has two aliases")
        if left < 0:
            raise ValueError("the names have too many labels")
        at = end
    name = question.name
    for _ in range(CHAIN_LIMIT + 1):
        if name in addresses:
            return tuple(addresses[name])
        if name not in aliases:
            return ()
        name = aliases[name]
    raise ValueError("the aliases do not end")


def _read_name(data: bytes, at: int) -> tuple[bytes, int, int]:
    """Read a name that may be compressed (RFC 1035 section 4.1.4).

    Returns:
        The name in wire format, without compression and in lower case; the offset of the next octet; and the number of
        labels.

    Raises:
        ValueError: the name does not end, is too long, or has a label of a kind that does not exist.
        IndexError: the message ends within the name.
    """
    labels: list[bytes] = []
    length, behind, start, jumps = 1, 0, at, 0
    while size := data[at]:
        if size <= _LABEL_BYTES:
            length += size + 1
            if length > _NAME_LIMIT:
                raise ValueError("a name is too long")
            labels.append(data[at : at + size + 1])
            at += size + 1
            continue
        if size < 0xC0:
            raise ValueError("a label has an unknown type")
        behind = behind or at + 2
        at = (size & 0x3F) << 8 | data[at + 1]
        jumps += 1
        # Each jump leads to a smaller offset than any part of the name before, so that the name ends.
        if at >= start or jumps > _JUMP_LIMIT:
            raise ValueError("a name does not end")
        start = at
    return b"".join(labels).lower() + b"\0", behind or at + 1, len(labels)
