"""The roads: how names become addresses, and how judged addresses become connections."""

from egress.upstream.agent import TunnelingAgent
from egress.upstream.direct import DirectEndpoint
from egress.upstream.hosts import HostsFile
from egress.upstream.names import ThreadedLookUp
from egress.upstream.resolver import CachingResolver, LookUp
from egress.upstream.selector import DirectSelector
from egress.upstream.settings import DnsSettings
from egress.upstream.upstreams import Upstream, make_plain_upstream, make_upstream

__all__ = [
    "CachingResolver",
    "DirectEndpoint",
    "DirectSelector",
    "DnsSettings",
    "HostsFile",
    "LookUp",
    "ThreadedLookUp",
    "TunnelingAgent",
    "Upstream",
    "make_plain_upstream",
    "make_upstream",
]
