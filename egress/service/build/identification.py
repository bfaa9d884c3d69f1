"""Makes the identifier of the clients of all listeners, and checks how listeners authenticate."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from egress.config import prefix
from egress.config.watched_file import WatchedFile
from egress.errors import ConfigError
from egress.identity import (
    FailureLimit,
    Identifier,
    ListenerAuthentication,
    SecretChecks,
    Threads,
    Tokens,
    check_authentication,
    open_tokens,
)
from egress.service.listen.endpoint import Endpoint, TcpEndpoint
from egress.service.listen.sockets import ListeningSocket
from egress.service.settings.source import Source


def make_identifier(source: Source, reactor: Any) -> Identifier:
    """Build the identifier, and read the tokens files of all listeners.

    Args:
        source: the settings.
        reactor: the clock, and the receiver of the results of threads that check credentials.

    Raises:
        ConfigError: a tokens file cannot be used.
    """
    authentication: dict[str, ListenerAuthentication] = {}
    # Listeners with one tokens file share its cache: a secret that was proven at one listener is proven at the others.
    files: dict[str, WatchedFile[Tokens]] = {}
    for index, listener in enumerate(source.settings.listener):
        tokens = None
        if listener.tokens:
            path = source.path(listener.tokens)
            tokens = files.get(path) or open_tokens(path, reactor, f"listener[{index}].tokens")
            files[path] = tokens
        authentication[listener.name] = ListenerAuthentication(listener.require, tokens)
    failures = FailureLimit(reactor, source.settings.limits.authentication_failures_per_minute)
    return Identifier(authentication, SecretChecks(Threads(reactor), failures))


def check_listener_authentication(source: Source, are_local: Iterable[bool]) -> None:
    """Check that each listener can perform the authentication that it requires.

    Args:
        source: the settings.
        are_local: for each listener, whether only this machine can reach it.

    Raises:
        ConfigError: a listener cannot check the required credentials, or accepts tokens in the clear without
            `allow_plaintext_tokens`.
    """
    for index, (listener, is_local) in enumerate(zip(source.settings.listener, are_local, strict=True)):
        try:
            check_authentication(
                listener.require,
                has_tokens=bool(listener.tokens),
                allow_plaintext_tokens=listener.allow_plaintext_tokens,
                is_local=is_local,
                has_tls=bool(listener.tls.certificate),
                has_client_authorities=bool(listener.tls.client_ca),
            )
        except ConfigError as error:
            raise ConfigError(prefix(f"listener[{index}]", error.where), error.problem)


def is_socket_local(socket: ListeningSocket) -> bool:
    """Whether only this machine can reach a bound socket."""
    return socket.own is None or ip_address(socket.own[0]).is_loopback


def is_endpoint_local(endpoint: Endpoint) -> bool:
    """Whether only this machine could reach the socket of an endpoint.

    A socket of systemd counts as local until it is bound, because the endpoint does not contain its address.
    """
    return not isinstance(endpoint, TcpEndpoint) or endpoint.address.is_loopback
