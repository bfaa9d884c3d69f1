"""The transport contract: the interfaces by which protocols know their transports and relays."""

from __future__ import annotations

from typing import Any, TypeAlias

from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from zope.interface import Attribute, Interface

SocketAddress: TypeAlias = tuple[Any, ...]
"""An address as the socket module gives it: host, port, and more for IPv6."""


class IRelay(Interface):
    """Moves octets from one stream transport to another, with back-pressure."""

    closes_transports: bool = Attribute(
        "Whether the relay passes half-closes on and closes both transports itself once both directions have ended and "
        "nothing is unsent."
    )

    def collect() -> int:
        """Return the number of octets moved since the last call."""


class IStreamTransport(ITCPTransport, IPushProducer, IConsumer):
    """The transport of every protocol of ours: half-close and back-pressure in both directions, and relays.

    `egress.transports.adapt.adapt` gives it for each kind of connection.
    """

    unsent: object | None = Attribute("None if the kernel has taken every octet written, as far as that is known.")
    is_flushed: bool = Attribute(
        "Whether the kernel is known to have taken every octet written: loseConnection then closes at once, and needs "
        "no deadline."
    )

    def relay_to(sink: IStreamTransport) -> IRelay:
        """Write to `sink` what this transport reads from now on, past both protocols.

        This transport is read from now on, even if it was paused. Both protocols are still told of the ends of their
        connections. They pass half-closes on, which has no effect where the relay has done so. The factory that dialled
        this transport may no longer be told of its loss.

        Args:
            sink: without a producer.

        Raises:
            RuntimeError: this transport is relayed already, or the sink has a producer.
        """
