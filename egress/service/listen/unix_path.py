"""Names a unix socket whose path is longer than a socket address, by the descriptor of its directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

PATH_BYTES = 107  # unix(7): sun_path has 108 octets, with the one that ends it


@contextmanager
def short_name(path: str) -> Iterator[str]:
    """Give a name for `bind` and `connect`: the path itself where it is short enough.

    Args:
        path: of the socket, of any length. Its last part has at most about 80 octets.

    Yields:
        A name that only this process can use, and only within the block (proc(5), `/proc/self/fd`).

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
