"""Builds the configured policies. A missing, duplicate or broken plugin or policy is an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from egress.config import prefix
from egress.config.validators import NAME_LIMIT, NAME_RULE, is_name
from egress.errors import ConfigError
from egress.interfaces import IHostServices, IPolicy, IPolicyDescription, IPolicyMaker, IPolicyObserver
from egress.policy.audit_only import AuditOnly
from egress.policy.discovery import find_makers
from egress.policy.guard import GUARD_NAME
from egress.policy.interface_check import breaches

__all__ = ["MODES", "build_policies", "find_makers"]

MODES = ("enforce", "audit")


def build_policies(
    tables: Sequence[Mapping[str, object]], makers: Mapping[str, IPolicyMaker], host: IHostServices
) -> tuple[IPolicy, ...]:
    """Build all policies, in configured order.

    Args:
        tables: the `[[policy]]` tables, as read.
        makers: the makers by kind; see `egress.policy.discovery.find_makers`.
        host: the services that the policies use.

    Raises:
        ConfigError: the first fault, with its key path, such as `policy[1].kind`.
    """
    kinds = [_kind_of(index, table, makers) for index, table in enumerate(tables)]
    names = _names_of(tables, kinds)
    return tuple(
        _build(f"policy[{index}]", table, makers[kind], name, host)
        for index, (table, kind, name) in enumerate(zip(tables, kinds, names, strict=True))
    )


def _kind_of(index: int, table: Mapping[str, object], makers: Mapping[str, IPolicyMaker]) -> str:
    where = f"policy[{index}].kind"
    if "kind" not in table:
        raise ConfigError(where, f"is missing; the kinds known here: {_known(makers)}")
    kind = table["kind"]
    if not isinstance(kind, str):
        raise ConfigError(where, "must be a string")
    if kind not in makers:
        raise ConfigError(
            where, f"no plugin makes policies of kind {kind[:NAME_LIMIT]!a}; known here: {_known(makers)}"
        )
    return kind


def _known(makers: Mapping[str, IPolicyMaker]) -> str:
    return ", ".join(sorted(makers)) or "none"


def _names_of(tables: Sequence[Mapping[str, object]], kinds: Sequence[str]) -> list[str]:
    uses = Counter(kinds)
    names: list[str] = []
    for index, (table, kind) in enumerate(zip(tables, kinds, strict=True)):
        where = f"policy[{index}].name"
        if "name" not in table and uses[kind] > 1:
            raise ConfigError(where, f"is missing; it is needed where more than one policy is of kind {kind!a}")
        name = table.get("name", kind)
        if not isinstance(name, str):
            raise ConfigError(where, "must be a string")
        if not is_name(name):
            raise ConfigError(where, NAME_RULE)
        if name == GUARD_NAME:
            raise ConfigError(where, f"{name!a} is the name of the SSRF guard in logs and answers; choose another")
        if name in names:
            raise ConfigError(where, f"policy[{names.index(name)}] is called {name!a} already")
        names.append(name)
    return names


def _build(where: str, table: Mapping[str, object], maker: IPolicyMaker, name: str, host: IHostServices) -> IPolicy:
    mode = table.get("mode", "enforce")
    if mode not in MODES:
        raise ConfigError(f"{where}.mode", 'must be "enforce" or "audit"')
    settings = {key: value for key, value in table.items() if key not in ("kind", "name", "mode")}
    try:
        policy = maker.make_policy(name, settings, host)
    except ConfigError as error:
        raise ConfigError(prefix(where, error.where), error.problem, error.file)
    except BaseException as error:
        # The exception's text may hold settings, and settings may hold secrets.
        raise ConfigError(where, f"the plugin failed to make policy {name!a} ({type(error).__name__})") from None
    _check(where, policy, name)
    return AuditOnly(policy) if mode == "audit" else policy


def _check(where: str, policy: IPolicy, name: str) -> None:
    problem = breaches(IPolicy, policy)
    for optional in (IPolicyObserver, IPolicyDescription):
        if not problem and optional.providedBy(policy):
            problem = breaches(optional, policy)
    if not problem and policy.name != name:
        problem = "it bears another name"
    if not problem and not isinstance(policy.pure, bool):
        problem = "its `pure` is neither True nor False"
    if problem:
        raise ConfigError(where, f"the plugin made no good policy of {name!a}: {problem}")
