"""The interface of resolvers."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import Interface

from egress.model import Resolution


class IResolver(Interface):
    """Looks names up."""

    def resolve(host: str) -> Resolution | Deferred[Resolution]:
        """Find the addresses of a canonical name, or of a literal (which is its own answer).

        The same object is returned as long as the answer is kept, so that what was judged can be known by identity.

        Raises:
            NameNotFound: there is no such name, or it has no address.
            ResolverFailed: the resolver failed or is overloaded.
            ResolverTimeout: no answer in time.
        """
