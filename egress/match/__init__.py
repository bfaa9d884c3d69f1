"""Patterns of hosts, ports, paths, networks and client labels, compiled once, for rules, routes and NO_PROXY.

The parsers of single patterns raise ValueError. Its message does not repeat the pattern.
"""

from egress.match.hosts import HostPattern, Reach, is_specific, parse_host
from egress.match.index import Entry, HostIndex
from egress.match.labels import LABEL_KINDS, ClientPatterns
from egress.match.networks import (
    NetworkSet,
    NumberError,
    embedded_ipv4,
    explain_numbers,
    meant_network,
    parse_network,
)
from egress.match.paths import PathPattern, PathSet
from egress.match.ports import PortSet, parse_port
from egress.match.scope import Scope, listed

__all__ = [
    "LABEL_KINDS",
    "ClientPatterns",
    "Entry",
    "HostIndex",
    "HostPattern",
    "NetworkSet",
    "NumberError",
    "PathPattern",
    "PathSet",
    "PortSet",
    "Reach",
    "Scope",
    "embedded_ipv4",
    "explain_numbers",
    "is_specific",
    "listed",
    "meant_network",
    "parse_host",
    "parse_network",
    "parse_port",
]
