"""Builds everything and serves nothing: what `egress check` and `egress explain` need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.gate.explanation import Explanation
from egress.gate.gate import Gate
from egress.identity import ListenerIdentifier
from egress.interfaces import IPolicy
from egress.model import Client, Connection, Request
from egress.service.build import (
    HostServices,
    expected_sockets,
    make_lookup,
    make_policies,
    make_snapshot,
    parse_endpoints,
    parse_status,
)
from egress.service.identification import make_identifier, planned_locally
from egress.service.listen.tls import load_tls
from egress.service.routing import Routing, make_routing
from egress.service.settings.consistency import check_together
from egress.service.settings.settings import Source
from egress.upstream import CachingResolver, SystemLookup
from egress.wire.target import parse_target


@frozen(eq=False)
class DryRun:
    """A supervisor without sockets and audit log.

    Attributes:
        source: the settings.
        gate: judges as the supervisor's would.
        policies: in configured order.
        routing: upstreams, routes and the selector.
        lookup: asks the system's resolver, where a name must be looked up.
        reactor: waits for it.
    """

    source: Source
    gate: Gate
    policies: tuple[IPolicy, ...]
    routing: Routing
    lookup: SystemLookup
    reactor: Any

    def explain(self, request: Request) -> Explanation:
        """Say what would be decided. Runs the reactor where a name must be looked up, which can be done once only."""
        unknown = self._refuse_caller(request)
        if unknown is not None:
            return Explanation(refused=unknown)
        self.lookup.start()
        try:
            explained = self.gate.explain(request)
            return self._wait(explained) if isinstance(explained, Deferred) else explained
        finally:
            self.lookup.stop()

    def _refuse_caller(self, request: Request) -> Refused | None:
        """Say what the listener would, before anything is judged, to a client that does not show what it asks for."""
        asking = next(each for each in self.source.settings.listener if each.name == request.listener)
        kinds = {label.partition(":")[0] for label in request.client.labels}
        if asking.require == "basic" and "token" not in kinds:
            return Refused("credentials_required", "This listener takes only requests with credentials.")
        if asking.require == "certificate" and "certificate" not in kinds:
            return Refused("certificate_required", "This listener takes only clients that show a certificate.")
        return None

    def _wait(self, pending: Deferred[Explanation]) -> Explanation:
        ended: list[Explanation | Failure] = []

        def end(result: Explanation | Failure) -> None:
            ended.append(result)
            self.reactor.stop()

        # Not before it runs: what has fired already could not stop it.
        self.reactor.callWhenRunning(pending.addBoth, end)
        self.reactor.run()
        if not ended:
            raise KeyboardInterrupt
        if isinstance(ended[0], Failure):
            ended[0].raiseException()
        assert isinstance(ended[0], Explanation)
        return ended[0]


def make_dry_run(source: Source, reactor: Any = None, environ: Mapping[str, str] | None = None) -> DryRun:
    """Build everything that judges.

    Args:
        source: the settings.
        reactor: waits for look-ups; the global one if None.
        environ: the environment that may name proxies; None for the one of this process.

    Raises:
        ConfigError: as the supervisor would not start.
    """
    if reactor is None:
        from twisted.internet import reactor
    settings = source.settings
    endpoints = parse_endpoints(source)
    # Nobody calls, but a file that the supervisor would not start with is found.
    make_identifier(source, reactor, planned_locally(endpoints))
    load_tls(source)
    lookup = make_lookup(settings.dns, reactor)
    host = HostServices(reactor, CachingResolver(reactor, lookup, settings.dns))
    policies = make_policies(source, host)
    routing = make_routing(source, reactor, environ, is_dry_run=True)
    check_together(source, policies, routing.selector)
    snapshot = make_snapshot(
        source, host, policies, routing, expected_sockets([*endpoints, *parse_status(source)]), reactor
    )
    return DryRun(source, Gate(snapshot, reactor, settings.limits.policy_seconds), policies, routing, lookup, reactor)


def make_request(
    url: str, method: str, listener: str, labels: tuple[str, ...], begun: float, *, is_local: bool = False
) -> Request:
    """Make the request that a client would be judged by.

    Args:
        url: `https://` makes a tunnel to its host, port 443 by default, and so does `HOST:PORT`; `http://` makes a
            plain request.
        method: of a plain request; "" is GET.
        listener: the name of the listener that it came by.
        labels: of the client, besides those of the listener. `address:ADDRESS` is where it comes from, by default
            127.0.0.1.
        begun: seconds on the gate's clock.
        is_local: the listener is a unix socket, whose clients have no address.

    Raises:
        ValueError: a tunnel was given a method.
        ProtocolError: the URL is not one that a client could ask for.
    """
    text = url.partition("#")[0]
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() not in ("https", "wss"):
        method = method or "GET"
        target = text
    else:
        if method not in ("", "CONNECT"):
            raise ValueError("a tunnel's method is CONNECT; what is asked for inside it cannot be read")
        method = "CONNECT"
        host = (rest if separator else text).partition("/")[0].partition("?")[0]
        target = host if _has_port(host) else f"{host}:443"
    read = parse_target(method, target.encode("utf-8", "surrogateescape"))
    assert read.authority is not None, "only OPTIONS * has none, and it is no URL"
    client = _make_client(listener, labels, is_local=is_local)
    return Request(
        "dry-run",
        "connect" if read.form == "authority" else "http",
        method,
        read.authority,
        read.path,
        client,
        listener,
        begun,
        read.is_path_ambiguous,
        is_dry_run=True,
    )


def _make_client(listener: str, labels: tuple[str, ...], *, is_local: bool) -> Client:
    """Make the client that these labels are of, with the key that it would have."""
    facts = dict(label.split(":", 1) for label in reversed(labels))
    peer = facts.get("address", "" if is_local else "127.0.0.1")
    uid, gid = (int(word) if (word := facts.get(kind, "")).isdigit() else -1 for kind in ("uid", "gid"))
    known = ListenerIdentifier().identify(Connection(listener, peer, 0, uid, gid, facts.get("certificate", "")), None)
    key = f"{listener}/token:{facts['token']}" if "token" in facts else known.key
    return Client(key, known.labels | frozenset(labels))


def _has_port(host: str) -> bool:
    return host.rpartition("]")[2].rpartition(":")[1] == ":"
