"""The name servers, and whether they answer."""

from __future__ import annotations

import os
from ipaddress import ip_address

from attrs import define, field

from egress.upstream.dns_settings import ServerAddress

RESOLV_CONF = "/etc/resolv.conf"
SERVER_LIMIT = 3
"""The largest number of name servers of resolv.conf, as in the C library (MAXNS in resolv.h)."""

_LIMIT_BYTES = 65536
# resolv.conf(5): the name server if none is listed.
_DEFAULT = "127.0.0.1"
_SILENT = 4


@define(eq=False)
class NameServer:
    """A name server.

    Attributes:
        at: the address and port.
        unanswered: the number of unanswered questions since the last answer.
    """

    at: ServerAddress
    unanswered: int = 0

    @property
    def is_silent(self) -> bool:
        """Whether the last questions, for any names, had no answer."""
        return self.unanswered >= _SILENT


@define(eq=False)
class NameServers:
    """The name servers of the configuration, else those of resolv.conf, which is read again after each change.

    Attributes:
        configured: see `DnsSettings.servers`; empty for those of the file.
        path: the name of resolv.conf. If it lists no name server, 127.0.0.1 is used.
    """

    configured: tuple[str, ...] = ()
    path: str = RESOLV_CONF
    _stamp: object = field(default=(), init=False)
    _current: tuple[NameServer, ...] = field(default=(), init=False)

    def current(self) -> tuple[NameServer, ...]:
        """Return the name servers in the order of questions. A name server is one object while it is listed."""
        stamp = self.configured or _stamp_of(self.path)
        if stamp != self._stamp:
            self._stamp = stamp
            known = {each.at: each for each in self._current}
            wanted = map(ServerAddress.parse, self.configured or _read(self.path))
            self._current = tuple(known.get(each) or NameServer(each) for each in dict.fromkeys(wanted))
        return self._current


def parse(text: str) -> list[str]:
    """Read the addresses of the first name servers of a resolv.conf.

    The lines `search`, `options` and `sortlist` have no effect, because names are absolute, and intervals and deadlines
    are configured.
    """
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            found.append(str(ip_address(words[1])))
        except ValueError:
            continue
    return found[:SERVER_LIMIT]


def _stamp_of(path: str) -> object:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _read(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            text = file.read(_LIMIT_BYTES).decode("ascii", "replace")
    except OSError:
        return [_DEFAULT]
    return parse(text) or [_DEFAULT]
