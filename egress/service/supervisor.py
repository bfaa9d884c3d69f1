"""The supervisor: every part, put together, started and stopped in order."""

from __future__ import annotations

import signal
from collections.abc import Generator, Mapping
from contextlib import suppress
from importlib.metadata import version
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.logger import Logger

from egress.audit import AuditLog, open_audit_log
from egress.audit.tee import Tee
from egress.errors import ConfigError
from egress.gate.gate import Gate
from egress.proxy.server import ProxyServer
from egress.service.build import (
    HostServices,
    bind_listener,
    bind_listeners,
    make_engine,
    make_lookup,
    make_policies,
    make_snapshot,
    open_status,
    parse_endpoints,
)
from egress.service.identification import bound_locally, make_identifier
from egress.service.listen.listeners import Listener, Listeners
from egress.service.listen.socket_activation import ActivationSockets
from egress.service.listen.sockets import Listening
from egress.service.listen.tls import load_tls, make_factories
from egress.service.process.control_socket import Control, ControlRefused
from egress.service.process.descriptors import needed_descriptors, raise_descriptor_limit
from egress.service.process.notify import Notifier
from egress.service.process.signals import Signals
from egress.service.reload.configuration import Configuration, Reloaded
from egress.service.routing import make_routing
from egress.service.settings.consistency import check_together
from egress.service.settings.settings import Source, is_mute
from egress.service.settings.summary import audit_log_places, count, state_of, summary
from egress.upstream import CachingResolver, SystemLookup

if TYPE_CHECKING:
    from egress.service.listen.status import Status
    from egress.transports.engine.engine import Engine

_log = Logger()


