"""The policies of a configuration, each with its description."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from attrs import frozen

from egress.config import prefix
from egress.errors import ConfigError
from egress.interfaces import IPolicy, IPolicyDescription
from egress.match import ClientPatterns, PathPattern, PathSet, PortSet, Scope, parse_host, parse_port
from egress.model import PolicyRule, RuleEffect

A = TypeVar("A")
B = TypeVar("B")


@frozen(eq=False)
class ScopedRule:
    """A rule of a policy, with compiled patterns.

    Attributes:
        rule: the rule in the policy's description.
        scope: the requests that the rule covers.
    """

    rule: PolicyRule
    scope: Scope


@frozen(eq=False)
class ConfiguredPolicy:
    """One policy of a configuration.

    Attributes:
        policy: the policy.
        kind: the policy's kind.
        settings: the policy's table without `kind`, `name` and `mode`.
        is_enforced: False where the policy's mode is "audit".
        rules: the policy's rules; None where the policy has no description.
    """

    policy: IPolicy
    kind: str
    settings: Mapping[str, object]
    is_enforced: bool
    rules: tuple[ScopedRule, ...] | None

    @property
    def name(self) -> str:
        """The policy's name in the configuration."""
        return self.policy.name

    @property
    def can_allow(self) -> bool:
        """Whether the policy may allow a request. True for a policy without a description."""
        return self.is_enforced if self.rules is None else any(True for _ in self.enforced(RuleEffect.ALLOW))

    def enforced(self, *effects: RuleEffect) -> Iterable[ScopedRule]:
        """Return the enforced rules with one of the effects; none where the policy has no description."""
        return (each for each in self.rules or () if each.rule.is_enforced and each.rule.effect in effects)


def describe_policies(
    tables: Sequence[Mapping[str, object]], policies: Sequence[IPolicy]
) -> tuple[ConfiguredPolicy, ...]:
    """Ask each policy for its rules.

    Args:
        tables: the `[[policy]]` tables.
        policies: the policies made from the tables, in the tables' order.

    Raises:
        ConfigError: a description is invalid.
    """
    return tuple(
        _describe(f"policy[{index}]", table, policy)
        for index, (table, policy) in enumerate(zip(tables, policies, strict=True))
    )


def _describe(where: str, table: Mapping[str, object], policy: IPolicy) -> ConfiguredPolicy:
    settings = {key: value for key, value in table.items() if key not in ("kind", "name", "mode")}
    description = IPolicyDescription(policy, None)
    rules = None
    if description is not None:
        try:
            rules = tuple(ScopedRule(rule, scope_of(rule)) for rule in description.rules())
        except ConfigError as error:
            problem = f"the plugin describes policy {policy.name!a} wrongly: {error.where}: {error.problem}"
            raise ConfigError(where, problem) from None
        except Exception as error:
            # The exception's text may contain settings, and settings may contain secrets.
            problem = f"the plugin failed to describe policy {policy.name!a} ({type(error).__name__})"
            raise ConfigError(where, problem) from None
    return ConfiguredPolicy(policy, str(table["kind"]), settings, table.get("mode", "enforce") == "enforce", rules)


def scope_of(rule: PolicyRule) -> Scope:
    """Compile the patterns of a rule.

    Raises:
        ConfigError: a pattern is invalid; `where` is the attribute and the index.
    """
    return Scope(
        _each("hosts", rule.hosts, parse_host),
        None if rule.ports is None else PortSet.of(_each("ports", rule.ports, parse_port)),
        None if rule.clients is None else ClientPatterns.compile(rule.clients, "clients"),
        rule.methods,
        None if rule.paths is None else PathSet(_each("paths", rule.paths, PathPattern.parse)),
        rule.addresses,
        rule.covers_tunnels,
    )


def _each(where: str, items: Iterable[A], parse: Callable[[A], B]) -> tuple[B, ...]:
    parsed: list[B] = []
    for index, item in enumerate(items):
        try:
            parsed.append(parse(item))
        except ValueError as error:
            raise ConfigError(prefix(where, f"[{index}]"), str(error)) from None
    return tuple(parsed)
