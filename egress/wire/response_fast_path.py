"""The answer that most origins give, read and written again in one go.

It is of HTTP/1.1, has one Content-Length, and nothing else that means something to a proxy but that the connection is
kept. One regular expression takes it, as strictly as `ResponseReader` does; what comes of it is what `response_framing`
and `response_onward` say of the same head. Whatever it does not take is for them: they are slower and know everything.
"""

from __future__ import annotations

import re

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"
# A field that is passed on as it came: any but those of `egress.wire.fields.SPECIAL` and Proxy-*.
_ORDINARY = (
    rb"(?:(?:[!#$%&'*+\-.^_`|~0-9ABDFGIJLNOQRSVWXYZabdfgijlnoqrsvwxyz]|(?!(?i:CON(?:NECTION|TENT-LENGTH)|EXPECT"
    rb"|H(?:OST|TTP2-SETTINGS)|KEEP-ALIVE|MAX-FORWARDS|PROXY-[^:]*+|T(?:E|RANSFER-ENCODING)|UPGRADE):)[A-Za-z])"
    + _TOKEN
    + rb"*+:"
    + _VALUE
    + rb"\r\n)*+"
)
_KEPT = rb"(?:(?:Connection: [Kk]eep-[Aa]live|Keep-Alive:" + _VALUE + rb")\r\n)*+"
_match = re.compile(
    rb"(HTTP/1\.1 ([2-5][0-9][0-9]) " + _VALUE + rb"\r\n" + _ORDINARY + rb")" + _KEPT + rb"(" + _ORDINARY + rb")"
    rb"Content-Length: ([0-9]{1,18})\r\n"
    rb"(" + _ORDINARY + rb")" + _KEPT + rb"(" + _ORDINARY + rb")\r\n"
).match

# They have no body, whatever their length says.
_BODILESS = frozenset([b"204", b"304"])


def read_usual(data: bytes, limit_bytes: int, field_limit: int) -> tuple[int, bytes, int, int] | None:
    """Take an answer of the usual kind.

    Args:
        data: from the first octet of the answer.
        limit_bytes: of a whole head, its blank line counted.
        field_limit: field lines in a head.

    Returns:
        The status, the head for a client of HTTP/1.1 but for its blank line, the length of the body, and where that
        begins. None if it is not of this kind, not whole, or at fault. Not to be asked about answers to HEAD.
    """
    match = _match(data)
    if match is None:
        return None
    at = match.end()
    begin, status, middle, digits, end, last = match.groups()
    if at > limit_bytes or status in _BODILESS or data.count(b"\n", 0, at) - 2 > field_limit:
        return None
    length = int(digits)
    head = b"%b%b%b%bContent-Length: %d\r\nVia: 1.1 egress\r\n" % (begin, middle, end, last, length)
    return int(status), head, length, at
