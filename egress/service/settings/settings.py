"""The whole file's settings, and what the command line adds to them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from attrs import Attribute, evolve, field, frozen

from egress.api.settings import StatusSettings
from egress.audit import AuditSettings
from egress.config import read, structure
from egress.config.validators import check_name, check_path
from egress.errors import ConfigError
from egress.identity import Requirement
from egress.policy.guard import GuardSettings
from egress.proxy.limits import Limits, TlsSettings
from egress.service.settings.allow_option import ALLOW_POLICY, allow_table
from egress.upstream import DnsSettings, RouteSettings, RoutingSettings, UpstreamSettings

DEFAULT_ENDPOINT = "tcp:3128:interface=127.0.0.1"


@frozen
class ListenerTlsSettings:
    """A `[listener.tls]` table: the listener speaks TLS 1.2 or later, and HTTP inside it.

    Paths count from the directory of the configuration file.

    Attributes:
        certificate: a PEM file with the certificate and those above it. "" for a listener without TLS.
        key: the PEM file of its key, which others than its owner and group must not be able to read; "" where the key
            is in the same file.
        client_ca: a PEM file with the authorities from which clients' certificates come. "" asks for none.
    """

    certificate: str = ""
    key: str = ""
    client_ca: str = ""

    def __attrs_post_init__(self) -> None:
        for name, value in (("key", self.key), ("client_ca", self.client_ca)):
            if value and not self.certificate:
                raise ConfigError(name, "means nothing without `certificate`")


@frozen
class ListenerSettings:
    """A `[[listener]]` table: one socket that clients connect to.

    Attributes:
        name: unique among listeners; rules name its clients `listener:NAME`, and the record holds it.
        endpoint: where it listens: `tcp:PORT[:interface=ADDRESS]`, `tcp6:PORT[:interface=ADDRESS]`,
            `unix:PATH[:mode=600]` or `systemd:NAME[:index=0]`. Without `interface`, on every address of this machine. A
            colon inside a value is written with a backslash before it. Port 0 is any free port.
        via: the route of what comes by it: an upstream's name, "direct", "environment" or "refuse"; "" for the one that
            everything takes.
        require: "basic" takes only requests with credentials, by Basic or Bearer; "certificate" only connections with
            a client certificate; "none" takes both where they are given.
        tokens: the file with the names and hashes of who may call: lines of `name:hash`, made by `egress token`. It is
            read again when it changes. "" does not look at credentials.
        allow_plaintext_tokens: tokens may cross a network in the clear; needed where the listener is neither on a
            loopback address nor speaks TLS.
        tls: what it shows and takes, where it speaks TLS.
    """

    name: str = field(validator=check_name)
    endpoint: str
    via: str = ""
    require: Requirement = "none"
    tokens: str = ""
    allow_plaintext_tokens: bool = False
    tls: ListenerTlsSettings = field(factory=ListenerTlsSettings)


def _check_listeners(
    _instance: object, _attribute: Attribute[tuple[ListenerSettings, ...]], value: tuple[ListenerSettings, ...]
) -> None:
    if not value:
        raise ConfigError("", "names no listener; leave it out for the default one")
    names = [listener.name for listener in value]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ConfigError(f"[{index}].name", f"listener[{names.index(name)}] is called {name!r} already")


@frozen
class Settings:
    """The whole file.

    Attributes:
        state: the directory for what is kept, the audit log above all. "" is $EGRESS_STATE, else the user's state
            directory.
        engine: what serves TCP connections: "auto" is our own transports where the system has epoll, "twisted" is
            Twisted's.
        listener: where clients connect.
        upstream: the proxies that requests can be sent through.
        route: routes for some destinations.
        routing: the route of everything else.
        policy: who decides, in this order. The keys of each depend on its `kind`.
        guard: which addresses are refused although a policy allows the name.
        dns: how names are looked up.
        tls: what is done about server names in tunnels.
        limits: the bounds of everything.
        audit: how the record is kept.
        status: where operators are told how it is.
    """

    state: str = field(default="", validator=check_path)
    engine: Literal["auto", "twisted"] = "auto"
    listener: tuple[ListenerSettings, ...] = field(
        default=(ListenerSettings("default", DEFAULT_ENDPOINT),), validator=_check_listeners
    )
    upstream: tuple[UpstreamSettings, ...] = ()
    route: tuple[RouteSettings, ...] = ()
    routing: RoutingSettings = field(factory=RoutingSettings)
    policy: tuple[Mapping[str, object], ...] = ()
    guard: GuardSettings = field(factory=GuardSettings)
    dns: DnsSettings = field(factory=DnsSettings)
    tls: TlsSettings = field(factory=TlsSettings)
    limits: Limits = field(factory=Limits)
    audit: AuditSettings = field(factory=AuditSettings)
    status: StatusSettings = field(factory=StatusSettings)


@frozen
class Source:
    """Settings, and where each part of them was written, so that errors can say so.

    Attributes:
        settings: what was written.
        file: the file's name, or "".
        allowed: what each `--allow` said, in the order of the rules made of them.
        listeners_where: the key path of the listeners: "listener", or the option that replaced them.
    """

    settings: Settings
    file: str = ""
    allowed: tuple[str, ...] = ()
    listeners_where: str = "listener"

    def path(self, written: str) -> str:
        """Make a path of the file absolute: it counts from the file's own directory, and a daemon leaves its own."""
        return path_beside(self.file, written)

    def listener_where(self, index: int) -> str:
        """Give the place where a listener's endpoint was written."""
        if self.listeners_where == "listener":
            return f"listener[{index}].endpoint" if self.file else "the default listener"
        return self.listeners_where

    def place(self, error: ConfigError) -> ConfigError:
        """Give an error the file's name, or the name of the option that it is about."""
        index = len(self.settings.policy) - 1
        if self.allowed and error.where.startswith(f"policy[{index}]"):
            for at, said in enumerate(self.allowed):
                if error.where.startswith(f"policy[{index}].allow[{at}]"):
                    return ConfigError(f"--allow {said}", error.problem)
        is_option = error.where.startswith("--") or error.where == "the default listener"
        return error if error.file or is_option else ConfigError(error.where, error.problem, self.file)


