"""The fields of a client's request that are passed on in CONNECT to upstream proxies."""

from __future__ import annotations

import re

from egress.model import ConnectFields
from egress.wire.request_head import RequestHead

AGENT_LIMIT_BYTES = 1024
"""The longest User-Agent that is passed on. A proxy may refuse a head that is longer than it expects."""

_is_agent = re.compile(rb"[!-~](?:[ -~\t]*[!-~])?").fullmatch


def connect_fields(head: RequestHead) -> ConnectFields:
    """Read what is passed on of a request that alone uses the tunnel.

    User-Agent is passed on if there is one such field, of printable ASCII characters, and Connection does not name it.
    """
    agents = head.fields.values(b"user-agent")
    if len(agents) != 1 or b"user-agent" in head.fields.options:
        return ConnectFields()
    agent = agents[0]
    return ConnectFields(agent if len(agent) <= AGENT_LIMIT_BYTES and _is_agent(agent) else b"")