class Supervisor(Service):
    """Serves the listeners until it is stopped.

    Args:
        reactor: serves the sockets and runs everything.
        configuration: in force, its listeners bound.
        audit_log: takes the record.
        lookup: asks the system's resolver.
        engine: serves and dials TCP connections, if the reactor does not.
        notifier: tells the service manager; None tells nobody.
        status: tells operators how it is.
        control: takes what the `egress` command asks for.
    """

    name = "egress"

    def __init__(
        self,
        reactor: Any,
        configuration: Configuration,
        audit_log: AuditLog,
        lookup: SystemLookup,
        engine: Engine | None = None,
        notifier: Notifier | None = None,
        status: Status | None = None,
        control: Control | None = None,
    ) -> None:
        self.notifier = notifier or Notifier(reactor)
        self.notifier.is_well = self._is_well
        self.configuration = configuration
        self.server = configuration.server
        self._reactor = reactor
        self._audit_log = audit_log
        self._look_up = lookup
        self._engine = engine
        self._operators = status
        self._control = control
        if control is not None:
            control.verbs["reload"] = lambda _question: self.reload().facts()
        self._signals = Signals(reactor, {signal.SIGHUP: self._hang_up})
        self._ending = Signals(reactor, {signal.SIGTERM: self._end, signal.SIGINT: self._end})
        self._is_ending = False

    @property
    def sockets(self) -> list[Listening]:
        """The listeners' sockets as they are now."""
        return self.configuration.listeners.sockets

    def startService(self) -> None:
        """Serve. Nothing in here can fail for a reason that an operator could cause."""
        super().startService()
        descriptors = raise_descriptor_limit()
        self._look_up.start()
        self._audit_log.start(
            version=version("egress"),
            configuration=self.configuration.source.file or None,
            listeners=[f"{each.name} {each.address}" for each in self.sockets],
        )
        self.server.start()
        self._signals.start()
        # The reactor sets its own handlers when it begins to run; they raise at a second signal before it stops.
        self._ending.start()
        self._reactor.callWhenRunning(self._ending.start)
        if self._engine is not None:
            self._engine.start()
        self.configuration.listeners.start(self.configuration.factories)
        self._say(descriptors)
        if self._control is not None:
            self._control.start()
        if self._operators is not None:
            self._operators.watch(self.server, self._audit_log, lambda: self.sockets, self._transports())
            read_from = self._operators.metrics.read_from
            read_from("egress_config_last_reload_successful", lambda: not self.configuration.problem)
            self._operators.start(self._reactor, self.faults)
        self.notifier.start()
        self._reactor.callWhenRunning(self._tell_ready)

    @inlineCallbacks
    def stopService(self) -> Generator[Deferred[Any], Any, None]:
        """Take no more connections, let running requests end, end what is left, and write the last record."""
        super().stopService()
        self._is_ending = True
        status = f"stopping: {count(len(self.server.connections.live), 'connection', 'connections')} left"
        self.notifier.stopping(status, self.configuration.source.settings.limits.drain_seconds)
        closing = self.configuration.listeners.stop()
        if self._control is not None:
            closing.append(self._control.stop())
        try:
            if self.server.connections.live:
                _log.info("stopping: connections left to end: {count}", count=len(self.server.connections.live))
            yield self.server.drain()
            yield gatherResults(closing, consumeErrors=True)
        except Exception:
            # The record of what happened matters more than a socket that could not be closed.
            _log.failure("stopping was not orderly")
        self.configuration.listeners.close()
        self.server.stop()
        if self._engine is not None:
            # What the proxy server has ended is recorded by this, before the audit log is closed.
            self._engine.stop()
        self._look_up.stop()
        yield self._audit_log.stop()
        if self._operators is not None:
            # The last of all: whoever watches sees the difference between stopping and gone.
            yield self._operators.stop()
        self.notifier.stop()
        self._signals.stop()
        self._ending.stop()

    def status(self) -> str:
        """Say in one line what is served."""
        listeners = count(len(self.sockets), "listener", "listeners")
        routing, problem = self.configuration.routing.summary(), self.configuration.problem
        said = f"{listeners}, {summary(self.configuration.source.settings)}, routes: {routing}"
        return f"the last reload failed: {problem}; still {said}" if problem else said

    def reload(self) -> Reloaded:
        """Read the configuration anew; see `Configuration.reload`.

        Raises:
            ConfigError: nothing changed, and why.
            ControlRefused: it is stopping.
        """
        if self._is_ending:
            raise ControlRefused("the proxy is stopping")
        self.notifier.reloading()
        try:
            done = self.configuration.reload()
        finally:
            self.notifier.ready(self.status())
        log, facts = self._audit_log, done.facts()
        log.note("reload", config_generation=done.generation, changed=facts["changed"], weaker=facts["weaker"])
        return done

    def faults(self) -> list[str]:
        """Say why no requests can be served now, a sentence for each reason."""
        faults = []
        if self._is_ending:
            faults.append("The proxy is stopping.")
        elif not self.configuration.listeners.is_serving:
            faults.append("The listeners are not served.")
        if not self._is_well():
            faults.append("What serves connections has failed.")
        if not self._audit_log.is_accepting:
            faults.append("The audit log cannot take records.")
        return faults

    def _tell_ready(self) -> None:
        if not self._is_ending:
            self.notifier.ready(self.status())

    def _is_well(self) -> bool:
        return self._engine is None or self._engine.is_running

    def _end(self) -> None:
        """Drain on the first signal; whoever sends another does not want to wait."""
        if self._is_ending:
            self.server.stop()
        else:
            self._is_ending = True
            self._reactor.stop()

    def _hang_up(self) -> None:
        what = "" if self._is_ending else ", and the configuration is read"
        _log.info("SIGHUP: the audit log is opened anew{what}", what=what)
        self._audit_log.reopen()
        with suppress(ConfigError, ControlRefused):
            # It has been said, and the one in force stays.
            self.reload()

    def _transports(self) -> str:
        return "twisted" if self._engine is None else "egress"

    def _say(self, descriptors: int) -> None:
        settings, routing = self.configuration.source.settings, self.configuration.routing
        for each in self.sockets:
            _log.info("listener {name}: {address}", name=each.name, address=each.address)
            if each.own is not None and not ip_address(each.own[0]).is_loopback:
                _log.warn("listener {name} can be reached by other machines", name=each.name)
        _log.info("TCP connections are served by: {engine}", engine=self._transports())
        _log.info("audit log: {places}", places=", ".join(audit_log_places(settings)))
        _log.info("{summary}", summary=summary(settings))
        _log.info("routes: {routing}", routing=routing.summary())
        for warning in routing.warnings:
            _log.warn("{warning}", warning=warning)
        if not settings.guard.enabled:
            _log.warn("the guard is off: a rule for a name may lead to any address")
        if is_mute(settings):
            _log.info(
                "nothing is allowed, so every request is refused: allow a host with --allow HOST, or write a file "
                "(conf/egress.toml shows every key) and name it with --config; `egress tail` shows what is refused"
            )
        needed = needed_descriptors(settings.limits.connections)
        if descriptors < needed:
            _log.warn(
                "{descriptors} descriptors are too few for limits.connections = {connections}: it may need {needed}",
                descriptors=descriptors,
                connections=settings.limits.connections,
                needed=needed,
            )


