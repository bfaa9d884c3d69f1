"""Adds a line to a tokens file, also while a proxy uses the file."""

from __future__ import annotations

import fcntl
import os

from egress.config.files import Unusable
from egress.errors import ConfigError
from egress.identity.tokens import FILE_LIMIT_BYTES, parse_tokens, read_tokens

_MODE = 0o600


def add_line(path: str, name: str, line: str) -> int:
    """Append a line to a tokens file. A missing file is created, readable by its owner only.

    Args:
        path: the path of the file.
        name: the name in the line.
        line: the line without its end.

    Returns:
        The number of lines that the file now has for the name.

    Raises:
        ConfigError: the file cannot be written, or the proxy would refuse the file with or without the line. The file
            is then unchanged.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, _MODE)
    except (OSError, ValueError) as error:
        raise ConfigError("", f"cannot be opened: {_describe(error)}", path) from None
    try:
        # The lock prevents concurrent writers from reading each other's incomplete lines.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # The call also checks that the file is a regular file.
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
        # One write, so that a proxy that reads now reads the whole line or none of it.
        if os.write(descriptor, addition) != len(addition):
            os.ftruncate(descriptor, size)
            raise ConfigError("", "could not be written to its end", path)
        os.fsync(descriptor)
    except Unusable as problem:
        raise ConfigError("", str(problem), path) from None
    except OSError as error:
        raise ConfigError("", f"cannot be written: {_describe(error)}", path) from None
    finally:
        os.close(descriptor)
    return after.count_of(name)


def _describe(error: OSError | ValueError) -> str:
    return error.strerror or "it failed" if isinstance(error, OSError) else "that is no file name"
