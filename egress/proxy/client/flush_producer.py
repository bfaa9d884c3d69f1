"""A pull producer without data, which reports when a transport has written everything."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer


@implementer(IPullProducer)
@define(eq=False)
class FlushProducer:
    """Waits, as a producer without data, until a transport has written everything.

    Attributes:
        flushed: called once, when everything is written.
    """

    flushed: Callable[[], None]
    _is_asked: bool = False

    def resumeProducing(self) -> None:
        """Act on the second call, when all is written; the first is made at once (IConsumer.registerProducer)."""
        if self._is_asked:
            self.flushed()
        self._is_asked = True

    def stopProducing(self) -> None:
        """Do nothing: the connection is lost, and its protocol receives connectionLost."""
