"""Identification of clients by the facts of a connection and the credentials of a request."""

from egress.identity.failure_limit import FailureLimit
from egress.identity.identifier import Identifier, ListenerAuthentication, Requirement, unmet_requirement
from egress.identity.listener import ListenerIdentifier
from egress.identity.secret_checks import SecretChecks
from egress.identity.settings import check_authentication
from egress.identity.threads import Threads
from egress.identity.tokens import Tokens, open_tokens

__all__ = [
    "FailureLimit",
    "Identifier",
    "ListenerAuthentication",
    "ListenerIdentifier",
    "Requirement",
    "SecretChecks",
    "Threads",
    "Tokens",
    "check_authentication",
    "open_tokens",
    "unmet_requirement",
]
