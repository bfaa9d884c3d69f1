"""Compares the listeners of two configurations."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from egress.errors import ConfigError
from egress.service.listen.endpoint import Endpoint, TcpEndpoint, UnixEndpoint, parse_endpoint
from egress.service.settings.listener import ListenerSettings
from egress.upstream.routing_settings import VIA_DIRECT, VIA_REFUSE

_REQUIRED = ("none", "basic", "certificate")
_OTHERS = 0o002


def listener_downgrades(
    old: Sequence[ListenerSettings], new: Sequence[ListenerSettings], kinds: Collection[str]
) -> list[str]:
    """Compare each `[[listener]]` table with the active tables of the same name and of the same endpoint.

    Args:
        old: the active tables.
        new: the tables that replace them.
        kinds: the kinds of client labels by which requests are denied, limited or routed.
    """
    said: list[str] = []
    for after in new:
        befores: list[ListenerSettings | None] = [
            before for before in old if before.name == after.name or _share_endpoint(before, after)
        ]
        # A sentence may result from both comparisons, but is reported once.
        found = dict.fromkeys(each for before in befores or [None] for each in _compare(before, after, kinds))
        said += [f"listener {after.name} {sentence}" for sentence in found]
    return said


def _compare(old: ListenerSettings | None, new: ListenerSettings, kinds: Collection[str]) -> Iterator[str]:
    asked = " and asks them for nothing" if new.require == "none" else ""
    if _is_open(new) and not (old is not None and _is_open(old)):
        yield f"can be reached by other machines{asked}"
    elif _is_for_all_users(new) and not (old is not None and _is_for_all_users(old)):
        yield f"can be reached by every user of this machine{asked}"
    elif _mode(new) & ~_mode(old) and not (old is not None and _is_for_all_users(old)):
        yield f"can be reached by other users{asked}"
    if old is not None:
        yield from _lowered(old, new, kinds)
        if old.via == VIA_REFUSE and new.via != VIA_REFUSE:
            yield "no longer refuses everything"
        elif new.via == VIA_DIRECT and old.via != VIA_DIRECT:
            yield "lets everything go out without a proxy"
        elif old.via not in ("", VIA_DIRECT, VIA_REFUSE) and not new.via:
            yield "has no route of its own any more"


def _lowered(old: ListenerSettings, new: ListenerSettings, kinds: Collection[str]) -> Iterator[str]:
    if _REQUIRED.index(new.require) < _REQUIRED.index(old.require):
        yield f'has require = "{new.require}", it was "{old.require}"'
    if old.tls.certificate and not new.tls.certificate:
        yield "no longer speaks TLS"
    if new.tls.client_ca and new.tls.client_ca != old.tls.client_ca:
        yield "takes clients' certificates of other authorities; which ones is not known here"
    elif old.tls.client_ca and not new.tls.client_ca and "certificate" in kinds:
        yield "asks for no certificates any more, and there are denials or limits by certificate"
    if new.allow_plaintext_tokens and not old.allow_plaintext_tokens:
        yield "takes tokens that cross the network in the clear"
    if new.tokens and old.tokens and new.tokens != old.tokens:
        yield "takes tokens of another file; which ones is not known here"
    elif old.tokens and not new.tokens and "token" in kinds:
        yield "looks at no tokens any more, and there are denials or limits by token"


def _is_open(listener: ListenerSettings) -> bool:
    endpoint = _endpoint(listener)
    return isinstance(endpoint, TcpEndpoint) and not endpoint.address.is_loopback


def _is_for_all_users(listener: ListenerSettings) -> bool:
    endpoint = _endpoint(listener)
    return isinstance(endpoint, TcpEndpoint) or bool(_mode(listener) & _OTHERS)


def _mode(listener: ListenerSettings | None) -> int:
    """Return the permissions of a unix socket for its group and for others; 0 for another kind of socket."""
    endpoint = None if listener is None else _endpoint(listener)
    return endpoint.mode & 0o077 if isinstance(endpoint, UnixEndpoint) else 0


def _share_endpoint(one: ListenerSettings, other: ListenerSettings) -> bool:
    # Port 0 is a different port for each socket.
    endpoint = _endpoint(one)
    is_any = isinstance(endpoint, TcpEndpoint) and not endpoint.port
    return endpoint is not None and not is_any and endpoint == _endpoint(other)


def _endpoint(listener: ListenerSettings) -> Endpoint | None:
    try:
        return parse_endpoint(listener.endpoint, "")
    except ConfigError:
        return None