def make_supervisor(
    source: Source,
    reactor: Any,
    environ: Mapping[str, str] | None = None,
    activation_sockets: ActivationSockets | None = None,
    notifier: Notifier | None = None,
) -> Supervisor:
    """Build everything: what can fail, fails here.

    Args:
        source: the settings.
        reactor: the one that will run it.
        environ: the environment that may name proxies; None for the one of this process.
        activation_sockets: the sockets that systemd handed over.
        notifier: tells the service manager.

    Raises:
        ConfigError: one line that says what is wrong and where.
    """
    settings = source.settings
    endpoints = parse_endpoints(source)
    lookup = make_lookup(settings.dns, reactor)
    host = HostServices(reactor, CachingResolver(reactor, lookup, settings.dns))
    policies = make_policies(source, host)
    routing = make_routing(source, reactor, environ)
    check_together(source, policies, routing.selector)
    tls = load_tls(source)
    engine = make_engine(settings.engine, reactor)
    activation_sockets = activation_sockets or ActivationSockets([])
    sockets = bind_listeners(source, endpoints, engine, activation_sockets)
    bound: list[Listening] = [*sockets]
    try:
        status = open_status(source, activation_sockets)
        if status is not None:
            bound.append(status.socket)
        activation_sockets.close_rest()
        own = [each.own for each in bound if each.own is not None]
        snapshot = make_snapshot(source, host, policies, routing, own, engine or reactor)
        identifier = make_identifier(source, reactor, bound_locally(sockets))
        audit_log = open_audit_log(settings.audit, state_of(settings), reactor)
    except ConfigError as error:
        for each in bound:
            each.close()
        raise source.place(error)
    limits = settings.limits
    server = ProxyServer(
        Gate(snapshot, reactor, limits.policy_seconds, delegated_seconds=settings.dns.delegated_seconds),
        identifier,
        audit_log if status is None else Tee(audit_log, status.metrics.record),
        reactor,
        limits,
        settings.tls,
    )
    later = ActivationSockets([], "systemd hands its sockets over at the start only; restart the proxy")
    listeners = Listeners(
        reactor,
        tuple(map(Listener, sockets, endpoints)),
        lambda name, endpoint, where: bind_listener(name, endpoint, where, engine, later),
    )
    factories, others = make_factories(source, server, tls), [each.own for each in bound[len(sockets) :]]
    configuration = Configuration(
        source,
        routing,
        listeners,
        factories,
        server,
        host,
        reactor,
        engine,
        environ,
        tuple(each for each in others if each is not None),
    )
    control = Control(reactor, state_of(settings))
    return Supervisor(reactor, configuration, audit_log, lookup, engine, notifier, status, control)
