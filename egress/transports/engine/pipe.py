"""The pipe through which the kernel moves octets from one socket to another without copying them (splice(2))."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from errno import EINVAL, ENOMEM, ENOSYS, EPERM

from attrs import frozen

PIPE_BYTES = 1024 * 1024
"""The requested capacity, which is the default limit of an unprivileged user. The kernel may grant less."""

# The kernel has no splice(2), a system call filter forbids it, or the socket's kind does not support it.
_REFUSALS = frozenset((EINVAL, ENOMEM, ENOSYS, EPERM))

# Some builds of Python lack these names. The numbers are equal on every Linux.
_FLAGS = getattr(os, "SPLICE_F_MOVE", 1) | getattr(os, "SPLICE_F_NONBLOCK", 2)
_SET_SIZE = getattr(fcntl, "F_SETPIPE_SZ", 1031)

_SPLICE: Callable[..., int] | None = getattr(os, "splice", None)

_NONE = _UNKNOWN = -1


class CannotSplice(Exception):
    """These sockets cannot be spliced. They can be read and written."""


@frozen
class Calls:
    """The system calls that a pipe uses.

    Attributes:
        splice: None if Python or the system has no such call.
    """

    open: Callable[[int], tuple[int, int]] = os.pipe2
    resize: Callable[[int, int, int], int] = fcntl.fcntl
    splice: Callable[..., int] | None = _SPLICE
    read: Callable[[int, int], bytes] = os.read
    close: Callable[[int], None] = os.close


class Pipe:
    """One kernel pipe for all connections, empty between any two moves.

    No octet of one connection may reach another. Octets are therefore only moved into a pipe that is known to be empty:
    a pipe whose last move failed is closed with its content, and a new pipe is opened. The pipe is opened on first use.

    Args:
        calls: the system calls; a test can replace them.
    """

    __slots__ = ("_calls", "_held", "_read_end", "_write_end")

    def __init__(self, calls: Calls | None = None) -> None:
        self._calls = calls or Calls()
        self._write_end = self._read_end = _NONE
        self._held = 0

    def splice_in(self, source: int, most: int) -> int:
        """Move octets from a socket into the pipe. `splice_out` and `drain` must empty the pipe before the next call.

        Args:
            source: the descriptor of the socket.
            most: the greatest number of octets.

        Returns:
            The number of octets. Neither 0 nor BlockingIOError proves that the socket has ended or is empty: urgent
            data causes either.

        Raises:
            CannotSplice: no pipe can be opened, or this socket cannot be spliced. Nothing was read.
            BlockingIOError: the socket has no octets to read.
            OSError: the connection is lost.
        """
        splice = self._calls.splice
        if splice is None:
            raise CannotSplice
        if self._held:
            self.close()
        if self._write_end < 0:
            self._open()
        self._held = _UNKNOWN
        try:
            number = splice(source, self._write_end, most, flags=_FLAGS)
        except BlockingIOError:
            self._held = 0
            raise
        except OSError as error:
            if error.errno in _REFUSALS:
                raise CannotSplice from error
            raise
        self._held = number
        return number

    def splice_out(self, sink: int) -> None:
        """Move octets from the pipe to a socket, as many as the socket accepts.

        Raises:
            CannotSplice: this socket cannot be spliced. Nothing was written.
            OSError: the connection is lost.
        """
        splice, held = self._calls.splice, self._held
        assert splice is not None, "without it the pipe is empty"
        self._held = _UNKNOWN
        sent = 0
        try:
            sent = splice(self._read_end, sink, held, flags=_FLAGS)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            self._held = held
            raise CannotSplice from error
        self._held = held - sent

    def drain(self) -> bytes:
        """Read the rest of the pipe's content.

        Raises:
            OSError: the content is lost.
        """
        held, pieces = self._held, []
        self._held = _UNKNOWN
        while held > 0:
            piece = self._calls.read(self._read_end, held)
            if not piece:
                raise OSError("the pipe holds less than was put into it")
            held -= len(piece)
            pieces.append(piece)
        self._held = held
        return b"".join(pieces)

    def close(self) -> None:
        """Close the pipe with its content. The next move opens another."""
        ends, self._write_end, self._read_end, self._held = (self._write_end, self._read_end), _NONE, _NONE, 0
        for each in ends:
            if each >= 0:
                with suppress(OSError):
                    self._calls.close(each)

    def _open(self) -> None:
        try:
            self._read_end, self._write_end = self._calls.open(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise CannotSplice from error
        with suppress(OSError):
            self._calls.resize(self._write_end, _SET_SIZE, PIPE_BYTES)
