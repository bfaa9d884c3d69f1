"""The settings of a `destinations` policy, and their validation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeVar

from attrs import field, frozen

from egress.config.validators import NAME_RULE, is_name
from egress.errors import ConfigError
from egress.match import (
    ClientPatterns,
    HostPattern,
    PathPattern,
    PathSet,
    PortSet,
    Reach,
    parse_host,
    parse_network,
    parse_port,
)
from egress.model import Network

A = TypeVar("A")
B = TypeVar("B")

_method = re.compile(r"[A-Z][A-Z0-9_-]*").fullmatch
CONNECT = "CONNECT"
# A message is also part of a status line, which clients and logs cut.
_MESSAGE_LIMIT = 200


def _each(items: Iterable[A], read: Callable[[A], B]) -> tuple[B, ...]:
    """Parse every item of a list. An error has the index of the item."""
    results: list[B] = []
    for index, item in enumerate(items):
        try:
            results.append(read(item))
        except ValueError as error:
            raise ConfigError(f"[{index}]", str(error))
    if not results:
        raise ConfigError("", "is empty, so that the rule could never match; leave the key out or fill it")
    return tuple(results)


def _read_name(name: str | None) -> str:
    if name is None:
        return ""
    if not is_name(name):
        raise ConfigError("", NAME_RULE)
    return name


def _read_hosts(hosts: tuple[str, ...]) -> tuple[HostPattern, ...]:
    return _each(hosts, parse_host)


def _read_ports(ports: tuple[int | str, ...]) -> PortSet:
    return PortSet.of(_each(ports, parse_port))


def _read_method(method: str) -> str:
    if not _method(method):
        raise ValueError('a method is a word in capitals, such as "GET": methods are compared exactly')
    return method


def _read_methods(methods: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if methods is None else frozenset(_each(methods, _read_method))


def _read_paths(paths: tuple[str, ...] | None) -> PathSet | None:
    return None if paths is None else PathSet(_each(paths, PathPattern.parse))


def _read_clients(clients: tuple[str, ...] | None) -> ClientPatterns | None:
    return None if clients is None else ClientPatterns.compile(clients)


def _read_addresses(addresses: tuple[str, ...] | None) -> tuple[Network, ...]:
    return () if addresses is None else _each(addresses, parse_network)


def _read_message(message: str | None) -> str:
    if message is None:
        return ""
    if not message.isprintable() or message != message.strip() or not 0 < len(message) <= _MESSAGE_LIMIT:
        raise ConfigError("", f"must be one line of 1 to {_MESSAGE_LIMIT} printable characters, without blanks around")
    return message


@frozen
class RuleSettings:
    """One `[[policy.allow]]` or `[[policy.deny]]`.

    Attributes:
        hosts: patterns of the destinations.
        name: the rule's name in responses and in the audit log; by default its place, such as `allow[0]`.
        ports: the ports of the destinations.
        methods: the methods of the requests; None for every method.
        paths: patterns of the paths; None for every path.
        clients: patterns of client labels; None for every client.
        addresses: networks that are not public and to which the names of `hosts` may resolve.
        message: what a client reads that the rule denies, or that an allow rule nearly covers; "" for nothing.
    """

    hosts: tuple[HostPattern, ...] = field(converter=_read_hosts)
    name: str = field(default=None, converter=_read_name)
    ports: PortSet = field(converter=_read_ports)
    methods: frozenset[str] | None = field(default=None, converter=_read_methods)
    paths: PathSet | None = field(default=None, converter=_read_paths)
    clients: ClientPatterns | None = field(default=None, converter=_read_clients)
    addresses: tuple[Network, ...] = field(default=None, converter=_read_addresses)
    message: str = field(default=None, converter=_read_message)

    @ports.default
    def _usual_ports(self) -> tuple[int | str, ...]:
        return (80, 443)

    def __attrs_post_init__(self) -> None:
        if self.paths is not None and self.methods is not None and CONNECT in self.methods:
            raise ConfigError("methods", "has CONNECT, which has no path; put it into a rule without `paths`")
        if self.addresses and all(pattern.reach is Reach.NETWORK for pattern in self.hosts):
            raise ConfigError("addresses", "admits nothing: it is for names, and an address in `hosts` admits itself")

    @property
    def needs_reading(self) -> bool:
        """Whether the rule has methods or paths, which a tunnel hides."""
        return self.paths is not None or self.methods is not None


@frozen
class DestinationsSettings:
    """The keys of a `destinations` policy.

    Attributes:
        allow: rules that allow.
        deny: rules that deny, and take precedence over `allow`.
        opaque: how rules with `methods` or `paths` treat a tunnel, whose requests cannot be read.
        override_fields: what happens to a request with fields by which an origin may take another method or path, where
            a rule with `methods` or `paths` could decide.
    """

    allow: tuple[RuleSettings, ...] = ()
    deny: tuple[RuleSettings, ...] = ()
    opaque: Literal["deny", "allow"] = "deny"
    override_fields: Literal["refuse", "strip", "pass"] = "refuse"

    def __attrs_post_init__(self) -> None:
        for index, rule in enumerate(self.deny):
            if rule.addresses:
                raise ConfigError(f"deny[{index}].addresses", "admits addresses, but a deny rule denies; use `hosts`")
        seen: dict[str, str] = {}
        for place, name, _ in self.named_rules():
            if name in seen:
                raise ConfigError(f"{place}.name", f"is already the name of {seen[name]}")
            seen[name] = place

    def named_rules(self) -> list[tuple[str, str, RuleSettings]]:
        """List each rule with its place and its name, deny rules first."""
        lists: Mapping[str, tuple[RuleSettings, ...]] = {"deny": self.deny, "allow": self.allow}
        places = [(f"{kind}[{index}]", rule) for kind, rules in lists.items() for index, rule in enumerate(rules)]
        return [(place, rule.name or place, rule) for place, rule in places]
