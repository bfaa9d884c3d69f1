"""Names a unix socket whose path is longer than its address can hold, by way of its directory's descriptor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

PATH_BYTES = 107  # unix(7): sun_path has 108 octets, with the one that ends it


@contextmanager
def short_name(path: str) -> Iterator[str]:
    """Give a name for `bind` and `connect`; a path that fits is its own.

    Args:
        path: of the socket, of any length; its last part has less than about 80 octets.

    Yields:
        A name that only this process can use, until the block ends (proc(5), `/proc/self/fd`).

    Raises:
        OSError: its directory is not there.
    """
    if len(os.fsencode(path)) <= PATH_BYTES:
        yield path
        return
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{os.path.basename(path)}"
    finally:
        os.close(directory)
