"""The simulated kernel: sockets, listeners, unreachable hosts, and the queue of sockets with events."""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

from attrs import define, field
from twisted.internet.task import Clock

from egress.testing.sockets import WILDCARD, MemorySocket, family_of

_LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
_OUTWARD = {socket.AF_INET: "203.0.113.200", socket.AF_INET6: "2001:db8::c8"}


@define(eq=False, repr=False)
class Kernel:
    """The sockets of every host, and the routes between them.

    Attributes:
        clock: the clock of delayed handshakes.
        window_bytes: the number of octets that each direction holds until its receiver reads.
        segment_bytes: the largest number of octets of one read.
        sockets: the open sockets by descriptor.
        datagram_servers: the receivers of datagrams and of the sockets that sent them, by address and port.
    """

    clock: Clock
    window_bytes: int = 65536
    segment_bytes: int = 1460
    sockets: dict[int, MemorySocket] = field(factory=dict)
    blackholes: set[tuple[str, int | None]] = field(factory=set)
    unreachable: set[str] = field(factory=set)
    delays: dict[str, float] = field(factory=dict)
    datagram_servers: dict[tuple[str, int], Callable[[bytes, Any], object]] = field(factory=dict)
    _listening: dict[tuple[str, int], MemorySocket] = field(factory=dict)
    _ready: deque[MemorySocket] = field(factory=deque)
    _last_descriptor: int = 2
    _last_port: int = 40000

    def socket(self, family: socket.AddressFamily, is_of_test: bool = False) -> MemorySocket:
        """Open a socket."""
        made = MemorySocket(self, family, self.fresh_descriptor(), is_of_test)
        self.sockets[made.descriptor] = made
        return made

    def fresh_descriptor(self) -> int:
        """Return a descriptor that was never used."""
        self._last_descriptor += 1
        return self._last_descriptor

    def fresh_port(self) -> int:
        """Return an unused ephemeral port."""
        self._last_port += 1
        return self._last_port

    def forget(self, gone: MemorySocket) -> None:
        """Remove a closed socket."""
        del self.sockets[gone.descriptor]
        if self._listening.get(gone.local) is gone:
            del self._listening[gone.local]

    def is_taken(self, local: tuple[str, int]) -> bool:
        """Return whether a socket listens on exactly this address."""
        return local in self._listening

    def open_listener(self, listener: MemorySocket) -> None:
        """Start to pass connections to a bound socket."""
        self._listening[listener.local] = listener

    def listener_at(self, host: str, port: int) -> MemorySocket | None:
        """Find the listener of an address. A wildcard address is reached through the loopback addresses only."""
        found = self._listening.get((host, port))
        if found is None and ip_address(host).is_loopback:
            found = self._listening.get((WILDCARD[family_of(host)], port))
        return found

    def connect(self, dialler: MemorySocket, host: str, port: int) -> int:
        """Send a SYN.

        Returns:
            An errno; EINPROGRESS for success.
        """
        if host in self.unreachable:
            return errno.ENETUNREACH
        local_host, local_port = dialler.local
        if local_host in ("", WILDCARD[dialler.family]):
            local_host = self.source_to(host)
        dialler.local = (local_host, local_port or self.fresh_port())
        dialler.is_connecting = True
        if self.is_blackhole(host, port):
            return errno.EINPROGRESS
        seconds = self.delays.get(host, 0)
        if seconds:
            dialler.wait_for(self.clock.callLater(seconds, self.handshake, dialler, host, port))
        else:
            self.handshake(dialler, host, port)
        return errno.EINPROGRESS

    def source_to(self, host: str) -> str:
        """Return the local address from which a host is reached."""
        return (_LOOPBACK if ip_address(host).is_loopback else _OUTWARD)[family_of(host)]

    def is_blackhole(self, host: str, port: int) -> bool:
        """Return whether what is sent to an address and port is lost."""
        return (host, port) in self.blackholes or (host, None) in self.blackholes

    def handshake(self, dialler: MemorySocket, host: str, port: int) -> None:
        """Deliver a SYN. The listener at this time accepts the connection; without a listener the response is a RST."""
        dialler.remote = (host, port)
        listener = self.listener_at(host, port)
        if listener is None or listener.backlog is None:
            dialler.refused()
            return
        accepted = self.socket(dialler.family, is_of_test=listener.is_of_test)
        accepted.local, accepted.remote = dialler.remote, dialler.local
        accepted.other = dialler
        dialler.connected_to(accepted)
        listener.backlog.append(accepted)
        self.wake(listener)

    def wake(self, touched: MemorySocket) -> None:
        """Queue a socket whose state has changed for the next turns."""
        if touched.interest and not touched.is_queued:
            touched.is_queued = True
            self._ready.append(touched)

    @property
    def is_idle(self) -> bool:
        """Whether no socket is queued."""
        return not self._ready

    def turn(self) -> bool:
        """Handle the socket that was queued first.

        Returns:
            Whether an event was delivered.
        """
        touched = self._ready.popleft()
        touched.is_queued = False
        events = touched.poll() & touched.interest
        if not events or touched.on_events is None:
            return False
        # Level-triggered: the socket stays in the queue while any event of its interest holds.
        self.wake(touched)
        touched.on_events(events)
        return True

    def streams(self) -> Iterator[MemorySocket]:
        """Return the open sockets of the code under test that do not listen."""
        return (each for each in self.sockets.values() if each.backlog is None and not each.is_of_test)
