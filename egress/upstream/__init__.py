"""The roads: how names become addresses, and how judged addresses become connections."""

from egress.upstream.caching_resolver import CachingResolver, LookUp
from egress.upstream.direct_endpoint import DirectEndpoint
from egress.upstream.dns_settings import DnsSettings
from egress.upstream.environment import EnvironmentRoads, read_environment
from egress.upstream.hosts_file import HostsFile
from egress.upstream.routing_settings import SYSTEMD, RoadsSettings, RouteSettings, UpstreamSettings
from egress.upstream.selector import DirectSelector, RoadSelector
from egress.upstream.system_lookup import ThreadedLookUp
from egress.upstream.tunneling_agent import TunnelingAgent
from egress.upstream.upstream import Upstream, make_plain_upstream, make_upstream

__all__ = [
    "SYSTEMD",
    "CachingResolver",
    "DirectEndpoint",
    "DirectSelector",
    "DnsSettings",
    "EnvironmentRoads",
    "HostsFile",
    "LookUp",
    "RoadSelector",
    "RoadsSettings",
    "RouteSettings",
    "ThreadedLookUp",
    "TunnelingAgent",
    "Upstream",
    "UpstreamSettings",
    "make_plain_upstream",
    "make_upstream",
    "read_environment",
]
