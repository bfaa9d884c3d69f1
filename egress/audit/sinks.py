"""Sinks: the destinations of lines. One writer thread uses a sink; a sink may block and may fail."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
from collections.abc import Callable, Sequence
from typing import Protocol

# POSIX: a write of this many octets to a pipe that poll reports as writable neither blocks nor mixes with other writes.
_PIPE_BUF = select.PIPE_BUF
_LAST_LINE_LIMIT = 1024 * 1024


class Sink(Protocol):
    """Writes lines.

    Attributes:
        name: "file", "stdout" or "journald".
        batch_lines: the number of lines for one call of `write`.
        last_line: the last line of the file when it was opened; None in an empty file.
        rest: the rest of a line that was written in part, which is written before all other lines.
    """

    name: str
    batch_lines: int
    last_line: bytes | None
    rest: bytes

    def write(self, lines: Sequence[bytes]) -> int:
        """Write the rest, then lines from the first on.

        Returns:
            The number of lines written or begun. Only the last line can be incomplete; `rest` is then the rest of that
            line.

        Raises:
            BlockingIOError: the sink has no room at present.
            OSError: no line could be written.
        """

    def prepare(self) -> bool:
        """Open the file by its name again, but continue to use the old file.

        Returns:
            Whether `switch` has a file to use.

        Raises:
            OSError: the file cannot be opened.
        """

    def switch(self) -> None:
        """Switch to the file that `prepare` opened. The rest of a line is dropped."""

    def close(self) -> None:
        """Close the sink."""


class StreamSink:
    """Writes lines to a stream of octets, and completes lines that were written in part.

    Args:
        name: the sink's name.
        put: writes octets and returns the number of written octets; raises OSError.
        batch_lines: lines to offer in one call.
        unit_bytes: the number of octets for one call of `put`.
    """

    def __init__(self, name: str, put: Callable[[bytes], int], batch_lines: int, unit_bytes: int) -> None:
        self.name = name
        self.batch_lines = batch_lines
        self.last_line: bytes | None = None
        self.rest = b""
        self._put = put
        self._unit_bytes = unit_bytes

    def write(self, lines: Sequence[bytes]) -> int:
        while self.rest:
            written = self._put(self.rest[: self._unit_bytes])
            if not written:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            self.rest = self.rest[written:]
        if not lines:
            return 0
        data = b"\n".join(lines[: self._fitting(lines)]) + b"\n"
        written = self._put(data[: self._unit_bytes])
        taken = data.count(b"\n", 0, written)
        if written and data[written - 1] != 0x0A:
            self.rest = data[written : data.index(b"\n", written) + 1]
            taken += 1
        return taken

    def prepare(self) -> bool:
        return False

    def switch(self) -> None:
        self.rest = b""

    def close(self) -> None:
        self.rest = b""

    def _fitting(self, lines: Sequence[bytes]) -> int:
        if sum(map(len, lines)) + len(lines) <= self._unit_bytes:
            return len(lines)
        size = 0
        for count, line in enumerate(lines):
            size += len(line) + 1
            if size > self._unit_bytes:
                return max(1, count)
        return len(lines)


class StdoutSink(StreamSink):
    """Writes to the standard output, which other processes may share.

    The descriptor stays blocking, because the non-blocking flag would apply to every process that shares the
    descriptor.

    Args:
        descriptor: the descriptor of the output, which the sink duplicates.
        patience_seconds: the time to wait for room in the pipe.

    Raises:
        OSError: the descriptor is closed.
    """

    def __init__(self, descriptor: int = 1, patience_seconds: float = 0.1) -> None:
        super().__init__("stdout", self._put_when_ready, batch_lines=8, unit_bytes=_PIPE_BUF)
        self._descriptor = os.dup(descriptor)
        self._patience_ms = int(patience_seconds * 1000)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLOUT)

    def close(self) -> None:
        super().close()
        os.close(self._descriptor)

    def _put_when_ready(self, data: bytes) -> int:
        if not self._poll.poll(self._patience_ms):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return os.write(self._descriptor, data)


class FileSink(StreamSink):
    """Appends to a file.

    Args:
        path: the path of the file, which is created with mode 0600 and locked: two processes cannot share a file.

    Raises:
        OSError: the file cannot be opened, is not a regular file, or is locked by another process.
    """

    def __init__(self, path: str) -> None:
        # Sealing holds the interpreter lock for 3 us a line, until the next write releases the lock.
        super().__init__("file", self._append, batch_lines=64, unit_bytes=1024 * 1024)
        self._path = path
        self._next: int | None = None
        self._descriptor = self._open()
        try:
            _lock(self._descriptor)
            self._read_last_line()
        except OSError:
            os.close(self._descriptor)
            raise

    def prepare(self) -> bool:
        opened = self._open()
        try:
            if not _is_same(opened, self._descriptor):
                _lock(opened)
        except OSError:
            os.close(opened)
            raise
        self._next = opened
        return True

    def switch(self) -> None:
        if self._next is not None:
            # The lock belongs to the old descriptor, so closing the new descriptor does not release the lock.
            if _is_same(self._next, self._descriptor):
                os.close(self._next)
            else:
                os.close(self._descriptor)
                self._descriptor = self._next
            self._next = None
        self._read_last_line()

    def close(self) -> None:
        super().close()
        os.close(self._descriptor)

    def _append(self, data: bytes) -> int:
        return os.write(self._descriptor, data)

    def _open(self) -> int:
        # Without O_NONBLOCK, opening a FIFO would block until it has a reader.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        descriptor = os.open(self._path, flags, 0o600)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "not a regular file")
        return descriptor

    def _read_last_line(self) -> None:
        self.last_line, is_ended = last_line(self._path)
        # A line that an earlier process left incomplete must not be joined with the next line.
        self.rest = b"" if is_ended else b"\n"


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EBUSY, "another process keeps its audit log in this file")


def _is_same(one: int, other: int) -> bool:
    return os.path.samestat(os.fstat(one), os.fstat(other))


def last_line(path: str) -> tuple[bytes | None, bool]:
    """Read the last line of a file.

    Returns:
        The line without its line end (None if the file is empty or cannot be read), and whether the line has a line
        end.
    """
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            begin = max(0, size - _LAST_LINE_LIMIT)
            stream.seek(begin)
            tail = stream.read(size - begin)
    except OSError:
        return None, True
    if not tail:
        return None, True
    is_ended = tail.endswith(b"\n")
    return (tail[:-1] if is_ended else tail).rpartition(b"\n")[2], is_ended
