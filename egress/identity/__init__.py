"""Who is calling: facts of the connection and the credentials of a request become one client."""

from egress.identity.listener import ListenerIdentifier

__all__ = ["ListenerIdentifier"]
