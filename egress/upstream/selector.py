"""Picks the road where there is only one."""

from __future__ import annotations

from attrs import define
from zope.interface import implementer

from egress.interfaces import IUpstreamSelector
from egress.model import Plan, Request

DIRECT = Plan("direct", level=6)
"""The last level of the cascade. One object for all requests, so that it may be remembered and compared by identity."""


@implementer(IUpstreamSelector)
@define(eq=False)
class DirectSelector:
    """Sends every request straight to its destination."""

    def select(self, request: Request) -> Plan:
        """Choose the direct road, whatever is asked for."""
        return DIRECT
