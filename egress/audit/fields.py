"""What the audit log's lines hold: their types and keys, in the words of its documentation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

TYPES: Mapping[str, str] = MappingProxyType(
    {
        "end": "A request is over, whatever the end.",
        "open": "A tunnel lives on; its `end` follows. Its counts and times are those so far.",
        "refused": "A request was refused.",
        "loss": "Lines were lost before this one.",
        "start": "The supervisor began to keep this audit log.",
        "stop": "The supervisor ended in order; the last line of its run.",
        "reload": "The configuration was changed while the supervisor ran.",
        "reopen": "The file was changed for another: the last line of the old one and the first of the new one.",
    }
)

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "time": "When it happened: RFC 3339, UTC, microseconds.",
        "type": "`end`, `open` or `refused`.",
        "request_id": "Unique among all requests of a supervisor; the answer to a refused one holds it.",
        "connection_id": "Unique among all connections of a supervisor.",
        "listener": "The listener's name in the configuration.",
        "client": "The client's key: who asked.",
        "labels": "What rules may name of the client, sorted.",
        "peer": "The address of the connection's other side; empty on a unix socket.",
        "peer_port": "Its port; 0 on a unix socket.",
        "request_form": "How it came: `http` or `connect`; empty where nothing could be read.",
        "method": "The request's method, cut after 32 characters; `CONNECT` for a tunnel.",
        "host": "Where to: the canonical name or the address.",
        "port": "Where to: the port.",
        "path": "The path as far as the setting `paths` wants it, never the query, cut after 256 characters; "
        "null for a tunnel.",
        "verdict": "`allow`, `deny`, or `none` where it failed before it was judged or between the rounds.",
        "policy": "The name of the policy that decided, or empty.",
        "rule": "The name of its rule, or empty.",
        "reason": "Why it was decided or why it failed: one sentence.",
        "code": "What kind of refusal or failure; null where there was none.",
        "detail": "More about a refusal or failure, for operators: it may name addresses. Null where there is none.",
        "upstream": "The label of the route; null where it was not admitted.",
        "upstream_level": "Level of the cascade that chose the upstream: `refused`, `run`, `agent`, `listener`, "
        "`route`, `organization`, `system`, `environment` or `none`; null where no upstream was chosen.",
        "upstream_source": "Setting that chose the upstream; empty where no setting did and the route is direct; "
        "null where no upstream was chosen.",
        "hops": "The proxies on the way, by their names, nearest first.",
        "addresses": "What the host was resolved to and judged by.",
        "address_check": "`passed`; `none` where the name was left to the next proxy and no address was judged; "
        "null where it was not admitted.",
        "audit": "What policies in audit mode would have done: a list of `policy`, `rule` and `reason`.",
        "generation": "Which configuration judged it: counts up with each reload; null where it was not admitted.",
        "dialled": "The address that was dialled; null where none was.",
        "server_name": "The name in the tunnel's ClientHello: null where there was no ClientHello, empty where it had "
        "no name.",
        "status": "The status of the answer that the client got; null where it got none.",
        "bytes_up": "Octets of content from client to origin; heads are not counted.",
        "bytes_down": "Octets of content from origin to client; heads are not counted.",
        "judge_ms": "Milliseconds of judging; null where it did not happen.",
        "resolve_ms": "Milliseconds of waiting for the resolver; null where it was not asked.",
        "dial_ms": "Milliseconds until the connection to the origin stood; null where none was made.",
        "wait_ms": "Milliseconds from the request's last octet to the answer's first; null where there was no answer.",
        "total_ms": "Milliseconds from the end of the request's head to the end.",
        "cause": "What ended it; null while it lives on.",
    }
)
