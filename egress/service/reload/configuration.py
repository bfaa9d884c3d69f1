"""Puts a new configuration in the place of the old one, whole, or leaves the old one in force."""

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
from egress.interfaces import IIdentifier
from egress.proxy.reload.reevaluation import Reevaluation
from egress.proxy.server import ProxyServer
from egress.service.build import HostServices, make_policies, make_snapshot, parse_endpoints
from egress.service.identification import bound_locally, make_identifier
from egress.service.listen.listeners import Change, Listeners
from egress.service.listen.tls import load_tls, make_factories
from egress.service.reload.changes import changes
from egress.service.reload.weaker import weakenings
from egress.service.routing import Routing, make_routing
from egress.service.settings.consistency import check_together
from egress.service.settings.settings import Source, load
from egress.upstream import CachingResolver

if TYPE_CHECKING:
    from egress.transports.engine.engine import Engine

# What a running process cannot change: it was opened or started with it.
_FIXED = ("state", "engine", "audit", "status")
_FIXED_DNS = ("concurrent", "hosts_file")

_SAID = 50

_log = Logger()


@frozen
class Reloaded:
    """What a reload did.

    Attributes:
        generation: of the snapshot that judges now.
        changed: what is different, a few words each.
        weaker: in which ways it protects less, a sentence each.
        warnings: what else an operator should hear, a sentence each.
    """

    generation: int
    changed: tuple[str, ...]
    weaker: tuple[str, ...]
    warnings: tuple[str, ...]

    def facts(self) -> dict[str, object]:
        """Give it as JSON knows it, long lists cut short."""
        return {
            key: _shortened(value) if isinstance(value, tuple) else value
            for key, value in asdict(self, recurse=False).items()
        }


@frozen(eq=False)
class _New:
    """All parts of a new configuration. Nothing of it is in force yet."""

    source: Source
    routing: Routing
    snapshot: Snapshot
    identifier: IIdentifier
    factories: Mapping[str, IProtocolFactory]


@define(eq=False)
class Configuration:
    """The configuration in force.

    Attributes:
        source: its settings. Those that only a start can change are those of the start.
        routing: the ways out.
        listeners: as they are served.
        factories: what builds the listeners' protocols, by their names.
        server: where requests come in.
        host: lends its parts to policies; counters and the resolver's answers stay.
        reactor: runs everything.
        engine: dials and serves, if the reactor does not.
        environ: may name proxies; None for the environment of this process.
        own: further sockets of ours, which are no destination.
        problem: why the last reload failed; "" where it did not.
    """

    source: Source
    routing: Routing
    listeners: Listeners
    factories: Mapping[str, IProtocolFactory]
    server: ProxyServer
    host: HostServices
    reactor: Any
    engine: Engine | None = None
    environ: Mapping[str, str] | None = None
    own: tuple[tuple[str, int], ...] = ()
    problem: str = field(init=False, default="")
    _file: str | None = field(init=False)

    @_file.default
    def _find_file(self) -> str | None:
        # A daemon changes its working directory.
        return os.path.abspath(self.source.file) if self.source.file else None

    def reload(self) -> Reloaded:
        """Read the file anew, with the options of the start, and put what it says in force.

        Raises:
            ConfigError: nothing changed, and why.
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
        read = load(self._file, old.allowed, listen)
        source, warnings = self._with_fixed(read)
        endpoints = parse_endpoints(source)
        policies = make_policies(source, self.host)
        routing = make_routing(source, self.reactor, self.environ)
        check_together(source, policies, routing.selector)
        tls = load_tls(source)
        try:
            change = self.listeners.plan(source, endpoints)
        except ConfigError as error:
            raise source.place(error)
        try:
            own = [*self.own, *(each.own for each in change.sockets if each.own is not None)]
            generation = self.server.gate.snapshot.generation + 1
            dialler = self.engine or self.reactor
            snapshot = make_snapshot(source, self.host, policies, routing, own, dialler, generation)
            identifier = make_identifier(source, self.reactor, bound_locally(change.sockets))
            new = _New(source, routing, snapshot, identifier, make_factories(source, self.server, tls))
            done = Reloaded(
                generation,
                tuple(changes(old.settings, read.settings)),
                tuple(weakenings(old.settings, source.settings)),
                (*warnings, *routing.warnings),
            )
            self.listeners.serve_new(change, new.factories)
        except ConfigError as error:
            change.abandon()
            raise source.place(error)
        except OSError as error:
            change.abandon()
            raise source.place(ConfigError("listener", f"a new one cannot be served: {error.strerror}"))
        except Exception:
            change.abandon()
            raise
        self._put_in_force(new, change)
        return done

    def _with_fixed(self, read: Source) -> tuple[Source, list[str]]:
        """Keep what a running process cannot change, and say so."""
        old, new = self.source.settings, read.settings
        kept: dict[str, Any] = {key: getattr(old, key) for key in _FIXED if getattr(old, key) != getattr(new, key)}
        dns = {key: getattr(old.dns, key) for key in _FIXED_DNS if getattr(old.dns, key) != getattr(new.dns, key)}
        warnings = [f"{key} takes effect at the next start" for key in [*kept, *(join("dns", key) for key in dns)]]
        if dns:
            kept["dns"] = evolve(new.dns, **dns)
        return evolve(read, settings=evolve(new, **kept)) if kept else read, warnings

    def _put_in_force(self, new: _New, change: Change) -> None:
        """Change over. All of it happens in one turn of the reactor, and none of it can fail."""
        settings = new.source.settings
        displaced = change.displaced
        self.listeners.commit(change, new.factories)
        if isinstance(self.host.resolver, CachingResolver):
            self.host.resolver.settings = settings.dns
        judged = self.server.renew(
            new.snapshot, new.identifier, settings.limits, settings.tls, displaced, settings.dns.delegated_seconds
        )
        judged.addCallbacks(_say_judged, lambda failure: _log.failure("judging again failed", failure))
        self.source, self.routing, self.factories = new.source, new.routing, new.factories


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
