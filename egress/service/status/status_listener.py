"""The status listener: serves `/livez`, `/readyz` and `/metrics`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from egress.api.metrics import Metrics
from egress.api.status import StatusFactory, StatusPage
from egress.audit import AuditLog
from egress.proxy.server import ProxyServer
from egress.service.listen.sockets import ListeningSocket
from egress.service.status.metric_readings import read_everything

_log = Logger()


@define(eq=False)
class Status:
    """Serves status and metrics, from the start until all other parts have ended.

    Attributes:
        socket: the bound socket.
        hosts: the names that a request's Host may have besides addresses and localhost.
        metrics: the metrics, which also count the audit events.
    """

    socket: ListeningSocket
    hosts: tuple[str, ...] = ()
    metrics: Metrics = field(factory=Metrics)
    _port: IListeningPort | None = field(init=False, default=None)

    def watch(
        self, server: ProxyServer, audit_log: AuditLog, sockets: Callable[[], Sequence[ListeningSocket]], engine: str
    ) -> None:
        """Connect the metrics with their sources. See `read_everything`."""
        read_everything(self.metrics, server, audit_log, sockets, engine)

    def start(
        self, reactor: Any, faults: Callable[[], Sequence[str]], warnings: Callable[[], Sequence[str]] = tuple
    ) -> None:
        """Begin to serve.

        Args:
            reactor: the reactor, which serves the socket even if there is an engine, so that the engine's faults can be
                reported.
            faults: returns the reasons why requests cannot be served now.
            warnings: returns what an operator must know although requests are served.
        """
        page = StatusPage(self.metrics.registry, faults, self.hosts, warnings)
        self._port = self.socket.serve(reactor, StatusFactory(page, reactor))
        _log.info("status: {address}: /livez, /readyz, /metrics", address=self.socket.address)
        if self.socket.own is not None and not ip_address(self.socket.own[0]).is_loopback:
            _log.warn("the status listener can be reached by other machines, and asks for no password")

    def stop(self) -> Deferred[Any]:
        """Stop serving.

        Returns:
            A Deferred that fires when the socket is closed. The Deferred does not fail, because the process must end.
        """
        port, self._port = self._port, None
        stopped: Deferred[Any] = maybeDeferred(port.stopListening) if port is not None else maybeDeferred(lambda: None)
        stopped.addErrback(lambda failure: _log.failure("the status listener did not close", failure))
        stopped.addCallback(lambda _: self.socket.close())
        return stopped
