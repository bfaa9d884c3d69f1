"""The door's clients, by HTTPS and by plain HTTP, where the only way out is a proxy that the environment names."""

from __future__ import annotations

from tests.live import test_clients, test_libraries, test_packages, test_streams, test_tls_inside
from tests.live.origins import Origin
from tests.live.routes.environment import PARTNER
from tests.live.routes.haproxy import TLS_PORT
from tests.live.routes.support import RoadCase, RowCase


class CurlTests(RoadCase, test_clients.CurlTests):
    """curl."""


class WgetTests(RoadCase, test_clients.WgetTests):
    """wget."""


class NodeTests(RoadCase, test_clients.NodeTests):
    """Node without packages."""


class RequestsTests(RoadCase, test_libraries.RequestsTests):
    """requests."""


class Urllib3Tests(RoadCase, test_libraries.Urllib3Tests):
    """urllib3."""


class HttpxTests(RoadCase, test_libraries.HttpxTests):
    """httpx."""


class AiohttpTests(RoadCase, test_libraries.AiohttpTests):
    """aiohttp."""


class GitTests(RoadCase, test_packages.GitTests):
    """git."""


class PipTests(RoadCase, test_packages.PipTests):
    """pip."""


class NpmTests(RoadCase, test_packages.NpmTests):
    """npm."""


class EventTests(RoadCase, test_streams.EventTests):
    """Server-sent events."""

    def acknowledge(self, origin: Origin) -> None:
        """Tell the origin, which nobody on the node can reach."""
        origin.heard.release()


class WebSocketTests(RoadCase, test_streams.WebSocketTests):
    """WebSockets."""


class Http2Tests(RoadCase, test_tls_inside.Http2Tests):
    """HTTP/2 inside tunnels."""


class CurlByRowTests(RowCase, test_clients.CurlTests):
    """curl, through two proxies."""


class HttpxByRowTests(RowCase, test_libraries.HttpxTests):
    """httpx, through two proxies."""


class CurlByTlsRowTests(RowCase, test_clients.CurlTests):
    """curl, through two proxies with TLS, one inside the other."""

    partner_url = f"https://{PARTNER}:{TLS_PORT}"


class GitByRowTests(RowCase, test_packages.GitTests):
    """git, through two proxies."""


class Http2ByRowTests(RowCase, test_tls_inside.Http2Tests):
    """HTTP/2 inside tunnels, through two proxies."""
