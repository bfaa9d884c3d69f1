"""The limits of the proxy server for every wait, buffer and count. The names contain the units."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from egress.config import between
from egress.transports.keepalive import MOST_SECONDS

_seconds = between(0.05, 31_536_000)
_count = between(1, 10_000_000)


@frozen
class Limits:
    """The `[limits]` table.

    Attributes:
        head_bytes: the longest request or response head. Response: 431; for an origin's head 502.
        target_bytes: the longest request target. Response: 414.
        head_fields: the largest number of field lines in a request head. Response: 431.
        head_seconds: the time from the first byte of a request to the end of its head. Response: 408.
        keepalive_seconds: the time of a client connection without a request. Then the connection is closed.
        connections: the largest number of client connections. Response: 503.
        connections_per_client: the largest number of connections of one client. Response: 429.
        authentication_failures_per_minute: wrong credentials of one peer. Response: 429 `too_many_failures`.
        policy_seconds: the time for a policy's verdict. Response: 403 `policy_failed`.
        dial_seconds_per_address: the time to connect to one address. Then the next address is dialled, or the response
            is 504.
        dial_seconds: the time to connect, all addresses together. Response: 504.
        handshakes: the largest number of TLS handshakes with clients, each from its first byte. The oldest of the
            client with most is reset.
        handshakes_per_client: the largest number of TLS handshakes with one client. Its oldest is reset.
        handshake_seconds: the time of one handshake. TLS with a client: the connection is reset. TLS or CONNECT with a
            proxy of the route: the response is 504 `proxy_timeout`.
        response_seconds: the time from the end of the request to the response head. Response: 504.
        body_stall_seconds: the time without an octet of a request body. Response: 408.
        request_body_bytes: the largest request body. Response: 413.
        hello_bytes: the longest ClientHello at the start of a tunnel. Then the tunnel is reset, or joined where no name
            is compared.
        hello_seconds: the time of a ClientHello from its first byte. Then the tunnel is reset, or joined likewise.
        idle_seconds: the time without an octet in a tunnel or a response body. Then it is reset.
        tunnel_seconds: the longest life of a tunnel. Then the tunnel is closed.
        tcp_keepalive_seconds: the time without a received octet before the kernel probes a TCP connection; 0 for never.
        linger_seconds: the time of reading after a refusal, so that a reset does not destroy the response.
        drain_seconds: the time for running requests after SIGTERM.
        pool_connections: the largest number of idle origin connections.
        pool_connections_per_origin: the largest number of idle connections for one origin, route and client.
        pool_seconds: the time that an idle origin connection is kept.
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
    handshakes_per_client: int = field(default=256, validator=_count)
    handshake_seconds: float = field(default=15.0, validator=_seconds)
    response_seconds: float = field(default=300.0, validator=_seconds)
    body_stall_seconds: float = field(default=120.0, validator=_seconds)
    request_body_bytes: int = field(default=68_719_476_736, validator=between(0, 1 << 60))
    hello_bytes: int = field(default=16_384, validator=between(512, 1_048_576))
    hello_seconds: float = field(default=15.0, validator=_seconds)
    idle_seconds: float = field(default=900.0, validator=_seconds)
    tunnel_seconds: float = field(default=86_400.0, validator=_seconds)
    tcp_keepalive_seconds: int = field(default=60, validator=between(0, MOST_SECONDS))
    linger_seconds: float = field(default=2.0, validator=_seconds)
    drain_seconds: float = field(default=30.0, validator=between(0, 86_400))
    pool_connections: int = field(default=512, validator=between(0, 1_000_000))
    pool_connections_per_origin: int = field(default=64, validator=between(0, 1_000_000))
    pool_seconds: float = field(default=30.0, validator=_seconds)


@frozen
class HttpSettings:
    """The `[http]` table.

    Attributes:
        client_half_close: what a FIN of a client means whose request is not answered yet: "close" that the client has
            left, so that the request ends; "answer" that it sends nothing more, and still reads the answer.
    """

    client_half_close: Literal["close", "answer"] = "close"

    @property
    def is_fin_close(self) -> bool:
        """Whether a client has left that sends its FIN before its request is answered."""
        return self.client_half_close == "close"


@frozen
class TlsSettings:
    """The `[tls]` table.

    Attributes:
        sni: the effect of a ClientHello in a tunnel whose server name differs from the judged host: "enforce" resets
            the tunnel, "record" only records the name.
        ech: the effect of a ClientHello in a tunnel with an encrypted ClientHello (ECH), which may name another host:
            "refuse" resets the tunnel, "record" only records it. A browser's decoy has the same effect.
    """

    sni: Literal["enforce", "record"] = "enforce"
    ech: Literal["record", "refuse"] = "record"
