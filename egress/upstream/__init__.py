"""The roads: how names become addresses, and how judged addresses become connections."""

from egress.upstream.agent import TunnelingAgent
from egress.upstream.direct import DirectEndpoint
from egress.upstream.environment import EnvironmentRoads, read_environment
from egress.upstream.hosts import HostsFile
from egress.upstream.names import ThreadedLookUp
from egress.upstream.resolver import CachingResolver, LookUp
from egress.upstream.roads import SYSTEMD, RoadsSettings, RouteSettings, UpstreamSettings
from egress.upstream.selector import DirectSelector, RoadSelector
from egress.upstream.settings import DnsSettings
from egress.upstream.upstreams import Upstream, make_plain_upstream, make_upstream

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
