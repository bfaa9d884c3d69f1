"""Reads one TOML document from a file."""

from __future__ import annotations

import os
import re
import stat
import tomllib

from egress.errors import ConfigError

LIMIT_BYTES = 4 * 1024 * 1024

_POSITION = re.compile(r"(.*) \(at (line \d+, column \d+|end of document)\)\Z", re.DOTALL)
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def read(file: str) -> dict[str, object]:
    """Read a configuration file.

    Args:
        file: the file's name; errors repeat it unchanged.

    Returns:
        The document's tables and values, as returned by tomllib.

    Raises:
        ConfigError: the file cannot be read, is not a regular file, is longer than 4 MiB, or is not TOML in UTF-8.
            `where` is then the line and column of the fault.
    """
    text = _decode(file, _content(file))
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(file, str(error))
    except RecursionError:
        raise ConfigError("", "is nested too deeply", file)
    except ValueError:
        # tomllib does not catch the error of int() for too many digits.
        raise ConfigError("", "holds a number that is too long", file)


def _content(file: str) -> bytes:
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError("", f"cannot be read: {error.strerror}", file)
    except ValueError:
        raise ConfigError("", "is not a file name", file.replace("\0", "?"))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ConfigError("", "is not a regular file", file)
    with os.fdopen(descriptor, "rb") as stream:
        try:
            content = stream.read(LIMIT_BYTES + 1)
        except OSError as error:
            raise ConfigError("", f"cannot be read: {error.strerror}", file)
    if len(content) > LIMIT_BYTES:
        raise ConfigError("", f"is longer than {LIMIT_BYTES // 1024 // 1024} MiB", file)
    return content


def _decode(file: str, content: bytes) -> str:
    if content.startswith(_BOMS):
        raise ConfigError("line 1", "begins with a byte order mark; save it as UTF-8 without one", file)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"line {line}", "is not UTF-8, which TOML asks for", file)


def _syntax_error(file: str, message: str) -> ConfigError:
    found = _POSITION.match(message)
    position, problem = (found[2], found[1]) if found else ("", message)
    return ConfigError(position, f"is not TOML: {problem}", file)
