"""Reads an audit log as it grows, through rotation and truncation."""

from __future__ import annotations

import os
from collections import deque
from io import FileIO

LINE_LIMIT_BYTES = 1024 * 1024
_PIECE_BYTES = 256 * 1024


class Follower:
    """Returns the lines of a file as they are written. The file is followed by name and may be replaced or truncated.

    Args:
        path: the path of the file, which need not exist yet.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._stream: FileIO | None = None
        self._begun = b""

    def last(self, count: int | None) -> list[bytes]:
        """Return the last lines of the file, and set the position to its end.

        Args:
            count: the largest number of lines; None for all.

        Raises:
            OSError: the file cannot be read. A missing file is not an error: `poll` waits for it.
        """
        self._open()
        lines: deque[bytes] = deque(maxlen=count)
        while piece := self._read():
            lines.extend(piece)
        return list(lines)

    def poll(self) -> list[bytes]:
        """Return the lines written since the last call, at most some hundred KiB.

        Raises:
            OSError: the file cannot be read.
        """
        if self._stream is None:
            self._open()
        elif self._is_cut():
            self._stream.seek(0)
            self._begun = b""
        lines = self._read()
        if not lines and self._is_replaced():
            # The new file is opened only after the old file has been read to its end.
            lines = self.end()
            self._open()
        return lines

    def end(self) -> list[bytes]:
        """Return the incomplete last line, if there is one, and close the file."""
        begun, self._begun = self._begun, b""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        return [begun] if begun else []

    def _open(self) -> None:
        try:
            self._stream = FileIO(self._path)
        except FileNotFoundError:
            self._stream = None

    def _is_cut(self) -> bool:
        assert self._stream is not None
        return os.fstat(self._stream.fileno()).st_size < self._stream.tell()

    def _is_replaced(self) -> bool:
        if self._stream is None:
            return False
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._stream.fileno()))
        except FileNotFoundError:
            # The old file was renamed and the new file does not exist yet, so the old file may still grow.
            return False

    def _read(self) -> list[bytes]:
        """Return complete lines. Reads until there is a complete line or the file ends."""
        while self._stream is not None and (data := self._stream.read(_PIECE_BYTES)):
            *lines, self._begun = (self._begun + data).split(b"\n")
            if len(self._begun) > LINE_LIMIT_BYTES:
                lines.append(self._begun)
                self._begun = b""
            if lines:
                return lines
        return []
