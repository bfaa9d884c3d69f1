"""Compares the policies of two configurations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attrs import frozen
from twisted.logger import Logger

from egress.interfaces import IPolicyDescription
from egress.match import Scope, listed
from egress.model import RuleEffect
from egress.service.build.configured_policies import ConfiguredPolicy, ScopedRule
from egress.upstream.routing_settings import VIA_DIRECT, RouteSettings

# More comparisons than this would block the reactor for too long.
_COMPARISONS = 20_000

_log = Logger()


@frozen(eq=False)
class _Rule:
    """An enforced rule, with the name of the rule's policy."""

    policy: str
    scoped: ScopedRule

    @property
    def place(self) -> tuple[str, str]:
        return self.policy, self.scoped.rule.name

    @property
    def scope(self) -> Scope:
        return self.scoped.scope

    @property
    def hosts(self) -> str:
        return listed(self.scoped.rule.hosts)

    def __str__(self) -> str:
        return f"rule {self.scoped.rule.name} of policy {self.policy}"


def policy_downgrades(old: Sequence[ConfiguredPolicy], new: Sequence[ConfiguredPolicy]) -> list[str]:
    """Compare the rules of all policies, and the policies by their names.

    Args:
        old: the active policies.
        new: the policies that replace them.
    """
    before, after = {each.name: each for each in old}, {each.name: each for each in new}
    said = [*_wider_allow_rules(old, new), *_narrower_deny_rules(old, new)]
    for name, policy in before.items():
        said += _compare(policy, after.get(name))
    for name, policy in after.items():
        if policy.rules is None and policy.is_enforced and name not in before:
            said.append(f"policy {name} of kind {policy.kind} is new; what it allows is not known here")
    return said


def restricted_label_kinds(policies: Sequence[ConfiguredPolicy], routes: Iterable[RouteSettings]) -> frozenset[str]:
    """Find the kinds of client labels, such as "token", by which requests are denied, limited or sent to an upstream.

    Args:
        policies: the policies. Policies without a description are ignored.
        routes: the `[[route]]` tables.
    """
    clients = [route.clients for route in routes if route.via != VIA_DIRECT]
    for policy in policies:
        clients += [each.scope.clients for each in policy.enforced(RuleEffect.DENY, RuleEffect.LIMIT)]
    labels = [
        label for each in clients if each is not None for label in (*each.exact, *(wild.first for wild in each.wild))
    ]
    return frozenset(label.partition(":")[0] for label in labels)


def _wider_allow_rules(old: Sequence[ConfiguredPolicy], new: Sequence[ConfiguredPolicy]) -> Iterator[str]:
    for rule, before in _uncovered(_rules(new, RuleEffect.ALLOW), _rules(old, RuleEffect.ALLOW)):
        if before is None:
            yield f"{rule} is new and allows {rule.hosts}"
        else:
            yield f"{rule} allows more than before: {', '.join(rule.scope.excess_over(before.scope))}"


def _narrower_deny_rules(old: Sequence[ConfiguredPolicy], new: Sequence[ConfiguredPolicy]) -> Iterator[str]:
    for rule, after in _uncovered(_rules(old, RuleEffect.DENY), _rules(new, RuleEffect.DENY)):
        if after is None:
            yield f"{rule} is gone: it denied {rule.hosts}"
        else:
            yield f"{rule} denies less than before: {', '.join(rule.scope.excess_over(after.scope))}"


def _rules(policies: Sequence[ConfiguredPolicy], effect: RuleEffect) -> list[_Rule]:
    return [_Rule(policy.name, each) for policy in policies for each in policy.enforced(effect)]


def _uncovered(rules: Sequence[_Rule], others: Sequence[_Rule]) -> list[tuple[_Rule, _Rule | None]]:
    """Find the rules that none of the others covers, each with the other rule of the same policy and name."""
    known = {rule.scope for rule in others}
    named = {rule.place: rule for rule in others}
    changed = [rule for rule in rules if rule.scope not in known]
    # Beyond the limit a rule is compared only with the rule of the same name.
    can_compare = len(changed) * len(known) <= _COMPARISONS
    found: list[tuple[_Rule, _Rule | None]] = []
    for rule in changed:
        other = named.get(rule.place)
        within: Iterable[Scope] = known if can_compare else () if other is None else (other.scope,)
        if not rule.scope.is_covered_by(within):
            found.append((rule, other))
    return found


def _compare(old: ConfiguredPolicy, new: ConfiguredPolicy | None) -> list[str]:
    """Compare one policy with the new policy of the same name, except for allow and deny rules."""
    if new is None or new.kind != old.kind:
        return [f"policy {old.name} of kind {old.kind} is gone"] if _decides_beside_rules(old) else []
    description = IPolicyDescription(new.policy, None)
    if old.rules is None or description is None:
        if old.settings != new.settings or old.is_enforced != new.is_enforced:
            return [f"the settings of policy {old.name} of kind {old.kind} changed; what that means is not known here"]
        return []
    if not old.is_enforced:
        return []
    try:
        return [f"policy {old.name}: {' '.join(each.split())}" for each in description.weaker_than(old.policy)]
    except Exception as error:
        _log.error("policy {name} failed to compare itself: {kind}", name=old.name, kind=type(error).__name__)
        return [f"policy {old.name} of kind {old.kind} could not be compared with the one before"]


def _decides_beside_rules(policy: ConfiguredPolicy) -> bool:
    """Whether a policy made decisions that the comparison of allow and deny rules does not show."""
    return policy.is_enforced and (policy.rules is None or any(True for _ in policy.enforced(RuleEffect.LIMIT)))
