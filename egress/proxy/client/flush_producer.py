"""A pull producer of nothing: tells when a transport has written everything."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer


@implementer(IPullProducer)
@define(eq=False)
class FlushProducer:
    """Waits, as a producer of nothing, until a transport has written everything.

    Attributes:
        flushed: called then, once.
    """

    flushed: Callable[[], None]
    _is_asked: bool = False

    def resumeProducing(self) -> None:
        """The first call comes at once (IConsumer.registerProducer), the second when all is written."""
        if self._is_asked:
            self.flushed()
        self._is_asked = True

    def stopProducing(self) -> None:
        """Do nothing: the connection is gone, and tells so itself."""
