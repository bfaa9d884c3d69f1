"""The active configuration of a running proxy, and its replacement by a reload."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import asdict, define, evolve, field, frozen
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from egress.config.path import join
from egress.errors import ConfigError
from egress.gate.snapshot import Snapshot
from egress.proxy.reload.reevaluation import Reevaluation
from egress.proxy.server import ProxyServer
from egress.service.build.activate import check_sockets, make_snapshot, own_addresses
from egress.service.build.engine import make_dialler
from egress.service.build.host_services import HostServices
from egress.service.build.prepare import Prepared, prepare
from egress.service.build.routing import Routing
from egress.service.listen.factories import make_factories
from egress.service.listen.listeners import ListenerChange, Listeners
from egress.service.listen.sockets import ListeningSocket
from egress.service.listen.tls import find_changed_tls
from egress.service.process.descriptors import DescriptorBudget, Fit
from egress.service.reload.changes import list_changes
from egress.service.reload.downgrades import find_downgrades
from egress.service.settings.source import Source, load

if TYPE_CHECKING:
    from egress.transports.engine.engine import Engine

# Tables whose parts are opened or started only at the start.
_FIXED = ("state", "engine", "audit", "status")
_FIXED_DNS = ("resolver", "hosts_file")

_SAID = 50

_log = Logger()


@frozen
class Reloaded:
    """The result of a reload.

    Attributes:
        generation: the generation of the new configuration snapshot.
        changed: a short description of each difference.
        weaker: a sentence for each way in which the new configuration protects less.
        warnings: warnings for the operator, a sentence each.
    """

    generation: int
    changed: tuple[str, ...]
    weaker: tuple[str, ...]
    warnings: tuple[str, ...]

    def facts(self) -> dict[str, object]:
        """Return the result as a JSON object, with long lists shortened."""
        return {
            key: _shortened(value) if isinstance(value, tuple) else value
            for key, value in asdict(self, recurse=False).items()
        }


@define(eq=False)
class ActiveConfiguration:
    """The active configuration, and the parts of the proxy that a reload changes.

    Attributes:
        prepared: the configuration. Settings that a reload cannot change have the values of the start.
        listeners: the served listeners.
        factories: the listeners' protocol factories, by the listener's name.
        server: the proxy server.
        host: the services of policies. The counters and the resolver's cache survive a reload.
        reactor: the reactor of all parts.
        engine: the engine that dials origins and upstreams; None for the reactor.
        environ: the environment with the proxy variables; None for the environment of this process.
        others: the further listening sockets of this proxy, which are refused as destinations.
        budget: fits limits into the descriptors of the process; None for no limit of descriptors.
        problem: the reason why the last reload failed; "" where it succeeded.
    """

    prepared: Prepared
    listeners: Listeners
    factories: Mapping[str, IProtocolFactory]
    server: ProxyServer
    host: HostServices
    reactor: Any
    engine: Engine | None = None
    environ: Mapping[str, str] | None = None
    others: tuple[ListeningSocket, ...] = ()
    budget: DescriptorBudget | None = None
    problem: str = field(init=False, default="")
    _file: str | None = field(init=False)

    @property
    def source(self) -> Source:
        """The settings."""
        return self.prepared.source

    @property
    def routing(self) -> Routing:
        """The upstreams and the upstream selector."""
        return self.prepared.routing

    @_file.default
    def _find_file(self) -> str | None:
        # The path is absolute, because a daemon changes its working directory.
        return os.path.abspath(self.source.file) if self.source.file else None

    def reload(self) -> Reloaded:
        """Read the file again, with the options of the start, and activate the configuration.

        Raises:
            ConfigError: the configuration cannot be used. The active configuration is unchanged.
        """
        try:
            done = self._reload()
        except ConfigError as error:
            self.problem = " ".join(str(error).split())
            _log.error("nothing was reloaded, the configuration in force stays: {problem}", problem=self.problem)
            raise
        self.problem = ""
        changed = "; ".join(done.changed) or "nothing changed in the file"
        _log.info("configuration {generation} is in force: {changed}", generation=done.generation, changed=changed)
        for sentence in _shortened(done.weaker):
            _log.warn("it protects less than the one before: {sentence}", sentence=sentence)
        for sentence in done.warnings:
            _log.warn("{sentence}", sentence=sentence)
        return done

    def _reload(self) -> Reloaded:
        old = self.source
        listen = [each.endpoint for each in old.settings.listener] if old.listeners_where == "--listen" else ()
        # Tables that apply only at a start are checked too, because a fault in them would stop the next start.
        settings = load(self._file, old.allowed, listen)
        read = prepare(settings, self.host, self.reactor, self.environ, self.routing.states)
        prepared, warnings = self._keep_fixed(read)
        source = prepared.source
        try:
            fitted = Fit(source.settings.limits, 0) if self.budget is None else self.budget.fit(source.settings)
            resecured = find_changed_tls(self.prepared.tls, prepared.tls)
            change = self.listeners.plan(source, prepared.endpoints, resecured)
        except ConfigError as error:
            raise source.place(error)
        try:
            check_sockets(prepared, change.sockets)
            generation = self.server.gate.snapshot.generation + 1
            own = own_addresses([*self.others, *change.sockets])
            dialler = make_dialler(self.engine, self.reactor, source.settings.limits.tcp_keepalive_seconds)
            snapshot = make_snapshot(prepared, self.host, own, dialler, generation)
            factories = make_factories(source, self.server, prepared.tls)
            done = Reloaded(
                generation,
                tuple(list_changes(old.settings, read.source.settings)),
                tuple(find_downgrades(old.settings, source.settings, self.prepared.policies, prepared.policies)),
                (*warnings, *prepared.routing.warnings, *([fitted.warning] if fitted.warning else [])),
            )
            self.listeners.serve_new(change, factories)
        except ConfigError as error:
            change.abandon()
            raise source.place(error)
        except OSError as error:
            change.abandon()
            raise source.place(ConfigError("listener", f"a new one cannot be served: {error.strerror}"))
        except Exception:
            change.abandon()
            raise
        self._commit(prepared, snapshot, factories, change, fitted)
        return done

    def _keep_fixed(self, read: Prepared) -> tuple[Prepared, list[str]]:
        """Replace the settings that a reload cannot change by the settings of the start.

        Returns:
            The configuration, and a warning for each replaced key whose value differs.
        """
        old, new = self.source.settings, read.source.settings
        kept: dict[str, Any] = {key: getattr(old, key) for key in _FIXED if getattr(old, key) != getattr(new, key)}
        dns = {key: getattr(old.dns, key) for key in _FIXED_DNS if getattr(old.dns, key) != getattr(new.dns, key)}
        warnings = [f"{key} takes effect at the next start" for key in [*kept, *(join("dns", key) for key in dns)]]
        if dns:
            kept["dns"] = evolve(new.dns, **dns)
        if kept:
            read = evolve(read, source=evolve(read.source, settings=evolve(new, **kept)))
        return read, warnings

    def _commit(
        self,
        prepared: Prepared,
        snapshot: Snapshot,
        factories: Mapping[str, IProtocolFactory],
        change: ListenerChange,
        fitted: Fit,
    ) -> None:
        """Activate a configuration, in one turn of the reactor. No step can fail."""
        settings = prepared.source.settings
        displaced = change.displaced
        self.listeners.commit(change, factories)
        for each in (*self.listeners.sockets, *self.others):
            each.keep_alive(settings.limits.tcp_keepalive_seconds)
        self.host.renew(settings.dns)
        if self.budget is not None:
            self.budget.apply(fitted)
        judged = self.server.renew(
            snapshot,
            prepared.identifier,
            fitted.limits,
            settings.tls,
            settings.http,
            displaced,
            settings.dns.delegated_seconds,
        )
        judged.addCallbacks(_say_judged, lambda failure: _log.failure("judging again failed", failure))
        self.prepared, self.factories = prepared, factories
        prepared.routing.states.retain(prepared.routing.upstreams.values())


def _say_judged(done: Reevaluation | Failure) -> None:
    if isinstance(done, Reevaluation) and done.judged:
        _log.info(
            "{judged} requests under way were judged again, and {ended} of them ended",
            judged=done.judged,
            ended=done.ended,
        )


def _shortened(sentences: Sequence[str]) -> list[str]:
    more = len(sentences) - _SAID
    return [*sentences[:_SAID], *([f"and {more} more"] if more > 0 else [])]
