"""A dry run for `egress check` and `egress explain`: a gate without sockets and audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.gate.explanation import Explanation
from egress.gate.gate import Gate
from egress.identity import ListenerIdentifier, unmet_requirement
from egress.model import Client, Connection, Request
from egress.service.build.activate import make_snapshot
from egress.service.build.host_services import Resolvers, make_host_services
from egress.service.build.prepare import Prepared, prepare
from egress.service.settings.source import Source
from egress.wire.target import parse_target


@frozen(eq=False)
class DryRun:
    """A prepared configuration, and its gate.

    Attributes:
        prepared: the configuration.
        gate: the gate, whose decisions equal those of a running proxy with this configuration.
        resolvers: the gate's resolvers.
        reactor: the reactor, which runs while a name is looked up.
    """

    prepared: Prepared
    gate: Gate
    resolvers: Resolvers
    reactor: Any

    def explain(self, request: Request) -> Explanation:
        """Explain the decision about a request.

        The method runs the reactor where a name must be looked up, so it can be called once in a process.
        """
        unknown = self._refuse_caller(request)
        if unknown is not None:
            return Explanation(refused=unknown)
        self.resolvers.start()
        try:
            explained = self.gate.explain(request)
            return self._wait(explained) if isinstance(explained, Deferred) else explained
        finally:
            self.resolvers.stop()

    def _refuse_caller(self, request: Request) -> Refused | None:
        """Return the refusal of a client without the credentials or the certificate that the listener requires."""
        asking = next(each for each in self.prepared.source.settings.listener if each.name == request.listener)
        kinds = {label.partition(":")[0] for label in request.client.labels}
        return unmet_requirement(asking.require, has_token="token" in kinds, has_certificate="certificate" in kinds)

    def _wait(self, pending: Deferred[Explanation]) -> Explanation:
        ended: list[Explanation | Failure] = []

        def end(result: Explanation | Failure) -> None:
            ended.append(result)
            self.reactor.stop()

        # Called only once the reactor runs, because a Deferred that has already fired could not stop it.
        self.reactor.callWhenRunning(pending.addBoth, end)
        self.reactor.run()
        if not ended:
            raise KeyboardInterrupt
        if isinstance(ended[0], Failure):
            ended[0].raiseException()
        assert isinstance(ended[0], Explanation)
        return ended[0]


def make_dry_run(source: Source, reactor: Any = None, environ: Mapping[str, str] | None = None) -> DryRun:
    """Prepare a configuration as for a start, and make its gate.

    Args:
        source: the settings.
        reactor: runs while a name is looked up; None for the global one.
        environ: the environment with the proxy variables; None for the environment of this process.

    Raises:
        ConfigError: a start would fail before it binds a socket.
    """
    if reactor is None:
        from twisted.internet import reactor
    host, resolvers = make_host_services(source.settings.dns, reactor)
    prepared = prepare(source, host, reactor, environ, is_dry_run=True)
    snapshot = make_snapshot(prepared, host, prepared.known_addresses(), reactor)
    return DryRun(prepared, Gate(snapshot, reactor, source.settings.limits.policy_seconds), resolvers, reactor)


def make_request(
    url: str, method: str, listener: str, labels: tuple[str, ...], begun: float, *, is_local: bool = False
) -> Request:
    """Make the request that a client would send.

    Args:
        url: the destination: `https://` (port 443 by default) and `HOST:PORT` make a tunnel, `http://` makes a plain
            request.
        method: the method of a plain request; "" is GET.
        listener: the name of the listener that receives the request.
        labels: the labels of the client, besides the listener's labels. `address:ADDRESS` is the client's address, by
            default 127.0.0.1.
        begun: the time of the request in seconds on the gate's clock.
        is_local: whether the listener is a unix socket, whose clients have no address.

    Raises:
        ValueError: the URL makes a tunnel, and the method is not CONNECT.
        ProtocolError: the URL is not a valid request target.
    """
    text = url.partition("#")[0]
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() not in ("https", "wss"):
        method = method or "GET"
        target = text
    else:
        if method not in ("", "CONNECT"):
            raise ValueError("a tunnel's method is CONNECT; the requests inside it cannot be read")
        method = "CONNECT"
        host = (rest if separator else text).partition("/")[0].partition("?")[0]
        if separator:
            # Clients send the user information of an https:// URL inside the tunnel.
            host = host.rpartition("@")[2]
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
    """Make the client with the labels and the corresponding key."""
    facts = dict(label.split(":", 1) for label in reversed(labels))
    peer = facts.get("address", "" if is_local else "127.0.0.1")
    uid, gid = (int(word) if (word := facts.get(kind, "")).isdigit() else -1 for kind in ("uid", "gid"))
    known = ListenerIdentifier().identify(Connection(listener, peer, 0, uid, gid, facts.get("certificate", "")), None)
    key = f"{listener}/token:{facts['token']}" if "token" in facts else known.key
    return Client(key, known.labels | frozenset(labels))


def _has_port(host: str) -> bool:
    return host.rpartition("]")[2].rpartition(":")[1] == ":"
