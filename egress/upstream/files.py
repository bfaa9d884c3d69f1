"""Small files that hold what an upstream is spoken to with: read whole, bounded, and kept from other eyes."""

from __future__ import annotations

import os
import stat


class Unusable(Exception):
    """A file cannot be used. Its words follow on the file's name, and hold nothing of its content."""


def read_small(path: str, limit_bytes: int, *, is_secret: bool) -> bytes:
    """Read a regular file.

    Args:
        path: its name.
        limit_bytes: of its content.
        is_secret: no user of the system but its owner and group may read or write it.

    Raises:
        Unusable: it cannot be read, or is not as it should be.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO would wait for a writer that may never come.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(error) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise Unusable("is not a regular file")
        # The bits of the group say nothing: an access list, by which service managers hand files over, shows in them.
        if is_secret and mode & (stat.S_IROTH | stat.S_IWOTH):
            raise Unusable("is open to every user of this system, and holds a secret (chmod o-rwx)")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            content = stream.read(limit_bytes + 1)
    except OSError as error:
        raise _unreadable(error) from None
    finally:
        os.close(descriptor)
    if len(content) > limit_bytes:
        raise Unusable(f"is longer than {limit_bytes} bytes")
    return content


def stamp_of(path: str) -> tuple[int, ...]:
    """Tell one state of a file from another. A link that leads elsewhere is another state too.

    Raises:
        Unusable: there is no such file.
    """
    try:
        facts = os.stat(path)
    except (OSError, ValueError) as error:
        raise _unreadable(error) from None
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _unreadable(error: OSError | ValueError) -> Unusable:
    return Unusable(f"cannot be read: {error.strerror if isinstance(error, OSError) else 'that is no file name'}")
