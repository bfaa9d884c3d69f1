"""Look-ups by the system's resolver, in threads, because `getaddrinfo` blocks."""

from __future__ import annotations

import socket
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import ClassVar

from attrs import define, field
from twisted.internet.defer import Deferred

from egress.errors import NameNotFound, ResolverFailed
from egress.model import Address
from egress.upstream.daemon_threads import DaemonThreads
from egress.upstream.dns_settings import DnsSettings
from egress.upstream.hosts_file import HostsFile, unusable_hosts

# EAI_NODATA and EAI_ADDRFAMILY: the name exists without an address. Not every system has these numbers.
_NOT_FOUND = frozenset(
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, name)
)
_FAILURES = {
    getattr(socket, name): name
    for name in ("EAI_AGAIN", "EAI_FAIL", "EAI_MEMORY", "EAI_SYSTEM")
    if hasattr(socket, name)
}


@define(eq=False)
class SystemLookup:
    """Looks absolute names up with `getaddrinfo`, without a search list, for both families, in the order of RFC 6724.

    Attributes:
        threads: the threads that call `getaddrinfo`.
        hosts: the hosts file that is searched first, or None.
        is_stoppable: False, because `getaddrinfo` cannot be interrupted.
    """

    is_stoppable: ClassVar[bool] = False

    threads: DaemonThreads
    hosts: HostsFile | None = field(factory=HostsFile)

    def start(self) -> None:
        """Accept look-ups. To be called after any fork, because threads do not survive a fork."""
        self.threads.start()

    def renew(self, settings: DnsSettings) -> None:
        """Replace the limit of threads. Threads that were started already stay."""
        self.threads.limit = settings.concurrent

    def stop(self) -> None:
        """Accept no more look-ups, and fail those in progress. Does not wait for the threads."""
        self.threads.stop()

    def __call__(self, host: str) -> Deferred[tuple[Address, ...]]:
        """Look a canonical name up.

        Returns:
            A Deferred of the addresses. It fails with NameNotFound or ResolverFailed. It has no deadline. Cancelling it
            drops the answer, but does not stop the thread.
        """
        return self.threads.run(partial(lookup, host, self.hosts))


def lookup(host: str, hosts: HostsFile | None) -> tuple[Address, ...]:
    """Look a canonical name up, in the hosts file and then with `getaddrinfo`. Blocks.

    Raises:
        NameNotFound: the name does not exist, has no address, or is no DNS name.
        ResolverFailed: the hosts file or the resolver failed.
    """
    try:
        found = hosts.find(host) if hosts is not None else ()
    except OSError as error:
        raise unusable_hosts(error) from None
    if found:
        return found
    try:
        # As octets, because Python would encode text by IDNA 2003. The final dot makes the name absolute.
        rows = socket.getaddrinfo(host.encode("ascii") + b".", None, socket.AF_UNSPEC, socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _NOT_FOUND:
            raise NameNotFound("the host name does not exist or has no address") from None
        problem = _FAILURES.get(error.errno, f"getaddrinfo error {error.errno}")
        raise ResolverFailed(f"the system's resolver failed: {problem}") from None
    except OSError as error:
        raise ResolverFailed(f"the system's resolver failed: {type(error).__name__}") from None
    except ValueError:
        raise NameNotFound("the host is not a name of DNS") from None
    return tuple(_read_row(str(row[4][0])) for row in rows)


def _read_row(text: str) -> Address:
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return IPv6Address(int(address))
    return address
