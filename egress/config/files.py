"""Small files beside the configuration: read whole, bounded, and kept from other eyes."""

from __future__ import annotations

import os
import stat

from attrs import frozen


class Unusable(Exception):
    """A file cannot be used. Its words follow on the file's name, and hold nothing of its content."""


@frozen
class Content:
    """What a file held when it was read.

    Attributes:
        octets: all of them.
        is_readable_by_all: every user of the system could read it.
        is_writable_by_all: every user of the system could write it.
    """

    octets: bytes
    is_readable_by_all: bool
    is_writable_by_all: bool


def read_small(path: str, limit_bytes: int, *, is_secret: bool) -> bytes:
    """Read a regular file.

    Args:
        path: its name.
        limit_bytes: of its content.
        is_secret: no user of the system but its owner and group may read or write it.

    Raises:
        Unusable: it cannot be read, or is not as it should be.
    """
    content = read_content(path, limit_bytes)
    if is_secret and (content.is_readable_by_all or content.is_writable_by_all):
        raise Unusable("is open to every user of this system, and holds a secret (chmod o-rwx)")
    return content.octets


def read_content(path: str, limit_bytes: int) -> Content:
    """Read a regular file, and say who else could.

    Args:
        path: its name.
        limit_bytes: of its content.

    Raises:
        Unusable: it cannot be read, or is longer.
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
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            octets = stream.read(limit_bytes + 1)
    except OSError as error:
        raise _unreadable(error) from None
    finally:
        os.close(descriptor)
    if len(octets) > limit_bytes:
        raise Unusable(f"is longer than {limit_bytes} bytes")
    # The bits of the group say nothing: an access list, by which service managers hand files over, shows in them.
    return Content(octets, bool(mode & stat.S_IROTH), bool(mode & stat.S_IWOTH))


def stamp_of(path: str) -> tuple[int, ...]:
    """Tell one state of a file from another. A link that leads elsewhere is another state too.

    Raises:
        Unusable: there is no such file.
    """
    try:
        facts = os.stat(path)
    except (OSError, ValueError) as error:
        raise _unreadable(error) from None
    # The mode and the owner are in it through the time of the last change of the inode.
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _unreadable(error: OSError | ValueError) -> Unusable:
    return Unusable(f"cannot be read: {error.strerror if isinstance(error, OSError) else 'that is no file name'}")
