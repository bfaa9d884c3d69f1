"""The fields of a client's request that are passed on in CONNECT to upstream proxies."""

from __future__ import annotations

import re

from egress.model import ConnectFields
from egress.wire.fields import Fields
from egress.wire.request_head import RequestHead
from egress.wire.via import Via

AGENT_LIMIT_BYTES = 1024
"""The longest User-Agent that is passed on, in octets. Proxies refuse long heads."""

_is_agent = re.compile(rb"[!-~](?:[ -~\t]*[!-~])?").fullmatch


def connect_fields(head: RequestHead, via: Via) -> ConnectFields:
    """Return the fields for CONNECT of a request that has the tunnel for itself.

    User-Agent is passed on if there is one such field, of printable ASCII characters, and Connection does not name it.
    Every Via is passed on, so that a proxy further on finds its own in a loop.

    Args:
        head: the head of the request.
        via: the Via of this proxy.
    """
    fields = head.fields
    passed = b"".join(b"Via: %b\r\n" % value for lower, _, value in fields.special if lower == b"via")
    return ConnectFields(_find_agent(fields), passed + (via.line_11 if head.is_http11 else via.line_10))


def _find_agent(fields: Fields) -> bytes:
    agents = fields.values(b"user-agent")
    if len(agents) != 1 or b"user-agent" in fields.options:
        return b""
    agent = agents[0]
    return agent if len(agent) <= AGENT_LIMIT_BYTES and _is_agent(agent) else b""
