"""Loads the certificates and keys of listeners with TLS."""

from __future__ import annotations

from collections.abc import Mapping

from egress.config import prefix
from egress.errors import ConfigError
from egress.service.settings.listener import ListenerSettings
from egress.service.settings.source import Source
from egress.tls import ServerTls, load_authorities, load_certificate


def load_tls(source: Source) -> dict[str, ServerTls]:
    """Read the certificates of all listeners with TLS.

    Returns:
        The TLS of each listener with TLS, by the listener's name.

    Raises:
        ConfigError: a file cannot be read or used; `where` is the key of the file.
    """
    found = {}
    for index, listener in enumerate(source.settings.listener):
        if listener.tls.certificate:
            try:
                found[listener.name] = _load(source, listener)
            except ConfigError as error:
                raise source.place(ConfigError(prefix(f"listener[{index}].tls", error.where), error.problem))
    return found


def find_changed_tls(old: Mapping[str, ServerTls], new: Mapping[str, ServerTls]) -> frozenset[str]:
    """Find the listeners whose TLS accepts clients on other terms, by the content of their files.

    A renewed certificate of the listener itself changes no client's identity and is therefore not a difference.

    Args:
        old: the TLS of listeners with TLS, by the listener's name.
        new: the values that replace them.

    Returns:
        The names of the listeners that have TLS in one configuration only, or on other terms.
    """
    terms, new_terms = ({name: tls.terms for name, tls in each.items()} for each in (old, new))
    return frozenset(name for name in terms.keys() | new_terms.keys() if terms.get(name) != new_terms.get(name))


def _load(source: Source, listener: ListenerSettings) -> ServerTls:
    settings = listener.tls
    key = source.path(settings.key) if settings.key else ""
    own = load_certificate(source.path(settings.certificate), key)
    authorities = load_authorities("client_ca", source.path(settings.client_ca)) if settings.client_ca else ()
    return ServerTls.make(own, authorities, is_required=listener.require == "certificate")
