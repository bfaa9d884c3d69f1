"""What tests of tunnels share."""

from __future__ import annotations

import contextlib
import ssl

from egress.testing.peers import NetworkPeer, Origin
from tests.proxy.support import ServerCase

CONNECT = b"CONNECT origin.example:443 HTTP/1.1\r\nHost: origin.example:443\r\n\r\n"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def hello(name: str | None) -> bytes:
    """Make a real ClientHello."""
    context = ssl.create_default_context()
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    session = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


class TunnelCase(ServerCase):
    """Arranges an origin on port 443."""

    def open(self, request: bytes = CONNECT) -> tuple[NetworkPeer, Origin]:
        """Open a tunnel."""
        origin = self.origin(port=443)
        client = self.said(request)
        client.heard(ESTABLISHED)
        client.take()
        return client, origin
