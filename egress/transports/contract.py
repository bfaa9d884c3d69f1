"""The transport contract: the interfaces through which protocols use transports and relays."""

from __future__ import annotations

from enum import Enum
from typing import Any, TypeAlias

from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from zope.interface import Attribute, Interface

SocketAddress: TypeAlias = tuple[Any, ...]
"""An address in the form of the socket module: host and port, for IPv6 also flow and scope."""


class PeerEnd(Enum):
    """How the peer of a connection has ended its direction."""

    FIN = "fin"
    RESET = "reset"


class IRelay(Interface):
    """Moves octets from one stream transport to another, with back-pressure."""

    closes_transports: bool = Attribute(
        "Whether the relay passes half-closes on and closes both transports itself once both directions have ended and "
        "nothing is unsent."
    )

    def collect() -> int:
        """Return the number of octets moved since the last call."""


class IStreamTransport(ITCPTransport, IPushProducer, IConsumer):
    """The transport of every protocol of egress: half-close and back-pressure in both directions, and relays.

    `egress.transports.adapt.adapt` returns the provider for each kind of connection.
    """

    unsent: object | None = Attribute("None if the kernel has accepted every written octet, as far as that is known.")
    is_flushed: bool = Attribute(
        "Whether the kernel is known to have accepted every written octet: loseConnection then closes at once, and "
        "needs no deadline."
    )

    def is_quiet() -> bool:
        """Look, without waiting, whether nothing has come that was not read: no octet, no FIN and no reset.

        A connection that is closing is not quiet. The look costs one system call.
        """

    def find_end() -> PeerEnd | None:
        """Look, without waiting, whether the peer has ended, even if octets before its end were not read.

        Returns:
            None where it has not, or where the system cannot tell while octets are unread.
        """

    def relay_to(sink: IStreamTransport) -> IRelay:
        """Write to `sink` the octets that this transport reads from now on, without calling either protocol.

        This transport is read from now on, even if it was paused. Both protocols still receive the ends of their
        connections. They pass half-closes on, which has no effect where the relay has done so. The factory that dialled
        this transport may not be notified of the transport's loss.

        Args:
            sink: a transport without a producer.

        Raises:
            RuntimeError: this transport is relayed already, or the sink has a producer.
        """
