"""HAProxy as the TLS of an `https://` proxy, in front of a Squid."""

from __future__ import annotations

from pathlib import Path

from tests.live.routes.daemon import Daemon, room
from tests.live.routes.namespaces import Namespace
from tests.live.routes.squid import PORT
from tests.live.support import needs

TLS_PORT = 3443
MUTUAL_PORT = 3444

_CONFIGURATION = """
defaults
    mode tcp
    timeout connect 10s
    timeout client 120s
    timeout server 120s

listen tls
    bind {address}:{tls} ssl crt {directory}/chain.pem
    server squid {address}:{squid}

listen mutual
    bind {address}:{mutual} ssl crt {directory}/chain.pem verify required ca-file {directory}/authority.pem
    server squid {address}:{squid}
"""


def needs_haproxy() -> None:
    """Skip the test where HAProxy is not installed, or fail it where nothing may be missing."""
    needs("haproxy", "haproxy is not installed")


class Haproxy(Daemon):
    """A running HAProxy: on port 3443 for everybody, on 3444 for those who show a certificate."""

    def __init__(self, namespace: Namespace, address: str, chain: Path, authority: Path) -> None:
        """Start it in front of the Squid at the same address.

        Args:
            namespace: where.
            address: where it listens.
            chain: its key and certificate.
            authority: whose certificates it takes.
        """
        super().__init__(namespace, room())
        (self.directory / "chain.pem").write_bytes(chain.read_bytes())
        (self.directory / "authority.pem").write_bytes(authority.read_bytes())
        configuration = self.directory / "haproxy.cfg"
        words = _CONFIGURATION.format(
            address=address, tls=TLS_PORT, mutual=MUTUAL_PORT, squid=PORT, directory=self.directory
        )
        configuration.write_text(words, "ascii")
        self.start(["haproxy", "-db", "-f", configuration], (address, TLS_PORT), (address, MUTUAL_PORT))
