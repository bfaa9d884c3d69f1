"""Adds a line to a tokens file, which a proxy may be using."""

from __future__ import annotations

import fcntl
import os

from egress.config.files import Unusable
from egress.errors import ConfigError
from egress.identity.tokens import FILE_LIMIT_BYTES, parse_tokens, read_tokens

_MODE = 0o600


def add_line(path: str, name: str, line: str) -> int:
    """Add a line at the end of a tokens file, which is made if there is none, readable by its owner only.

    Args:
        path: of the file.
        name: that the line is of.
        line: without its end.

    Returns:
        How many lines the file has of that name now.

    Raises:
        ConfigError: the file cannot be written, or the proxy would not take it, as it is or with the line; it is
            then as it was.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, _MODE)
    except (OSError, ValueError) as error:
        raise ConfigError("", f"cannot be opened: {_words(error)}", path) from None
    try:
        # Two who add at the same time do not see half a line of each other.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Also holds it to be a regular file.
        read_tokens(path)
        size = os.fstat(descriptor).st_size
        before = os.pread(descriptor, size, 0)
        addition = f"{line}\n".encode()
        if before and not before.endswith(b"\n"):
            addition = b"\n" + addition
        after = parse_tokens(before + addition, path)
        if len(before) + len(addition) > FILE_LIMIT_BYTES:
            raise ConfigError("", f"would be longer than {FILE_LIMIT_BYTES} bytes", path)
        if after.chosen and os.fstat(descriptor).st_mode & 0o004:
            raise ConfigError("", "is readable by every user of this system; a chosen secret needs chmod o-r", path)
        # In one piece: a proxy that reads now sees all of it or nothing.
        if os.write(descriptor, addition) != len(addition):
            os.ftruncate(descriptor, size)
            raise ConfigError("", "could not be written to its end", path)
        os.fsync(descriptor)
    except Unusable as problem:
        raise ConfigError("", str(problem), path) from None
    except OSError as error:
        raise ConfigError("", f"cannot be written: {_words(error)}", path) from None
    finally:
        os.close(descriptor)
    return after.count_of(name)


def _words(error: OSError | ValueError) -> str:
    return error.strerror or "it failed" if isinstance(error, OSError) else "that is no file name"
