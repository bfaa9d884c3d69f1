"""The supervisor: the service that starts and stops the parts of the proxy in order, and reloads its configuration."""

from __future__ import annotations

import signal
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from attrs import asdict
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.logger import Logger

from egress.audit import AuditLog, open_audit_log
from egress.errors import ConfigError
from egress.service.build.activate import SocketBinder, activate
from egress.service.build.engine import make_engine
from egress.service.build.host_services import Resolvers, make_host_services
from egress.service.build.prepare import prepare
from egress.service.build.summary import count, summary
from egress.service.listen.socket_activation import ActivationSockets
from egress.service.listen.sockets import ListeningSocket
from egress.service.process.control_protocol import ControlRefused
from egress.service.process.control_socket import ControlSocket
from egress.service.process.descriptors import DescriptorBudget, raise_descriptor_limit
from egress.service.process.notify import Notifier
from egress.service.process.signals import Signals
from egress.service.process.state_lock import StateLock
from egress.service.reload.active_configuration import ActiveConfiguration, Reloaded
from egress.service.settings.places import state_of
from egress.service.settings.source import Source
from egress.service.start_report import report_start
from egress.upstream import UpstreamProbes

if TYPE_CHECKING:
    from egress.service.status.status_listener import Status
    from egress.transports.engine.engine import Engine

_log = Logger()


