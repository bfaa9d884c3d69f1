"""Builds every part of a configuration that needs no socket."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from egress import plugins
from egress.errors import ConfigError
from egress.identity import Identifier
from egress.interfaces import IHostServices
from egress.policy.registry import build_policies, find_makers
from egress.service.build.configured_policies import ConfiguredPolicy, describe_policies
from egress.service.build.consistency import check_consistency
from egress.service.build.identification import check_listener_authentication, is_endpoint_local, make_identifier
from egress.service.build.own_proxies import check_own_proxies
from egress.service.build.routing import Routing, make_routing
from egress.service.listen.endpoint import Endpoint, known_addresses, overlaps, parse_endpoint
from egress.service.listen.tls import load_tls
from egress.service.settings.source import Source
from egress.tls import ServerTls
from egress.upstream import HostsFile, UpstreamStates


@frozen(eq=False)
class Prepared:
    """One configuration with every part that needs no socket. No part is active.

    Attributes:
        source: the settings.
        endpoints: the endpoints of the listeners, in configured order.
        status_endpoint: the endpoint of the status listener; None where the configuration has none.
        policies: the policies in configured order, each with its description.
        routing: the selector and the upstreams.
        tls: the TLS of listeners with TLS, by the listener's name.
        identifier: the identifier of the clients of all listeners.
    """

    source: Source
    endpoints: tuple[Endpoint, ...]
    status_endpoint: Endpoint | None
    policies: tuple[ConfiguredPolicy, ...]
    routing: Routing
    tls: Mapping[str, ServerTls]
    identifier: Identifier

    def known_addresses(self) -> list[tuple[str, int]]:
        """Return the addresses of this proxy that are known before its sockets are bound."""
        return known_addresses(_every(self.endpoints, self.status_endpoint))

    def check_own_proxies(self, own: Iterable[tuple[str, int]]) -> None:
        """Check that no proxy is a listener of this proxy.

        Args:
            own: the address and port of each socket of this proxy.

        Raises:
            ConfigError: see `egress.service.build.own_proxies`.
        """
        hosts = HostsFile() if self.source.settings.dns.hosts_file else None
        check_own_proxies(self.routing.dialled, own, hosts)


def prepare(
    source: Source,
    host: IHostServices,
    reactor: Any,
    environ: Mapping[str, str] | None = None,
    states: UpstreamStates | None = None,
    *,
    is_dry_run: bool = False,
) -> Prepared:
    """Build every part that needs no socket, and check that the tables of the configuration are consistent.

    Args:
        source: the settings.
        host: the services of the policies.
        reactor: the clock, and the receiver of the results of threads that check credentials.
        environ: the environment with the proxy variables; None for the environment of this process.
        states: the states of the upstreams of the previous configuration; None for no states.
        is_dry_run: whether no connection will be dialled; see `make_routing`.

    Raises:
        ConfigError: the first fault, with the name of the file or the option.
    """
    try:
        endpoints = _parse_endpoints(source)
        status_endpoint = _parse_status_endpoint(source)
        _check_overlaps(source, endpoints, status_endpoint)
        check_listener_authentication(source, map(is_endpoint_local, endpoints))
        tables = source.settings.policy
        policies = describe_policies(tables, build_policies(tables, find_makers(plugins), host))
        routing = make_routing(source, reactor, environ, states, is_dry_run=is_dry_run)
        check_consistency(source, policies, routing.selector)
        tls = load_tls(source)
        identifier = make_identifier(source, reactor)
        prepared = Prepared(source, endpoints, status_endpoint, policies, routing, tls, identifier)
        prepared.check_own_proxies(prepared.known_addresses())
    except ConfigError as error:
        raise source.place(error)
    return prepared


def _parse_endpoints(source: Source) -> tuple[Endpoint, ...]:
    # Paths of `--listen` are relative to the working directory, like any other path on a command line.
    absolute = source.path if source.listeners_where == "listener" else os.path.abspath
    return tuple(
        parse_endpoint(listener.endpoint, source.listener_where(index), absolute)
        for index, listener in enumerate(source.settings.listener)
    )


def _parse_status_endpoint(source: Source) -> Endpoint | None:
    text = source.settings.status.endpoint
    return parse_endpoint(text, "status.endpoint", source.path) if text else None


def _check_overlaps(source: Source, endpoints: tuple[Endpoint, ...], status_endpoint: Endpoint | None) -> None:
    """Refuse two listeners that cannot both be bound.

    Raises:
        ConfigError: two endpoints overlap; `where` is the second endpoint.
    """
    every = _every(endpoints, status_endpoint)
    for index, endpoint in enumerate(every):
        for at, earlier in enumerate(every[:index]):
            if overlaps(earlier, endpoint):
                where = source.listener_where(index) if index < len(endpoints) else "status.endpoint"
                raise ConfigError(where, f"listener[{at}] listens there already")


def _every(endpoints: tuple[Endpoint, ...], status_endpoint: Endpoint | None) -> tuple[Endpoint, ...]:
    return endpoints if status_endpoint is None else (*endpoints, status_endpoint)
