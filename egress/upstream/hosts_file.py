"""Reads the hosts file (hosts(5)).

The C library does not find absolute names (with a final dot) in the hosts file. Therefore the file is read here, and
the resolver is asked for the absolute name afterwards.
"""

from __future__ import annotations

import os
from ipaddress import IPv6Address, ip_address

from attrs import define, field

from egress.errors import ResolverFailed
from egress.model import Address

HOSTS_FILE = "/etc/hosts"
LIMIT_BYTES = 16 * 1024 * 1024

Table = dict[str, tuple[Address, ...]]


@define(eq=False)
class HostsFile:
    """Looks names up in a hosts file, which is read again after each change. Safe for use by several threads.

    Attributes:
        path: the path of the file; a file that does not exist contains no names.
    """

    path: str = HOSTS_FILE
    # One tuple, replaced as a whole, so that no lock is needed. At worst two threads read the file.
    _known: tuple[object, Table] = field(default=(None, {}), init=False, repr=False)

    def find(self, host: str) -> tuple[Address, ...]:
        """Find a canonical name. Blocks where the file has changed.

        Returns:
            The addresses in the order of the file; none if the file does not list the name.

        Raises:
            OSError: the file exists and cannot be read, or is longer than 16 MiB.
        """
        table = self.current()
        return (self.read() if table is None else table).get(host, ())

    def current(self) -> Table | None:
        """Give the content of the file without reading it; None if it has to be read.

        Raises:
            OSError: the state of the file cannot be found out.
        """
        try:
            stamp = _stamp_of(self.path)
        except FileNotFoundError:
            return {}
        known, table = self._known
        return table if known == stamp else None

    def read(self) -> Table:
        """Read the file. Blocks.

        Raises:
            OSError: the file exists and cannot be read, or is longer than 16 MiB.
        """
        try:
            stamp = _stamp_of(self.path)
            with open(self.path, "rb") as file:
                content = file.read(LIMIT_BYTES + 1)
        except FileNotFoundError:
            return {}
        if len(content) > LIMIT_BYTES:
            raise OSError("the hosts file is too long")
        table = parse(content.decode("utf-8", "replace"))
        self._known = (stamp, table)
        return table


def _stamp_of(path: str) -> object:
    status = os.stat(path)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def parse(text: str) -> Table:
    """Parse a hosts file. Each line holds an address, names, and a comment after `#`.

    Names are converted to lower case, without a final dot. A line without a valid address is skipped, as in the C
    library. Zones are dropped: a link-local address without its zone can be judged but not dialled.
    """
    table: Table = {}
    for line in text.splitlines():
        first, *names = line.partition("#")[0].split() or [""]
        try:
            address = ip_address(first)
        except ValueError:
            continue
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            address = IPv6Address(int(address))
        for name in names:
            name = name.lower().removesuffix(".")
            known = table.get(name, ())
            if address not in known:
                table[name] = (*known, address)
    return table


def unusable_hosts(error: OSError) -> ResolverFailed:
    """Make the failure of a hosts file that exists and cannot be used."""
    return ResolverFailed(f"the hosts file cannot be used: {type(error).__name__}")
