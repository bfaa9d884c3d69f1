"""The interface of resolvers."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import Interface

from egress.model import Resolution


class IResolver(Interface):
    """Resolves names."""

    def resolve(host: str, client: str = "") -> Resolution | Deferred[Resolution]:
        """Find the addresses of a canonical name, or of a literal, whose only address is the literal.

        One object is returned while the result is cached, so that a judged resolution can be recognised by identity.

        Args:
            host: the canonical name or literal.
            client: the key of the client whose request needs the answer. Each client has a share of the look-ups; "" is
                the share of look-ups for no client.

        Raises:
            NameNotFound: the name does not exist, or has no address.
            ResolverFailed: the resolver failed.
            ResolverTimeout: the resolver did not respond in time.
            ResolverBusy: too many look-ups wait, of this client (TooManyLookups) or of all.
        """
