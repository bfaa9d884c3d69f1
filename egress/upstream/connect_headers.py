"""`[[upstream]] connect_headers`: further fields of the CONNECT requests to a proxy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version

from attrs import field, frozen

from egress.config import join
from egress.errors import ConfigError
from egress.model import ConnectFields, Secret

FIELD_LIMIT = 32
"""Fields of one upstream."""

LIMIT_BYTES = 8192
"""Octets of all field lines of one upstream."""

# Many corporate proxies refuse a CONNECT without it. The field describes this proxy, which makes the request.
_OWN_USER_AGENT = f"User-Agent: egress/{version('egress')}\r\n".encode("ascii")

_is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_is_value = re.compile(r"[!-~](?:[ -~\t]*[!-~])?").fullmatch

# Fields that frame the request or belong to one connection, and those that egress writes itself.
_RESERVED = {
    "host": "is the requested destination",
    "proxy-authorization": "is made of the upstream's credentials; name them with `credentials`",
    "via": "is written by egress, which detects loops by it",
    **dict.fromkeys(
        [
            "connection",
            "content-length",
            "expect",
            "http2-settings",
            "keep-alive",
            "max-forwards",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ],
        "controls the connection or the framing",
    ),
}


@frozen
class ConnectHeaders:
    """The further fields of CONNECT requests to one proxy. `repr` shows no values, which may be secrets.

    Attributes:
        names: the names of the fields, as written.
        has_user_agent: whether one of the fields is User-Agent, which replaces any other User-Agent.
    """

    names: tuple[str, ...] = ()
    has_user_agent: bool = False
    _lines: bytes = field(default=b"", repr=False)

    @classmethod
    def parse(cls, headers: Mapping[str, Secret]) -> ConnectHeaders:
        """Parse a table of names and values.

        Raises:
            ConfigError: a name or a value is invalid, a name is reserved or occurs twice, or the table is empty or too
                large. The error repeats no value.
        """
        if not headers:
            raise ConfigError("", "is empty; leave the key out or fill it")
        known: dict[str, str] = {}
        for name, value in headers.items():
            where, lower = join("", name), name.lower()
            if not _is_token(name):
                raise ConfigError(where, "is no field name: letters, digits and - _ . are")
            if lower in _RESERVED:
                raise ConfigError(where, f"cannot be set: the field {_RESERVED[lower]}")
            if lower in known:
                raise ConfigError(where, f"is the same field as {known[lower]}")
            if not _is_value(value.reveal()):
                raise ConfigError(where, "must be printable ASCII characters, with no blank at either end")
            known[lower] = name
        lines = "".join(f"{name}: {value.reveal()}\r\n" for name, value in headers.items()).encode("ascii")
        if len(known) > FIELD_LIMIT or len(lines) > LIMIT_BYTES:
            raise ConfigError("", f"is larger than {FIELD_LIMIT} fields or {LIMIT_BYTES} octets")
        return cls(tuple(headers), "user-agent" in known, lines)

    def lines(self, fields: ConnectFields) -> bytes:
        """Return the field lines of a CONNECT request besides Host and Proxy-Authorization.

        Args:
            fields: the fields of the client's request that are passed on.
        """
        agent = b""
        if not self.has_user_agent:
            agent = b"User-Agent: %b\r\n" % fields.user_agent if fields.user_agent else _OWN_USER_AGENT
        return agent + fields.via + self._lines


NO_HEADERS = ConnectHeaders()
"""The further fields of a proxy without `connect_headers`."""
