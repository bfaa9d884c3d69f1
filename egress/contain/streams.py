"""Standard input, output and error of a contained command.

A descriptor is a way past the view of the file system: a directory shows the tree that is hidden, and a file that was
opened for reading can be opened again for writing by /proc/self/fd.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat

_NAMES = ("standard input", "standard output", "standard error")


class StreamRefused(Exception):
    """A standard stream cannot be passed. The text says which, and why."""


def check(descriptor: int) -> bool:
    """Decide how a standard stream is passed.

    Args:
        descriptor: 0, 1 or 2.

    Returns:
        Whether its octets are copied through a pipe, because it is a file; else the descriptor itself is passed.

    Raises:
        StreamRefused: it is something else than a file, a pipe, a terminal, a null device or a unix socket.
    """
    name = _NAMES[descriptor]
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False  # Closed: the program finds it closed, too.
    if stat.S_ISREG(mode):
        return True
    if stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and not _is_path_only(descriptor)):
        return False
    if stat.S_ISSOCK(mode):
        with socket.socket(fileno=os.dup(descriptor)) as found:
            if found.family == socket.AF_UNIX:
                return False
        raise StreamRefused(f"{name} is a network socket, which would lead past the proxy; use a pipe")
    raise StreamRefused(f"{name} is a {_kind(mode)}, which would lead past the contained files; use a file or a pipe")


def _is_path_only(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_PATH)


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "directory"
    return "block device" if stat.S_ISBLK(mode) else "special file"


class Copier:
    """Copies one standard stream that is a file, in a process of its own.

    Args:
        descriptor: 0, 1 or 2.

    Attributes:
        inner: the end of the pipe for the command.
        process: the copying process.
    """

    def __init__(self, descriptor: int) -> None:
        reading, writing = os.pipe()
        self.inner, outer = (reading, writing) if descriptor == 0 else (writing, reading)
        self.process = os.fork()
        if self.process == 0:
            os.close(self.inner)
            source, sink = (descriptor, outer) if descriptor == 0 else (outer, descriptor)
            try:
                _copy(source, sink)
            finally:
                os._exit(0)
        os.close(outer)


def _copy(source: int, sink: int) -> None:
    while data := os.read(source, 65_536):
        while data:
            data = data[os.write(sink, data) :]
