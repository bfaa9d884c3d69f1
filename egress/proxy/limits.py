"""The bounds of the proxy server: every wait, every buffer and every count has one. Units stand in the names."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from egress.config import between

_seconds = between(0.05, 31_536_000)
_count = between(1, 10_000_000)


@frozen
class Limits:
    """The `[limits]` table.

    Attributes:
        head_bytes: a request or response head, without its body. Answer: 431; of an origin's head 502.
        target_bytes: a request target. Answer: 414.
        head_fields: field lines in a head. Answer: 431; of an origin's head 502.
        head_seconds: from a request's first byte to its head's end. Answer: 408.
        keepalive_seconds: a client connection without a request. The connection closes.
        connections: client connections in all. Answer: 503.
        connections_per_client: the same of one client. Answer: 429.
        authentication_failures_per_minute: wrong credentials of one client. Answer: 429 `too_many_failures`.
        policy_seconds: a policy that answers later. Answer: 403 `policy_failed`.
        dial_seconds_per_address: one address of a destination. Answer: 504, or the next address.
        dial_seconds: all addresses together. Answer: 504.
        handshakes: TLS handshakes with clients, each from its first byte. The one that has taken longest is reset.
        handshake_seconds: one handshake: of TLS with a client, which is reset; of TLS and of CONNECT with a proxy on
            the route, answered 504 `proxy_timeout`.
        response_seconds: from the request's end to the answer's head. Answer: 504.
        body_stall_seconds: a request body that does not move. Answer: 408.
        request_body_bytes: a request body. Answer: 413.
        hello_bytes: a ClientHello at the start of a tunnel. A reset.
        hello_seconds: the same, from its first byte. A reset.
        idle_seconds: a tunnel, or an answer's body, in which nothing moves. It is reset.
        tunnel_seconds: the longest life of a tunnel. It closes.
        linger_seconds: after a refusal, reading on so that the answer is not lost to a reset.
        drain_seconds: running requests after SIGTERM.
        pool_connections: idle origin connections in all.
        pool_connections_per_origin: the same for one origin, route and client.
        pool_seconds: an idle origin connection.
    """

    head_bytes: int = field(default=65_536, validator=between(1024, 1_048_576))
    target_bytes: int = field(default=16_384, validator=between(256, 1_048_576))
    head_fields: int = field(default=128, validator=between(8, 10_000))
    head_seconds: float = field(default=15.0, validator=_seconds)
    keepalive_seconds: float = field(default=75.0, validator=_seconds)
    connections: int = field(default=8_192, validator=_count)
    connections_per_client: int = field(default=6_144, validator=_count)
    authentication_failures_per_minute: int = field(default=20, validator=_count)
    policy_seconds: float = field(default=5.0, validator=_seconds)
    dial_seconds_per_address: float = field(default=10.0, validator=_seconds)
    dial_seconds: float = field(default=20.0, validator=_seconds)
    handshakes: int = field(default=1_024, validator=_count)
    handshake_seconds: float = field(default=15.0, validator=_seconds)
    response_seconds: float = field(default=300.0, validator=_seconds)
    body_stall_seconds: float = field(default=120.0, validator=_seconds)
    request_body_bytes: int = field(default=68_719_476_736, validator=between(0, 1 << 60))
    hello_bytes: int = field(default=16_384, validator=between(512, 1_048_576))
    hello_seconds: float = field(default=15.0, validator=_seconds)
    idle_seconds: float = field(default=900.0, validator=_seconds)
    tunnel_seconds: float = field(default=86_400.0, validator=_seconds)
    linger_seconds: float = field(default=2.0, validator=_seconds)
    drain_seconds: float = field(default=30.0, validator=between(0, 86_400))
    pool_connections: int = field(default=512, validator=between(0, 1_000_000))
    pool_connections_per_origin: int = field(default=64, validator=between(0, 1_000_000))
    pool_seconds: float = field(default=30.0, validator=_seconds)


@frozen
class TlsSettings:
    """The `[tls]` table.

    Attributes:
        sni: what happens when a ClientHello in a tunnel names another host than the one that was judged:
            "enforce" resets the tunnel, "record" only writes it down.
    """

    sni: Literal["enforce", "record"] = "enforce"
