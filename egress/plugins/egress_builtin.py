"""The built-in policies of egress, discovered in the same way as any other plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import field, frozen
from twisted.plugin import IPlugin
from zope.interface import implementer

from egress.interfaces import IHostServices, IPolicy, IPolicyMaker
from egress.policy.destinations import make_destinations
from egress.policy.rate import make_rate

__all__ = ["destinations", "rate"]


@implementer(IPlugin, IPolicyMaker)
@frozen
class Builtin:
    """The maker of one kind of policy, which calls a function.

    Attributes:
        kind: the value of `kind` in the configuration.
    """

    kind: str
    _make: Callable[[str, Mapping[str, object], IHostServices], IPolicy] = field(repr=False)

    def make_policy(self, name: str, settings: Mapping[str, object], host: IHostServices) -> IPolicy:
        """Build one policy. See `IPolicyMaker.make_policy`."""
        return self._make(name, settings, host)


destinations = Builtin("destinations", make_destinations)
rate = Builtin("rate", make_rate)
