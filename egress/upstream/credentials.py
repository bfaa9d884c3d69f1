"""The words by which a proxy knows us: Basic credentials (RFC 7617), and where they are kept."""

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
        user: not empty, without a colon; it is not shown either, for many a token stands in its place.
        password: may be empty.
        authorization: both as the value of Proxy-Authorization.

    Raises:
        ValueError: they cannot be sent (RFC 7617 section 2). The message holds nothing of them.
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
        """Take `user:password` apart at its first colon.

        Raises:
            ValueError: they cannot be sent; the message holds nothing of them.
        """
        user, colon, password = pair.partition(":")
        if not colon:
            raise ValueError("they are not `user:password`")
        return cls(user, Secret(password))


@implementer(ICredentialSource)
@frozen
class FixedCredentials:
    """Credentials that stay as they are: those of a URL.

    Attributes:
        credentials: to be sent.
    """

    credentials: BasicCredentials

    def authorization(self) -> bytes:
        """Give the value of Proxy-Authorization."""
        return self.credentials.authorization


@implementer(ICredentialSource)
@define(eq=False, init=False)
class FileCredentials:
    """Credentials in a file of their own, which may be changed at any time.

    The file is looked at when they are wanted, at most once a second. While it cannot be used, the last good ones stay.

    Attributes:
        path: the file's; it holds `user:password` and at most one newline after them.
    """

    path: str
    _file: WatchedFile[BasicCredentials]

    def __init__(self, path: str, clock: Seconds) -> None:
        """Read the file.

        Args:
            path: of a regular file that others than its owner and group can neither read nor write.
            clock: tells when to look again.

        Raises:
            ConfigError: the file cannot be used. Nothing of its content is told.
        """
        self.path = path
        try:
            self._file = WatchedFile(path, clock, _read, self._complain)
        except Unusable as problem:
            # Without the path: who mistook the key for the place of the password has written that there.
            raise ConfigError("credentials", f"its file {problem}") from None

    def authorization(self) -> bytes:
        """Give the value of Proxy-Authorization as the file has it now."""
        return self._file.current().authorization

    def _complain(self, problem: str) -> None:
        _log.warn("{path} {problem}; the credentials read from it before stay in use", path=self.path, problem=problem)


def find_credentials(setting: str, clock: Seconds, directory: str | None) -> FileCredentials:
    """Open the file that a setting names.

    Args:
        setting: a path, or `systemd:NAME` for a credential that the service manager hands over.
        clock: tells when to look again.
        directory: what the service manager put into CREDENTIALS_DIRECTORY, or None.

    Raises:
        ConfigError: there is no such file, or it cannot be used.
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
