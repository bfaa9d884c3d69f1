"""TLS as our own listeners speak it: what they show, what they take, and whose certificate they are shown."""

from egress.tls.server import ServerTls, make_context
from egress.tls.subject import name_of

__all__ = ["ServerTls", "make_context", "name_of"]
