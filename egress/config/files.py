"""Bounded reads of small files that the configuration names, with checks of their permissions."""

from __future__ import annotations

import os
import stat

from attrs import frozen


class Unusable(Exception):
    """A file cannot be used. The message continues a sentence after the file's name and shows none of the content."""


@frozen
class Content:
    """The content of a file, and its permissions at the time of reading.

    Attributes:
        octets: the content.
        is_readable_by_all: every user of the system can read the file.
        is_writable_by_all: every user of the system can write the file.
    """

    octets: bytes
    is_readable_by_all: bool
    is_writable_by_all: bool


def read_small(path: str, limit_bytes: int, *, is_secret: bool) -> bytes:
    """Read a regular file.

    Args:
        path: the file's name.
        limit_bytes: the largest size of the content.
        is_secret: whether only the owner and the group may have permissions.

    Raises:
        Unusable: the file cannot be read, is not a regular file, is longer than `limit_bytes`, or has too wide
            permissions.
    """
    content = read_content(path, limit_bytes)
    if is_secret and (content.is_readable_by_all or content.is_writable_by_all):
        raise Unusable("is open to every user of this system, and holds a secret (chmod o-rwx)")
    return content.octets


def read_content(path: str, limit_bytes: int) -> Content:
    """Read a regular file and its permissions.

    Args:
        path: the file's name.
        limit_bytes: the largest size of the content.

    Raises:
        Unusable: the file cannot be read, is not a regular file, or is longer than `limit_bytes`.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer.
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
    # The group's bits are not checked: on a file with an access list they are its mask, and service managers grant
    # access by access lists.
    return Content(octets, bool(mode & stat.S_IROTH), bool(mode & stat.S_IWOTH))


def stamp_of(path: str) -> tuple[int, ...]:
    """Return a value that differs between states of a file. A symbolic link to another file is another state.

    Raises:
        Unusable: the file does not exist or cannot be examined.
    """
    try:
        facts = os.stat(path)
    except (OSError, ValueError) as error:
        raise _unreadable(error) from None
    # A change of mode or owner changes the inode's time of change.
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _unreadable(error: OSError | ValueError) -> Unusable:
    return Unusable(f"cannot be read: {error.strerror if isinstance(error, OSError) else 'that is no file name'}")
