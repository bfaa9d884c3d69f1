"""HTTPS and plain HTTP clients, where all requests use a proxy of the environment."""

from __future__ import annotations

from tests.live import test_clients, test_libraries, test_packages, test_streams, test_tls_inside
from tests.live.origins import Origin
from tests.live.routes.environment import PARTNER
from tests.live.routes.haproxy import TLS_PORT
from tests.live.routes.support import RouteCase, RowCase


class CurlTests(RouteCase, test_clients.CurlTests):
    """curl."""


class WgetTests(RouteCase, test_clients.WgetTests):
    """wget."""


class NodeTests(RouteCase, test_clients.NodeTests):
    """Node without packages."""


class RequestsTests(RouteCase, test_libraries.RequestsTests):
    """requests."""


class Urllib3Tests(RouteCase, test_libraries.Urllib3Tests):
    """urllib3."""


class HttpxTests(RouteCase, test_libraries.HttpxTests):
    """httpx."""


class AiohttpTests(RouteCase, test_libraries.AiohttpTests):
    """aiohttp."""


class GitTests(RouteCase, test_packages.GitTests):
    """git."""


class PipTests(RouteCase, test_packages.PipTests):
    """pip."""


class NpmTests(RouteCase, test_packages.NpmTests):
    """npm."""


class EventTests(RouteCase, test_streams.EventTests):
    """Server-sent events."""

    def acknowledge(self, origin: Origin) -> None:
        """Tell the origin, which nobody on the node can reach."""
        origin.heard.release()


class WebSocketTests(RouteCase, test_streams.WebSocketTests):
    """WebSockets."""


class Http2Tests(RouteCase, test_tls_inside.Http2Tests):
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
