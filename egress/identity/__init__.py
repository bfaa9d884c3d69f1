"""Who is calling: facts of the connection and the credentials of a request become one client."""

from egress.identity.failure_limit import Failures
from egress.identity.identifier import Identifier, ListenerAuthentication, Requirement
from egress.identity.listener import ListenerIdentifier
from egress.identity.secret_checks import Checks
from egress.identity.settings import check_authentication
from egress.identity.threads import Threads
from egress.identity.tokens import Tokens, open_tokens

__all__ = [
    "Checks",
    "Failures",
    "Identifier",
    "ListenerAuthentication",
    "ListenerIdentifier",
    "Requirement",
    "Threads",
    "Tokens",
    "check_authentication",
    "open_tokens",
]
