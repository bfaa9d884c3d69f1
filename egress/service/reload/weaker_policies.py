"""Says how new policies protect less than old ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from egress.config import structure
from egress.errors import ConfigError
from egress.policy.rate import RateSettings
from egress.policy.rules import DestinationsSettings
from egress.service.reload.extent import Extent, extent_of, listed
from egress.upstream.routing_settings import VIA_DIRECT, RouteSettings

Table = Mapping[str, object]

_RATES = ("requests_per_minute", "bytes_per_minute", "connections")
_COMPARISONS = 20_000


@frozen
class _Rule:
    """One rule of a `destinations` policy that decides."""

    policy: str
    name: str
    extent: Extent

    @property
    def place(self) -> tuple[str, str]:
        return self.policy, self.name

    def __str__(self) -> str:
        return f"rule {self.name} of policy {self.policy}"


@frozen
class _Rules:
    """All rules of all `destinations` policies that decide."""

    allow: tuple[_Rule, ...]
    deny: tuple[_Rule, ...]

    @classmethod
    def of(cls, tables: Iterable[tuple[str, Table]]) -> _Rules:
        allow: list[_Rule] = []
        deny: list[_Rule] = []
        for name, table in tables:
            shaped = structure(DestinationsSettings, _keys(table))
            for place, rule_name, rule in shaped.named_rules():
                is_deny = place.startswith("deny")
                # What cannot be read is denied by strict rules that deny, and allowed by lax ones that allow.
                extent = extent_of(rule, shaped.opaque == ("deny" if is_deny else "allow"))
                (deny if is_deny else allow).append(_Rule(name, rule_name, extent))
        return cls(tuple(allow), tuple(deny))


def weaker_policies(old: Sequence[Table], new: Sequence[Table]) -> list[str]:
    """Compare the `[[policy]]` tables.

    What a plugin of a third party makes of its settings is not known here: only that they changed is said.

    Args:
        old: those that were in force; policies have been built of them.
        new: those that shall be; the same is true of them.
    """
    if [*old] == [*new]:
        return []
    before, after = _by_name(old), _by_name(new)
    try:
        rules = _weaker_rules(_Rules.of(_deciding(before)), _Rules.of(_deciding(after)))
    except ConfigError:
        # A plugin of that kind took the table, so somebody else's `destinations` stands in for ours.
        rules = ["the rules changed in a way that is not understood here"]
    others = [sentence for name, table in before.items() for sentence in _compare(name, table, after.get(name))]
    added = [
        f"policy {name} of kind {_kind(table)} is new; what it allows is not known here"
        for name, table in after.items()
        if not _is_known(table) and _decides(table) and name not in before
    ]
    return rules + others + added


def limiting_kinds(tables: Sequence[Table], routes: Iterable[RouteSettings]) -> frozenset[str]:
    """Find the kinds of client labels, such as "token", by which something is denied, limited or sent elsewhere.

    Args:
        tables: the `[[policy]]` tables. Those of third parties are not understood here.
        routes: the `[[route]]` tables.
    """
    clients = [route.clients for route in routes if route.via != VIA_DIRECT]
    for table in tables:
        try:
            if _kind(table) == "destinations" and _decides(table):
                clients += [rule.clients for rule in structure(DestinationsSettings, _keys(table)).deny]
            elif _kind(table) == "rate" and _decides(table):
                clients.append(structure(RateSettings, _keys(table)).clients)
        except ConfigError:
            continue
    labels = [
        label for each in clients if each is not None for label in (*each.exact, *(wild.first for wild in each.wild))
    ]
    return frozenset(label.partition(":")[0] for label in labels)


def _weaker_rules(old: _Rules, new: _Rules) -> list[str]:
    said: list[str] = []
    for rule, before in _uncovered(new.allow, old.allow):
        if before is None:
            said.append(f"{rule} is new and allows {listed([host.text for host in rule.extent.hosts])}")
        else:
            said.append(f"{rule} allows more than before: {', '.join(rule.extent.beyond(before.extent))}")
    for rule, after in _uncovered(old.deny, new.deny):
        if after is None:
            said.append(f"{rule} is gone: it denied {listed([host.text for host in rule.extent.hosts])}")
        else:
            said.append(f"{rule} denies less than before: {', '.join(rule.extent.beyond(after.extent))}")
    return said


def _uncovered(rules: Sequence[_Rule], others: Sequence[_Rule]) -> list[tuple[_Rule, _Rule | None]]:
    """Give the rules that none of the others covers, each with the one that stands in its place."""
    known = {rule.extent for rule in others}
    named = {rule.place: rule for rule in others}
    changed = [rule for rule in rules if rule.extent not in known]
    # A moment's work; the reactor waits for it. Beyond that a rule is only compared with the one in its place.
    can_compare = len(changed) * len(known) <= _COMPARISONS
    found: list[tuple[_Rule, _Rule | None]] = []
    for rule in changed:
        other = named.get(rule.place)
        within: Iterable[Extent] = known if can_compare else () if other is None else (other.extent,)
        if not rule.extent.is_covered(within):
            found.append((rule, other))
    return found


def _compare(name: str, old: Table, new: Table | None) -> list[str]:
    """Compare one policy, without the rules of `destinations`, with what has its name now."""
    kind = _kind(old)
    if new is None or _kind(new) != kind:
        # Rules of `destinations` are compared one by one, wherever they stand.
        return [f"policy {name} of kind {kind} is gone"] if _decides(old) and kind != "destinations" else []
    if kind == "destinations":
        if _decides(old) and not _decides(new):
            return [f'policy {name} decides nothing any more: its mode is "audit"']
        return []
    if not _is_known(old):
        if _keys(old) != _keys(new) or _decides(old) != _decides(new):
            return [f"the settings of policy {name} of kind {kind} changed; what that means is not known here"]
        return []
    if not _decides(old):
        return []
    if not _decides(new):
        return [f'policy {name} limits nothing any more: its mode is "audit"']
    return _higher_rates(name, structure(RateSettings, _keys(old)), structure(RateSettings, _keys(new)))


def _higher_rates(name: str, old: RateSettings, new: RateSettings) -> list[str]:
    said: list[str] = []
    for key in _RATES:
        before: int | None = getattr(old, key)
        after: int | None = getattr(new, key)
        if before is not None and (after is None or after > before):
            said.append(f"policy {name}: {key} {'is gone' if after is None else f'is {after}, it was {before}'}")
    if new.clients is not None and (old.clients is None or not _same_clients(old, new)):
        said.append(f"policy {name} limits other clients than before, or fewer")
    return said


def _same_clients(old: RateSettings, new: RateSettings) -> bool:
    assert old.clients is not None and new.clients is not None
    return old.clients.exact <= new.clients.exact and {*old.clients.wild} <= {*new.clients.wild}


def _by_name(tables: Sequence[Table]) -> dict[str, Table]:
    return {str(table.get("name", _kind(table))): table for table in tables}


def _deciding(tables: Mapping[str, Table]) -> list[tuple[str, Table]]:
    return [(name, table) for name, table in tables.items() if _kind(table) == "destinations" and _decides(table)]


def _kind(table: Table) -> str:
    return str(table.get("kind"))


def _is_known(table: Table) -> bool:
    return _kind(table) in ("destinations", "rate")


def _decides(table: Table) -> bool:
    return table.get("mode", "enforce") == "enforce"


def _keys(table: Table) -> dict[str, object]:
    return {key: value for key, value in table.items() if key not in ("kind", "name", "mode")}
