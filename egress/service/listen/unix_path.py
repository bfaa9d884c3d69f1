"""Short names of unix sockets whose path is longer than a socket address, by the descriptor of the directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

PATH_BYTES = 107  # unix(7): sun_path has 108 octets, including the terminating NUL


@contextmanager
def short_name(path: str) -> Iterator[str]:
    """Make a name for `bind` and `connect`: the path itself if it is short enough.

    Args:
        path: the path of the socket, of any length. The last part has at most about 80 octets.

    Yields:
        A name that is valid only in this process and only within the block (proc(5), `/proc/self/fd`).

    Raises:
        OSError: the directory does not exist.
    """
    if len(os.fsencode(path)) <= PATH_BYTES:
        yield path
        return
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{os.path.basename(path)}"
    finally:
        os.close(directory)
