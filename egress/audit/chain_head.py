"""The head of a sealed audit log: the last line that was written, by its place in the chain and its hash."""

from __future__ import annotations

import json
import os
import re
from typing import BinaryIO

from attrs import asdict, frozen

from egress.audit.hash_chain import digest

HEAD_LIMIT_BYTES = 64 * 1024

# A killed writer may have written this much after the head that it recorded last.
_SEARCH_BYTES = 32 * 1024 * 1024
_is_hash = re.compile(r"[0-9a-f]{64}").fullmatch
_is_writer = re.compile(r"[0-9a-f]{32}").fullmatch


@frozen
class ChainHead:
    """One line of a sealed audit log, the last one when the head was taken.

    Attributes:
        hash: the SHA-256 of the line, 64 hex digits.
        place: the file's path, "stdout" or "journald"; "" where only the hash is known.
        writer: the id of the line's segment, 32 hex digits; "" where only the hash is known.
        seq: the line's place in the segment; -1 where only the hash is known.
    """

    hash: str
    place: str = ""
    writer: str = ""
    seq: int = -1

    def encode(self) -> bytes:
        """Format the head as one line of JSON in ASCII, with its line end."""
        return json.dumps(asdict(self)).encode("ascii") + b"\n"


def parse_hash(text: str) -> ChainHead:
    """Return the head of which only the hash is known.

    Raises:
        ValueError: the text is not a SHA-256 in lower-case hex.
    """
    if not _is_hash(text):
        raise ValueError("a hash has 64 hex digits")
    return ChainHead(text)


def parse_head(data: bytes) -> ChainHead:
    """Read what `ChainHead.encode` made.

    Raises:
        ValueError: the octets are something else.
    """
    try:
        found = json.loads(data)
    except RecursionError:
        raise ValueError("not the head of an audit log")
    if not isinstance(found, dict):
        raise ValueError("not the head of an audit log")
    value, place, writer, seq = (found.get(key) for key in ("hash", "place", "writer", "seq"))
    if (
        not (isinstance(value, str) and _is_hash(value))
        or not (isinstance(writer, str) and _is_writer(writer))
        or not isinstance(place, str)
        or type(seq) is not int
        or not 0 <= seq < 1 << 60
    ):
        raise ValueError("not the head of an audit log")
    return ChainHead(value, place, writer, seq)


def head_path(state: str, sink: str) -> str:
    """Return the path of the file that holds the head of one sink's chain.

    Args:
        state: the state directory.
        sink: "file", "stdout" or "journald".
    """
    return os.path.join(state, f"audit-head-{sink}.json")


def read_head(path: str) -> ChainHead | None:
    """Read a recorded head.

    Returns:
        The head, or None where no file has this name.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file holds something else.
    """
    try:
        # A FIFO in its place must not block the reader.
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as stream:
            return parse_head(stream.read(HEAD_LIMIT_BYTES))
    except FileNotFoundError:
        return None


def is_within(head: ChainHead, stream: BinaryIO) -> bool:
    """Whether an audit log holds the line of a head among its last 32 MiB."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _SEARCH_BYTES))
    wanted = head.hash.encode("ascii")
    return any(digest(line.rstrip(b"\n")) == wanted for line in stream)
