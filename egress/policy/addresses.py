"""Special-purpose addresses and reserved names, with their sources.

The table follows the IANA special-purpose address registries for IPv4 and IPv6 as of 2025-10-09, and includes multicast
and site-local addresses from other registries. `ipaddress.is_global` is not used, because it changes with the Python
release. Where a registry marks small parts of a block as globally reachable (192.0.0.9/32, 2001:20::/28), the table has
the whole block: those parts are anycast or overlay addresses, which agents do not need.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from attrs import frozen

from egress.model import Address, Network


@frozen
class SpecialNetwork:
    """One block that is not public.

    Attributes:
        network: the block.
        name: the purpose of the block, for the audit log.
        source: the document that defines the block.
        since: the year and month of the allocation.
    """

    network: Network
    name: str
    source: str
    since: str


def _table(*rows: tuple[str, str, str, str]) -> tuple[SpecialNetwork, ...]:
    return tuple(SpecialNetwork(ip_network(network), *rest) for network, *rest in rows)


SPECIAL_NETWORKS = _table(
    ("0.0.0.0/8", "this network", "RFC 791", "1981-09"),
    ("10.0.0.0/8", "private", "RFC 1918", "1996-02"),
    ("100.64.0.0/10", "carrier-grade NAT", "RFC 6598", "2012-04"),
    ("127.0.0.0/8", "loopback", "RFC 1122", "1981-09"),
    ("169.254.0.0/16", "link-local", "RFC 3927", "2005-05"),
    ("172.16.0.0/12", "private", "RFC 1918", "1996-02"),
    ("192.0.0.0/24", "IETF protocol assignments", "RFC 6890", "2010-01"),
    ("192.0.2.0/24", "documentation", "RFC 5737", "2010-01"),
    ("192.88.99.0/24", "6to4 relay anycast, deprecated", "RFC 7526", "2001-06"),
    ("192.168.0.0/16", "private", "RFC 1918", "1996-02"),
    ("198.18.0.0/15", "benchmarking", "RFC 2544", "1999-03"),
    ("198.51.100.0/24", "documentation", "RFC 5737", "2010-01"),
    ("203.0.113.0/24", "documentation", "RFC 5737", "2010-01"),
    ("224.0.0.0/4", "multicast", "RFC 5771", "1989-08"),
    ("240.0.0.0/4", "reserved", "RFC 1112", "1989-08"),
    ("255.255.255.255/32", "limited broadcast", "RFC 8190", "1984-10"),
    ("::/128", "unspecified", "RFC 4291", "2006-02"),
    ("::1/128", "loopback", "RFC 4291", "2006-02"),
    ("::/96", "IPv4-compatible, deprecated", "RFC 4291", "2006-02"),
    ("::ffff:0:0/96", "IPv4-mapped", "RFC 4291", "2006-02"),
    ("64:ff9b::/96", "NAT64", "RFC 6052", "2010-10"),
    ("64:ff9b:1::/48", "NAT64 for local use", "RFC 8215", "2017-06"),
    ("100::/64", "discard", "RFC 6666", "2012-06"),
    ("100:0:0:1::/64", "dummy prefix", "RFC 9780", "2025-04"),
    ("2001::/23", "IETF protocol assignments", "RFC 2928", "2000-09"),
    ("2001::/32", "Teredo", "RFC 4380", "2006-01"),
    ("2001:2::/48", "benchmarking", "RFC 5180", "2008-04"),
    ("2001:10::/28", "ORCHID, deprecated", "RFC 4843", "2007-03"),
    ("2001:db8::/32", "documentation", "RFC 3849", "2004-07"),
    ("2002::/16", "6to4", "RFC 3056", "2001-02"),
    ("3fff::/20", "documentation", "RFC 9637", "2024-07"),
    ("5f00::/16", "segment routing", "RFC 9602", "2024-04"),
    ("fc00::/7", "unique local", "RFC 4193", "2005-10"),
    ("fe80::/10", "link-local", "RFC 4291", "2006-02"),
    ("fec0::/10", "site-local, deprecated", "RFC 3879", "2004-09"),
    ("ff00::/8", "multicast", "RFC 4291", "2006-02"),
    # Only 2000::/3 is assigned as global unicast (RFC 4291 section 2.4).
    ("::/3", "not global unicast", "RFC 4291", "2006-02"),
    ("4000::/2", "not global unicast", "RFC 4291", "2006-02"),
    ("8000::/1", "not global unicast", "RFC 4291", "2006-02"),
)

TRANSPARENT_NETWORKS: tuple[Network, ...] = (ip_network("::ffff:0:0/96"), ip_network("64:ff9b::/96"))
"""An address in these networks is another spelling of the embedded IPv4 address, and is judged as that address."""

METADATA_ADDRESSES: frozenset[Address] = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",  # most clouds
            "fd00:ec2::254",  # Amazon EC2
            "169.254.170.2",  # Amazon ECS: credentials of a task
            "169.254.170.23",  # Amazon EKS: credentials of a pod
            "fd00:ec2::23",
            "fd20:ce::254",  # Google Cloud
            "169.254.169.252",  # Google Kubernetes Engine: the node's metadata server
            "168.63.129.16",  # Azure: the host's wire server, on an address of public space
            "100.100.100.200",  # Alibaba Cloud
            "192.0.0.192",  # Oracle Cloud, first generation
            "fd00:c1::a9fe:a9fe",  # Oracle Cloud
            "169.254.0.23",  # Tencent Cloud
            "169.254.10.10",
            "169.254.42.42",  # Scaleway
            "fd00:42::42",
            "fd00:a9fe:a9fe::1",  # Akamai (Linode)
            "169.254.169.250",  # Rancher
            "fe80::a9fe:a9fe",  # OpenStack
        ),
    )
)

RESERVED_NAMES = frozenset(
    {
        "localhost",  # RFC 6761 section 6.3; names below it are refused too
        "localhost.localdomain",
        "localhost4",  # the hosts file of Red Hat's systems
        "localhost4.localdomain4",
        "localhost6",
        "localhost6.localdomain6",
        "ip6-localhost",
        "ip6-loopback",
        "metadata",  # Google Cloud, by its search list
        "metadata.google.internal",
        "metadata.goog",
        "instance-data",  # Amazon EC2, by its search list
        "instance-data.ec2.internal",
        "metadata.azure.internal",
        "metadata.tencentyun.com",
        "metadata.platformequinix.com",
        "metadata.packet.net",
        "api.metadata.cloud.ibm.com",
        "rancher-metadata",
        "data-server",  # Apache CloudStack
    }
)