class Supervisor(Service):
    """Serves the listeners until it is stopped.

    Args:
        reactor: the reactor of all parts.
        configuration: the active configuration with bound listeners.
        audit_log: the audit log.
        resolvers: the resolvers of names.
        engine: the engine that serves and dials TCP connections; None for the reactor.
        notifier: the notifier of the service manager; None for no notifications.
        status: the status listener; None where there is none.
        control: the control socket; None where there is none.
        lock: of the state directory; None where it is not locked.
        warnings: for the operator, at the start.
    """

    name = "egress"

    def __init__(
        self,
        reactor: Any,
        configuration: ActiveConfiguration,
        audit_log: AuditLog,
        resolvers: Resolvers,
        engine: Engine | None = None,
        notifier: Notifier | None = None,
        status: Status | None = None,
        control: ControlSocket | None = None,
        lock: StateLock | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        self.notifier = notifier or Notifier(reactor)
        self.notifier.is_well = self._is_well
        self.configuration = configuration
        self.server = configuration.server
        self._reactor = reactor
        self._audit_log = audit_log
        self._resolvers = resolvers
        self._engine = engine
        self._status_listener = status
        self._control = control
        self._lock = lock
        self._warnings = warnings
        if control is not None:
            control.commands["reload"] = lambda _question: self.reload().facts()
            control.commands["status"] = lambda _question: self._status_facts()
        self._signals = Signals(reactor, {signal.SIGHUP: self._hang_up})
        self._ending = Signals(reactor, {signal.SIGTERM: self._end, signal.SIGINT: self._end})
        self._is_ending = False
        gate = configuration.server.gate
        self._probes = UpstreamProbes(reactor, lambda: gate.snapshot.proxies, lambda: configuration.routing.probed())

    @property
    def sockets(self) -> list[ListeningSocket]:
        """The current sockets of the listeners."""
        return self.configuration.listeners.sockets

    def startService(self) -> None:
        """Start every part. Mistakes of the operator are detected earlier, in `make_supervisor`."""
        super().startService()
        self._resolvers.start()
        self._audit_log.start(
            version=version("egress"),
            configuration=self.configuration.source.file or None,
            listeners=[f"{each.name} {each.address}" for each in self.sockets],
        )
        self.server.start()
        self._signals.start()
        # The reactor sets its own handlers when it starts to run, which raise at a second signal before the reactor
        # stops.
        self._ending.start()
        self._reactor.callWhenRunning(self._ending.start)
        if self._engine is not None:
            self._engine.start()
        self.configuration.listeners.start(self.configuration.factories)
        self._probes.start()
        report_start(self.configuration, self._transports(), self._warnings)
        if self._control is not None:
            self._control.start()
        if self._status_listener is not None:
            self._status_listener.watch(self.server, self._audit_log, lambda: self.sockets, self._transports())
            read_from = self._status_listener.metrics.read_from
            read_from("egress_config_last_reload_successful", lambda: not self.configuration.problem)
            read_from("egress_upstream_up", lambda: self.configuration.routing.up())
            self._status_listener.start(self._reactor, self.faults, self.warnings)
        self.notifier.start()
        self._reactor.callWhenRunning(self._tell_ready)

    @inlineCallbacks
    def stopService(self) -> Generator[Deferred[Any], Any, None]:
        """Stop accepting connections, drain running requests, end the rest, and write the last audit event."""
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
            # The audit log must be written even if a socket could not be closed.
            _log.failure("stopping was not orderly")
        self.configuration.listeners.close()
        self._probes.stop()
        self.configuration.routing.states.retain(())
        self.server.stop()
        if self._engine is not None:
            # Reports the ends of connections that the server has ended, before the audit log is closed.
            self._engine.stop()
        self._resolvers.stop()
        yield self._audit_log.stop()
        if self._status_listener is not None:
            # Last, so that monitoring can distinguish a stopping proxy from a stopped one.
            yield self._status_listener.stop()
        self.notifier.stop()
        self._signals.stop()
        self._ending.stop()
        if self._lock is not None:
            self._lock.release()

    def status(self) -> str:
        """Describe the active configuration and a failed reload in one line."""
        listeners = count(len(self.sockets), "listener", "listeners")
        routing, problem = self.configuration.routing.summary(), self.configuration.problem
        said = f"{listeners}, {summary(self.configuration.prepared)}, routes: {routing}"
        return f"the last reload failed: {problem}; still {said}" if problem else said

    def reload(self) -> Reloaded:
        """Reload the configuration. See `ActiveConfiguration.reload`.

        Raises:
            ConfigError: the new configuration cannot be used. The active configuration is unchanged.
            ControlRefused: the proxy is stopping.
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
        """Return the reasons why requests cannot be served now, a sentence each."""
        faults = []
        if self._is_ending:
            faults.append("The proxy is stopping.")
        elif not self.configuration.listeners.is_serving:
            faults.append("The listeners are not served.")
        if not self._is_well():
            faults.append("What serves connections has failed.")
        if not self._audit_log.is_accepting:
            faults.append("The audit log cannot take records.")
        return [*faults, *self.configuration.routing.faults()]

    def warnings(self) -> list[str]:
        """Return what an operator must know although requests are served, a sentence each."""
        log = self._audit_log
        if log.is_whole or not log.is_accepting:
            return []
        return [f"The audit log cannot be written, and requests are served without it: {log.lost} lines lost so far."]

    def _status_facts(self) -> dict[str, object]:
        log = self._audit_log
        return {
            "status": self.status(),
            "faults": self.faults(),
            "warnings": self.warnings(),
            "generation": self.server.gate.snapshot.generation,
            "audit": {"lost": log.lost, "heads": [asdict(head) for head in log.heads]},
        }

    def _tell_ready(self) -> None:
        if not self._is_ending:
            self.notifier.ready(self.status())

    def _is_well(self) -> bool:
        return self._engine is None or self._engine.is_running

    def _end(self) -> None:
        """Drain at the first signal, and end every connection at the second."""
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
            # The error is logged, and the active configuration is unchanged.
            self.reload()

    def _transports(self) -> str:
        return "twisted" if self._engine is None else "egress"


def make_supervisor(
    source: Source,
    reactor: Any,
    environ: Mapping[str, str] | None = None,
    activation_sockets: ActivationSockets | None = None,
    notifier: Notifier | None = None,
) -> Supervisor:
    """Build the supervisor of a configuration, with bound sockets and an open audit log.

    Args:
        source: the settings.
        reactor: the reactor of the supervisor.
        environ: the environment with the proxy variables; None for the environment of this process.
        activation_sockets: the sockets that systemd passed to this process.
        notifier: tells the service manager. Raises:
        ConfigError: the configuration cannot be used; one line with the fault and its place.
    """
    settings, state = source.settings, state_of(source.settings)
    lock = StateLock(state)

    def open_log() -> AuditLog:
        lock.acquire()
        return open_audit_log(settings.audit, state, reactor)

    host, resolvers = make_host_services(settings.dns, reactor)
    prepared = prepare(source, host, reactor, environ)
    raise_descriptor_limit()
    budget = DescriptorBudget()
    try:
        fitted = budget.fit(settings)
    except ConfigError as error:
        raise source.place(error)
    budget.apply(fitted)
    engine = make_engine(settings.engine, reactor, budget.ceiling)
    binder = SocketBinder(activation_sockets or ActivationSockets([]), engine, budget.ceiling)
    try:
        active = activate(prepared, host, reactor, binder, open_log, engine, fitted.limits)
    except ConfigError:
        lock.release()
        raise
    configuration = ActiveConfiguration(
        prepared,
        active.listeners,
        active.factories,
        active.server,
        host,
        reactor,
        engine,
        environ,
        () if active.status is None else (active.status.socket,),
        budget,
    )
    control = ControlSocket(reactor, state)
    warnings = [fitted.warning] if fitted.warning else []
    return Supervisor(
        reactor, configuration, active.audit_log, resolvers, engine, notifier, active.status, control, lock, warnings
    )
