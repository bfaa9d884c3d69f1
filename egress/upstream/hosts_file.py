"""Reads the hosts file (hosts(5)).

The C library looks a name up there only as it is written: an absolute name with its last dot is not found. So we read
the file, and ask the resolver for the absolute name afterwards.
"""

from __future__ import annotations

import os
from ipaddress import IPv6Address, ip_address

from attrs import define, field

from egress.model import Address

HOSTS_FILE = "/etc/hosts"
LIMIT_BYTES = 16 * 1024 * 1024

Table = dict[str, tuple[Address, ...]]


@define(eq=False)
class HostsFile:
    """Answers from a hosts file, and reads it again when it was changed. It may be used by several threads.

    Attributes:
        path: a file that does not exist has no names.
    """

    path: str = HOSTS_FILE
    # Read and replaced as one, so no lock is needed: at worst two threads read the same file.
    _known: tuple[object, Table] = field(default=(None, {}), init=False, repr=False)

    def find(self, host: str) -> tuple[Address, ...]:
        """Find a canonical name.

        Returns:
            Its addresses in the order of the file; none if it is not there.

        Raises:
            OSError: the file is there and cannot be read, or is longer than 16 MiB.
        """
        try:
            status = os.stat(self.path)
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            known, table = self._known
            if known != stamp:
                with open(self.path, "rb") as file:
                    content = file.read(LIMIT_BYTES + 1)
                if len(content) > LIMIT_BYTES:
                    raise OSError("the hosts file is too long")
                table = parse(content.decode("utf-8", "replace"))
                self._known = (stamp, table)
        except FileNotFoundError:
            return ()
        return table.get(host, ())


def parse(text: str) -> Table:
    """Read the text of a hosts file: an address, names, and a comment behind `#`.

    Names become lower case and lose a last dot. A line whose address is none is skipped, as the C library does. A zone
    is dropped: without it a link-local address can be judged but not dialled.
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
