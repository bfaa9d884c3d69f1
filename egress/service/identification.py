"""Puts together what says who is calling."""

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
from egress.service.listen.sockets import Listening
from egress.service.settings.settings import ListenerSettings, Source


def make_identifier(source: Source, reactor: Any, are_local: Iterable[bool]) -> Identifier:
    """Build the identifier of all listeners.

    Args:
        source: the settings.
        reactor: tells the time, and takes what threads have found.
        are_local: for each listener whether only this machine can reach it.

    Raises:
        ConfigError: a listener asks for what it cannot have, or a tokens file cannot be used.
    """
    authentication: dict[str, ListenerAuthentication] = {}
    # Two listeners with one file are looked after together: what was proven at one is proven at the other.
    files: dict[str, WatchedFile[Tokens]] = {}
    for index, (listener, is_local) in enumerate(zip(source.settings.listener, are_local, strict=True)):
        where = f"listener[{index}]"
        try:
            _check(listener, is_local)
        except ConfigError as error:
            raise source.place(ConfigError(prefix(where, error.where), error.problem))
        tokens = None
        if listener.tokens:
            path = source.path(listener.tokens)
            try:
                tokens = files.get(path) or open_tokens(path, reactor, f"{where}.tokens")
            except ConfigError as error:
                raise source.place(error)
            files[path] = tokens
        authentication[listener.name] = ListenerAuthentication(listener.require, tokens)
    failures = FailureLimit(reactor, source.settings.limits.authentication_failures_per_minute)
    return Identifier(authentication, SecretChecks(Threads(reactor), failures))


def _check(listener: ListenerSettings, is_local: bool) -> None:
    check_authentication(
        listener.require,
        has_tokens=bool(listener.tokens),
        allow_plaintext_tokens=listener.allow_plaintext_tokens,
        is_local=is_local,
        has_tls=bool(listener.tls.certificate),
        has_client_authorities=bool(listener.tls.client_ca),
    )


def bound_locally(sockets: Iterable[Listening]) -> list[bool]:
    """Tell for each socket whether only this machine can reach it."""
    return [each.own is None or ip_address(each.own[0]).is_loopback for each in sockets]


def planned_locally(endpoints: Iterable[Endpoint]) -> list[bool]:
    """Tell the same of endpoints that are not bound. Only the start can tell of one that is handed over."""
    return [not isinstance(each, TcpEndpoint) or each.address.is_loopback for each in endpoints]
