"""The supervisor: every part, put together, started and stopped in order."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Generator, Sequence
from importlib.metadata import version
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from egress.audit import Journal, open_journal, state_directory
from egress.errors import ConfigError
from egress.identity import ListenerIdentifier
from egress.proxy.door import Door
from egress.proxy.factory import ProxyFactory
from egress.proxy.gate import Gate
from egress.service.compose import Host, make_engine, make_look_up, make_policies, make_world, parse_endpoints
from egress.service.endpoint import Endpoint
from egress.service.settings import Settings, Source, is_mute
from egress.service.signals import Signals
from egress.service.sockets import BoundSocket, Listening, bind
from egress.upstream import CachingResolver, ThreadedLookUp, TunnelingAgent

if TYPE_CHECKING:
    from egress.engine.engine import Engine

# A tunnel has two descriptors; the journal, the reactor and the resolver have some of their own.
_DESCRIPTORS_PER_CONNECTION = 2
_DESCRIPTORS_OF_OURS = 64

_log = Logger()


class Supervisor(Service):
    """Serves the listeners until it is stopped.

    Args:
        reactor: serves the sockets and runs everything.
        source: the settings.
        door: what all listeners share.
        journal: takes the record.
        look_up: asks the system's resolver.
        sockets: one for each listener, bound.
        engine: serves and dials TCP connections, if the reactor does not.
    """

    name = "egress"

    def __init__(
        self,
        reactor: Any,
        source: Source,
        door: Door,
        journal: Journal,
        look_up: ThreadedLookUp,
        sockets: Sequence[Listening],
        engine: Engine | None = None,
    ) -> None:
        self.door = door
        self.sockets = sockets
        self._reactor = reactor
        self._source = source
        self._journal = journal
        self._look_up = look_up
        self._engine = engine
        self._ports: list[IListeningPort] = []
        self._signals = Signals(reactor, {signal.SIGHUP: self._hang_up})
        self._ending = Signals(reactor, {signal.SIGTERM: self._end, signal.SIGINT: self._end})
        self._is_ending = False

    def startService(self) -> None:
        """Serve. Nothing in here can fail for a reason that an operator could cause."""
        super().startService()
        descriptors = raise_descriptor_limit()
        self._look_up.start()
        self._journal.start(
            version=version("egress"),
            configuration=self._source.file or None,
            listeners=[f"{each.name} {each.address}" for each in self.sockets],
        )
        self.door.start()
        self._signals.start()
        # The reactor takes these two for itself when it begins to run. Its own way with a second one, which may come
        # before the first has had its effect, is an exception.
        self._ending.start()
        self._reactor.callWhenRunning(self._ending.start)
        if self._engine is not None:
            self._engine.start()
        for each in self.sockets:
            self._ports.append(each.serve(self._reactor, ProxyFactory(each.name, self.door)))
        self._say(descriptors)

    @inlineCallbacks
    def stopService(self) -> Generator[Deferred[Any], Any, None]:
        """Take no more connections, let running requests end, end what is left, and write the last record."""
        super().stopService()
        self._is_ending = True
        ports, self._ports = self._ports, []
        closing = [maybeDeferred(port.stopListening) for port in ports]
        try:
            if self.door.live:
                _log.info("stopping: {count} connections are left to end", count=len(self.door.live))
            yield self.door.drain()
            yield gatherResults(closing, consumeErrors=True)
        except Exception:
            # The record of what happened matters more than a socket that could not be closed.
            _log.failure("stopping was not orderly")
        for each in self.sockets:
            each.close()
        self.door.stop()
        if self._engine is not None:
            # What the door has ended is recorded by this, before the journal is closed.
            self._engine.stop()
        self._look_up.stop()
        yield self._journal.stop()
        self._signals.stop()
        self._ending.stop()

    def _end(self) -> None:
        """Drain on the first signal; whoever sends another does not want to wait."""
        if self._is_ending:
            self.door.stop()
        else:
            self._is_ending = True
            self._reactor.stop()

    def _hang_up(self) -> None:
        _log.info("SIGHUP: the journal is opened anew")
        self._journal.reopen()

    def _say(self, descriptors: int) -> None:
        settings = self._source.settings
        for each in self.sockets:
            _log.info("listener {name}: {address}", name=each.name, address=each.address)
            if each.own is not None and not ip_address(each.own[0]).is_loopback:
                _log.warn("listener {name} can be reached by other machines", name=each.name)
        _log.info("journal: {places}", places=", ".join(journal_places(settings)))
        _log.info("{summary}", summary=summary(settings))
        if not settings.guard.enabled:
            _log.warn("the guard is off: a rule for a name may lead to any address")
        if is_mute(settings):
            _log.info(
                "nothing is allowed, so every request is refused: allow a host with --allow HOST, or write a file "
                "(conf/egress.toml shows every key) and name it with --config; `egress tail` shows what is refused"
            )
        needed = settings.limits.connections * _DESCRIPTORS_PER_CONNECTION + _DESCRIPTORS_OF_OURS
        if descriptors < needed:
            _log.warn(
                "{descriptors} descriptors are too few for limits.connections = {connections}: it may need {needed}",
                descriptors=descriptors,
                connections=settings.limits.connections,
                needed=needed,
            )


def summary(settings: Settings) -> str:
    """Count what was configured, for people."""
    policies = len(settings.policy)
    rules = sum(
        len(rules)
        for table in settings.policy
        for rules in (table.get("allow"), table.get("deny"))
        if isinstance(rules, list)
    )
    guard = "on" if settings.guard.enabled else "off"
    return f"{count(policies, 'policy', 'policies')}, {count(rules, 'rule', 'rules')}, guard {guard}"


def count(number: int, one: str, many: str) -> str:
    """Give a number with its noun."""
    return f"{number} {one if number == 1 else many}"


def state_of(settings: Settings) -> str:
    """Give the directory of what is kept. It is absolute: a daemon changes its working directory."""
    return os.path.abspath(settings.state or state_directory())


def journal_places(settings: Settings) -> list[str]:
    """Say where the record goes."""
    return [settings.audit.path_in(state_of(settings)) if word == "file" else word for word in settings.audit.to]


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one (getrlimit(2)).

    Returns:
        The limit that holds now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        return soft
    return hard


def make_supervisor(source: Source, reactor: Any) -> Supervisor:
    """Build everything: what can fail, fails here.

    Args:
        source: the settings.
        reactor: the one that will run it.

    Raises:
        ConfigError: one line that says what is wrong and where.
    """
    settings = source.settings
    endpoints = parse_endpoints(source)
    look_up = make_look_up(settings.dns, reactor)
    host = Host(reactor, CachingResolver(reactor, look_up, settings.dns))
    policies = make_policies(source, host)
    engine = make_engine(settings.engine, reactor)
    sockets = _bind_all(source, endpoints, engine)
    try:
        world = make_world(source, host, policies, [each.own for each in sockets if each.own is not None])
        journal = open_journal(settings.audit, state_of(settings), reactor)
    except ConfigError as error:
        for each in sockets:
            each.close()
        raise source.place(error)
    limits = settings.limits
    door = Door(
        Gate(world, reactor, limits),
        TunnelingAgent(engine or reactor, limits.dial_seconds_per_address, limits.dial_seconds),
        ListenerIdentifier(),
        journal,
        reactor,
        limits,
        settings.tls,
    )
    return Supervisor(reactor, source, door, journal, look_up, sockets, engine)


def _bind_all(source: Source, endpoints: list[Endpoint], engine: Engine | None) -> list[BoundSocket]:
    sockets: list[BoundSocket] = []
    try:
        for index, (listener, endpoint) in enumerate(zip(source.settings.listener, endpoints, strict=True)):
            sockets.append(bind(listener.name, endpoint, source.listener_where(index), engine))
    except ConfigError as error:
        for each in sockets:
            each.close()
        raise source.place(error)
    return sockets
