"""The network namespace of a contained command: loopback, and the proxy's listeners in it."""

from __future__ import annotations

import fcntl
import socket
import struct

PROXY_PORT = 3128
"""The port of the proxy on the loopback addresses of the namespace."""

_BACKLOG = 1024
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_INTERFACE_FLAGS = struct.Struct("16sH14x")


def bring_up_loopback() -> None:
    """Bring up the only interface of a new network namespace (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        found = fcntl.ioctl(control, _SIOCGIFFLAGS, _INTERFACE_FLAGS.pack(b"lo", 0))
        _, flags = _INTERFACE_FLAGS.unpack(found)
        fcntl.ioctl(control, _SIOCSIFFLAGS, _INTERFACE_FLAGS.pack(b"lo", flags | _IFF_UP))


def make_listeners() -> list[socket.socket]:
    """Listen on the proxy's port of both loopback addresses.

    A listener belongs to the namespace in which it was made. It accepts connections of that namespace only, also in a
    process of another namespace that received its descriptor.

    Returns:
        The sockets, IPv4 first. There is one where the kernel has no IPv6.
    """
    made = [_listen(socket.AF_INET, "127.0.0.1")]
    try:
        made.append(_listen(socket.AF_INET6, "::1"))
    except OSError:
        return made
    return made


def _listen(family: int, address: str) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((address, PROXY_PORT))
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening
