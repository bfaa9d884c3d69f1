"""Via (RFC 9110 section 7.6.3): the field of forwarded requests, and the detection of requests that come back."""

from __future__ import annotations

import secrets

from attrs import field, frozen

from egress.model import ConnectFields


@frozen(eq=False)
class Via:
    """The Via fields of one proxy server, as octets.

    The pseudonym replaces the host name, which would reveal the location of the proxy. It contains an id of the
    process, because the name of the program occurs in requests from other instances of egress too.

    Attributes:
        pseudonym: a token, in lower case.
        line_11: the field for a request of HTTP/1.1, with its CRLF; `line_10` for HTTP/1.0.
        end_11: `line_11` and the blank line at the end of a head; `end_10` with `line_10`.
        shared: the fields of CONNECT for a tunnel that several requests may share.
    """

    pseudonym: bytes
    line_11: bytes = field(init=False, repr=False)
    line_10: bytes = field(init=False, repr=False)
    end_11: bytes = field(init=False, repr=False)
    end_10: bytes = field(init=False, repr=False)
    shared: ConnectFields = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        lines = {minor: b"Via: 1.%d %b\r\n" % (minor, self.pseudonym) for minor in (0, 1)}
        for name, value in (
            ("line_11", lines[1]),
            ("line_10", lines[0]),
            ("end_11", lines[1] + b"\r\n"),
            ("end_10", lines[0] + b"\r\n"),
            ("shared", ConnectFields(via=lines[1])),
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def make(cls) -> Via:
        """Make the Via of a new process."""
        return cls(b"egress-" + secrets.token_hex(8).encode("ascii"))

    def is_in(self, value: bytes) -> bool:
        """Whether the value of a Via field contains the pseudonym.

        The whole value is searched, because comments may contain commas, and the case is ignored, because a proxy may
        change the case of a host.
        """
        return self.pseudonym in value.lower()
