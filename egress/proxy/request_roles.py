"""The roles of a request: as it was read, and in its form on a route. Typing Protocols only."""

from __future__ import annotations

from typing import Protocol

from egress.wire.framing import Framing
from egress.wire.request_head import RequestHead
from egress.wire.target import Target


class ParsedRequest(Protocol):
    """A request head after parsing."""

    @property
    def head(self) -> RequestHead:
        """The head."""

    @property
    def target(self) -> Target:
        """The parsed target."""

    @property
    def framing(self) -> Framing:
        """The framing of the body."""

    @property
    def is_repeatable(self) -> bool:
        """Whether the request may be sent again."""

    def without_overrides(self) -> ParsedRequest:
        """Return the request without its override fields."""


class RequestForm(Protocol):
    """The form of a request on its route."""

    @property
    def is_absolute(self) -> bool:
        """Whether the target is sent in absolute form, to an upstream proxy."""

    @property
    def authorization(self) -> bytes | None:
        """The value of Proxy-Authorization for that proxy; None for none."""
