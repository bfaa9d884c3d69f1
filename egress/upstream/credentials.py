"""Credentials for upstream proxies: Basic (RFC 7617), from a URL, a file or the service manager."""

from __future__ import annotations

import os
from base64 import b64encode

from attrs import define, field, frozen
from twisted.logger import Logger
from zope.interface import implementer

from egress.config.files import Unusable, read_small
from egress.config.watched_file import Seconds, WatchedFile
from egress.errors import ConfigError
from egress.interfaces import ICredentialSource
from egress.model import Secret

FILE_LIMIT_BYTES = 4096
_SYSTEMD = "systemd:"
_CONTROL = frozenset(map(chr, (*range(0x20), 0x7F)))
_BYTE_ORDER_MARK = "\ufeff"

_log = Logger()


@frozen
class BasicCredentials:
    """A user and a password.

    Attributes:
        user: the user name, not empty, without a colon. `repr` hides the name, because it is often a token.
        password: the password, which may be empty.
        authorization: the value of Proxy-Authorization.

    Raises:
        ValueError: user or password cannot be sent (RFC 7617 section 2). The message contains no part of them.
    """

    user: str = field(repr=False)
    password: Secret
    authorization: bytes = field(init=False, repr=False)

    @authorization.default
    def _authorization(self) -> bytes:
        password = self.password.reveal()
        if not self.user:
            raise ValueError("the user is empty")
        if ":" in self.user:
            raise ValueError("the user has a colon, which ends it")
        if not _CONTROL.isdisjoint(self.user) or not _CONTROL.isdisjoint(password):
            raise ValueError("they hold a control character")
        try:
            pair = f"{self.user}:{password}".encode()
        except UnicodeEncodeError:
            raise ValueError("they hold what is not a character") from None
        return b"Basic " + b64encode(pair)

    @classmethod
    def parse(cls, pair: str) -> BasicCredentials:
        """Parse `user:password`, which the first colon separates.

        Raises:
            ValueError: user or password cannot be sent. The message contains no part of them.
        """
        user, colon, password = pair.partition(":")
        if not colon:
            raise ValueError("they are not `user:password`")
        return cls(user, Secret(password))


@implementer(ICredentialSource)
@frozen
class FixedCredentials:
    """Credentials from a URL, which never change.

    Attributes:
        credentials: the credentials.
    """

    credentials: BasicCredentials

    def authorization(self) -> bytes:
        """Return the value of Proxy-Authorization."""
        return self.credentials.authorization


@implementer(ICredentialSource)
@define(eq=False, init=False)
class FileCredentials:
    """Credentials in a file, which may be changed at any time.

    The file is checked for changes on use, at most once a second. While it is invalid, the last valid credentials are
    used.

    Attributes:
        path: the path of a file that contains `user:password` and at most one newline.
    """

    path: str
    _file: WatchedFile[BasicCredentials]

    def __init__(self, path: str, clock: Seconds) -> None:
        """Read the file.

        Args:
            path: the path of a regular file that is neither readable nor writable by others.
            clock: limits how often the file is checked.

        Raises:
            ConfigError: the file cannot be used. The error contains no part of its content.
        """
        self.path = path
        try:
            self._file = WatchedFile(path, clock, _read, self._complain)
        except Unusable as problem:
            # The message omits the path, because an operator may have written the password in place of the path.
            raise ConfigError("credentials", f"its file {problem}") from None

    def authorization(self) -> bytes:
        """Return the current value of Proxy-Authorization."""
        return self._file.current().authorization

    def _complain(self, problem: str) -> None:
        _log.warn("{path} {problem}; the credentials read from it before stay in use", path=self.path, problem=problem)


def find_credentials(setting: str, clock: Seconds, directory: str | None) -> FileCredentials:
    """Open the file that a setting names.

    Args:
        setting: a path, or `systemd:NAME` for a credential of the service manager.
        clock: limits how often the file is checked for changes.
        directory: the value of CREDENTIALS_DIRECTORY, which the service manager sets, or None.

    Raises:
        ConfigError: the file does not exist or cannot be used.
    """
    if not setting.startswith(_SYSTEMD):
        return FileCredentials(setting, clock)
    name = setting.removeprefix(_SYSTEMD)
    if not name or "/" in name or name in (".", ".."):
        raise ConfigError("credentials", "names no credential of the service manager")
    if not directory:
        raise ConfigError(
            "credentials",
            "is a credential of the service manager, and it has handed none over: CREDENTIALS_DIRECTORY is not set",
        )
    return FileCredentials(os.path.join(directory, name), clock)


def _read(path: str) -> BasicCredentials:
    content = read_small(path, FILE_LIMIT_BYTES, is_secret=True)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise Unusable("is not UTF-8") from None
    if text.startswith(_BYTE_ORDER_MARK):
        raise Unusable("begins with a byte order mark")
    text = text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
    try:
        return BasicCredentials.parse(text)
    except ValueError as problem:
        raise Unusable(f"holds credentials that cannot be used: {problem}") from None
