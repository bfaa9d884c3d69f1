"""An endpoint whose outcome a test decides."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.interfaces import IDial, IDialEndpoint, IDialListener
from egress.upstream import deferred_dial


@implementer(IDialEndpoint, IDial)
@define(eq=False)
class PlayedEndpoint:
    """An endpoint whose dial does what a test says."""

    outcome: IProtocol | Failure | None = None
    calls: list[str] = field(factory=list)
    listener: IDialListener | None = None
    factory: IProtocolFactory | None = None

    def connect(self, protocol_factory: IProtocolFactory) -> Any:
        """Dial with a Deferred."""
        return deferred_dial.connect(self, protocol_factory)

    def make_dial(self, protocol_factory: IProtocolFactory, listener: IDialListener) -> PlayedEndpoint:
        """Give the dial."""
        self.factory, self.listener = protocol_factory, listener
        return self

    def begin(self) -> None:
        """Report the outcome at once, if there is one."""
        self.calls.append("begin")
        assert self.listener is not None
        if isinstance(self.outcome, Failure):
            self.listener.failed(self.outcome)
        elif self.outcome is not None:
            self.listener.connected(self.outcome)

    def cancel(self) -> None:
        """Note it."""
        self.calls.append("cancel")
