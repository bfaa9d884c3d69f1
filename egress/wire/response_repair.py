"""Repairs of response heads, each of which RFC 9112 asks of a proxy or permits.

A head with one of these faults can be read in one way only, if it has no other. The proxy forwards the repaired head,
so that the client cannot read another one. Heads of requests are never repaired.
"""

from __future__ import annotations

import re

from egress.errors import ProtocolError

_unfold = re.compile(rb"\r\n[\t ]++").sub
# Splits a head behind the names that have blanks behind them, without the blanks. A substitution takes three times as
# long.
_split_blanks = re.compile(rb"(\n[!#$%&'*+\-.^_`|~0-9A-Za-z]++)[\t ]++(?=:)").split
_has_folded_framing = re.compile(rb"\n(?i:content-length|transfer-encoding)[\t ]*+:[^\n]*+\n[\t ]").search


def repair_head(head: bytes) -> bytes:
    """Repair a response head.

    - Lines that end in LF alone end in CRLF (RFC 9112 section 2.2), if no line of the head ends in CRLF.
    - A field that is folded over several lines becomes one line (section 5.2).
    - Blanks between the name of a field and its colon are removed (section 5.1).

    Args:
        head: a head with its blank line, as `HeadBuffer` gave it.

    Returns:
        A head that matches the grammar.

    Raises:
        ProtocolError: origin_malformed: the field that says where the body ends is folded.
    """
    if b"\r" not in head:
        head = head.replace(b"\n", b"\r\n")
    if _has_folded_framing(head):
        # Readers that know no folding find another length.
        raise ProtocolError("origin_malformed", "Content-Length or Transfer-Encoding is folded over more than one line")
    return b"".join(_split_blanks(_unfold(b" ", head)))
