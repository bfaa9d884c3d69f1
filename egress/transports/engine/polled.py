"""The roles by which the engine, the objects that it polls and relays refer to each other: typing Protocols only."""

from __future__ import annotations

from collections.abc import Callable
from socket import SocketType
from typing import Any, Protocol

from twisted.internet.interfaces import IConnector
from twisted.internet.protocol import ClientFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from egress.timing.timer_wheel import TimerWheel
from egress.transports.contract import SocketAddress
from egress.transports.descriptor_ceiling import DescriptorCeiling
from egress.transports.engine.events import ALL_EDGES
from egress.transports.engine.pipe import Pipe


class Polled(Protocol):
    """An object with a socket in the epoll set: a connection, a connection attempt or a port."""

    def event(self, events: int, /) -> None:
        """Handle events of the socket."""

    def run(self) -> None:
        """Run the work that was deferred to the end of the turn."""

    def fail(self, reason: Failure, /) -> None:
        """Close: `event` or `run` has raised an exception."""

    def close(self) -> None:
        """Close: the engine stops."""


class BulkPolled(Polled, Protocol):
    """A polled object that may have more octets to move than one turn should."""

    def run_bulk(self) -> None:
        """Move one turn's share of the octets."""


class Dialler(Protocol):
    """The connector of a dialled connection, as used by the connection."""

    def release(self) -> None:
        """Drop the references that only a connection attempt needs."""

    def lost(self, reason: Failure, /) -> None:
        """Handle the loss of the connection."""


class PollingEngine(Protocol):
    """An engine, as used by its connections, connection attempts and ports. See `Engine` for the attributes."""

    timers: TimerWheel
    log: Logger
    entries: dict[int, Polled]
    buffer: bytearray
    view: memoryview
    corked: list[Any]
    is_corked: bool
    bulk_budget: int
    read_bytes: int
    high_watermark: int
    relay_budget: int
    is_budget_low: bool
    pipe: Pipe
    ceiling: DescriptorCeiling

    @property
    def seconds(self) -> Callable[[], float]:
        """The clock of the reactor."""

    def register(self, descriptor: int, entry: Polled, events: int = ALL_EDGES) -> None:
        """Poll a socket."""

    def modify(self, descriptor: int, events: int) -> None:
        """Poll a socket for other events."""

    def unregister(self, descriptor: int, connection: SocketType) -> None:
        """Poll a socket no longer, and close it."""

    def queue(self, entry: Any) -> None:
        """Call `run` of an entry at the end of the turn."""

    def queue_bulk(self, entry: BulkPolled) -> None:
        """Call `run_bulk` of an entry at the end of the turn, if the turn has budget left."""

    def queue_bulk_next_turn(self, entry: BulkPolled) -> None:
        """Call `run_bulk` of an entry in the next turn."""

    def add_buffered(self, number: int) -> None:
        """Add to the count of octets that connections buffer for slow readers."""

    def fail(self, entry: Polled) -> None:
        """Close an entry whose call raised an exception, which is being handled."""


class DialledEngine(Protocol):
    """An engine, as its dialler knows it."""

    entries: dict[int, Polled]

    @property
    def callLater(self) -> Callable[..., Any]:
        """Set a timer (IReactorTime)."""

    @property
    def seconds(self) -> Callable[[], Any]:
        """Return the time (IReactorTime)."""

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        timeout: float | None = 30.0,
        bindAddress: SocketAddress | None = None,
        keepalive_seconds: int = 0,
    ) -> IConnector:
        """Dial an address literal (IReactorTCP)."""
