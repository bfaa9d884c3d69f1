"""Upstreams: name resolution, the choice of routes, and dialling, directly or through proxies."""

from egress.upstream.caching_resolver import CachingResolver
from egress.upstream.direct_endpoint import DirectEndpoint
from egress.upstream.dns_settings import DnsSettings
from egress.upstream.environment import EnvironmentProxies, read_environment
from egress.upstream.hop_resolver import HOP_LOOKUPS, HopResolver
from egress.upstream.hosts_file import HostsFile
from egress.upstream.lookup import Lookup
from egress.upstream.routing_settings import (
    SYSTEMD,
    VIA_ENVIRONMENT,
    RouteSettings,
    RoutingSettings,
    UpstreamSettings,
    hops_through,
    uses_environment,
)
from egress.upstream.selector import DirectSelector, UpstreamSelector
from egress.upstream.system_lookup import SystemLookup
from egress.upstream.tunneling_agent import TunnelingAgent
from egress.upstream.upstream import Upstream, make_plain_upstream, make_upstream
from egress.upstream.upstream_probes import UpstreamProbes
from egress.upstream.upstream_state import UpstreamState, UpstreamStates

__all__ = [
    "HOP_LOOKUPS",
    "SYSTEMD",
    "VIA_ENVIRONMENT",
    "CachingResolver",
    "DirectEndpoint",
    "DirectSelector",
    "DnsSettings",
    "EnvironmentProxies",
    "HopResolver",
    "HostsFile",
    "Lookup",
    "RouteSettings",
    "RoutingSettings",
    "SystemLookup",
    "TunnelingAgent",
    "Upstream",
    "UpstreamProbes",
    "UpstreamSelector",
    "UpstreamSettings",
    "UpstreamState",
    "UpstreamStates",
    "hops_through",
    "make_plain_upstream",
    "make_upstream",
    "read_environment",
    "uses_environment",
]
