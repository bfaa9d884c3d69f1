"""The listeners as their clients see them, and HTTP as a client speaks it."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Mapping

from attrs import field, frozen

from tests.live.soak.streams import STALL_SECONDS, Stream, Take

# What no log may hold: every request has these.
SECRET = "secret-of-the-soak-7391"
_FIELDS = f"Cookie: a={SECRET}\r\nUser-Agent: soak\r\n".encode()


@frozen
class Entrance:
    """One listener.

    Attributes:
        listener: its name.
        place: host and port, or the path of a unix socket.
        client: the key of its clients in the audit log, where it is known.
        context: where it speaks TLS.
        token: a name and a token, where it requires credentials.
    """

    listener: str
    place: tuple[str, int] | str
    client: str = ""
    context: ssl.SSLContext | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)

    def dial(self) -> socket.socket:
        """Connect, and speak no TLS."""
        connected = socket.socket(socket.AF_UNIX if isinstance(self.place, str) else socket.AF_INET)
        connected.settimeout(STALL_SECONDS)
        try:
            connected.connect(self.place)
        except BaseException:
            connected.close()
            raise
        return connected

    def connect(self) -> Stream:
        """Connect, and make the TLS handshake if the listener wants one."""
        stream = Stream(self.dial())
        if self.context is not None:
            try:
                stream.secure(self.context, "localhost")
            except BaseException:
                stream.socket.close()
                raise
        return stream

    def head(self, method: str, target: str, more: bytes = b"") -> bytes:
        """Make a request head.

        Args:
            method: the method.
            target: the target, in absolute form or HOST:PORT.
            more: further field lines.
        """
        host = target.partition("://")[2].partition("/")[0] or target
        if "?" not in target and method != "CONNECT":
            target += f"?q={SECRET}"
        credentials = b""
        if self.token:
            credentials = b"Proxy-Authorization: Basic " + base64.b64encode(self.token.encode()) + b"\r\n"
        return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n".encode() + credentials + _FIELDS + more + b"\r\n"

    def facts(self, method: str, **more: object) -> dict[str, object]:
        """What a line says of every request by this listener."""
        known: dict[str, object] = {"client": self.client} if self.client else {}
        form = "connect" if method == "CONNECT" else "http"
        return {"listener": self.listener, "http_request_method": method, "request_form": form, **known, **more}


@frozen
class Response:
    """The head of a response.

    Attributes:
        status: its status.
        fields: its fields, with names in lower case.
    """

    status: int
    fields: Mapping[str, str]


def read_response(stream: Stream) -> Response:
    """Read the head of the final response.

    Raises:
        ConnectionError: the connection ended before.
    """
    while True:
        if not (head := stream.read_until(b"\r\n\r\n")):
            raise ConnectionError("the connection ended without a response")
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        if status >= 200 or status == 101:
            pairs = (line.partition(":") for line in lines[1:])
            return Response(status, {name.lower(): value.strip() for name, _, value in pairs})


def read_body(stream: Stream, response: Response, take: Take) -> None:
    """Read the body of a response that has one.

    Raises:
        ConnectionError: the connection ended before.
    """
    if response.fields.get("transfer-encoding") == "chunked":
        stream.read_chunks(take)
    elif (length := response.fields.get("content-length")) is not None:
        stream.read_size(int(length), take)
    else:
        stream.read_all(take)
