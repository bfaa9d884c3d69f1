"""The policy `destinations`: rules about hosts, ports, methods, paths and clients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter

from attrs import define, evolve, field
from twisted.logger import Logger
from zope.interface import implementer

from egress.config import structure
from egress.interfaces import IHostServices, IPolicy, IPolicyDescription
from egress.match import ClientPatterns, Entry, HostIndex, HostPattern, PathSet, PortSet, embedded_ipv4
from egress.model import (
    METHOD_OVERRIDES,
    PATH_OVERRIDES,
    Address,
    Network,
    Obligation,
    Outcome,
    PolicyRule,
    Request,
    Resolution,
    Verdict,
)
from egress.policy.rule_description import describe
from egress.policy.rules import CONNECT, DestinationsSettings, RuleSettings

_log = Logger()

_NONE: frozenset[str] = frozenset()
_STRIP = frozenset([Obligation.STRIP_OVERRIDES])
# How `override_fields` protects, in ascending order.
_PROTECTION = ("pass", "strip", "refuse")


def make_destinations(name: str, settings: Mapping[str, object], host: IHostServices) -> Destinations:
    """Build the policy. See `IPolicyMaker.make_policy`."""
    shaped = structure(DestinationsSettings, settings)
    if shaped.opaque == "allow" and any(rule.needs_reading for _, _, rule in shaped.named_rules()):
        _log.warn(
            'policy {name}: opaque = "allow" lets tunnels pass rules with `methods` or `paths`, unread', name=name
        )
    return Destinations(name, shaped)


@define(eq=False)
class _Clause:
    """One rule under one of its host patterns, with its precomputed verdict."""

    verdict: Verdict
    is_deny: bool
    ports: PortSet
    methods: frozenset[str] | None
    paths: PathSet | None
    clients: ClientPatterns | None
    # Whether a rule about methods or paths covers a tunnel.
    covers_opaque: bool
    needs_reading: bool

    def covers(self, request: Request, overrides: frozenset[str]) -> bool:
        """Whether the rule, whose host matches, covers the request.

        Args:
            request: the request.
            overrides: its override fields, so far as they count. Where one may change what the rule looks at, the rule
                takes the reading that opens less.
        """
        if not self.ports.contains(request.authority.port):
            return False
        if self.clients is not None and not self.clients.match(request.client.labels):
            return False
        return not self.needs_reading or self._covers_content(request, overrides)

    def _covers_content(self, request: Request, overrides: frozenset[str]) -> bool:
        if request.path is None:
            # A rule that lists CONNECT covers tunnels.
            return self.covers_opaque or (self.methods is not None and CONNECT in self.methods)
        if self.methods is not None:
            if not overrides.isdisjoint(METHOD_OVERRIDES):
                if not self.is_deny:
                    return False
            elif request.method not in self.methods:
                return False
        if self.paths is None:
            return True
        if not overrides.isdisjoint(PATH_OVERRIDES):
            return self.is_deny
        return self._covers_path(self.paths, request.path, request.is_path_ambiguous)

    def _covers_path(self, paths: PathSet, path: str, is_ambiguous: bool) -> bool:
        # Servers read an ambiguous path and repeated slashes differently. A rule uses the interpretation that allows
        # less.
        if self.is_deny:
            return is_ambiguous or paths.may_match(path)
        return not is_ambiguous and paths.match(path)


@implementer(IPolicy, IPolicyDescription)
@define(eq=False)
class Destinations:
    """Allows and denies by rules, and abstains where no rule covers a request. Deny rules take precedence.

    Attributes:
        name: the policy's name in the configuration.
        settings: the rules.
    """

    name: str
    settings: DestinationsSettings
    pure: bool = field(default=True, init=False)
    _rules: HostIndex[_Clause] = field(init=False, repr=False)
    _denied_networks: HostIndex[_Clause] | None = field(init=False, repr=False)
    _silent: Verdict = field(init=False, repr=False)

    @_rules.default
    def _index_rules(self) -> HostIndex[_Clause]:
        return HostIndex(self._clauses())

    @_denied_networks.default
    def _index_denied_networks(self) -> HostIndex[_Clause] | None:
        pairs = [(pattern, clause) for pattern, clause in self._clauses() if clause.is_deny and pattern.network]
        return HostIndex(pairs) if pairs else None

    @_silent.default
    def _make_silent(self) -> Verdict:
        return Verdict(Outcome.ABSTAIN, self.name, reason="No rule names this host.")

    def _clauses(self) -> Iterator[tuple[HostPattern, _Clause]]:
        # The first rule that covers a request decides. Deny rules come first. Within a rule the most specific pattern
        # that matches decides which names and networks the verdict opens, and the order in the list does not.
        for place, name, rule in self.settings.named_rules():
            for pattern in sorted(rule.hosts, key=attrgetter("specificity"), reverse=True):
                yield pattern, self._make_clause(name, rule, pattern, is_deny=place.startswith("deny"))

    def _make_clause(self, name: str, rule: RuleSettings, pattern: HostPattern, is_deny: bool) -> _Clause:
        own: tuple[Network, ...] = () if is_deny or pattern.network is None else (pattern.network,)
        verdict = Verdict(
            Outcome.DENY if is_deny else Outcome.ALLOW,
            self.name,
            rule=name,
            reason=f"{'Denied' if is_deny else 'Allowed'} by rule {name}.",
            pattern=pattern.text,
            admits=rule.addresses + own,
            message=rule.message,
        )
        is_strict = self.settings.opaque == "deny"
        return _Clause(
            verdict,
            is_deny,
            rule.ports,
            rule.methods,
            rule.paths,
            rule.clients,
            covers_opaque=is_strict if is_deny else not is_strict,
            needs_reading=rule.needs_reading,
        )

    def decide(self, request: Request, resolution: Resolution | None) -> Verdict:
        """Judge a request by its name, and by its addresses once they are known."""
        verdict = self._judge(request, resolution, _NONE)
        overrides, setting = request.overrides, self.settings.override_fields
        if not overrides or setting == "pass" or verdict.outcome is Outcome.DENY:
            return verdict
        strict = self._judge(request, resolution, overrides)
        if strict.outcome is verdict.outcome and (strict.rule == verdict.rule or strict.outcome is Outcome.ABSTAIN):
            # Whatever method and path the origin takes, the verdict is this one.
            return verdict
        if setting == "strip":
            return evolve(verdict, obligations=verdict.obligations | _STRIP)
        names = " and ".join(sorted(name.title() for name in overrides))
        reason = f"By {names} an origin may take another method or path than the one that was judged."
        if strict.outcome is Outcome.DENY:
            return evolve(strict, reason=f"{strict.reason} {reason}")
        if strict.outcome is Outcome.ALLOW:
            return strict
        return Verdict(strict.outcome, self.name, verdict.rule, reason, message=verdict.message)

    def _judge(self, request: Request, resolution: Resolution | None, overrides: frozenset[str]) -> Verdict:
        """Judge a request as if it had these override fields."""
        authority = request.authority
        if self._denied_networks is not None:
            addresses = () if resolution is None else resolution.addresses
            denied = self._deny_by_address(request, self._denied_networks, addresses, overrides)
            if denied is not None:
                return denied
        entries = self._rules.find(authority.host, authority.address)
        for entry in entries:
            if entry.value.covers(request, overrides):
                return entry.value.verdict
        return self._explain(request, entries) if entries else self._silent

    def rules(self) -> tuple[PolicyRule, ...]:
        """List the rules. See `IPolicyDescription.rules`."""
        return tuple(describe(self.settings))

    def weaker_than(self, previous: IPolicy) -> tuple[str, ...]:
        """Compare what the rules do not show. See `IPolicyDescription.weaker_than`."""
        if isinstance(previous, Destinations) and any(
            rule.needs_reading for _, _, rule in previous.settings.named_rules()
        ):
            before, after = previous.settings.override_fields, self.settings.override_fields
            if _PROTECTION.index(after) < _PROTECTION.index(before):
                return (f'override_fields is "{after}", it was "{before}"',)
        return ()

    def _deny_by_address(
        self,
        request: Request,
        networks: HostIndex[_Clause],
        addresses: tuple[Address, ...],
        overrides: frozenset[str],
    ) -> Verdict | None:
        """Find a denied network that contains the destination, or the IPv4 address embedded in it."""
        literal = request.authority.address
        for outer in addresses if literal is None else (literal, *addresses):
            for address in (outer, *embedded_ipv4(outer)):
                for entry in networks.find("", address):
                    if entry.value.covers(request, overrides):
                        return entry.value.verdict
        return None

    def _explain(self, request: Request, entries: Iterable[Entry[_Clause]]) -> Verdict:
        """Explain which condition of the nearest allow rule failed. Rules for other clients are not mentioned."""
        near = [
            entry.value
            for entry in entries
            if not entry.value.is_deny
            and (entry.value.clients is None or entry.value.clients.match(request.client.labels))
        ]
        if not near:
            return self._silent
        on_port = [clause for clause in near if clause.ports.contains(request.authority.port)]
        if not on_port:
            ports = PortSet.of(span for clause in near for span in clause.ports.ranges())
            noun = "port" if str(ports).isdigit() else "ports"
            return self._abstain(f"The host is allowed, but only on {noun} {ports}.", near[0])
        if request.path is None:
            return self._abstain(
                "The host is allowed only for certain methods or paths, and those inside a tunnel cannot be read.",
                on_port[0],
            )
        with_method = [clause for clause in on_port if clause.methods is None or request.method in clause.methods]
        if not with_method:
            methods = sorted({method for clause in on_port for method in clause.methods or ()})
            return self._abstain(f"The host is allowed, but only with {' and '.join(methods)}.", on_port[0])
        if request.is_path_ambiguous:
            reason = (
                "The host is allowed for certain paths; this path is ambiguous, because servers read it differently."
            )
            return self._abstain(reason, with_method[0])
        return self._abstain("The host is allowed, but not this path.", with_method[0])

    def _abstain(self, reason: str, near: _Clause) -> Verdict:
        return Verdict(Outcome.ABSTAIN, self.name, near.verdict.rule, reason, message=near.verdict.message)