def path_beside(file: str, written: str) -> str:
    """Make a path absolute that is written in a file, or in none: then it counts from the working directory."""
    return os.path.abspath(os.path.join(os.path.dirname(file), written))


def load(file: str | None, allow: Sequence[str] = (), listen: Sequence[str] = ()) -> Source:
    """Read the settings.

    Args:
        file: the configuration file, or None for the defaults.
        allow: what is allowed in addition: `HOST` or `HOST:PORT` each.
        listen: endpoints of listeners that replace all others.

    Raises:
        ConfigError: with the file's name or the option's.
    """
    table = read(file) if file is not None else {}
    try:
        settings = structure(Settings, table)
    except ConfigError as error:
        raise ConfigError(error.where, error.problem, file or "")
    if file is not None and settings.state:
        settings = evolve(settings, state=path_beside(file, settings.state))
    if listen:
        settings = evolve(settings, listener=_listeners(listen))
    allowed = tuple(dict.fromkeys(allow))
    if allowed:
        settings = evolve(settings, policy=(*_named(settings.policy), allow_table(allowed)))
    return Source(settings, file or "", allowed, "--listen" if listen else "listener")


def _listeners(endpoints: Sequence[str]) -> tuple[ListenerSettings, ...]:
    first = ListenerSettings("default", endpoints[0])
    rest = (ListenerSettings(f"default-{number}", endpoint) for number, endpoint in enumerate(endpoints[1:], 2))
    return (first, *rest)


def _named(policies: tuple[Mapping[str, object], ...]) -> list[Mapping[str, object]]:
    """Name the policies that are called after their kind, for one more of that kind would leave them without a name."""
    uses = Counter(str(table.get("kind")) for table in policies)
    return [
        table
        if "name" in table or "kind" not in table or uses[str(table["kind"])] > 1
        else {**table, "name": table["kind"]}
        for table in policies
    ]


def is_mute(settings: Settings) -> bool:
    """Whether it is plain that nothing is allowed: no policy of a kind that could allow has anything to allow."""
    return not any(table.get("allow") or table.get("kind") not in ("destinations", "rate") for table in settings.policy)


__all__ = ["ALLOW_POLICY", "ListenerSettings", "Settings", "Source", "is_mute", "load"]
