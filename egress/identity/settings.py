"""Consistency checks of the authentication settings of a listener."""

from __future__ import annotations

from egress.errors import ConfigError
from egress.identity.identifier import Requirement


def check_authentication(
    require: Requirement,
    *,
    has_tokens: bool,
    allow_plaintext_tokens: bool,
    is_local: bool,
    has_tls: bool,
    has_client_authorities: bool,
) -> None:
    """Check the authentication settings of one listener.

    Args:
        require: the listener's setting.
        has_tokens: whether the listener has a tokens file.
        allow_plaintext_tokens: the listener's setting.
        is_local: whether only this machine can reach the listener: a loopback address or a unix socket.
        has_tls: whether the listener uses TLS.
        has_client_authorities: whether the listener has certificate authorities for client certificates.

    Raises:
        ConfigError: the settings contradict each other; the key is relative to the listener's table.
    """
    if require == "basic" and not has_tokens:
        raise ConfigError("require", '"basic" needs `tokens`: the file with the names and hashes of who may call')
    if require == "certificate" and not has_client_authorities:
        raise ConfigError("require", '"certificate" needs `[listener.tls]` with the authorities of client certificates')
    if allow_plaintext_tokens and not has_tokens:
        raise ConfigError("allow_plaintext_tokens", "means nothing without `tokens`")
    if has_tokens and not (is_local or has_tls or allow_plaintext_tokens):
        raise ConfigError(
            "tokens",
            "would cross the network in the clear: give the listener `[listener.tls]`, or a loopback address, or set "
            "allow_plaintext_tokens = true",
        )
