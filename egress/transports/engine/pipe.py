"""The pipe by which the kernel moves bytes from one socket to another without copying them (splice(2))."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from errno import EINVAL, ENOMEM, ENOSYS, EPERM

from attrs import frozen

PIPE_BYTES = 1024 * 1024
"""What the pipe is asked to hold: as much as an ordinary user may have. It holds less where that is not given."""

# A kernel without it, a filter of system calls, a socket of a kind that cannot do it.
_REFUSALS = frozenset((EINVAL, ENOMEM, ENOSYS, EPERM))

# Not in every build of Python's modules; the numbers are the same on every Linux.
_FLAGS = getattr(os, "SPLICE_F_MOVE", 1) | getattr(os, "SPLICE_F_NONBLOCK", 2)
_SET_SIZE = getattr(fcntl, "F_SETPIPE_SZ", 1031)

_SPLICE: Callable[..., int] | None = getattr(os, "splice", None)

_NONE = _UNKNOWN = -1


class Unfit(Exception):
    """It cannot be spliced, but may well be read and written."""


@frozen
class Calls:
    """The system calls of a pipe.

    Attributes:
        splice: None where there is none.
    """

    open: Callable[[int], tuple[int, int]] = os.pipe2
    resize: Callable[[int, int, int], int] = fcntl.fcntl
    splice: Callable[..., int] | None = _SPLICE
    read: Callable[[int, int], bytes] = os.read
    close: Callable[[int], None] = os.close


class Pipe:
    """One for all connections, and empty between any two moves.

    No byte of one connection may ever reach another. So nothing is put into a pipe that is not known to be empty: one
    that may hold something, whatever broke its last move off, is closed with what it holds, and made anew. It is made
    when it is first needed.

    Args:
        calls: the system's.
    """

    __slots__ = ("_calls", "_entry", "_exit", "_held")

    def __init__(self, calls: Calls | None = None) -> None:
        self._calls = calls or Calls()
        self._entry = self._exit = _NONE
        self._held = 0

    def fill(self, source: int, most: int) -> int:
        """Take bytes from a socket; they are to be poured, and what is left of them read, before this is called again.

        Returns:
            How many. Neither 0 nor BlockingIOError proves anything, for urgent data looks like an end or like nothing.

        Raises:
            Unfit: there is no pipe to be had, or not for this socket. Nothing was taken.
            BlockingIOError: there is nothing to be taken.
            OSError: the connection is lost.
        """
        splice = self._calls.splice
        if splice is None:
            raise Unfit
        if self._held:
            self.close()
        if self._entry < 0:
            self._open()
        self._held = _UNKNOWN
        try:
            number = splice(source, self._entry, most, flags=_FLAGS)
        except BlockingIOError:
            self._held = 0
            raise
        except OSError as error:
            if error.errno in _REFUSALS:
                raise Unfit from error
            raise
        self._held = number
        return number

    def pour(self, sink: int) -> None:
        """Give a socket what it takes of what the pipe holds.

        Raises:
            Unfit: not to this socket. Nothing was given.
            OSError: the connection is lost.
        """
        splice, held = self._calls.splice, self._held
        assert splice is not None, "without it there is nothing to pour"
        self._held = _UNKNOWN
        sent = 0
        try:
            sent = splice(self._exit, sink, held, flags=_FLAGS)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            self._held = held
            raise Unfit from error
        self._held = held - sent

    def read(self) -> bytes:
        """Take out what is left.

        Raises:
            OSError: it is lost.
        """
        held, pieces = self._held, []
        self._held = _UNKNOWN
        while held > 0:
            piece = self._calls.read(self._exit, held)
            if not piece:
                raise OSError("the pipe holds less than was put into it")
            held -= len(piece)
            pieces.append(piece)
        self._held = held
        return b"".join(pieces)

    def close(self) -> None:
        """Close it, with what it holds. The next move has another."""
        ends, self._entry, self._exit, self._held = (self._entry, self._exit), _NONE, _NONE, 0
        for each in ends:
            if each >= 0:
                with suppress(OSError):
                    self._calls.close(each)

    def _open(self) -> None:
        try:
            self._exit, self._entry = self._calls.open(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise Unfit from error
        with suppress(OSError):
            self._calls.resize(self._entry, _SET_SIZE, PIPE_BYTES)
